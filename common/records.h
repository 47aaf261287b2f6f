#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/operations.h"
#include "common/overloaded.h"
#include "common/status.h"

// The records of a group's log, and the small rows that its tables hold. docs/FORMAT.md gives the bytes: the
// fields in the order of their declaration (common/encoding.h).
namespace assent {

enum class Decision : uint8_t { kCommit = 1, kAbort = 2 };
constexpr std::pair<Decision, Decision> RangeOf(Decision) {
  return {Decision::kCommit, Decision::kAbort};
}

// How the decision comes about. Only kCoordinator exists; PREPARED carries it so that an implicit commit,
// where "all prepared" is the decision, can be added without a new log format.
enum class CommitMode : uint8_t { kCoordinator = 1 };
constexpr std::pair<CommitMode, CommitMode> RangeOf(CommitMode) {
  return {CommitMode::kCoordinator, CommitMode::kCoordinator};
}

// A part of a transaction: a shard of ours, or a foreign resource manager by its configured name.
struct Participant {
  static constexpr size_t kFields = 3;
  std::string foreign;  // empty: `group` is one of ours
  GroupId group;
  bool writing = false;
  bool operator==(const Participant&) const = default;
};

// ---- Every group ----

// The first record of an epoch: once it is replicated, the whole log is (R4).
struct EpochBegan {
  static constexpr size_t kFields = 0;
  bool operator==(const EpochBegan&) const = default;
};

// ---- Shard groups ----

// A yes vote (P3). It says all that the branch needs to be finished after any restart.
struct Prepared {
  static constexpr size_t kFields = 6;
  TxnId txn;
  Age age;
  CommitMode mode = CommitMode::kCoordinator;
  std::vector<Participant> participants;  // all of the transaction's, this one among them
  std::vector<Write> writes;
  std::vector<ReadLock> read_locks;
  bool operator==(const Prepared&) const = default;
};

// The end of a branch: a decision (P5), a tombstone that an abort left before its prepare came (P6), or a
// refusal given to a shard in doubt (P8). The last two are aborts of a branch that has no PREPARED.
struct BranchDecided {
  static constexpr size_t kFields = 2;
  TxnId txn;
  Decision decision = Decision::kAbort;
  bool operator==(const BranchDecided&) const = default;
};

// One-phase commit: this record is the decision (C6).
struct OnePhaseCommitted {
  static constexpr size_t kFields = 6;
  TxnId txn;
  Token token;
  uint32_t attempt = 0;
  uint64_t content = 0;  // hash of the request, to tell a token that is used again for something else (C5)
  uint64_t acked_below = 0;  // the client's floor
  std::vector<Write> writes;
  bool operator==(const OnePhaseCommitted&) const = default;
};

// No attempt up to `attempt` of this token may commit here any more (C6). A coordinator group writes the same
// record when it has told the client ABORTED for that attempt (C5).
struct AttemptRefused {
  static constexpr size_t kFields = 3;
  Token token;
  uint32_t attempt = 0;
  uint64_t acked_below = 0;
  bool operator==(const AttemptRefused&) const = default;
};

// The mark of a coordinator group rose (C8): rows of kDecided below it go in the same SQLite transaction.
// `horizon_us`: tokens born before it are refused, and their outcomes dropped (C5).
struct MarkRaised {
  static constexpr size_t kFields = 2;
  TxnId mark;  // names the coordinator group too
  uint64_t horizon_us = 0;
  bool operator==(const MarkRaised&) const = default;
};

// ---- Coordinator groups ----

// The commit decision (C1).
struct Committed {
  static constexpr size_t kFields = 7;
  TxnId txn;
  std::vector<Participant> participants;  // those that voted yes: the ones phase two is for
  Token token;
  uint32_t attempt = 0;
  uint64_t content = 0;
  uint64_t acked_below = 0;
  uint64_t begin_us =
      0;  // wall time at which it began, for people; 0 = not known: an older version wrote this
  bool operator==(const Committed&) const = default;
};

// Every participant acknowledged (C4).
struct Ended {
  static constexpr size_t kFields = 1;
  TxnId txn;
  bool operator==(const Ended&) const = default;
};

// Tokens of the group born before `horizon_us` are refused from here on (C5).
struct HorizonRaised {
  static constexpr size_t kFields = 1;
  uint64_t horizon_us = 0;
  bool operator==(const HorizonRaised&) const = default;
};

// A shard committed the token in one phase (C6): its record is the decision, this one only tells another use
// of the token apart (C5), and is not waited for.
struct TokenCommitted {
  static constexpr size_t kFields = 5;
  TxnId txn;
  Token token;
  uint32_t attempt = 0;
  uint64_t content = 0;
  uint64_t acked_below = 0;
  bool operator==(const TokenCommitted&) const = default;
};

// ---- All of them ----

using LogRecord = std::variant<EpochBegan, Prepared, BranchDecided, OnePhaseCommitted, AttemptRefused,
                               MarkRaised, Committed, Ended, HorizonRaised, TokenCommitted>;

// By the logs that they stand in.
using ShardRecord =
    std::variant<EpochBegan, Prepared, BranchDecided, OnePhaseCommitted, AttemptRefused, MarkRaised>;
using CoordinatorRecord =
    std::variant<EpochBegan, AttemptRefused, Committed, Ended, HorizonRaised, TokenCommitted>;

template <typename R>
constexpr bool kHasALog = OneOf<R, ShardRecord> || OneOf<R, CoordinatorRecord>;
template <typename... Rs>
constexpr bool EachHasALog(const std::variant<Rs...>*) {
  return (kHasALog<Rs> && ...);
}
static_assert(EachHasALog(static_cast<const LogRecord*>(nullptr)),
              "name the record among those of the logs that it stands in");

// ---- Rows ----

// kOutcome: what became of a token. Attempts up to `refused` ended without effect; if `committed`, `txn` did.
struct TokenOutcome {
  static constexpr size_t kFields = 5;
  bool committed = false;
  TxnId txn;
  uint64_t content = 0;
  uint32_t refused = 0;
  uint64_t birth_us = 0;
  bool operator==(const TokenOutcome&) const = default;
};

// kFloor: sequences below `floor` of this client are acknowledged. Dropped once `last_birth_us`
// is below the horizon.
struct ClientFloor {
  static constexpr size_t kFields = 2;
  uint64_t floor = 0;
  uint64_t last_birth_us = 0;
  bool operator==(const ClientFloor&) const = default;
};

// A record's encoding has a type byte first. Decoding never trusts its
// input: kDamaged for anything that EncodeRecord could not have written.
std::string EncodeRecord(const LogRecord& record);
Result<LogRecord> DecodeRecord(std::string_view bytes);
std::string EncodeRow(const TokenOutcome& row);
std::string EncodeRow(const ClientFloor& row);
Result<TokenOutcome> DecodeTokenOutcome(std::string_view bytes);
Result<ClientFloor> DecodeClientFloor(std::string_view bytes);

// One line for people: `prepared c1.4.93e4 writes=2 ...`. Values are not shown.
std::string Describe(const LogRecord& record);

// Keys of the tables (common/state.h): big-endian, so that they sort as their values do.
std::string TxnKey(const TxnId& txn);        // kPrepared, kDecided, kDecision
TxnId ParseTxnKey(std::string_view key);     // inverse; the key comes from our own store
std::string GroupKey(GroupId group);         // kMark; also the prefix of TxnKey
std::string OutcomeKey(const Token& token);  // kOutcome: group, client, sequence
std::string ClientKey(const Token& token);   // kFloor: group, client; also the prefix of OutcomeKey

}  // namespace assent
