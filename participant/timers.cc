#include <algorithm>

#include "common/coverage.h"
#include "participant/participant.h"

// Events of time: unprepared work expires (P4), and marks are logged (C8).
namespace assent::participant {
namespace {

constexpr size_t kExpiriesPerTick = 1'024;  // the next tick comes at once

}  // namespace

void ParticipantCore::OnTick() {
  ExpireWork();
  RepeatWounds();
  AskDueInDoubt();
  for (auto& [coordinator, seen] : seen_marks_) {
    if (seen.due_us <= now_.mono_us) LogMark(coordinator, seen);
  }
}

void ParticipantCore::ExpireWork() {
  for (size_t i = 0; i < kExpiriesPerTick; ++i) {
    const auto txn = work_timers_.PopDue(now_.mono_us);
    if (!txn) return;
    Branch& branch = *FindBranch(*txn);
    if (IsLockTimeout(branch)) {  // P2: what it waits for may be a deadlock through a lock that is not ours
      Reached(Situation::kLockTimeout);
      EndBranch(branch,
                Failure{AbortReason::kLockTimeout,
                        "waited too long for the lock on " + Quoted(KeyOf(branch.operations[branch.next]))});
    } else if (branch.inquiries > 0 && now_.mono_us >= branch.heard_us + config_.idle_timeout_us) {
      Reached(Situation::kWorkTimedOut);
      EndBranch(branch, Failure{AbortReason::kExpired, ToString(txn->coordinator) +
                                                           " was asked whether the transaction is "
                                                           "live, and did not say so for too long"});
    } else {
      if (now_.mono_us >= branch.ask_us) AskWhetherLive(branch);
      ArmWorkTimer(branch);
    }
  }
}

bool ParticipantCore::IsLockTimeout(const Branch& branch) const {
  return branch.has_foreign && branch.waiting_since_us != 0 &&
         now_.mono_us >= branch.waiting_since_us + config_.lock_timeout_us;
}

// P4: a client that works elsewhere leaves this shard without a message for as long as it likes. C7: when
// many ask at once, the rest asks a little later; none is ended that has not asked.
void ParticipantCore::AskWhetherLive(Branch& branch) {
  if (now_.mono_us < inquiry_pause_until_us_) {
    branch.ask_us = inquiry_pause_until_us_ + Jitter(config_.inquiry_first_us);
    return;
  }
  ++branch.inquiries;
  Emit(branch.txn.coordinator, assent::Inquire{branch.txn, true});
  CountInquiries(1);
  branch.ask_us = now_.mono_us + branch.inquiry_interval_us / 2 + Jitter(branch.inquiry_interval_us);
  branch.inquiry_interval_us = std::min(2 * branch.inquiry_interval_us, config_.inquiry_max_us);
}

void ParticipantCore::OnMarkNews(GroupId from, const MarkNews& news) {
  NoteMark(from, news.mark, news.horizon_us);
  Branch* branch = news.live.coordinator == from ? FindBranch(news.live) : nullptr;
  if (branch == nullptr || branch->state != BranchState::kWorking) return;
  Reached(Situation::kIdleWorkKept);
  HearOf(*branch);
}

// C8: marks come with every message. The highest is kept at once; to log it can wait, and an idle
// shard logs none.
void ParticipantCore::NoteMark(GroupId coordinator, const TxnId& mark, uint64_t horizon_us) {
  if (coordinator.kind != GroupKind::kCoordinator) return;
  SeenMark& seen =
      seen_marks_.try_emplace(coordinator, SeenMark{TxnId{coordinator, Epoch{}, 0}}).first->second;
  if (mark.coordinator == coordinator) seen.mark = std::max(seen.mark, mark);
  seen.horizon_us = std::max(seen.horizon_us, horizon_us);
  seen.heard_us = now_.mono_us;
  if (seen.due_us != TimerQueue::kNever) return;
  const ShardState::Mark logged = state_.MarkOf(coordinator);
  const bool horizon_rose =
      seen.horizon_us > 0 && seen.horizon_us >= logged.horizon_us + config_.horizon_step_us;
  if (seen.mark > logged.mark || horizon_rose) seen.due_us = now_.mono_us + config_.mark_delay_us;
}

void ParticipantCore::NoteDecided(GroupId coordinator) {
  SeenMark& seen =
      seen_marks_.try_emplace(coordinator, SeenMark{TxnId{coordinator, Epoch{}, 0}}).first->second;
  ++seen.decided;
  if (seen.decided >= config_.mark_rows && seen.mark > state_.MarkOf(coordinator).mark)
    LogMark(coordinator, seen);
}

void ParticipantCore::LogMark(GroupId coordinator, SeenMark& seen) {
  const uint64_t later = now_.mono_us + config_.mark_repeat_us;
  if (IsLogFull()) {
    seen.due_us = later;
    return;
  }
  const ShardState::Mark logged = state_.MarkOf(coordinator);
  const bool horizon_rose =
      seen.horizon_us > 0 && seen.horizon_us >= logged.horizon_us + config_.horizon_step_us;
  MarkRaised record;
  record.mark = state_.BoundedMark(std::max(seen.mark, logged.mark), kSweepRowsMax);
  record.horizon_us = horizon_rose ? seen.horizon_us : logged.horizon_us;
  Append(record);
  seen.decided = 0;
  const bool more = record.mark < seen.mark || state_.IsSweeping(coordinator);
  seen.due_us = more ? later : TimerQueue::kNever;
}

// For refusals, which are safe as soon as the coordinator has said that the id is over.
bool ParticipantCore::IsBelowAnyMark(const TxnId& txn) const {
  const auto seen = seen_marks_.find(txn.coordinator);
  return state_.IsBelowMark(txn) || (seen != seen_marks_.end() && txn < seen->second.mark);
}

}  // namespace assent::participant
