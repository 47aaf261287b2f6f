#include "thrift_samples.h"

#include <type_traits>
#include <utility>

namespace assent::samples {
namespace {

// ---- Texts. Structured bindings: a field added to a struct and forgotten here does not compile.

template <typename T>
std::string Text(const T& value);

template <typename... Ts>
std::string Join(const Ts&... values) {
  std::string out = "(";
  ((out += Text(values) + ","), ...);
  return out + ")";
}

std::string Fields(const GroupId& v) {
  return ToString(v);
}
std::string Fields(const LogPosition& v) {
  return ToString(v);
}
std::string Fields(const TxnId& v) {
  return ToString(v);
}
std::string Fields(const Token& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const Age& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const CommitTag& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const LogEntry& v) {
  return Join(v.position, *v.payload);
}
std::string Fields(const Participant& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const TxnHeader& v) {
  const auto& [a, b, c, d, e] = v;
  return Join(a, b, c, d, e);
}
std::string Fields(const ResultRow& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const OperationResult& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const GetOp& v) {
  return Join(v.key);
}
std::string Fields(const PutOp& v) {
  return Join(v.key, v.value);
}
std::string Fields(const DeleteOp& v) {
  return Join(v.key);
}
std::string Fields(const CheckOp& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const AddOp& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const ScanOp& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const ForeignWork& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const Ship& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const Beacon& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const BeaconAck& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const ShipAck& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const SnapshotPiece& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const SnapshotAck& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const BranchId& v) {
  return Join(v.epoch, v.number);
}
std::string Fields(const Operate& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const Prepare& v) {
  const auto& [a, b, c, d, e, f, g] = v;
  return Join(a, b, c, d, e, f, g);
}
std::string Fields(const CommitOnePhase& v) {
  const auto& [a, b, c, d, e, f, g, h] = v;
  return Join(a, b, c, d, e, f, g, h);
}
std::string Fields(const Decide& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const SettleToken& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const MarkNews& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const OperateReply& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const BranchAborted& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const VoteReply& v) {
  const auto& [a, b, c, d, e] = v;
  return Join(a, b, c, d, e);
}
std::string Fields(const OnePhaseReply& v) {
  const auto& [a, b, c, d, e, f, g, h, i] = v;
  return Join(a, b, c, d, e, f, g, h, i);
}
std::string Fields(const DecideAck& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const Inquire& v) {
  return Join(v.txn, v.unprepared);
}
std::string Fields(const WoundRequest& v) {
  return Join(v.txn);
}
std::string Fields(const ConfirmReplies& v) {
  return Join(v.through);
}
std::string Fields(const RepliesConfirmed& v) {
  return Join(v.through);
}
std::string Fields(const PeerInquire& v) {
  return Join(v.txn);
}
std::string Fields(const PeerOutcome& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const Envelope& v) {
  const auto& [a, b, c, d, e, f] = v;
  return Join(a, b, c, d, e, f);
}
std::string Fields(const Execute& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}
std::string Fields(const Begin& v) {
  return Join(v.retry_of);
}
std::string Fields(const Work& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const Commit& v) {
  const auto& [a, b, c, d, e] = v;
  return Join(a, b, c, d, e);
}
std::string Fields(const Rollback& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const SessionOpened& v) {
  const auto& [a, b, c] = v;
  return Join(a, b, c);
}
std::string Fields(const Begun& v) {
  const auto& [a, b, c, d, e] = v;
  return Join(a, b, c, d, e);
}
std::string Fields(const WorkDone& v) {
  const auto& [a, b] = v;
  return Join(a, b);
}
std::string Fields(const Ending& v) {
  const auto& [a, b, c, d, e, f, g, h] = v;
  return Join(a, b, c, d, e, f, g, h);
}
std::string Fields(const Refusal& v) {
  const auto& [a, b, c, d] = v;
  return Join(a, b, c, d);
}

template <typename T>
std::string Sequence(const std::vector<T>& values) {
  std::string out = "[";
  for (const T& value : values) out += Text(value) + ";";
  return out + "]";
}
template <typename T>
std::string Optional(const std::optional<T>& value) {
  return value ? "some " + Text(*value) : "none";
}
template <typename... Ts>
std::string Alternative(const std::variant<Ts...>& value) {
  return std::to_string(value.index()) + std::visit([](const auto& one) { return Text(one); }, value);
}

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsVariant : std::false_type {};
template <typename... Ts>
struct IsVariant<std::variant<Ts...>> : std::true_type {};

template <typename T>
std::string Text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return "'" + value + "'";
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(value);
  } else if constexpr (IsVector<T>::value) {
    return Sequence(value);
  } else if constexpr (IsOptional<T>::value) {
    return Optional(value);
  } else if constexpr (IsVariant<T>::value) {
    return Alternative(value);
  } else if constexpr (std::is_empty_v<T>) {
    return "()";
  } else {
    return Fields(value);
  }
}

// ---- Values

uint64_t Upto(Random& random, uint64_t max) {
  return random() % (max + 1);
}
bool Coin(Random& random) {
  return (random() & 1) != 0;
}
uint64_t Big(Random& random) {
  return random() >> (1 + Upto(random, 62));
}

std::string Bytes(Random& random, size_t min, size_t max) {
  std::string out(min + Upto(random, max - min), '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}
std::string Words(Random& random) {
  return std::string(Upto(random, 20), 'x');
}

GroupId Shard(Random& random) {
  return {GroupKind::kShard, static_cast<uint16_t>(random())};
}
GroupId Coordinator(Random& random) {
  return {GroupKind::kCoordinator, static_cast<uint16_t>(random())};
}
Epoch RandomEpoch(Random& random) {
  return Epoch{Big(random)};
}
BranchId RandomBranch(Random& random) {
  return {Epoch{1 + Upto(random, 1'000'000)}, 1 + Upto(random, 1'000'000)};
}
LogPosition Position(Random& random) {
  return {RandomEpoch(random), Lsn{Big(random)}};
}
AbortReason Reason(Random& random) {
  return static_cast<AbortReason>(Upto(random, static_cast<uint64_t>(AbortReason::kTokenExpired)));
}
Decision RandomDecision(Random& random) {
  return Coin(random) ? Decision::kCommit : Decision::kAbort;
}

Token RandomToken(Random& random) {
  return {Coordinator(random), ClientId{Big(random)}, Big(random) + 1, Big(random)};
}
Token TokenOrNone(Random& random) {
  return Coin(random) ? RandomToken(random) : Token{};
}

TxnHeader Header(Random& random) {
  TxnHeader header;
  header.txn = RandomTxn(random);
  header.age = {Big(random), Coin(random) ? header.txn : RandomTxn(random)};
  header.has_foreign = Coin(random);
  if (Coin(random)) header.mark = {header.txn.coordinator, RandomEpoch(random), Big(random)};
  header.horizon_us = Big(random);
  return header;
}

Operation OneOperation(Random& random) {
  std::string key = Bytes(random, 1, 40);
  switch (Upto(random, 8)) {
    case 0:
      return GetOp{key};
    case 1:
      return PutOp{key, Bytes(random, 0, 100)};
    case 2:
      return DeleteOp{key};
    case 3:
      return CheckOp{key, CheckKind::kExists, {}, 0};
    case 4:
      return CheckOp{key, CheckKind::kAbsent, {}, 0};
    case 5:
      return CheckOp{key, CheckKind::kValue, Bytes(random, 0, 30), 0};
    case 6:
      return CheckOp{key, CheckKind::kVersion, {}, Big(random)};
    case 7:
      return AddOp{key, static_cast<int64_t>(random()),
                   Coin(random) ? std::optional<int64_t>(static_cast<int64_t>(random())) : std::nullopt};
    default:
      return ScanOp{Coin(random) ? key : "", static_cast<uint32_t>(Upto(random, kScanRowsMax)),
                    Coin(random) ? key : ""};
  }
}

std::vector<ForeignWork> Foreign(Random& random) {
  std::vector<ForeignWork> out(Upto(random, 3));
  for (auto& one : out) one = {Bytes(random, 1, 20), Bytes(random, 0, 60)};
  return out;
}

template <typename T>
void Fill(T& out, Random& random);

template <>
void Fill(Ship& out, Random& random) {
  out.prev = Position(random);
  LogPosition position = out.prev;
  out.entries.resize(Upto(random, 4));
  for (LogEntry& entry : out.entries) {
    position = {Epoch{Raw(position.epoch) + Upto(random, 1)}, Next(position.lsn)};
    if (position.epoch == Epoch{}) position.epoch = Epoch{1};
    entry = {position, std::make_shared<const std::string>(Bytes(random, 0, 200))};
  }
  out.replicated = Lsn{Big(random)};
}
template <>
void Fill(ShipAck& out, Random& random) {
  out = {Position(random), Incarnation{random()}, Coin(random), {}};
  if (out.mismatch) out.hint = Position(random);
}
template <>
void Fill(SnapshotPiece& out, Random& random) {
  out = {Position(random), Big(random), Bytes(random, 0, 300), Coin(random)};
}
template <>
void Fill(SnapshotAck& out, Random& random) {
  out = {Position(random), Big(random), Coin(random), Incarnation{random()}};
}
template <>
void Fill(Beacon& out, Random& random) {
  out = {Big(random), Big(random)};
}
template <>
void Fill(BeaconAck& out, Random& random) {
  out = {Big(random), Big(random), Incarnation{random()}};
}
template <>
void Fill(Operate& out, Random& random) {
  out = {Header(random), Coin(random) ? RandomBranch(random) : BranchId{},
         static_cast<uint32_t>(1 + Upto(random, 5000)), RandomOperations(random)};
}
template <>
void Fill(Prepare& out, Random& random) {
  out = {Header(random),
         Coin(random) ? RandomBranch(random) : BranchId{},
         static_cast<uint32_t>(Upto(random, 5000)),
         RandomOperations(random),
         {},
         CommitMode::kCoordinator,
         Coin(random)};
  out.participants.resize(Upto(random, 4));
  for (Participant& one : out.participants) {
    one = Coin(random) ? Participant{"", Shard(random), Coin(random)}
                       : Participant{Bytes(random, 1, 20), GroupId{}, Coin(random)};
  }
}
template <>
void Fill(CommitOnePhase& out, Random& random) {
  out = {Header(random),
         Coin(random) ? RandomBranch(random) : BranchId{},
         static_cast<uint32_t>(Upto(random, 5000)),
         RandomOperations(random),
         TokenOrNone(random),
         static_cast<uint32_t>(1 + Upto(random, 9)),
         random(),
         Big(random)};
}
template <>
void Fill(Decide& out, Random& random) {
  out = {Header(random), RandomDecision(random)};
}
template <>
void Fill(SettleToken& out, Random& random) {
  out = {Header(random), RandomToken(random), static_cast<uint32_t>(1 + Upto(random, 9))};
}
template <>
void Fill(MarkNews& out, Random& random) {
  out = {{Coordinator(random), RandomEpoch(random), Big(random)},
         Big(random),
         Coin(random) ? RandomTxn(random) : TxnId{}};
}
template <>
void Fill(OperateReply& out, Random& random) {
  out = {RandomTxn(random), RandomBranch(random), static_cast<uint32_t>(Upto(random, 5000)),
         RandomResults(random)};
}
template <>
void Fill(BranchAborted& out, Random& random) {
  out = {RandomTxn(random), Reason(random), Words(random)};
}
template <>
void Fill(VoteReply& out, Random& random) {
  out = {RandomTxn(random), static_cast<Vote>(1 + Upto(random, 2)), Reason(random), Words(random),
         RandomResults(random)};
}
template <>
void Fill(OnePhaseReply& out, Random& random) {
  out = {RandomTxn(random),
         TokenOrNone(random),
         static_cast<uint32_t>(Upto(random, 9)),
         Coin(random),
         Coin(random) ? RandomTxn(random) : TxnId{},
         random(),
         Reason(random),
         Words(random),
         RandomResults(random)};
}
template <>
void Fill(DecideAck& out, Random& random) {
  out = {RandomTxn(random), RandomDecision(random)};
}
template <>
void Fill(Inquire& out, Random& random) {
  out = {RandomTxn(random), Coin(random)};
}
template <>
void Fill(WoundRequest& out, Random& random) {
  out = {RandomTxn(random)};
}
template <>
void Fill(ConfirmReplies& out, Random& random) {
  out = {Big(random)};
}
template <>
void Fill(RepliesConfirmed& out, Random& random) {
  out = {Big(random)};
}
template <>
void Fill(PeerInquire& out, Random& random) {
  out = {RandomTxn(random)};
}
template <>
void Fill(PeerOutcome& out, Random& random) {
  out.txn = RandomTxn(random);
  if (Coin(random)) out.decision = RandomDecision(random);
}
template <>
void Fill(HandOver&, Random&) {}
template <>
void Fill(EpochNews&, Random&) {}

template <size_t I = 0>
Message MessageOf(size_t type, Random& random) {
  if constexpr (I < kMessageTypes) {
    if (I != type) return MessageOf<I + 1>(type, random);
    Message out;
    Fill(out.emplace<I>(), random);
    return out;
  }
  return {};
}

}  // namespace

Message RandomMessage(size_t type, Random& random) {
  return MessageOf(type, random);
}

Envelope RandomEnvelope(size_t type, Random& random) {
  return {Shard(random),       NodeId{7},           RandomEpoch(random),
          Coordinator(random), RandomEpoch(random), RandomMessage(type, random)};
}

std::vector<Operation> RandomOperations(Random& random) {
  std::vector<Operation> out(Upto(random, 5));
  for (Operation& one : out) one = OneOperation(random);
  return out;
}

std::vector<OperationResult> RandomResults(Random& random) {
  std::vector<OperationResult> out(Upto(random, 3));
  for (OperationResult& one : out) {
    one.rows.resize(Upto(random, 3));
    for (ResultRow& row : one.rows) row = {Bytes(random, 1, 20), Bytes(random, 0, 50), Big(random)};
    one.number = Coin(random) ? static_cast<int64_t>(random()) : 0;
    one.truncated = Coin(random);
  }
  return out;
}

TxnId RandomTxn(Random& random) {
  return {Coordinator(random), RandomEpoch(random), Big(random) + 1};
}
Age RandomAge(Random& random) {
  return {Big(random) + 1, RandomTxn(random)};
}

CommitTag RandomTag(Random& random) {
  return {RandomToken(random), Epoch{Big(random) + 1}, static_cast<uint32_t>(1 + Upto(random, 9)),
          Big(random)};
}

ClientRequest RandomRequest(size_t type, Random& random) {
  switch (type) {
    case 0:
      return OpenSession{};
    case 1:
      return Execute{RandomTag(random), RandomOperations(random), Foreign(random),
                     Coin(random) ? RandomAge(random) : Age{}};
    case 2:
      return Begin{Coin(random) ? RandomAge(random) : Age{}};
    case 3: {
      Work work{RandomTxn(random), RandomOperations(random), Big(random)};
      if (work.operations.empty()) work.operations.emplace_back(GetOp{"k"});
      return work;
    }
    case 4: {
      Commit commit{RandomTag(random), RandomTxn(random), Foreign(random), {}, Big(random)};
      commit.txn.coordinator = commit.tag.token.coordinator;
      commit.shards.resize(Upto(random, 4));
      for (GroupId& shard : commit.shards) shard = Shard(random);
      return commit;
    }
    default:
      return Rollback{RandomTxn(random), Big(random)};
  }
}

Ending RandomEnding(Random& random) {
  return {static_cast<Outcome>(1 + Upto(random, 2)),
          Coin(random) ? RandomTxn(random) : TxnId{},
          Coin(random) ? RandomAge(random) : Age{},
          Reason(random),
          Words(random),
          RandomResults(random),
          Coin(random),
          Big(random)};
}

std::string TextOf(const Envelope& envelope) {
  return Text(envelope);
}
std::string TextOf(const ClientRequest& request) {
  return Text(request);
}
std::string TextOf(const ClientReply& reply) {
  return Text(reply);
}

}  // namespace assent::samples
