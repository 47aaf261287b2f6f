#include <algorithm>
#include <map>
#include <string>

#include "common/check.h"
#include "coordinator/coordinator.h"

// The operators' view of transactions, and the invariants.
namespace assent::coordinator {
namespace {

TxnInfo InfoOf(const Transaction& txn) {
  TxnInfo info{txn.id, txn.age, txn.state, txn.interactive, txn.token, txn.begun_us, txn.begin_wall_us,
               {},     {}};
  for (const Branch& branch : txn.branches) {
    const Participant participant{branch.participant.foreign, branch.participant.group, branch.writing};
    BranchInfo shown{participant, branch.state, branch.resends, 0, ""};
    if (branch.state == BranchState::kAsked) {
      shown.asked_us = branch.asked_us;
      shown.trouble = branch.trouble;
      info.waiting_on.push_back(participant);
    }
    info.branches.push_back(std::move(shown));
  }
  for (const std::string& name : txn.enlisted) {
    info.branches.push_back(BranchInfo{Participant{name, GroupId{}, true}, BranchState::kIdle, 0, 0, ""});
  }
  return info;
}

}  // namespace

std::optional<uint64_t> AgeOf(const TxnInfo& info, const Instant& now) {
  if (info.begun_us != 0) return now.mono_us - std::min(now.mono_us, info.begun_us);
  if (info.begin_wall_us != 0) return now.wall_us - std::min(now.wall_us, info.begin_wall_us);
  return std::nullopt;
}

std::string_view ToString(TxnState state) {
  switch (state) {
    case TxnState::kActive:
      return "active";
    case TxnState::kWorking:
      return "working";
    case TxnState::kReading:
      return "reading";
    case TxnState::kPreparing:
      return "preparing";
    case TxnState::kOnePhase:
      return "committing in one phase";
    case TxnState::kSettling:
      return "asking the shards";
    case TxnState::kCommitting:
      return "committing";
    case TxnState::kPhaseTwo:
      return "committed";
    case TxnState::kAborting:
      return "aborting";
  }
  return "?";
}

std::string_view ToString(BranchState state) {
  switch (state) {
    case BranchState::kIdle:
      return "idle";
    case BranchState::kAsked:
      return "asked";
    case BranchState::kYes:
      return "yes";
    case BranchState::kReadOnly:
      return "read-only";
    case BranchState::kAcknowledged:
      return "acknowledged";
  }
  return "?";
}

std::vector<TxnInfo> CoordinatorCore::ListTransactions(size_t count_max) const {
  std::vector<TxnInfo> list;
  for (const auto& [id, txn] : transactions_) {
    if (list.size() >= count_max) break;
    if (txn.state != TxnState::kAborting) list.push_back(InfoOf(txn));
  }
  return list;
}

std::optional<TxnInfo> CoordinatorCore::FindTransaction(const TxnId& id) const {
  const auto entry = transactions_.find(id);
  if (entry == transactions_.end()) return std::nullopt;
  return InfoOf(entry->second);
}

// What the transactions add up to, for the sums that are kept beside them.
struct CoordinatorCore::Census {
  size_t unended = 0;
  size_t unended_at_shards = 0;
  size_t aborting = 0;
  size_t undecided = 0;
  size_t bytes = 0;
  size_t deadlines = 0;
  size_t waiters = 0;
  size_t finish_waiters = 0;
  size_t tokens = 0;
  size_t resends = 0;
  std::map<std::string, size_t> open;  // branches of each resource manager
};

void CoordinatorCore::CheckTransaction(const Transaction& txn, Census& census) const {
  const TxnId& id = txn.id;
  const bool committed = txn.state == TxnState::kCommitting || txn.state == TxnState::kPhaseTwo;
  const bool live = IsUndecided(txn.state) || txn.state == TxnState::kCommitting;
  // C4: COMMIT is kept exactly as long as it is unended.
  ASSENT_CHECK(overlay_.Get(Table::kDecision, TxnKey(id)).has_value() == committed, ToString(id), txn.state);
  ASSENT_CHECK(marks_.live().contains(id) == live, "C8", ToString(id), txn.state);
  ASSENT_CHECK(txn.waiters.empty() || live, "a decided transaction owes an answer", ToString(id));  // C2
  ASSENT_CHECK((txn.deadline_us != 0) == (serving_ && IsUndecided(txn.state)), "C7", ToString(id), txn.state);
  ASSENT_CHECK(live == ages_.contains(txn.age) || !live, ToString(id));
  census.unended += committed;
  census.unended_at_shards += committed && IsOwedByShards(txn);
  census.aborting += txn.state == TxnState::kAborting;
  census.undecided += live;
  census.bytes += txn.bytes;
  census.deadlines += txn.deadline_us != 0;
  census.waiters += txn.waiters.size();
  census.finish_waiters += txn.finish_waiters.size();
  ASSENT_CHECK(txn.finish_waiters.empty() || txn.state == TxnState::kPhaseTwo, ToString(id), txn.state);
  ASSENT_CHECK(txn.enlisted.empty() || txn.state == TxnState::kActive || txn.state == TxnState::kWorking,
               "F2", ToString(id), txn.state);
  for (const std::string& name : txn.enlisted) ++census.open[name];
  if (live && txn.token.valid()) {
    ++census.tokens;
    const auto entry = live_tokens_.find(TokenKey{txn.token.client, txn.token.seq});
    ASSENT_CHECK(entry != live_tokens_.end() && entry->second == id, "C5", ToString(id));
  }
  for (const Branch& branch : txn.branches) {
    const bool asked = branch.state == BranchState::kAsked;
    const bool owed = committed && branch.state != BranchState::kAcknowledged;
    // C7: whatever is awaited is asked for again.
    ASSENT_CHECK(!serving_ || asked == resends_.Holds(branch.participant, id), "C7", ToString(id), txn.state,
                 asked);
    census.resends += serving_ && asked;
    if (branch.participant.is_foreign()) {
      census.open[branch.participant.foreign] += branch.state != BranchState::kAcknowledged;
      continue;
    }
    ASSENT_CHECK(marks_.Owes(branch.participant.group, id) == owed, "C8", ToString(id));
    const TxnId mark = marks_.MarkFor(branch.participant.group, NextId());
    ASSENT_CHECK(!serving_ || !(live || owed) || mark <= id, "C8: the mark passed", ToString(id));
  }
}

void CoordinatorCore::CheckInvariants() const {
  Census census;
  for (const auto& [id, txn] : transactions_) {
    ASSENT_CHECK(txn.id == id && id.coordinator == config_.group, ToString(id));
    ASSENT_CHECK(!serving_ || id < NextId(), "an id from the future", ToString(id));  // I-X2
    CheckTransaction(txn, census);
  }
  size_t decisions = 0;
  overlay_.Scan(Table::kDecision, "", "", [&](std::string_view, const Row&) {
    ++decisions;
    return true;
  });
  ASSENT_CHECK(decisions == census.unended && census.unended == unended_, "C4", decisions, census.unended,
               unended_);
  ASSENT_CHECK(census.unended_at_shards == unended_at_shards_, census.unended_at_shards, unended_at_shards_);
  for (const auto& [name, manager] : managers_) {
    ASSENT_CHECK(manager.open == census.open[name], name, manager.open, census.open[name]);
    ASSENT_CHECK(manager.acknowledged.size() == manager.acknowledged_order.size() &&
                 manager.acknowledged.size() <= config_.limits.recent_acknowledged);
  }
  ASSENT_CHECK(census.aborting == aborting_ && census.bytes == bytes_ &&
               census.deadlines == deadlines_.size());
  ASSENT_CHECK(census.waiters == calls_.size(), census.waiters, calls_.size());
  ASSENT_CHECK(census.finish_waiters == finish_waits_.size() &&
               finish_waits_.size() == finish_deadlines_.size());
  ASSENT_CHECK(census.tokens == live_tokens_.size() && census.undecided == marks_.live().size() &&
               census.undecided == ages_.size());
  ASSENT_CHECK(census.resends == resends_.size(), census.resends, resends_.size());
  // G8
  ASSENT_CHECK(census.undecided <= config_.limits.live_txns_max + config_.limits.unended_max);
  ASSENT_CHECK(aborting_ <= config_.limits.aborting_max && recent_.size() <= config_.limits.recent_endings);
  ASSENT_CHECK(recent_.size() == recent_order_.size());
  // R1: answers that wait for their records, which are still to be replicated.
  ASSENT_CHECK(pending_commits_.empty() || pending_commits_.front().first > replicated_);
  ASSENT_CHECK(pending_ends_.empty() || pending_ends_.front().first > replicated_);
  ASSENT_CHECK(pending_ends_.size() == ending_.size());
  ASSENT_CHECK(replicated_ <= last_lsn_ && replicated_horizon_us_ <= tokens_.horizon_us());
  ASSENT_CHECK(live_births_.size() == live_tokens_.size(), live_births_.size());
  ASSENT_CHECK(!serving_ || GroupClock() >= tokens_.horizon_us(), "C5", GroupClock());
}

}  // namespace assent::coordinator
