#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "coordinator/coordinator.h"

// Events of time: timeouts (C7), resends (C7), marks (C8), the horizon (C5), scans of
// foreign resource managers.
namespace assent::coordinator {
namespace {

constexpr size_t kTimeoutsPerTick = 1'024;    // each aborts; the next tick comes at once
constexpr uint64_t kHorizonChecks = 6;        // a step
constexpr uint64_t kHorizonMoreUs = 100'000;  // while rows below it are left to drop

}  // namespace

void CoordinatorCore::OnTick() {
  ExpireFinishWaits();
  ExpireDeadlines();
  ResendDue();
  RaiseHorizon();
  TellMarks();
  ScanForeign();
}

void CoordinatorCore::ExpireDeadlines() {
  for (size_t i = 0; i < kTimeoutsPerTick && !deadlines_.empty(); ++i) {
    const auto [at_us, id] = *deadlines_.begin();
    if (at_us > now_.mono_us) return;
    Transaction* txn = Find(id);
    ASSENT_CHECK(txn != nullptr && txn->deadline_us == at_us);
    const bool old = now_.mono_us >= txn->begun_us + txn->life_us;
    switch (txn->state) {
      case TxnState::kActive:
        Reached(Situation::kIdledOut);
        Abort(*txn, AbortReason::kExpired,
              old ? "the transaction lived too long"
                  : "the transaction was idle for more than " + std::to_string(txn->idle_us / 1'000) + " ms");
        break;
      case TxnState::kWorking:
        Abort(*txn, AbortReason::kExpired, "the transaction lived too long");
        break;
      case TxnState::kReading:
      case TxnState::kPreparing:
        Reached(Situation::kVoteTimeout);
        Abort(*txn, AbortReason::kVoteTimeout,
              MissingOf(*txn, txn->state == TxnState::kReading ? "answer" : "vote"));
        break;
      case TxnState::kOnePhase:
      case TxnState::kSettling:
        GiveUpOnShards(*txn);
        break;
      case TxnState::kCommitting:
      case TxnState::kPhaseTwo:
      case TxnState::kAborting:
        ASSENT_CHECK(false, "a deadline on a decided transaction", ToString(id));
    }
  }
}

// The branches that have not answered, for people.
std::string CoordinatorCore::MissingOf(const Transaction& txn, const char* what) const {
  std::string missing;
  for (const Branch& branch : txn.branches) {
    if (branch.state != BranchState::kAsked) continue;
    if (!missing.empty()) missing += "; ";
    missing += NoAnswerFrom(branch, what);
  }
  return missing;
}

void CoordinatorCore::ResendDue() {
  for (const Resends::Due& due : resends_.Take(now_.mono_us)) {
    Transaction* txn = Find(due.txn);
    Branch* branch = txn == nullptr ? nullptr : BranchAt(*txn, due.participant);
    ASSENT_CHECK(branch != nullptr && branch->state == BranchState::kAsked, "resend of nothing",
                 ToString(due.txn));
    if (txn->state == TxnState::kAborting && branch->resends >= config_.times.abort_resends_max) {
      Acknowledge(*txn, *branch);  // C3: if it is in doubt it will ask, and hear the same
      continue;
    }
    ++branch->resends;
    ++stats_.resends;
    SendBranch(*txn, *branch);
  }
}

// C8: for a shard that no other message went to for a while.
void CoordinatorCore::TellMarks() {
  for (const GroupId shard : placement_.shards()) {
    const ShardLink& link = links_[shard];
    const TxnId mark = marks_.MarkFor(shard, NextId());
    const bool risen = link.mark_sent < mark || link.horizon_sent < ToldHorizon();
    const uint64_t silence_us = risen ? config_.times.mark_news_us : config_.times.mark_refresh_us;
    if (now_.mono_us >= link.last_sent_us + silence_us) SendShard(shard, MarkNews{mark, ToldHorizon()});
  }
}

uint64_t CoordinatorCore::NextMarkNews() const {
  uint64_t next = UINT64_MAX;
  for (const GroupId shard : placement_.shards()) {
    const ShardLink& link = links_.at(shard);
    const bool risen = link.mark_sent < marks_.MarkFor(shard, NextId()) || link.horizon_sent < ToldHorizon();
    next = std::min(next,
                    link.last_sent_us + (risen ? config_.times.mark_news_us : config_.times.mark_refresh_us));
  }
  return next;
}

void CoordinatorCore::RaiseHorizon() {
  if (now_.mono_us < next_horizon_check_us_) return;
  const uint64_t oldest_us = GroupClock() - std::min(GroupClock(), config_.times.retention_us);
  const uint64_t target_us = oldest_us - oldest_us % config_.times.horizon_step_us;
  if (target_us > tokens_.horizon_us() || tokens_.HasMoreToDrop()) {
    const uint64_t horizon_us = std::max(target_us, tokens_.horizon_us());  // C5: it never falls
    const Lsn lsn = AppendRecord(HorizonRaised{horizon_us});
    pending_horizons_.emplace_back(lsn,
                                   horizon_us);  // shards drop by it, so they hear of it once it holds (R1)
  }
  next_horizon_check_us_ =
      now_.mono_us +
      (tokens_.HasMoreToDrop() ? kHorizonMoreUs : config_.times.horizon_step_us / kHorizonChecks);
}

void CoordinatorCore::ScanForeign() {
  for (auto& [name, manager] : managers_) {
    if (now_.mono_us < manager.next_scan_us) continue;
    // Without an answer yet the next one may be that of the scan before.
    if (!manager.scanning) manager.scan_begun_us = now_.mono_us;
    manager.scanning = true;
    manager.next_scan_us = now_.mono_us + config_.times.foreign_call_us;  // an answer makes it sooner
    effects_->push_back(CallForeign{name, ForeignVerb::kRecover, TxnId{}});
  }
}

uint64_t CoordinatorCore::NextDeadline() const {
  if (!serving_) return UINT64_MAX;
  uint64_t next = std::min({resends_.NextDue(), NextMarkNews(), next_horizon_check_us_});
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  if (!finish_deadlines_.empty()) next = std::min(next, finish_deadlines_.begin()->first);
  for (const auto& [name, manager] : managers_) next = std::min(next, manager.next_scan_us);
  return next;
}

}  // namespace assent::coordinator
