#include "thrift/codec_fields.h"

#include "common/overloaded.h"

namespace assent::codec {
namespace {

constexpr int32_t kKindShift = 16;

}  // namespace

int32_t Encode(GroupId group) {
  return (static_cast<int32_t>(group.kind) << kKindShift) | group.number;
}

bool Decode(int32_t in, GroupId& out, Fault& fault) {
  const int32_t kind = in >> kKindShift;
  if (kind != static_cast<int32_t>(GroupKind::kCoordinator) &&
      kind != static_cast<int32_t>(GroupKind::kShard)) {
    return fault.Set("not a group id");
  }
  out.kind = static_cast<GroupKind>(kind);
  out.number = static_cast<uint16_t>(in & 0xffff);
  return true;
}

bool DecodeGroups(const std::vector<int32_t>& in, std::vector<GroupId>& out, Fault& fault) {
  out.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (!Decode(in[i], out[i], fault)) return false;
  }
  return true;
}

wire::TxnId Encode(const TxnId& txn) {
  wire::TxnId out;
  out.group = Encode(txn.coordinator);
  out.epoch = Number(txn.epoch);
  out.seq = Number(txn.seq);
  return out;
}

bool Decode(const wire::TxnId& in, TxnId& out, Fault& fault) {
  if (!Decode(in.group, out.coordinator, fault) || !DecodeNumber(in.epoch, out.epoch, fault) ||
      !DecodeNumber(in.seq, out.seq, fault)) {
    return false;
  }
  if (out.coordinator.kind != GroupKind::kCoordinator) return fault.Set("transaction id of a shard");
  return out.valid() || fault.Set("transaction id without a sequence");
}

wire::Token Encode(const Token& token) {
  wire::Token out;
  out.group = Encode(token.coordinator);
  out.client = Number(token.client);
  out.seq = Number(token.seq);
  out.birth_us = Number(token.birth_us);
  return out;
}

bool Decode(const wire::Token& in, Token& out, Fault& fault) {
  if (!Decode(in.group, out.coordinator, fault) || !DecodeNumber(in.client, out.client, fault) ||
      !DecodeNumber(in.seq, out.seq, fault) || !DecodeNumber(in.birth_us, out.birth_us, fault)) {
    return false;
  }
  if (out.coordinator.kind != GroupKind::kCoordinator) return fault.Set("token of a shard");
  return out.valid() || fault.Set("token without a sequence");
}

wire::Age Encode(const Age& age) {
  wire::Age out;
  out.begin_us = Number(age.begin_us);
  out.txn = Encode(age.txn);
  return out;
}

bool Decode(const wire::Age& in, Age& out, Fault& fault) {
  return DecodeNumber(in.begin_us, out.begin_us, fault) && Decode(in.txn, out.txn, fault);
}

wire::LogPosition Encode(const LogPosition& position) {
  wire::LogPosition out;
  out.epoch = Number(position.epoch);
  out.lsn = Number(position.lsn);
  return out;
}

// Switches rather than casts: a new enumerator is a compile error here, not an unreadable message.
wire::AbortReason::type Encode(AbortReason reason) {
  switch (reason) {
    case AbortReason::kNone:
      return wire::AbortReason::UNSPECIFIED;
    case AbortReason::kCheckFailed:
      return wire::AbortReason::CHECK_FAILED;
    case AbortReason::kBelowFloor:
      return wire::AbortReason::BELOW_FLOOR;
    case AbortReason::kNotANumber:
      return wire::AbortReason::NOT_A_NUMBER;
    case AbortReason::kWounded:
      return wire::AbortReason::WOUNDED;
    case AbortReason::kLockTimeout:
      return wire::AbortReason::LOCK_TIMEOUT;
    case AbortReason::kBranchLost:
      return wire::AbortReason::BRANCH_LOST;
    case AbortReason::kVoteTimeout:
      return wire::AbortReason::VOTE_TIMEOUT;
    case AbortReason::kExpired:
      return wire::AbortReason::EXPIRED;
    case AbortReason::kRolledBack:
      return wire::AbortReason::ROLLED_BACK;
    case AbortReason::kForeignRefused:
      return wire::AbortReason::FOREIGN_REFUSED;
    case AbortReason::kTooLarge:
      return wire::AbortReason::TOO_LARGE;
    case AbortReason::kBelowMark:
      return wire::AbortReason::BELOW_MARK;
    case AbortReason::kRefusedAttempt:
      return wire::AbortReason::REFUSED_ATTEMPT;
    case AbortReason::kOverloaded:
      return wire::AbortReason::OVERLOADED;
    case AbortReason::kTokenExpired:
      return wire::AbortReason::TOKEN_EXPIRED;
  }
  return wire::AbortReason::UNSPECIFIED;
}

bool Decode(wire::AbortReason::type in, AbortReason& out, Fault& fault) {
  const auto [first, last] = RangeOf(AbortReason{});
  for (uint8_t i = Raw(first); i <= Raw(last); ++i) {
    if (Encode(static_cast<AbortReason>(i)) == in) {
      out = static_cast<AbortReason>(i);
      return true;
    }
  }
  return fault.Set("unknown abort reason");
}

wire::Vote::type Encode(Vote vote) {
  switch (vote) {
    case Vote::kYes:
      return wire::Vote::YES;
    case Vote::kNo:
      return wire::Vote::NO;
    case Vote::kReadOnly:
      return wire::Vote::READ_ONLY;
  }
  return wire::Vote::UNSPECIFIED;
}

wire::Decision::type Encode(Decision decision) {
  switch (decision) {
    case Decision::kCommit:
      return wire::Decision::COMMIT;
    case Decision::kAbort:
      return wire::Decision::ABORT;
  }
  return wire::Decision::UNSPECIFIED;
}

bool Decode(wire::Decision::type in, Decision& out, Fault& fault) {
  if (in != wire::Decision::COMMIT && in != wire::Decision::ABORT) return fault.Set("unknown decision");
  out = in == wire::Decision::COMMIT ? Decision::kCommit : Decision::kAbort;
  return true;
}

wire::HeuristicKind::type Encode(HeuristicKind kind) {
  switch (kind) {
    case HeuristicKind::kMix:
      return wire::HeuristicKind::MIX;
    case HeuristicKind::kRolledBack:
      return wire::HeuristicKind::ROLLED_BACK;
    case HeuristicKind::kCommitted:
      return wire::HeuristicKind::COMMITTED;
    case HeuristicKind::kHazard:
      return wire::HeuristicKind::HAZARD;
  }
  return wire::HeuristicKind::UNSPECIFIED;
}

bool Decode(wire::HeuristicKind::type in, HeuristicKind& out, Fault& fault) {
  const auto [first, last] = RangeOf(HeuristicKind{});
  for (uint8_t i = Raw(first); i <= Raw(last); ++i) {
    if (Encode(static_cast<HeuristicKind>(i)) == in) {
      out = static_cast<HeuristicKind>(i);
      return true;
    }
  }
  return fault.Set("unknown kind of heuristic");
}

bool Decode(wire::Vote::type in, Vote& out, Fault& fault) {
  switch (in) {
    case wire::Vote::YES:
      out = Vote::kYes;
      return true;
    case wire::Vote::NO:
      out = Vote::kNo;
      return true;
    case wire::Vote::READ_ONLY:
      out = Vote::kReadOnly;
      return true;
    case wire::Vote::UNSPECIFIED:
      break;
  }
  return fault.Set("unknown vote");
}

wire::Outcome::type Encode(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCommitted:
      return wire::Outcome::COMMITTED;
    case Outcome::kAborted:
      return wire::Outcome::ABORTED;
    case Outcome::kUnknown:
      return wire::Outcome::UNKNOWN;
  }
  return wire::Outcome::UNSPECIFIED;
}

bool Decode(wire::Outcome::type in, Outcome& out, Fault& fault) {
  switch (in) {
    case wire::Outcome::COMMITTED:
      out = Outcome::kCommitted;
      return true;
    case wire::Outcome::ABORTED:
      out = Outcome::kAborted;
      return true;
    case wire::Outcome::UNKNOWN:
      out = Outcome::kUnknown;
      return true;
    case wire::Outcome::UNSPECIFIED:
      break;
  }
  return fault.Set("unknown outcome");
}

wire::RefusalCode::type Encode(RefusalCode code) {
  switch (code) {
    case RefusalCode::kInvalid:
      return wire::RefusalCode::INVALID;
    case RefusalCode::kNoSuchTxn:
      return wire::RefusalCode::NO_SUCH_TXN;
    case RefusalCode::kTokenExpired:
      return wire::RefusalCode::TOKEN_EXPIRED;
    case RefusalCode::kTokenMismatch:
      return wire::RefusalCode::TOKEN_MISMATCH;
    case RefusalCode::kStaleEpoch:
      return wire::RefusalCode::STALE_EPOCH;
    case RefusalCode::kOverloaded:
      return wire::RefusalCode::OVERLOADED;
    case RefusalCode::kNotServing:
      return wire::RefusalCode::NOT_SERVING;
    case RefusalCode::kBusy:
      return wire::RefusalCode::BUSY;
  }
  return wire::RefusalCode::UNSPECIFIED;
}

bool Decode(wire::RefusalCode::type in, RefusalCode& out, Fault& fault) {
  switch (in) {
    case wire::RefusalCode::INVALID:
      out = RefusalCode::kInvalid;
      return true;
    case wire::RefusalCode::NO_SUCH_TXN:
      out = RefusalCode::kNoSuchTxn;
      return true;
    case wire::RefusalCode::TOKEN_EXPIRED:
      out = RefusalCode::kTokenExpired;
      return true;
    case wire::RefusalCode::TOKEN_MISMATCH:
      out = RefusalCode::kTokenMismatch;
      return true;
    case wire::RefusalCode::STALE_EPOCH:
      out = RefusalCode::kStaleEpoch;
      return true;
    case wire::RefusalCode::OVERLOADED:
      out = RefusalCode::kOverloaded;
      return true;
    case wire::RefusalCode::NOT_SERVING:
      out = RefusalCode::kNotServing;
      return true;
    case wire::RefusalCode::BUSY:
      out = RefusalCode::kBusy;
      return true;
    // To a caller a node of another cluster is one that does not lead its group: to be looked for elsewhere.
    case wire::RefusalCode::WRONG_CLUSTER:
      out = RefusalCode::kNotServing;
      return true;
    case wire::RefusalCode::UNSPECIFIED:
      break;
  }
  return fault.Set("unknown refusal");
}

wire::Operation Encode(Operation&& operation) {
  wire::Operation out;
  const auto set_key = [&out](wire::OperationKind::type kind, std::string& key) {
    out.kind = kind;
    out.key = std::move(key);
  };
  const auto set_value = [&out](std::string& value) {
    out.value = std::move(value);
    out.__isset.value = true;
  };
  std::visit(Overloaded{
                 [&](GetOp& op) { set_key(wire::OperationKind::GET, op.key); },
                 [&](PutOp& op) {
                   set_key(wire::OperationKind::PUT, op.key);
                   set_value(op.value);
                 },
                 [&](DeleteOp& op) { set_key(wire::OperationKind::REMOVE, op.key); },
                 [&](CheckOp& op) {
                   switch (op.kind) {
                     case CheckKind::kExists:
                       set_key(wire::OperationKind::CHECK_EXISTS, op.key);
                       return;
                     case CheckKind::kAbsent:
                       set_key(wire::OperationKind::CHECK_ABSENT, op.key);
                       return;
                     case CheckKind::kValue:
                       set_key(wire::OperationKind::CHECK_VALUE, op.key);
                       set_value(op.value);
                       return;
                     case CheckKind::kVersion:
                       set_key(wire::OperationKind::CHECK_VERSION, op.key);
                       out.__set_version(Number(op.version));
                       return;
                   }
                 },
                 [&](AddOp& op) {
                   set_key(wire::OperationKind::ADD, op.key);
                   out.__set_delta(op.delta);
                   if (op.floor) out.__set_floor(*op.floor);
                 },
                 [&](ScanOp& op) {
                   set_key(wire::OperationKind::SCAN, op.prefix);
                   if (op.limit != 0) out.__set_limit(SmallNumber(op.limit));
                   if (!op.after.empty()) out.__set_after(op.after);
                 },
             },
             operation);
  return out;
}

bool Decode(wire::Operation& in, Operation& out, Fault& fault) {
  // Which of the optional fields the kind has; others must not be there: a floor on a put would
  // be silently lost.
  bool value = false, delta = false, floor = false, version = false, limit = false, after = false;
  switch (in.kind) {
    case wire::OperationKind::GET:
      out = GetOp{std::move(in.key)};
      break;
    case wire::OperationKind::PUT:
      value = true;
      out = PutOp{std::move(in.key), std::move(in.value)};
      break;
    case wire::OperationKind::REMOVE:
      out = DeleteOp{std::move(in.key)};
      break;
    case wire::OperationKind::CHECK_EXISTS:
      out = CheckOp{std::move(in.key), CheckKind::kExists, {}, 0};
      break;
    case wire::OperationKind::CHECK_ABSENT:
      out = CheckOp{std::move(in.key), CheckKind::kAbsent, {}, 0};
      break;
    case wire::OperationKind::CHECK_VALUE:
      value = true;
      out = CheckOp{std::move(in.key), CheckKind::kValue, std::move(in.value), 0};
      break;
    case wire::OperationKind::CHECK_VERSION:
      version = true;
      if (in.version < 0) return fault.Set("negative version");
      out = CheckOp{std::move(in.key), CheckKind::kVersion, {}, static_cast<uint64_t>(in.version)};
      break;
    case wire::OperationKind::ADD: {
      delta = true;
      floor = in.__isset.floor;
      AddOp add{std::move(in.key), in.delta, std::nullopt};
      if (floor) add.floor = in.floor;
      out = std::move(add);
      break;
    }
    case wire::OperationKind::SCAN:
      limit = in.__isset.limit;
      if (limit && (in.limit < 1 || in.limit > static_cast<int32_t>(kScanRowsMax))) {
        return fault.Set("scan limit out of range");
      }
      after = in.__isset.after;
      out = ScanOp{std::move(in.key), limit ? static_cast<uint32_t>(in.limit) : 0, std::move(in.after)};
      break;
    case wire::OperationKind::UNSPECIFIED:
    default:
      return fault.Set("unknown kind of operation");
  }
  if (in.__isset.value != value || in.__isset.delta != delta || in.__isset.floor != floor ||
      in.__isset.version != version || in.__isset.limit != limit || in.__isset.after != after) {
    return fault.Set("operation with a field missing, or one that its kind does not have");
  }
  if (const char* problem = ProblemOf(out); problem != nullptr) return fault.Set(problem);
  return true;
}

std::vector<wire::Operation> Encode(std::vector<Operation>&& operations) {
  std::vector<wire::Operation> out;
  out.reserve(operations.size());
  for (Operation& operation : operations) out.push_back(Encode(std::move(operation)));
  return out;
}

bool Decode(std::vector<wire::Operation>& in, std::vector<Operation>& out, Fault& fault) {
  out.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (!Decode(in[i], out[i], fault)) return false;
  }
  return true;
}

std::vector<wire::OperationResult> Encode(std::vector<OperationResult>&& results) {
  std::vector<wire::OperationResult> out(results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    OperationResult& from = results[i];
    wire::OperationResult& to = out[i];
    if (!from.rows.empty()) {
      to.__isset.rows = true;
      to.rows.resize(from.rows.size());
      for (size_t j = 0; j < from.rows.size(); ++j) {
        to.rows[j].key = std::move(from.rows[j].key);
        to.rows[j].value = std::move(from.rows[j].value);
        to.rows[j].version = Number(from.rows[j].version);
      }
    }
    if (from.number != 0) to.__set_number(from.number);
    if (from.truncated) to.__set_truncated(true);
  }
  return out;
}

bool Decode(std::vector<wire::OperationResult>& in, std::vector<OperationResult>& out, Fault& fault) {
  out.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    wire::OperationResult& from = in[i];
    OperationResult& to = out[i];
    to.rows.resize(from.rows.size());
    for (size_t j = 0; j < from.rows.size(); ++j) {
      wire::ResultRow& row = from.rows[j];
      to.rows[j].key = std::move(row.key);
      to.rows[j].value = std::move(row.value);
      if (!DecodeNumber(row.version, to.rows[j].version, fault)) return false;
    }
    to.number = from.number;
    to.truncated = from.truncated;
    if (const char* problem = ProblemOf(to); problem != nullptr) return fault.Set(problem);
  }
  return true;
}

}  // namespace assent::codec
