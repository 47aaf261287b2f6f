#include "common/records.h"

#include <algorithm>
#include <utility>

// The encodings of docs/FORMAT.md, "Records". One function per type and direction; the decoder checks each
// length against what is left before it takes anything, so damage cannot make it allocate.
namespace assent {
namespace {

enum class RecordType : uint8_t {
  kEpochBegan = 1,
  kPrepared = 2,
  kBranchDecided = 3,
  kOnePhaseCommitted = 4,
  kAttemptRefused = 5,
  kMarkRaised = 6,
  kCommittedWithoutBegin = 7,  // read, no longer written
  kEnded = 8,
  kHorizonRaised = 9,
  kTokenCommitted = 10,
  kCommitted = 11,
};

class Writer {
 public:
  template <typename Number>
  void Int(Number number) {
    auto rest = static_cast<uint64_t>(number);
    for (size_t i = 0; i < sizeof(Number); ++i, rest >>= 8) bytes_ += static_cast<char>(rest & 0xff);
  }
  void Bytes(std::string_view bytes) {
    Int(static_cast<uint32_t>(bytes.size()));
    bytes_ += bytes;
  }
  void Group(GroupId group) {
    Int(Raw(group.kind));
    Int(group.number);
  }
  void Txn(const TxnId& txn) {
    Group(txn.coordinator);
    Int(Raw(txn.epoch));
    Int(txn.seq);
  }
  void TokenOf(const Token& token) {
    Group(token.coordinator);
    Int(Raw(token.client));
    Int(token.seq);
    Int(token.birth_us);
  }
  template <typename Items, typename One>
  void List(const Items& items, One one) {
    Int(static_cast<uint32_t>(items.size()));
    for (const auto& item : items) one(item);
  }
  void Participants(const std::vector<Participant>& participants) {
    List(participants, [this](const Participant& p) {
      Bytes(p.foreign);
      Group(p.group);
      Int(static_cast<uint8_t>(p.writing));
    });
  }
  void Writes(const std::vector<Write>& writes) {
    List(writes, [this](const Write& write) {
      Bytes(write.key);
      Int(static_cast<uint8_t>(write.value.has_value()));
      if (write.value) Bytes(*write.value);
    });
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads until something does not fit; from then on failed() and every value is empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename Number>
  Number Int() {
    if (rest_.size() < sizeof(Number)) return Fail(), Number{};
    uint64_t number = 0;
    for (size_t i = sizeof(Number); i-- > 0;) number = number << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(sizeof(Number));
    return static_cast<Number>(number);
  }
  uint64_t NonZero() {
    const auto number = Int<uint64_t>();
    if (number == 0) Fail();
    return number;
  }
  bool Flag() {
    const auto byte = Int<uint8_t>();
    if (byte > 1) Fail();
    return byte == 1;
  }
  template <typename Enum>
  Enum Choice(Enum first, Enum last) {
    const auto byte = Int<uint8_t>();
    if (byte < Raw(first) || byte > Raw(last)) return Fail(), first;
    return static_cast<Enum>(byte);
  }
  std::string Bytes() {
    const auto size = Int<uint32_t>();
    if (size > rest_.size()) return Fail(), std::string();
    std::string bytes(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return bytes;
  }
  GroupId Group() {
    const auto kind = Choice(GroupKind::kCoordinator, GroupKind::kShard);
    return GroupId{kind, Int<uint16_t>()};
  }
  TxnId Txn() {
    TxnId txn;
    txn.coordinator = Group();
    txn.epoch = Epoch{Int<uint64_t>()};
    txn.seq = Int<uint64_t>();
    return txn;
  }
  Token TokenOf() {
    Token token;
    token.coordinator = Group();
    token.client = ClientId{Int<uint64_t>()};
    token.seq = Int<uint64_t>();
    token.birth_us = Int<uint64_t>();
    return token;
  }
  // `one` reads an item, which takes at least one byte: so a count above what is left is damage.
  template <typename One>
  auto List(One one) {
    std::vector<decltype(one())> items;
    const auto count = Int<uint32_t>();
    if (count > rest_.size()) return Fail(), items;
    for (uint32_t i = 0; i < count && !failed_; ++i) items.push_back(one());
    return items;
  }
  std::vector<Participant> Participants() {
    return List([this] {
      Participant participant;
      participant.foreign = Bytes();
      participant.group = Group();
      participant.writing = Flag();
      return participant;
    });
  }
  std::vector<Write> Writes() {
    return List([this] {
      Write write;
      write.key = Bytes();
      if (Flag()) write.value = Bytes();
      return write;
    });
  }

  bool complete() const { return !failed_ && rest_.empty(); }

 private:
  void Fail() {
    failed_ = true;
    rest_ = {};
  }

  std::string_view rest_;
  bool failed_ = false;
};

struct Encoder {
  Writer& out;

  void operator()(const EpochBegan&) { out.Int(Raw(RecordType::kEpochBegan)); }
  void operator()(const Prepared& r) {
    out.Int(Raw(RecordType::kPrepared));
    out.Txn(r.txn);
    out.Int(r.age.begin_us);
    out.Txn(r.age.txn);
    out.Int(Raw(r.mode));
    out.Participants(r.participants);
    out.Writes(r.writes);
    out.List(r.read_locks, [this](const ReadLock& lock) {
      out.Bytes(lock.key);
      out.Int(static_cast<uint8_t>(lock.is_range));
      out.Bytes(lock.end);
    });
  }
  void operator()(const BranchDecided& r) {
    out.Int(Raw(RecordType::kBranchDecided));
    out.Txn(r.txn);
    out.Int(Raw(r.decision));
  }
  void operator()(const OnePhaseCommitted& r) {
    out.Int(Raw(RecordType::kOnePhaseCommitted));
    out.Txn(r.txn);
    out.TokenOf(r.token);
    out.Int(r.attempt);
    out.Int(r.content);
    out.Int(r.acked_below);
    out.Writes(r.writes);
  }
  void operator()(const AttemptRefused& r) {
    out.Int(Raw(RecordType::kAttemptRefused));
    out.TokenOf(r.token);
    out.Int(r.attempt);
    out.Int(r.acked_below);
  }
  void operator()(const MarkRaised& r) {
    out.Int(Raw(RecordType::kMarkRaised));
    out.Txn(r.mark);
    out.Int(r.horizon_us);
  }
  void operator()(const Committed& r) {
    out.Int(Raw(r.begin_us != 0 ? RecordType::kCommitted : RecordType::kCommittedWithoutBegin));
    out.Txn(r.txn);
    out.Participants(r.participants);
    out.TokenOf(r.token);
    out.Int(r.attempt);
    out.Int(r.content);
    out.Int(r.acked_below);
    if (r.begin_us != 0) out.Int(r.begin_us);
  }
  void operator()(const Ended& r) {
    out.Int(Raw(RecordType::kEnded));
    out.Txn(r.txn);
  }
  void operator()(const HorizonRaised& r) {
    out.Int(Raw(RecordType::kHorizonRaised));
    out.Int(r.horizon_us);
  }
  void operator()(const TokenCommitted& r) {
    out.Int(Raw(RecordType::kTokenCommitted));
    out.Txn(r.txn);
    out.TokenOf(r.token);
    out.Int(r.attempt);
    out.Int(r.content);
    out.Int(r.acked_below);
  }
};

LogRecord ReadRecord(Reader& in) {
  const auto type = in.Choice(RecordType::kEpochBegan, RecordType::kCommitted);
  switch (type) {
    case RecordType::kEpochBegan:
      return EpochBegan{};
    case RecordType::kPrepared: {
      Prepared r;
      r.txn = in.Txn();
      r.age.begin_us = in.Int<uint64_t>();
      r.age.txn = in.Txn();
      r.mode = in.Choice(CommitMode::kCoordinator, CommitMode::kCoordinator);
      r.participants = in.Participants();
      r.writes = in.Writes();
      r.read_locks = in.List([&in] {
        ReadLock lock;
        lock.key = in.Bytes();
        lock.is_range = in.Flag();
        lock.end = in.Bytes();
        return lock;
      });
      return r;
    }
    case RecordType::kBranchDecided: {
      BranchDecided r;
      r.txn = in.Txn();
      r.decision = in.Choice(Decision::kCommit, Decision::kAbort);
      return r;
    }
    case RecordType::kOnePhaseCommitted: {
      OnePhaseCommitted r;
      r.txn = in.Txn();
      r.token = in.TokenOf();
      r.attempt = in.Int<uint32_t>();
      r.content = in.Int<uint64_t>();
      r.acked_below = in.Int<uint64_t>();
      r.writes = in.Writes();
      return r;
    }
    case RecordType::kAttemptRefused: {
      AttemptRefused r;
      r.token = in.TokenOf();
      r.attempt = in.Int<uint32_t>();
      r.acked_below = in.Int<uint64_t>();
      return r;
    }
    case RecordType::kMarkRaised: {
      MarkRaised r;
      r.mark = in.Txn();
      r.horizon_us = in.Int<uint64_t>();
      return r;
    }
    case RecordType::kCommittedWithoutBegin:
    case RecordType::kCommitted: {
      Committed r;
      r.txn = in.Txn();
      r.participants = in.Participants();
      r.token = in.TokenOf();
      r.attempt = in.Int<uint32_t>();
      r.content = in.Int<uint64_t>();
      r.acked_below = in.Int<uint64_t>();
      if (type == RecordType::kCommitted) r.begin_us = in.NonZero();
      return r;
    }
    case RecordType::kEnded:
      return Ended{in.Txn()};
    case RecordType::kHorizonRaised:
      return HorizonRaised{in.Int<uint64_t>()};
    case RecordType::kTokenCommitted: {
      TokenCommitted r;
      r.txn = in.Txn();
      r.token = in.TokenOf();
      r.attempt = in.Int<uint32_t>();
      r.content = in.Int<uint64_t>();
      r.acked_below = in.Int<uint64_t>();
      return r;
    }
  }
  return EpochBegan{};  // unreachable: Choice stays within the enum
}

template <typename Number>
void AppendBigEndian(std::string& out, Number number) {
  for (size_t i = sizeof(Number); i-- > 0;)
    out += static_cast<char>(static_cast<uint64_t>(number) >> (8 * i) & 0xff);
}

template <typename Number>
Number TakeBigEndian(std::string_view& in) {
  ASSENT_CHECK(in.size() >= sizeof(Number));
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) number = number << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(sizeof(Number));
  return static_cast<Number>(number);
}

std::string Names(const std::vector<Participant>& participants) {
  std::string out;
  for (const Participant& p : participants) {
    if (!out.empty()) out += ',';
    out += p.foreign.empty() ? ToString(p.group) : p.foreign;
    if (!p.writing) out += "(r)";
  }
  return out;
}

}  // namespace

std::string EncodeRecord(const LogRecord& record) {
  Writer out;
  std::visit(Encoder{out}, record);
  return out.Take();
}

Result<LogRecord> DecodeRecord(std::string_view bytes) {
  Reader in(bytes);
  LogRecord record = ReadRecord(in);
  if (!in.complete()) return Status(StatusCode::kDamaged, "not a log record: bad type, length or value");
  return record;
}

std::string EncodeRow(const TokenOutcome& row) {
  Writer out;
  out.Int(static_cast<uint8_t>(row.committed));
  out.Txn(row.txn);
  out.Int(row.content);
  out.Int(row.refused);
  out.Int(row.birth_us);
  return out.Take();
}

std::string EncodeRow(const ClientFloor& row) {
  Writer out;
  out.Int(row.floor);
  out.Int(row.last_birth_us);
  return out.Take();
}

Result<TokenOutcome> DecodeTokenOutcome(std::string_view bytes) {
  Reader in(bytes);
  TokenOutcome row;
  row.committed = in.Flag();
  row.txn = in.Txn();
  row.content = in.Int<uint64_t>();
  row.refused = in.Int<uint32_t>();
  row.birth_us = in.Int<uint64_t>();
  if (!in.complete()) return Status(StatusCode::kDamaged, "not a token outcome");
  return row;
}

Result<ClientFloor> DecodeClientFloor(std::string_view bytes) {
  Reader in(bytes);
  ClientFloor row;
  row.floor = in.Int<uint64_t>();
  row.last_birth_us = in.Int<uint64_t>();
  if (!in.complete()) return Status(StatusCode::kDamaged, "not a client floor");
  return row;
}

std::string Describe(const LogRecord& record) {
  struct {
    std::string operator()(const EpochBegan&) const { return "epoch-began"; }
    std::string operator()(const Prepared& r) const {
      return "prepared " + ToString(r.txn) + " writes=" + std::to_string(r.writes.size()) +
             " reads=" + std::to_string(r.read_locks.size()) + " participants=" + Names(r.participants);
    }
    std::string operator()(const BranchDecided& r) const {
      return (r.decision == Decision::kCommit ? "commit " : "abort ") + ToString(r.txn);
    }
    std::string operator()(const OnePhaseCommitted& r) const {
      return "one-phase-commit " + ToString(r.txn) + " token=" + ToString(r.token) +
             " writes=" + std::to_string(r.writes.size());
    }
    std::string operator()(const AttemptRefused& r) const {
      return "attempt-refused token=" + ToString(r.token) + " attempt=" + std::to_string(r.attempt);
    }
    std::string operator()(const MarkRaised& r) const { return "mark " + ToString(r.mark); }
    std::string operator()(const Committed& r) const {
      return "decision-commit " + ToString(r.txn) + " participants=" + Names(r.participants) +
             " token=" + ToString(r.token);
    }
    std::string operator()(const Ended& r) const { return "end " + ToString(r.txn); }
    std::string operator()(const HorizonRaised& r) const { return "horizon " + std::to_string(r.horizon_us); }
    std::string operator()(const TokenCommitted& r) const {
      return "token-committed " + ToString(r.txn) + " token=" + ToString(r.token);
    }
  } describe;
  return std::visit(describe, record);
}

std::string GroupKey(GroupId group) {
  std::string key;
  AppendBigEndian(key, Raw(group.kind));
  AppendBigEndian(key, group.number);
  return key;
}

std::string TxnKey(const TxnId& txn) {
  std::string key = GroupKey(txn.coordinator);
  AppendBigEndian(key, Raw(txn.epoch));
  AppendBigEndian(key, txn.seq);
  return key;
}

TxnId ParseTxnKey(std::string_view key) {
  TxnId txn;
  txn.coordinator.kind = static_cast<GroupKind>(TakeBigEndian<uint8_t>(key));
  txn.coordinator.number = TakeBigEndian<uint16_t>(key);
  txn.epoch = Epoch{TakeBigEndian<uint64_t>(key)};
  txn.seq = TakeBigEndian<uint64_t>(key);
  return txn;
}

std::string ClientKey(const Token& token) {
  std::string key = GroupKey(token.coordinator);
  AppendBigEndian(key, Raw(token.client));
  return key;
}

std::string OutcomeKey(const Token& token) {
  std::string key = ClientKey(token);
  AppendBigEndian(key, token.seq);
  return key;
}

}  // namespace assent
