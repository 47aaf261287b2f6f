#include "common/records.h"

#include <type_traits>
#include <utility>

#include "common/check.h"
#include "common/encoding.h"

// The encodings of docs/FORMAT.md, "Records".
namespace assent {
namespace {

// The type byte of each record. A number is not used again for another one.
template <typename Record>
constexpr uint8_t kType = 0;
template <>
constexpr uint8_t kType<EpochBegan> = 1;
template <>
constexpr uint8_t kType<Prepared> = 2;
template <>
constexpr uint8_t kType<BranchDecided> = 3;
template <>
constexpr uint8_t kType<OnePhaseCommitted> = 4;
template <>
constexpr uint8_t kType<AttemptRefused> = 5;
template <>
constexpr uint8_t kType<MarkRaised> = 6;
template <>
constexpr uint8_t kType<Ended> = 8;
template <>
constexpr uint8_t kType<HorizonRaised> = 9;
template <>
constexpr uint8_t kType<TokenCommitted> = 10;
template <>
constexpr uint8_t kType<Committed> = 11;

// A Committed that lacks its last field, `begin_us`: an older version wrote it.
constexpr uint8_t kCommittedWithoutBegin = 7;

template <typename Row>
std::string EncodeStruct(const Row& row) {
  Writer out;
  out.Reserve(EncodedSize(row));
  out.Put(row);
  return out.Take();
}

template <typename Row>
Result<Row> DecodeStruct(std::string_view bytes, const char* what) {
  Reader in(bytes);
  auto row = in.Get<Row>();
  if (!in.complete()) return Status(StatusCode::kDamaged, what);
  return row;
}

template <size_t kIndex = 0>
void GetRecord(uint8_t type, Reader& in, LogRecord& record) {
  if constexpr (kIndex == std::variant_size_v<LogRecord>) {
    in.Fail();
  } else {
    using Record = std::variant_alternative_t<kIndex, LogRecord>;
    static_assert(kType<Record> != 0, "give the record a type byte");
    if (type != kType<Record>) return GetRecord<kIndex + 1>(type, in, record);
    in.Get(record.emplace<kIndex>());
  }
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
  return std::visit(
      [](const auto& one) {
        Writer out;
        out.Reserve(1 + EncodedSize(one));
        out.Put(kType<std::decay_t<decltype(one)>>);
        out.Put(one);
        std::string bytes = out.Take();
        if constexpr (std::is_same_v<decltype(one), const Committed&>) {
          if (one.begin_us == 0) {
            bytes.front() = static_cast<char>(kCommittedWithoutBegin);
            bytes.resize(bytes.size() - sizeof one.begin_us);
          }
        }
        return bytes;
      },
      record);
}

Result<LogRecord> DecodeRecord(std::string_view bytes) {
  LogRecord record;
  Reader in(bytes);
  const auto type = in.Get<uint8_t>();
  bool complete = false;
  if (type == kCommittedWithoutBegin) {
    const std::string with_begin =
        std::string(bytes.substr(1)) + std::string(sizeof Committed::begin_us, '\0');
    Reader whole(with_begin);
    whole.Get(record.emplace<Committed>());
    complete = whole.complete() && std::get<Committed>(record).begin_us == 0;
  } else {
    GetRecord(type, in, record);
    const auto* committed = std::get_if<Committed>(&record);
    complete = in.complete() && (committed == nullptr || committed->begin_us != 0);
  }
  if (!complete) return Status(StatusCode::kDamaged, "not a log record: bad type, length or value");
  return record;
}

std::string EncodeRow(const TokenOutcome& row) {
  return EncodeStruct(row);
}

std::string EncodeRow(const ClientFloor& row) {
  return EncodeStruct(row);
}

Result<TokenOutcome> DecodeTokenOutcome(std::string_view bytes) {
  return DecodeStruct<TokenOutcome>(bytes, "not a token outcome");
}

Result<ClientFloor> DecodeClientFloor(std::string_view bytes) {
  return DecodeStruct<ClientFloor>(bytes, "not a client floor");
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
