#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/messages.h"
#include "common/mutant.h"

namespace assent::participant {

enum class BranchState : uint8_t {
  kWorking,     // not voted: may be ended here at any time (P2, P4)
  kPrepared,    // its Prepared is in the log: only a decision ends it (P4)
  kCommitting,  // its OnePhaseCommitted is in the log, not yet replicated (C6)
};

// The request that the coordinator waits for an answer to. Only a working branch has one open.
enum class BranchRequest : uint8_t { kNone, kOperate, kPrepare, kOnePhase };

// Another transaction that asked for the fate of a one-phase token while it was running (C6).
struct TokenJoiner {
  TxnId txn;
  uint32_t attempt = 0;
};

// A transaction's part on this shard, as the primary holds it in memory. Its locks are in the LockTable
// under its id.
struct Branch {
  TxnId txn;
  BranchId id;  // empty if an earlier primary prepared it
  Age age;
  bool has_foreign = false;
  BranchState state = BranchState::kWorking;

  // The open request. Operations are numbered from 1 within the branch; `first`
  // is the number of operations[0].
  BranchRequest request = BranchRequest::kNone;
  uint32_t first = 1;
  std::vector<Operation> operations;
  size_t next = 0;        // the one to do now
  bool runnable = false;  // waits for its turn in ParticipantCore::runnable_, for no lock
  std::vector<OperationResult> results;
  size_t result_bytes = 0;
  // The highest LSN of the rows in `results`: the reply shows LSNs as versions, so it waits for it (R1).
  Lsn newest_read{};
  std::optional<Prepare> prepare;           // kPrepare, without its operations
  std::optional<CommitOnePhase> one_phase;  // kOnePhase and kCommitting, likewise
  std::vector<TokenJoiner> joiners;

  uint32_t done = 0;  // number of the last operation done
  std::optional<OperateReply> last_reply;
  Lsn last_reply_after{};                                    // may leave once this is replicated
  std::map<std::string, std::optional<std::string>> writes;  // own writes so far; nullopt = deleted
  uint32_t operation_count = 0;  // all of the branch, against kBranchOperationsMax
  size_t operation_bytes = 0;    // and kBranchBytesMax
  size_t write_bytes = 0;
  uint64_t touched_bytes = 0;  // read and written by its operations so far: what they took
  size_t charged_bytes = 0;    // what the branch counts against ParticipantConfig::work_bytes_max

  uint64_t heard_us = 0;  // last word of the coordinator while working; 0 = prepared by an earlier primary
  uint64_t waiting_since_us = 0;  // for a lock; 0 = not waiting
  uint32_t inquiries = 0;         // since the coordinator was last heard, or its epoch last known to change
  uint64_t inquiry_interval_us = 0;
  uint64_t ask_us = 0;  // kWorking: when to ask next, or to ask no more

  // kPrepared
  Lsn prepared_lsn{};
  uint64_t prepared_us = 0;  // seen by this primary
  uint64_t asked_us = 0;     // the last inquiry
  uint64_t wound_interval_us = 0;
};

// P3: whether a message speaks of this branch, and not of one that was opened for the transaction before.
inline bool IsNamed(const Branch& branch, const BranchId& named) {
  if (Mutated(Mutant::kBranchNumberIgnored)) return named.epoch == branch.id.epoch;
  return named == branch.id;
}

}  // namespace assent::participant
