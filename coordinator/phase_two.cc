#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "coordinator/coordinator.h"

// Decisions told and asked for.
namespace assent::coordinator {

// C1: the COMMIT record is replicated, so it may be told. C2: the client first.
void CoordinatorCore::BecomePhaseTwo(Transaction& txn) {
  ++stats_.committed;
  txn.state = TxnState::kPhaseTwo;
  AnswerWaiters(txn, Ending{Outcome::kCommitted, txn.subject, txn.age, AbortReason::kNone, "",
                            std::move(txn.results), false, GroupClock()});
  Remember(txn, Outcome::kCommitted, AbortReason::kNone, "");
  txn.results = {};
  Close(txn);
  AskBranches(txn);
}

void CoordinatorCore::OnDecideAck(GroupId from, const DecideAck& ack) {
  Transaction* txn = Find(ack.txn);
  if (txn == nullptr) return;
  Branch* branch = BranchAt(*txn, ParticipantId{from, ""});
  if (branch == nullptr) return;
  if (txn->state == TxnState::kPhaseTwo && ack.decision == Decision::kAbort) {
    // No decision of ours told it so: an operator's, or damage (G7). It goes on being told,
    // until someone looks.
    effects_->push_back(Report{"shard " + ToString(from) + " says it aborted " + ToString(ack.txn) +
                                   ", which is committed; the transaction stays open",
                               false});
    return;
  }
  const bool expected = (txn->state == TxnState::kPhaseTwo && ack.decision == Decision::kCommit) ||
                        (txn->state == TxnState::kAborting && ack.decision == Decision::kAbort);
  if (expected && branch->state == BranchState::kAsked) Acknowledge(*txn, *branch);
}

// The branch is done with this transaction. When all are: C4, END.
void CoordinatorCore::Acknowledge(Transaction& txn, Branch& branch) {
  branch.state = BranchState::kAcknowledged;
  resends_.Cancel(branch.participant, txn.id);
  CountOpen(branch, -1);
  const bool committed = txn.state == TxnState::kPhaseTwo;
  if (committed && branch.participant.is_foreign()) RememberAcknowledged(branch.participant.foreign, txn.id);
  if (committed && !branch.participant.is_foreign()) {
    marks_.OnAcknowledged(branch.participant.group, txn.id);  // C8
    if (!IsOwedByShards(txn)) --unended_at_shards_;
  }
  for (const Branch& other : txn.branches) {
    if (Mutated(Mutant::kDecisionForgottenAtFirstAck) && committed) {
      resends_.Cancel(other.participant, txn.id);
    } else if (other.state != BranchState::kAcknowledged) {
      return;
    }
  }
  const TxnId id = txn.id;
  if (!committed) return Erase(id);
  ++stats_.ended;
  AnswerFinishWaiters(txn, true);
  pending_ends_.emplace_back(AppendRecord(Ended{id}), id);
  ending_.insert(id);
}

// C3, for one in doubt. Where the answer is not settled it hears that somebody is there, and asks again (P8).
void CoordinatorCore::OnInquire(GroupId from, const Inquire& inquire) {
  const TxnId& id = inquire.txn;
  // C3: an id that a higher epoch gave out, or nobody, is not ours to presume. (Before Serving: every id.)
  if (id.coordinator != config_.group || id >= NextId()) return;
  const Transaction* txn = Find(id);
  if (inquire.unprepared) {  // P4: what was never prepared is not presumed about; it may have committed by C6
    if (txn != nullptr && IsUndecided(txn->state))
      SendShard(from, MarkNews{marks_.MarkFor(from, NextId()), ToldHorizon(), id});
    return;
  }
  if (Mutated(Mutant::kResolverReadsAnotherRecord) && txn != nullptr && txn->begun_us == 0) txn = nullptr;
  Decision decision = Decision::kAbort;
  if (txn != nullptr) {
    // Live, or its COMMIT is appended and may yet be lost (C1).
    const bool appended = txn->state == TxnState::kCommitting && !Mutated(Mutant::kAbortAfterCommitAppended);
    if (IsUndecided(txn->state) || appended) {
      return SendShard(from, MarkNews{marks_.MarkFor(from, NextId()), ToldHorizon(), id});
    }
    if (txn->state == TxnState::kPhaseTwo) decision = Decision::kCommit;
  } else if (ending_.contains(id)) {
    return;  // R1: presuming depends on END, which may yet be lost
  } else {
    ++stats_.presumed_aborts;
    Reached(Situation::kInquiryPresumedAbort);
  }
  if (decision == Decision::kCommit) Reached(Situation::kInquiryToldCommit);
  SendShard(from, Decide{txn == nullptr ? BareHeader(id, from) : HeaderFor(*txn, from), decision});
}

// P2: an older transaction waits for a lock of this one, which has voted.
void CoordinatorCore::OnWoundRequest(GroupId from, const WoundRequest& request) {
  Transaction* txn = Find(request.txn);
  if (txn == nullptr || !IsUndecided(txn->state)) {
    Reached(Situation::kWoundRequestTooLate);
    return OnInquire(from, Inquire{request.txn});  // C1: COMMIT is appended, or the end is known
  }
  if (txn->state == TxnState::kOnePhase || txn->state == TxnState::kSettling)
    return;  // C6: not ours to abort
  Reached(Situation::kWoundRequestObeyed);
  Abort(*txn, AbortReason::kWounded, "an older transaction needed its locks");
}

}  // namespace assent::coordinator
