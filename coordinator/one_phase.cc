#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "coordinator/coordinator.h"

// C6: the only participant decides, by its own record, and is asked for what it decided. Nothing here may say
// ABORTED but on that shard's word; without it the answer is UNKNOWN.
namespace assent::coordinator {

void CoordinatorCore::StartOnePhase(Transaction& txn) {
  txn.state = TxnState::kOnePhase;
  SetDeadline(txn, now_.mono_us + config_.times.vote_timeout_us);
  AskBranches(txn);
}

void CoordinatorCore::OnOnePhaseReply(GroupId from, const OnePhaseReply& reply) {
  const auto live = live_tokens_.find(TokenKey{reply.token.client, reply.token.seq});
  if (live == live_tokens_.end()) return;
  const TxnId id = live->second;
  Transaction* txn = Find(id);
  if ((txn->state != TxnState::kOnePhase && txn->state != TxnState::kSettling) || reply.txn != txn->subject)
    return;
  if (txn->branches.front().peer.group != from) return;
  if (reply.token != txn->token || reply.attempt != txn->attempt) return;
  if (txn->state == TxnState::kSettling) Reached(Situation::kOnePhaseSettled);
  if (reply.committed && reply.content != txn->content) {
    AnswerWaiters(*txn, Refusal{RefusalCode::kTokenMismatch,
                                "token " + ToString(txn->token) +
                                    " was used for another request; use a new sequence number for each",
                                epoch_});
  } else if (reply.committed) {
    // Without results it is an earlier run's outcome, or this one's after its first answer was lost.
    const bool has_results = txn->state == TxnState::kOnePhase && reply.committed_txn == id &&
                             reply.results.size() == txn->plan.steps.size();
    ++stats_.one_phase;
    Ending ending{Outcome::kCommitted, reply.committed_txn, txn->age, AbortReason::kNone, "", {},
                  !has_results,        BirthNow()};
    if (has_results) ending.results = Merge(txn->plan, {reply.results});
    // C5: for another use of the token, which another shard would run. Reads leave no record there or here.
    if (txn->branches.front().writing || txn->state == TxnState::kSettling) {
      AppendRecord(
          TokenCommitted{reply.committed_txn, txn->token, txn->attempt, txn->content, txn->acked_below});
    }
    AnswerWaiters(*txn, ending);
    Remember(*txn, Outcome::kCommitted, AbortReason::kNone, "");
  } else if (reply.reason == AbortReason::kTokenExpired) {
    // C5: the shard has the token below its floor or horizon and may have forgotten its outcome: no proof of
    // an abort. (A live id is never below the mark itself, C8.)
    AnswerWaiters(*txn, Refusal{RefusalCode::kTokenExpired, reply.detail, epoch_});
  } else {
    ++stats_.aborted;
    RefuseAttempt(txn->token, txn->attempt, txn->acked_below);
    AbortWaiters(*txn, Ending{Outcome::kAborted,
                              txn->subject,
                              txn->age,
                              reply.reason,
                              reply.detail,
                              {},
                              txn->state == TxnState::kSettling,
                              BirthNow()});
    Remember(*txn, Outcome::kAborted, reply.reason, reply.detail);
  }
  Close(*txn);
  Erase(id);
}

// C7. The commit may have happened, or may yet: the same attempt, sent again, finds out at the shard.
void CoordinatorCore::GiveUpOnShard(Transaction& txn) {
  ++stats_.unknown;
  const std::string detail = "shard " + ToString(txn.branches.front().peer.group) +
                             " did not answer in time; send the same attempt again to learn the outcome";
  const Outcome outcome = Mutated(Mutant::kTimeoutToldAsAborted) ? Outcome::kAborted : Outcome::kUnknown;
  AnswerWaiters(txn,
                Ending{outcome, txn.subject, txn.age, AbortReason::kNone, detail, {}, false, BirthNow()});
  Remember(txn, Outcome::kUnknown, AbortReason::kNone, detail);
  Close(txn);
  Erase(txn.id);
}

}  // namespace assent::coordinator
