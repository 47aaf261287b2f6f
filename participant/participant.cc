#include "participant/participant.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutant.h"
#include "common/overloaded.h"

namespace assent::participant {

ParticipantCore::ParticipantCore(const ParticipantConfig& config, const StateReader& store)
    : config_(config), state_(store), jitter_state_(config.seed) {}

void ParticipantCore::Apply(Lsn lsn, const LogRecord& record) noexcept {
  state_.Apply(lsn, record);
}

void ParticipantCore::Step(const Instant& now, const RoleEvent& event, RoleEffects& effects) noexcept {
  now_ = now;
  effects_ = &effects;
  step_work_ = 0;
  if (const auto* serving_event = std::get_if<Serving>(&event)) {
    OnServing(*serving_event);
  } else if (serving()) {  // P1: nothing is looked at before the locks are back
    std::visit(Overloaded{[](const Serving&) {}, [this](const Replicated& e) { OnReplicated(e.lsn); },
                          [this](const Received& e) { OnReceived(e); },
                          [this](const GroupEpoch& e) { OnGroupEpoch(e); },
                          [](const ClientCall&) {},    // clients speak to coordinators
                          [](const ClientGone&) {},    //
                          [](const ForeignReply&) {},  //
                          [this](const Draining& e) { OnDraining(e); }, [this](const Tick&) { OnTick(); }},
               event);
  }
  RunRunnable();
  AskToConfirmReplies();
  effects_ = nullptr;
}

void ParticipantCore::OnServing(const Serving& event) {
  ASSENT_CHECK(event.epoch > epoch_, "epoch fell", epoch_, event.epoch);
  ASSENT_CHECK(last_lsn() != Lsn{}, "serving before EpochBegan was applied");
  const bool is_first = !serving();
  epoch_ = event.epoch;
  if (is_first) {
    replicated_ = last_lsn();  // R4: the whole log is, in this view
    for (const auto& [txn, in_doubt] : state_.in_doubt()) RestorePrepared(txn, in_doubt);
    for (const auto& [coordinator, mark] : state_.marks()) {
      SeenMark& seen = seen_marks_[coordinator];
      seen.mark = mark.mark;
      seen.horizon_us = mark.horizon_us;
      if (state_.IsSweeping(coordinator)) seen.due_us = now_.mono_us + config_.mark_repeat_us;
    }
    return;
  }
  // The same process leads a new view. P3: a branch lives in one epoch, unless it has voted.
  std::vector<TxnId> working;
  for (const auto& [txn, branch] : branches_) {
    if (branch.state == BranchState::kWorking) working.push_back(txn);
  }
  for (const TxnId& txn : working) {
    EndBranch(*FindBranch(txn), Failure{AbortReason::kBranchLost, "the shard has a new epoch"});
  }
  OnReplicated(last_lsn());
}

void ParticipantCore::RestorePrepared(const TxnId& txn, const ShardState::InDoubt& in_doubt) {
  const Prepared& record = in_doubt.record;
  Branch& branch = branches_[txn];
  branch.txn = txn;
  branch.age = record.age;
  for (const Write& write : record.writes) {
    branch.write_bytes += write.key.size() + (write.value ? write.value->size() : 0);
  }
  locks_.Open(txn, record.age);
  const auto restore = [&](const Lock& lock) {
    if (Mutated(Mutant::kServeBeforeLocksRestored)) return;
    const bool granted = locks_.Acquire(txn, lock);
    ASSENT_CHECK(granted, "prepared branches in conflict", ToString(txn));
  };
  for (const Write& write : record.writes) restore(Lock{write.key, LockMode::kExclusive, false, {}});
  for (const ReadLock& read : record.read_locks) {
    restore(Lock{read.key, LockMode::kShared, read.is_range, read.end});
  }
  Charge(branch);
  BecomeInDoubt(branch, in_doubt.lsn);
}

void ParticipantCore::OnReplicated(Lsn lsn) {
  ASSENT_CHECK(lsn <= last_lsn(), "replicated past the last append", lsn, last_lsn());
  replicated_ = std::max(replicated_, lsn);
  while (!unreplicated_.empty() && unreplicated_.front().first <= replicated_) {
    unreplicated_bytes_ -= unreplicated_.front().second;
    unreplicated_.pop_front();
  }
  while (!withheld_.empty() && std::get<Lsn>(withheld_.begin()->first) <= replicated_) {  // R1
    auto first = withheld_.extract(withheld_.begin());
    withheld_bytes_ -= first.mapped().bytes;
    Emit(std::get<GroupId>(first.key()), std::move(first.mapped().message));
  }
  while (!committing_.empty() && committing_.begin()->first <= replicated_) {
    const auto [committed, txn] = *committing_.begin();
    committing_.erase(committing_.begin());
    FinishCommitting(*FindBranch(txn), committed);
  }
}

// The sender may be confused or old; what it says of a transaction counts only if it
// is that transaction's coordinator.
bool ParticipantCore::HearCoordinator(GroupId from, const TxnHeader& header) {
  if (from.kind != GroupKind::kCoordinator || header.txn.coordinator != from || !header.txn.valid())
    return false;
  NoteMark(from, header.mark, header.horizon_us);
  if (Branch* branch = FindBranch(header.txn); branch != nullptr && branch->state == BranchState::kWorking) {
    branch->has_foreign = branch->has_foreign || header.has_foreign;
    HearOf(*branch);
  }
  return true;
}

// P4: its transaction is live.
void ParticipantCore::HearOf(Branch& branch) {
  branch.heard_us = now_.mono_us;
  branch.inquiries = 0;
  branch.inquiry_interval_us = config_.inquiry_first_us;
  branch.ask_us = now_.mono_us + config_.idle_timeout_us / 2;
  ArmWorkTimer(branch);
}

void ParticipantCore::OnReceived(const Received& event) {
  const GroupId from = event.from;
  std::visit(Overloaded{[&](const Operate& m) {
                          if (HearCoordinator(from, m.header)) OnOperate(m);
                        },
                        [&](const Prepare& m) {
                          if (HearCoordinator(from, m.header)) OnPrepare(m);
                        },
                        [&](const CommitOnePhase& m) {
                          if (HearCoordinator(from, m.header)) OnCommitOnePhase(m);
                        },
                        [&](const Decide& m) {
                          if (HearCoordinator(from, m.header)) OnDecide(m);
                        },
                        [&](const SettleToken& m) {
                          if (HearCoordinator(from, m.header)) OnSettleToken(m);
                        },
                        [&](const RepliesConfirmed& m) { OnRepliesConfirmed(from, m); },
                        [&](const MarkNews& m) { OnMarkNews(from, m); },
                        [&](const PeerInquire& m) { OnPeerInquire(from, m); },
                        [&](const PeerOutcome& m) { OnPeerOutcome(from, m); },
                        [](const NoneOf<ToShard> auto&) {}},  // its sender took us for a coordinator
             event.message);
}

void ParticipantCore::OnGroupEpoch(const GroupEpoch& event) {
  if (event.group.kind != GroupKind::kCoordinator) return;
  std::vector<TxnId> dead;
  const TxnId from{event.group, Epoch{}, 0};
  for (auto it = branches_.lower_bound(from); it != branches_.end() && it->first.coordinator == event.group;
       ++it) {
    Branch& branch = it->second;
    if (branch.state == BranchState::kPrepared) {
      // Questions and answers from before may be lost with the old primary, and a transaction that was not
      // decided with it is aborted by now: no lock need be held longer. The rounds see to it that not many
      // ask at once (C7).
      branch.inquiries = 0;
      branch.inquiry_interval_us = config_.inquiry_first_us;
      ScheduleInquiry(branch, config_.inquiry_news_us);
    } else if (branch.state == BranchState::kWorking && branch.txn.epoch < event.epoch) {
      // C3: nobody can commit it any more, so its locks need not wait for a timeout.
      dead.push_back(branch.txn);
    }
  }
  for (const TxnId& txn : dead) {
    EndBranch(*FindBranch(txn), Failure{AbortReason::kBranchLost, "the coordinator has a new epoch"});
  }
}

uint64_t ParticipantCore::NextDeadline() const {
  if (!serving()) return TimerQueue::kNever;
  if (!runnable_.empty()) return 0;
  uint64_t next = std::min({work_timers_.NextDue(), wound_timers_.NextDue(), confirm_due_us_});
  next = std::min(next, std::max(inquiry_timers_.NextDue(), inquiry_pause_until_us_));
  for (const auto& [coordinator, seen] : seen_marks_) next = std::min(next, seen.due_us);
  return next;
}

std::vector<ParticipantCore::InDoubtBranch> ParticipantCore::InDoubt(const Instant& now) const {
  std::vector<InDoubtBranch> list;
  for (const auto& [txn, in_doubt] : state_.in_doubt()) {
    InDoubtBranch entry;
    entry.txn = txn;
    entry.participants = in_doubt.record.participants;
    entry.writes = in_doubt.record.writes.size();
    entry.locks = entry.writes + in_doubt.record.read_locks.size();
    if (const auto branch = branches_.find(txn); branch != branches_.end()) {
      entry.in_doubt_us = now.mono_us - std::min(now.mono_us, branch->second.prepared_us);
      entry.inquiries = branch->second.inquiries;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

ParticipantCore::Gauges ParticipantCore::gauges() const {
  return Gauges{branches_.size(),      state_.in_doubt().size(),
                locks_.waiter_count(), work_bytes_ + withheld_bytes_,
                unreplicated_bytes_,   withheld_.size()};
}

}  // namespace assent::participant
