#include "common/message_codec.h"

#include <algorithm>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <variant>

#include "common/encoding.h"

namespace assent {
namespace {

// ---- What is wrong with the content of a message: a text, or nullptr for nothing.

const char* FirstOf(std::initializer_list<const char*> problems) {
  const auto found =
      std::find_if(problems.begin(), problems.end(), [](const char* p) { return p != nullptr; });
  return found == problems.end() ? nullptr : *found;
}

const char* ProblemOf(const TxnId& txn) {
  if (txn.coordinator.kind != GroupKind::kCoordinator) return "transaction id of a shard";
  return txn.valid() ? nullptr : "transaction id without a sequence";
}

const char* ProblemOf(const Token& token) {
  if (token.coordinator.kind != GroupKind::kCoordinator) return "token of a shard";
  return token.valid() ? nullptr : "token without a sequence";
}

const char* ProblemOf(const BranchId& branch) {
  const bool whole = branch.epoch != Epoch{} && branch.number != 0;
  return whole ? nullptr : "branches are numbered from 1, in an epoch";
}

template <typename Id>
const char* ProblemOfOptional(const Id& id) {
  return id == Id{} ? nullptr : ProblemOf(id);
}

const char* ProblemOf(const TxnHeader& header) {
  // C8: a group speaks of its own ids only.
  const bool foreign_mark = header.mark != TxnId{} && header.mark.coordinator != header.txn.coordinator;
  return FirstOf({ProblemOf(header.txn), ProblemOf(header.age.txn),
                  foreign_mark ? "mark of another coordinator group" : nullptr});
}

const char* ProblemOf(const Participant& participant) {
  return participant.foreign.size() > kNameBytesMax ? "bad resource manager name" : nullptr;
}

template <typename Items>
const char* ProblemOfAny(const Items& items) {
  for (const auto& item : items) {
    if (const char* problem = ProblemOf(item); problem != nullptr) return problem;
  }
  return nullptr;
}

// The core refuses, with a vote, a branch that is over its limits; this only bounds what one message can
// hold.
const char* ProblemOf(const std::vector<Operation>& operations) {
  if (operations.size() > kBranchOperationsMax) return "too many operations for a branch";
  return ProblemOfAny(operations);
}

const char* ProblemOf(const std::vector<OperationResult>& results) {
  return ProblemOfAny(results);
}

const char* ProblemOf(const std::vector<Participant>& participants) {
  return participants.size() > kParticipantsMax ? "too many participants" : ProblemOfAny(participants);
}

// A message: each of its fields, by its type. Those of which more, or less, is asked have their own below.
template <typename Message>
const char* ProblemOfFields(const Message& message) {
  const char* problem = nullptr;
  ForEachField(message, [&problem](const auto& field) {
    if constexpr (requires { ProblemOf(field); }) problem = FirstOf({problem, ProblemOf(field)});
  });
  return problem;
}

// R4, R9: numbers follow each other without a gap, and epochs never fall within a log.
const char* ProblemOfMessage(const Ship& message) {
  LogPosition last = message.prev;
  for (const LogEntry& entry : message.entries) {
    const LogPosition& position = entry.position;
    if (position.lsn != Next(last.lsn) || position.epoch < last.epoch || position.epoch == Epoch{}) {
      return "shipped records are not in sequence";
    }
    last = position;
  }
  return nullptr;
}

const char* ProblemOfMessage(const Operate& message) {
  return FirstOf({ProblemOf(message.header), ProblemOfOptional(message.branch),
                  message.first == 0 ? "operations are numbered from 1" : nullptr,
                  ProblemOf(message.operations)});
}

const char* ProblemOfMessage(const Prepare& message) {
  return FirstOf({ProblemOf(message.header), ProblemOfOptional(message.branch), ProblemOf(message.operations),
                  ProblemOf(message.participants)});
}

const char* ProblemOfMessage(const CommitOnePhase& message) {
  // C5: a token without an attempt could not be refused later.
  const bool is_loose = message.token.valid() && message.attempt == 0;
  return FirstOf({ProblemOf(message.header), ProblemOfOptional(message.branch), ProblemOf(message.operations),
                  ProblemOfOptional(message.token), is_loose ? "token without an attempt" : nullptr});
}

const char* ProblemOfMessage(const SettleToken& message) {
  return FirstOf({ProblemOfFields(message), message.attempt == 0 ? "attempts are numbered from 1" : nullptr});
}

const char* ProblemOfMessage(const MarkNews& message) {
  const bool of_a_shard = message.mark.coordinator.kind != GroupKind::kCoordinator;  // its sequence may be 0
  return FirstOf({of_a_shard ? "transaction id of a shard" : nullptr, ProblemOfOptional(message.live)});
}

const char* ProblemOfMessage(const OnePhaseReply& message) {
  return FirstOf({ProblemOf(message.txn), ProblemOfOptional(message.token),
                  ProblemOfOptional(message.committed_txn), ProblemOf(message.results)});
}

template <typename Message>
const char* ProblemOfMessage(const Message& message) {
  return ProblemOfFields(message);
}

// Epochs and LSNs that nothing has: the next one would be 0.
template <typename T>
bool HasImpossibleNumber(const T& value) {
  if constexpr (std::is_same_v<T, Epoch> || std::is_same_v<T, Lsn>) {
    return Raw(value) >= uint64_t{1} << 63;
  } else if constexpr (internal::kIsList<T>) {
    return std::any_of(value.begin(), value.end(),
                       [](const auto& item) { return HasImpossibleNumber(item); });
  } else if constexpr (internal::kIsVariant<T>) {
    return std::visit([](const auto& one) { return HasImpossibleNumber(one); }, value);
  } else if constexpr (HasFields<T>) {
    bool has = false;
    ForEachField(value, [&has](const auto& field) { has = has || HasImpossibleNumber(field); });
    return has;
  } else {
    return false;
  }
}

const char* ProblemOf(const Envelope& envelope) {
  if (HasImpossibleNumber(envelope)) return "a number that nothing has";
  return std::visit([](const auto& message) { return ProblemOfMessage(message); }, envelope.message);
}

}  // namespace

std::string CutDetail(std::string detail) {
  if (detail.size() <= kDetailBytesMax) return detail;
  size_t end = kDetailBytesMax;
  while (end > 0 && (static_cast<unsigned char>(detail[end]) & 0xc0) == 0x80) --end;
  detail.resize(end);
  return detail;
}

size_t EncodedMessageSize(const Envelope& envelope) {
  return EncodedSize(envelope);
}

std::string EncodeMessage(const Envelope& envelope) {
  Writer out;
  out.Reserve(EncodedSize(envelope));
  out.Put(envelope);
  return out.Take();
}

Result<Envelope> DecodeMessage(std::string_view bytes) {
  Reader in(bytes);
  auto envelope = in.Get<Envelope>();
  if (!in.complete()) return Status(StatusCode::kInvalid, "not a message: bad type, length or value");
  if (const char* problem = ProblemOf(envelope); problem != nullptr) {
    return Status(StatusCode::kInvalid, problem);
  }
  std::visit(
      [](auto& message) {
        if constexpr (requires { message.detail; }) message.detail = CutDetail(std::move(message.detail));
      },
      envelope.message);
  return envelope;
}

}  // namespace assent
