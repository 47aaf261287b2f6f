#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "participant/participant.h"

// Operate, Prepare and Decide: interactive work, phase one, phase two.
namespace assent::participant {
namespace {

constexpr size_t kParticipantsMax = 1024;  // keeps a Prepared well below a peer frame

Failure BelowMark() {
  return Failure{AbortReason::kBelowMark, "the transaction is below the mark: it ended before"};
}

}  // namespace

bool ParticipantCore::IsKnownCommitted(const TxnId& txn) const {
  const auto decided = state_.DecidedOf(txn);
  return decided && decided->decision == Decision::kCommit;
}

// Whether a message about a transaction that has no branch here may open one. `begins`: it
// is a branch's first.
std::optional<Failure> ParticipantCore::WhyNotOpen(const TxnId& txn, const BranchId& named,
                                                   bool begins) const {
  if (const auto decided = state_.DecidedOf(txn)) {  // P6, P8: a tombstone or refusal came first
    Reached(Situation::kTombstoneRefused);
    return Failure{AbortReason::kBelowMark, "the transaction was ended here before"};
  }
  if (IsBelowAnyMark(txn)) {
    Reached(Situation::kBelowMarkRefused);
    return BelowMark();
  }
  if (const auto ended = ended_.find(txn);
      ended != ended_.end() && !Mutated(Mutant::kDuplicateCommitAppliedAgain)) {
    return ended->second;
  }
  // P3: nothing known and this is no beginning, so a restart or failover ate the rest.
  if ((!begins || named != BranchId{}) && !Mutated(Mutant::kHalfABranchPrepared)) {
    Reached(Situation::kBranchLost);
    return Failure{AbortReason::kBranchLost, "the branch is not known on " + ToString(config_.group)};
  }
  if (IsOverloaded()) {
    Reached(Situation::kOverloadRefused);
    return Failure{AbortReason::kOverloaded, ToString(config_.group) + " has too much work open"};
  }
  return std::nullopt;
}

void ParticipantCore::OnOperate(const Operate& message) {
  const TxnId& txn = message.header.txn;
  if (message.first == 0 || message.operations.size() > kBranchOperationsMax)
    return;  // not from a coordinator of ours
  Branch* branch = FindBranch(txn);
  if (branch == nullptr) {
    if (IsKnownCommitted(txn)) return;  // a late duplicate
    if (const auto why = WhyNotOpen(txn, message.branch, message.first == 1)) {
      Emit(txn.coordinator, BranchAborted{txn, why->reason, why->detail});
      return;
    }
    if (IsHeldBack(message.header.age)) return;
    Start(OpenBranch(message.header), BranchRequest::kOperate, message.operations);
    return;
  }
  if (branch->state != BranchState::kWorking) return;  // a late duplicate: the branch has voted since
  if (branch->request == BranchRequest::kPrepare || branch->request == BranchRequest::kOnePhase) return;
  const bool same = IsNamed(*branch, message.branch) || (message.branch == BranchId{} && message.first == 1);
  const uint32_t last = message.first + static_cast<uint32_t>(message.operations.size()) - 1;
  const bool running = branch->request == BranchRequest::kOperate;
  if (same && running && message.first == branch->first) return;  // the same again, while it runs
  if (same && last <= branch->done) {  // done before: not again, but its answer may have been lost
    if (branch->last_reply && branch->last_reply->last == last) {
      Withhold(branch->last_reply_after, txn.coordinator, txn, *branch->last_reply);
    }
    return;
  }
  if (!same || running || message.first != branch->done + 1) {  // P3
    EndBranch(*branch, Failure{AbortReason::kBranchLost, "operations are missing or out of order"});
    return;
  }
  Start(*branch, BranchRequest::kOperate, message.operations);
}

void ParticipantCore::OnPrepare(Prepare message) {
  const TxnId txn = message.header.txn;
  Branch* branch = FindBranch(txn);
  if (branch == nullptr) {
    if (IsKnownCommitted(txn)) return;  // a late duplicate
    const bool one_shot = !message.operations.empty();
    if (const auto why = WhyNotOpen(txn, message.branch, one_shot)) {
      VoteNo(txn, *why);
      return;
    }
    if (IsHeldBack(message.header.age)) return;
    branch = &OpenBranch(message.header);
  } else if (branch->state == BranchState::kPrepared) {
    if (branch->heard_us == 0) Reached(Situation::kYesRepeatedAfterFailover);
    if (Mutated(Mutant::kRepeatedPrepareVotesNo)) {
      Settle(*branch, Decision::kAbort);
      return VoteNo(txn, Failure{AbortReason::kBranchLost, "prepared before"});
    }
    SendYes(*branch);  // P3: whatever the epoch
    return;
  } else if (branch->state == BranchState::kCommitting || branch->request == BranchRequest::kPrepare ||
             branch->request == BranchRequest::kOnePhase) {
    return;  // a duplicate: the answer will come
  } else if (!message.operations.empty() || !IsNamed(*branch, message.branch) ||
             message.last != branch->done || branch->request == BranchRequest::kOperate) {  // P3
    Reached(Situation::kBranchLost);
    branch->request = BranchRequest::kPrepare;
    EndBranch(*branch,
              Failure{AbortReason::kBranchLost,
                      "operations are missing: prepared after number " + std::to_string(message.last) +
                          " of branch " + std::to_string(message.branch.number) + ", done is " +
                          std::to_string(branch->done) + " of " + std::to_string(branch->id.number)});
    return;
  }
  const bool understood =
      message.mode == CommitMode::kCoordinator && message.participants.size() <= kParticipantsMax;
  std::vector<Operation> operations = std::move(message.operations);
  message.operations.clear();
  branch->prepare = std::move(message);
  branch->request = BranchRequest::kPrepare;
  if (!understood) {
    EndBranch(*branch, Failure{AbortReason::kTooLarge, "too many participants, or an unknown commit mode"});
    return;
  }
  Start(*branch, BranchRequest::kPrepare, std::move(operations));
}

// All operations are done and their locks held.
void ParticipantCore::Vote(Branch& branch) {
  const TxnId txn = branch.txn;
  if (IsBelowAnyMark(txn)) {  // C8: aborted while this branch waited for a lock; the mark may answer for it
    Reached(Situation::kBelowMarkRefused);
    EndBranch(branch, BelowMark());
    return;
  }
  Prepare& prepare = *branch.prepare;
  const bool named_writing = std::any_of(
      prepare.participants.begin(), prepare.participants.end(), [this](const Participant& participant) {
        return participant.foreign.empty() && participant.group == config_.group && participant.writing;
      });
  // P9. Peers in doubt may ask whom PREPARED names as writing (P8), so such a one does not go
  // without a trace.
  if (branch.writes.empty() && prepare.may_release && !named_writing) {
    Reached(Situation::kReadOnlyVote);
    Withhold(branch.newest_read, txn.coordinator, txn,
             VoteReply{txn, Vote::kReadOnly, AbortReason::kNone, {}, std::move(branch.results)});
    Remember(txn, Failure{AbortReason::kBranchLost, "the branch voted read-only and let go"});
    DropBranch(branch);
    return;
  }
  if (TakesNoWrites()) {
    EndBranch(branch,
              Failure{AbortReason::kOverloaded, ToString(config_.group) + " cannot keep up with its writes"});
    return;
  }
  std::vector<ReadLock> read_locks;
  size_t read_lock_bytes = 0;
  for (Lock& lock : locks_.HeldBy(txn)) {
    if (lock.mode == LockMode::kExclusive) continue;
    read_lock_bytes += lock.key.size() + lock.end.size();
    read_locks.push_back(ReadLock{std::move(lock.key), lock.is_range, std::move(lock.end)});
  }
  if (read_lock_bytes > kBranchBytesMax) {  // with the writes they make one record, which a segment must hold
    EndBranch(branch,
              Failure{AbortReason::kTooLarge, "the keys and prefixes that the branch has read are over " +
                                                  std::to_string(kBranchBytesMax) + " bytes"});
    return;
  }
  Prepared record;
  record.txn = txn;
  record.age = branch.age;
  record.mode = prepare.mode;
  record.participants = std::move(prepare.participants);
  for (auto& [key, value] : branch.writes) record.writes.push_back(Write{key, std::move(value)});
  record.read_locks = std::move(read_locks);
  branch.writes.clear();
  branch.prepare.reset();
  BecomeInDoubt(branch, Append(std::move(record)));
  SendYes(branch);
}

// P3, R1: only once PREPARED is replicated. Results are there as long as this primary lives.
void ParticipantCore::SendYes(const Branch& branch) {
  const Lsn after = Mutated(Mutant::kPreparedNotForced) ? Lsn{} : branch.prepared_lsn;
  Withhold(after, branch.txn.coordinator, branch.txn,
           VoteReply{branch.txn, Vote::kYes, AbortReason::kNone, {}, branch.results});
}

void ParticipantCore::VoteNo(const TxnId& txn, const Failure& failure) {
  Emit(txn.coordinator, VoteReply{txn, Vote::kNo, failure.reason, failure.detail, {}});
}

void ParticipantCore::OnDecide(const Decide& message) {
  const TxnId txn = message.header.txn;
  const Decision decision = message.decision;
  Branch* branch = FindBranch(txn);
  if (branch != nullptr && branch->state == BranchState::kPrepared) {
    if (branch->heard_us == 0) Reached(Situation::kDecisionReachedNewPrimary);
    Acknowledge(Settle(*branch, decision), txn, decision);  // P5: freed now, acknowledged when replicated
    return;
  }
  if (branch != nullptr && branch->state == BranchState::kCommitting) {
    ReportDamage("decision for " + ToString(txn) + ", which is committing in one phase");
    return;
  }
  if (const auto decided = state_.DecidedOf(txn)) {
    if (decided->decision == decision) {
      Acknowledge(decided->lsn, txn, decision);  // P6: again
    } else if (decision == Decision::kCommit) {  // I-A2: never reversed
      ReportDamage("contradiction (G1): commit arrived for " + ToString(txn) + ", which is aborted here");
    }
    // An abort of what was committed here answers an inquiry that a repeated message asked again: the
    // coordinator has ended the transaction since, and presumes (C3). It has no effect.
    return;
  }
  const bool below_mark = state_.IsBelowMark(txn);
  const Lsn mark_lsn = state_.MarkOf(txn.coordinator).lsn;
  if (decision == Decision::kCommit) {
    if (branch == nullptr && (below_mark || Mutated(Mutant::kUnknownCommitAcknowledged))) {
      Reached(Situation::kUnknownCommitBelowMark);
      Acknowledge(mark_lsn, txn, decision);  // P6, C8: done and forgotten
    } else {
      ReportDamage("damage (G7): commit of " + ToString(txn) + ", which " + ToString(config_.group) +
                   " does not know as prepared, and which is not below its mark");
    }
    return;
  }
  if (branch != nullptr) {
    const Failure rolled_back{AbortReason::kRolledBack, "the coordinator aborted the transaction"};
    if (branch->request == BranchRequest::kOnePhase) {
      EndBranch(*branch, rolled_back);
    } else {
      Remember(txn, rolled_back);
      DropBranch(*branch);
    }
  }
  if (below_mark) {
    Acknowledge(mark_lsn, txn, decision);
  } else if (Mutated(Mutant::kNoTombstone)) {
    Acknowledge(Lsn{}, txn, decision);
  } else if (!IsLogFull()) {  // else it will be said again (G8)
    Reached(Situation::kTombstoneWritten);
    Acknowledge(RefuseForGood(txn), txn, decision);
  }
}

void ParticipantCore::Acknowledge(Lsn lsn, const TxnId& txn, Decision decision) {
  Withhold(lsn, txn.coordinator, txn, DecideAck{txn, decision});
}

// P4: the one way out of doubt. P5: appended, so visible and unlocked; not forced.
Lsn ParticipantCore::Settle(Branch& branch, Decision decision) {
  const TxnId txn = branch.txn;
  const Lsn lsn = Append(BranchDecided{txn, decision});
  DropBranch(branch);
  NoteDecided(txn.coordinator);
  return lsn;
}

// A tombstone (P6) or refusal (P8): this id will not be prepared here any more.
Lsn ParticipantCore::RefuseForGood(const TxnId& txn) {
  const Lsn lsn = Append(BranchDecided{txn, Decision::kAbort});
  NoteDecided(txn.coordinator);
  return lsn;
}

}  // namespace assent::participant
