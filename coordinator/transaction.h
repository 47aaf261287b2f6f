#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/messages.h"
#include "coordinator/requests.h"

// A transaction as its coordinator sees it. Plain data: the transitions are CoordinatorCore's.
namespace assent::coordinator {

// Names a participant: a shard, or a foreign resource manager by name (then `group` means nothing).
struct ParticipantId {
  GroupId group;
  std::string foreign;
  auto operator<=>(const ParticipantId&) const = default;
  bool is_foreign() const { return !foreign.empty(); }
};

//   Begin ──> kActive <──> kWorking
//                │ Commit
//   Execute ──> kReading ──> kPreparing ──all yes──> kCommitting ──Replicated──> kPhaseTwo ──all acks──> gone
//       │                       │ no, timeout, wound                                 (C4: END)
//       │                       └──────────> kAborting ──acks, or enough resends──> gone
//       └──> kOnePhase, kSettling ──the shards' answers, or timeout (UNKNOWN)──> gone
enum class TxnState : uint8_t {
  kActive = 1,  // interactive, between calls
  kWorking,     // interactive, operations are out
  kReading,     // one-shot over several shards without a write: operations are out
  kPreparing,   // phase one: votes are awaited
  kOnePhase,    // the only shard decides (C6)
  kSettling,    // of an unknown transaction's commit: shards are asked whether one decided it (C3, C6)
  kCommitting,  // COMMIT is appended: it can no longer abort (C1)
  kPhaseTwo,    // COMMIT is replicated: acknowledgements are awaited (C4)
  kAborting,    // aborted: acknowledgements are awaited, for a while
};

// Undecided: C3 answers nothing, and the mark stays below (C8).
constexpr bool IsUndecided(TxnState state) {
  return state < TxnState::kCommitting;
}

enum class BranchState : uint8_t {
  kIdle = 1,      // nothing is out
  kAsked,         // an answer is awaited
  kYes,           // voted
  kReadOnly,      // voted, and let go
  kAcknowledged,  // the decision is durable there; in kSettling: the refusal of the attempt
};

struct Branch {
  ParticipantId participant;
  BranchState state = BranchState::kIdle;
  bool writing = false;
  BranchId id;                        // P3: what the shard calls it; empty = not known yet
  uint32_t last = 0;                  // number of the last operation sent
  std::vector<Operation> operations;  // sent and not answered yet: for resends
  std::string payload;                // of a foreign prepare
  // F2: of a resource manager whose vote the application reported, or that it only enlisted so far. The
  // application ends the branch, and the coordinator only what is left after a while.
  bool by_application = false;
  std::string holder;                    // with its yes: who may still hold the branch,
  std::string evidence;                  // and by which its end can be looked up
  size_t bytes_sent = 0;                 // of all operations, against kBranchBytesMax
  std::vector<OperationResult> results;  // of the call that runs
  uint32_t resends = 0;
  uint64_t asked_us = 0;  // mono: since when the answer is awaited
  // For a resource manager, in what it is asked for now:
  std::string trouble;              // what came last instead of the answer
  bool may_have_prepared = false;   // some prepare may have reached it
  bool is_called = false;           // a commit is out, without any answer so far
  bool may_have_committed = false;  // F6: some commit may have reached it
  bool reported = false;            // that it says it cannot do what was decided
};

struct Transaction {
  TxnId id;
  TxnId subject;  // what a client calls it: `id`, but in kSettling the transaction that is asked about
  Age age;
  TxnState state = TxnState::kActive;
  bool interactive = false;
  bool has_foreign = false;
  bool may_release = false;  // P9: all locks were granted before the first prepare
  Token token;
  uint32_t attempt = 0;  // the highest that waits for this outcome
  uint64_t acked_below = 0;
  uint64_t content = 0;
  std::vector<Branch> branches;
  std::set<std::string> enlisted;  // F1: resource managers that may hold a branch; until votes or abort
  bool finish_at_once = false;     // a client waits for the end of phase two
  MergePlan plan;                  // of the call that runs
  std::vector<RequestId> waiters;
  std::vector<RequestId> finish_waiters;  // of a committed one: told once all have acknowledged, or in time
  std::vector<OperationResult> results;   // merged, until Committed is replicated
  uint64_t begun_us = 0;                  // mono; 0 = restored from the log
  uint64_t begin_wall_us = 0;             // 0 = not known
  uint64_t idle_us = 0;                   // without a call for so long it is aborted,
  uint64_t life_us = 0;                   // and so long after it began in any case
  uint64_t deadline_us = 0;               // 0 = none
  size_t bytes = 0;                       // accounted against bytes_max
};

// True of a committed transaction that some shard has not acknowledged yet.
inline bool IsOwedByShards(const Transaction& txn) {
  for (const Branch& branch : txn.branches) {
    if (!branch.participant.is_foreign() && branch.state != BranchState::kAcknowledged) return true;
  }
  return false;
}

}  // namespace assent::coordinator
