#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "participant/participant.h"

// A branch in doubt, while it waits: whom it asks (P8), and for whom it asks its coordinator to hurry (P2).
// P4: nothing here decides.
namespace assent::participant {

void ParticipantCore::BecomeInDoubt(Branch& branch, Lsn prepared_lsn) {
  branch.state = BranchState::kPrepared;
  branch.request = BranchRequest::kNone;
  branch.prepared_lsn = prepared_lsn;
  branch.prepared_us = now_.mono_us;
  branch.inquiries = 0;
  branch.inquiry_interval_us = config_.inquiry_first_us;
  work_timers_.Cancel(branch.txn);
  locks_.SetVoted(branch.txn);  // P2: from now on only its coordinator can wound it
  ScheduleInquiry(branch, branch.inquiry_interval_us);
}

// Between half of `around_us` later and one and a half.
void ParticipantCore::ScheduleInquiry(const Branch& branch, uint64_t around_us) {
  inquiry_timers_.Set(branch.txn, now_.mono_us + around_us / 2 + Jitter(around_us));
}

// C7: so many messages, then a pause, or ten thousand branches of one restart ask at once.
void ParticipantCore::AskDueInDoubt() {
  while (now_.mono_us >= inquiry_pause_until_us_) {
    const auto txn = inquiry_timers_.PopDue(now_.mono_us);
    if (!txn) return;
    Branch& branch = *FindBranch(*txn);
    CountInquiries(AskForDecision(branch));
    branch.inquiry_interval_us = std::min(2 * branch.inquiry_interval_us, config_.inquiry_max_us);
    ScheduleInquiry(branch, branch.inquiry_interval_us);
  }
}

void ParticipantCore::CountInquiries(size_t sent) {
  inquiries_sent_ += sent;
  if (inquiries_sent_ < config_.inquiries_per_round) return;
  inquiries_sent_ = 0;
  inquiry_pause_until_us_ = now_.mono_us + config_.inquiry_round_us;
}

size_t ParticipantCore::AskForDecision(Branch& branch) {
  size_t sent = 1;
  // It is there, and has not decided: to ask others, who may never have heard of it, would end it.
  const auto seen = seen_marks_.find(branch.txn.coordinator);
  if (seen != seen_marks_.end() && seen->second.heard_us > branch.asked_us) branch.inquiries = 0;
  branch.asked_us = now_.mono_us;
  Emit(branch.txn.coordinator, assent::Inquire{branch.txn});
  if (++branch.inquiries <= config_.inquiries_before_peers) return sent;
  // The coordinator seems to be out of reach. Only shards that may have voted yes can know: those that write.
  for (const Participant& peer : state_.in_doubt().at(branch.txn).record.participants) {
    if (!peer.foreign.empty() || !peer.writing || peer.group == config_.group) continue;
    Emit(peer.group, PeerInquire{branch.txn});
    ++sent;
  }
  return sent;
}

void ParticipantCore::OnPeerInquire(GroupId from, const PeerInquire& message) {
  const TxnId& txn = message.txn;
  if (from.kind != GroupKind::kShard || !txn.valid()) return;
  const auto do_not_know = [&] { Emit(from, PeerOutcome{txn, std::nullopt}); };
  Branch* branch = FindBranch(txn);
  if (branch != nullptr && branch->state != BranchState::kWorking) return do_not_know();
  if (const auto decided = state_.DecidedOf(txn); decided && !Mutated(Mutant::kResolverReadsAnotherRecord)) {
    Withhold(decided->lsn, from, txn, PeerOutcome{txn, decided->decision});
    return;
  }
  // C8: what is not known below the mark may have been committed and forgotten.
  const bool forgotten = IsBelowAnyMark(txn) && !Mutated(Mutant::kRefusedFromNoMemory);
  if (forgotten || IsLogFull()) return do_not_know();
  if (draining_) return do_not_know();  // R3: it may be held back here
  if (branch != nullptr) {
    EndBranch(*branch,
              Failure{AbortReason::kBelowMark, "another shard, in doubt, asked before this one had voted"});
  }
  Reached(Situation::kRefusedForPeer);
  // P8: it never voted here and now never will, so it can be told as aborted; once the refusal is replicated.
  Withhold(RefuseForGood(txn), from, txn, PeerOutcome{txn, Decision::kAbort});
}

void ParticipantCore::OnPeerOutcome(GroupId from, const PeerOutcome& message) {
  Branch* branch = FindBranch(message.txn);
  if (!message.decision || branch == nullptr || branch->state != BranchState::kPrepared) return;
  const auto& participants = state_.in_doubt().at(message.txn).record.participants;
  const bool may_know =
      std::any_of(participants.begin(), participants.end(), [&](const Participant& participant) {
        return participant.foreign.empty() && participant.writing && participant.group == from;
      });
  if (!may_know) return;
  Reached(*message.decision == Decision::kCommit ? Situation::kSettledByPeerCommit
                                                 : Situation::kSettledByPeerAbort);
  Settle(*branch, *message.decision);  // the coordinator's own word will be acknowledged when it comes
}

// P2: somebody older waits for a branch that has voted. One that commits in one phase ends by itself.
void ParticipantCore::RequestWound(Branch& holder) {
  if (holder.state != BranchState::kPrepared || wound_timers_.Has(holder.txn)) return;
  Emit(holder.txn.coordinator, WoundRequest{holder.txn});
  holder.wound_interval_us = config_.wound_first_us;
  wound_timers_.Set(holder.txn, now_.mono_us + holder.wound_interval_us);
}

void ParticipantCore::RepeatWounds() {
  while (const auto txn = wound_timers_.PopDue(now_.mono_us)) {
    if (!locks_.BlocksOlder(*txn)) continue;
    Branch& holder = *FindBranch(*txn);
    Emit(txn->coordinator, WoundRequest{*txn});
    holder.wound_interval_us = std::min(2 * holder.wound_interval_us, config_.wound_max_us);
    wound_timers_.Set(*txn, now_.mono_us + holder.wound_interval_us);
  }
}

}  // namespace assent::participant
