#include <algorithm>
#include <utility>

#include "common/coverage.h"
#include "common/mutant.h"
#include "coordinator/coordinator.h"

// C6: the only participant decides, by its own record, and is asked for what it decided. Nothing here may say
// ABORTED but on that shard's word, and where nobody knows which it is, on every shard's; without it the
// answer is UNKNOWN.
namespace assent::coordinator {

void CoordinatorCore::StartOnePhase(Transaction& txn) {
  txn.state = TxnState::kOnePhase;
  SetDeadline(txn, now_.mono_us + config_.times.vote_timeout_us);
  AskBranches(txn);
}

// A commit of a transaction that is not live here, of whose token no outcome is recorded. In two phases it
// would be recorded here; but a shard may have committed it in one, and nobody has checked which shards the
// client names (C3). Those are asked first, since the right ones will say committed. ABORTED is said only
// after every shard has refused.
void CoordinatorCore::StartSettling(RequestId id, const Commit& request, uint64_t content) {
  if (RefusedAdmission(id, 0, &request.tag)) return;
  Transaction& txn = NewTransaction(Age{});
  AdoptTag(txn, id, request.tag, content);
  txn.subject = request.txn;
  txn.state = TxnState::kSettling;
  SetDeadline(txn, now_.mono_us + config_.times.vote_timeout_us);
  for (const GroupId shard : placement_.shards()) {
    txn.branches.emplace_back().participant = ParticipantId{shard, ""};
    const bool named = std::find(request.shards.begin(), request.shards.end(), shard) != request.shards.end();
    if (named) txn.branches.back().state = BranchState::kAsked;
  }
  AskNextToSettle(txn);
}

// Those that are to be asked now; all that are left, once nobody is.
void CoordinatorCore::AskNextToSettle(Transaction& txn) {
  const auto asked = [](const Branch& branch) { return branch.state == BranchState::kAsked; };
  const bool rest = std::none_of(txn.branches.begin(), txn.branches.end(), asked);
  for (Branch& branch : txn.branches) {
    if (rest && branch.state == BranchState::kIdle) branch.state = BranchState::kAsked;
    if (asked(branch)) Ask(txn, branch);
  }
}

// C6: the attempt is over at this shard, for good.
void CoordinatorCore::TakeRefusalOf(Transaction& txn, Branch& branch, const OnePhaseReply& reply) {
  const bool settling = txn.state == TxnState::kSettling;
  branch.state = BranchState::kAcknowledged;
  resends_.Cancel(branch.participant, txn.id);
  if (settling && !Mutated(Mutant::kAbortedOnAFewShardsWord)) {
    size_t asked = 0, idle = 0;
    for (const Branch& other : txn.branches) {
      asked += other.state == BranchState::kAsked;
      idle += other.state == BranchState::kIdle;
    }
    if (asked > 0) return;
    if (idle > 0) return AskNextToSettle(txn);
  }
  Ending ending{Outcome::kAborted, txn.subject, txn.age,  reply.reason,
                reply.detail,      {},          settling, GroupClock()};
  if (settling) {  // whatever it was that ended it
    ending.age = Age{};
    ending.reason = AbortReason::kBranchLost;
    ending.detail = "the transaction was lost before its commit was decided";
  }
  ++stats_.aborted;
  RefuseAttempt(txn.token, txn.attempt, txn.acked_below);
  AbortWaiters(txn, ending);
  Remember(txn, Outcome::kAborted, ending.reason, ending.detail);
  Close(txn);
  Erase(txn.id);
}

void CoordinatorCore::OnOnePhaseReply(GroupId from, const OnePhaseReply& reply) {
  const auto live = live_tokens_.find(TokenKey{reply.token.client, reply.token.seq});
  if (live == live_tokens_.end()) return;
  const TxnId id = live->second;
  Transaction* txn = Find(id);
  if ((txn->state != TxnState::kOnePhase && txn->state != TxnState::kSettling) || reply.txn != txn->subject)
    return;
  Branch* branch = BranchAt(*txn, ParticipantId{from, ""});
  if (branch == nullptr || branch->state != BranchState::kAsked) return;
  if (reply.token != txn->token || reply.attempt != txn->attempt) return;
  if (txn->state == TxnState::kSettling) Reached(Situation::kOnePhaseSettled);
  if (!reply.committed && reply.reason != AbortReason::kTokenExpired) {
    return TakeRefusalOf(*txn, *branch, reply);
  }
  if (!reply.committed && !Mutated(Mutant::kHorizonPassesLiveTokens)) {
    // C5: the token is below the shard's floor or horizon, and what became of it may be forgotten. It may be
    // this very send that it committed.
    return TellUnknown(*txn, AbortReason::kTokenExpired,
                       "shard " + ToString(from) + " no longer remembers what became of the token");
  }
  if (!reply.committed) {
    AnswerWaiters(*txn, Refusal{RefusalCode::kTokenExpired, reply.detail, epoch_});
  } else if (reply.content != txn->content) {
    AnswerWaiters(*txn, Refusal{RefusalCode::kTokenMismatch,
                                "token " + ToString(txn->token) +
                                    " was used for another request; use a new sequence number for each",
                                epoch_});
  } else {
    // Without results it is an earlier run's outcome, or this one's after its first answer was lost.
    const bool has_results = txn->state == TxnState::kOnePhase && reply.committed_txn == id &&
                             reply.results.size() == txn->plan.steps.size();
    ++stats_.one_phase;
    Ending ending{Outcome::kCommitted, reply.committed_txn, {}, AbortReason::kNone, "", {},
                  !has_results,        GroupClock()};
    if (txn->state == TxnState::kOnePhase) ending.age = txn->age;
    if (has_results) ending.results = Merge(txn->plan, {reply.results});
    // C5: for another use of the token, which another shard would run. Reads leave no record there or here.
    if (branch->writing || txn->state == TxnState::kSettling) {
      AppendRecord(
          TokenCommitted{reply.committed_txn, txn->token, txn->attempt, txn->content, txn->acked_below});
    }
    AnswerWaiters(*txn, ending);
    Remember(*txn, Outcome::kCommitted, AbortReason::kNone, "");
  }
  Close(*txn);
  Erase(id);
}

void CoordinatorCore::TellUnknown(Transaction& txn, AbortReason reason, const std::string& detail) {
  ++stats_.unknown;
  const Outcome outcome = Mutated(Mutant::kTimeoutToldAsAborted) ? Outcome::kAborted : Outcome::kUnknown;
  const Age age = txn.state == TxnState::kSettling ? Age{} : txn.age;
  AnswerWaiters(txn, Ending{outcome, txn.subject, age, reason, detail, {}, false, GroupClock()});
  Remember(txn, Outcome::kUnknown, AbortReason::kNone, detail);
  Close(txn);
  Erase(txn.id);
}

// C7. The commit may have happened, or may yet: the same attempt, sent again, finds out at the shards.
void CoordinatorCore::GiveUpOnShards(Transaction& txn) {
  TellUnknown(txn, AbortReason::kNone,
              MissingOf(txn, "answer") + "; send the same attempt again to learn the outcome");
}

}  // namespace assent::coordinator
