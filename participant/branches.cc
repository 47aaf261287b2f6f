#include <algorithm>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/overloaded.h"
#include "participant/participant.h"

// Branches in memory: opening, running, waiting, ending; and the effects that all handlers share.
namespace assent::participant {
namespace {

constexpr size_t kBranchBaseBytes = 512;  // what a branch takes besides its contents, roughly

// Against ParticipantConfig::step_work_max, in about microseconds: an operation reads a row or two, bytes are
// copied a few times, and a step of the lock table is a comparison of keys.
constexpr uint64_t kWorkOfAnOperation = 4;
constexpr uint64_t kBytesOfAUnit = 4'096;
constexpr uint64_t kLockStepsOfAUnit = 16;

size_t SizeOf(const std::vector<OperationResult>& results) {
  size_t bytes = results.size() * sizeof(OperationResult);
  for (const OperationResult& result : results) {
    for (const ResultRow& row : result.rows) bytes += sizeof(ResultRow) + row.key.size() + row.value.size();
  }
  return bytes;
}

size_t SizeOf(const Message& message) {
  constexpr size_t kBase = 128;
  if (const auto* reply = std::get_if<OperateReply>(&message)) return kBase + SizeOf(reply->results);
  if (const auto* reply = std::get_if<VoteReply>(&message)) return kBase + SizeOf(reply->results);
  if (const auto* reply = std::get_if<OnePhaseReply>(&message)) return kBase + SizeOf(reply->results);
  return kBase;
}

// True for a message that a coordinator waits for, and that the next primary might not be able to repeat.
bool IsReply(const Message& message) {
  return std::holds_alternative<OperateReply>(message) || std::holds_alternative<BranchAborted>(message) ||
         std::holds_alternative<VoteReply>(message) || std::holds_alternative<OnePhaseReply>(message);
}

size_t SizeOf(const std::vector<Write>& writes) {
  size_t bytes = 0;
  for (const Write& write : writes) bytes += 8 + write.key.size() + (write.value ? write.value->size() : 0);
  return bytes;
}

// Near enough to the encoded size for a bound.
size_t SizeOf(const LogRecord& record) {
  constexpr size_t kBase = 96;
  if (const auto* prepared = std::get_if<Prepared>(&record)) {
    size_t bytes = kBase + SizeOf(prepared->writes) + prepared->participants.size() * 16;
    for (const ReadLock& read : prepared->read_locks) bytes += 12 + read.key.size() + read.end.size();
    return bytes;
  }
  if (const auto* committed = std::get_if<OnePhaseCommitted>(&record))
    return kBase + SizeOf(committed->writes);
  return kBase;
}

}  // namespace

Branch* ParticipantCore::FindBranch(const TxnId& txn) {
  const auto found = branches_.find(txn);
  return found == branches_.end() ? nullptr : &found->second;
}

Branch& ParticipantCore::OpenBranch(const TxnHeader& header) {
  locks_.Open(header.txn, header.age);
  Branch& branch = branches_[header.txn];
  branch.txn = header.txn;
  branch.id = BranchId{epoch_, ++branches_opened_};
  branch.age = header.age;
  branch.has_foreign = header.has_foreign;
  HearOf(branch);
  return branch;
}

void ParticipantCore::Start(Branch& branch, BranchRequest request, std::vector<Operation> operations) {
  branch.request = request;
  branch.first = branch.done + 1;
  branch.operations = std::move(operations);
  branch.next = 0;
  branch.results.clear();
  branch.result_bytes = 0;
  branch.newest_read = Lsn{};
  branch.last_reply.reset();
  auto failure = CheckLimits(branch, branch.operations);
  if (!failure && HoldsTooMuch()) {  // each call of a branch that is open already may add to it (G8)
    failure = Failure{AbortReason::kOverloaded, ToString(config_.group) + " has too much work open"};
  }
  if (failure) {
    EndBranch(branch, *failure);
    return;
  }
  branch.operation_count += static_cast<uint32_t>(branch.operations.size());
  for (const Operation& operation : branch.operations) branch.operation_bytes += assent::SizeOf(operation);
  Run(branch);
}

// Does operations until one has to wait for its lock, the step has done enough, or all are done. P1: locks
// are only ever added, and held meanwhile, so that nobody sees where a branch was cut.
void ParticipantCore::Run(Branch& branch) {
  while (branch.next < branch.operations.size()) {
    if (step_work_ >= config_.step_work_max) {
      Charge(branch);
      return MakeRunnable(branch);
    }
    const uint64_t steps = locks_.steps();
    const uint64_t bytes = branch.touched_bytes;
    if (!locks_.Acquire(branch.txn, LockFor(branch.operations[branch.next]))) {
      Charge(branch);
      WaitForLock(branch);
      return;
    }
    if (const auto failure = DoNextOperation(branch, state_.overlay())) {
      EndBranch(branch, *failure);
      return;
    }
    step_work_ += kWorkOfAnOperation + (branch.touched_bytes - bytes) / kBytesOfAUnit +
                  (locks_.steps() - steps) / kLockStepsOfAUnit;
  }
  step_work_ += branch.write_bytes / kBytesOfAUnit;  // for its record
  branch.operations.clear();
  Charge(branch);
  FinishRequest(branch);
}

void ParticipantCore::WaitForLock(Branch& branch) {
  if (locks_.waiter_count() > config_.waiters_max) {
    EndBranch(branch, Failure{AbortReason::kOverloaded,
                              "too many transactions wait for locks on " + ToString(config_.group)});
    return;
  }
  branch.waiting_since_us = std::max<uint64_t>(now_.mono_us, 1);
  ArmWorkTimer(branch);
  // P2. The holders left after this are older, or have voted and so wait for nobody. Ending a victim may
  // grant this very request: it is then runnable.
  const LockTable::Blockers blockers = locks_.BlockersOf(branch.txn);
  for (const TxnId& victim : blockers.wound) {
    Reached(locks_.IsWaiting(victim) ? Situation::kWaiterWounded : Situation::kHolderWounded);
    EndBranch(*FindBranch(victim),
              Failure{AbortReason::kWounded,
                      "an older transaction, " + ToString(branch.txn) + ", needed its locks"});
  }
  for (const TxnId& holder : blockers.request) RequestWound(*FindBranch(holder));
}

void ParticipantCore::FinishRequest(Branch& branch) {
  switch (branch.request) {
    case BranchRequest::kNone:
      ASSENT_CHECK(false, "nothing to finish", ToString(branch.txn));
      break;
    case BranchRequest::kOperate:
      branch.request = BranchRequest::kNone;
      branch.last_reply = OperateReply{branch.txn, branch.id, branch.done, std::move(branch.results)};
      branch.last_reply_after = branch.newest_read;
      branch.results.clear();
      Withhold(branch.last_reply_after, branch.txn.coordinator, branch.txn, *branch.last_reply);
      break;
    case BranchRequest::kPrepare:
      Vote(branch);
      break;
    case BranchRequest::kOnePhase:
      CommitBranch(branch);
      break;
  }
}

void ParticipantCore::MakeRunnable(Branch& branch) {
  branch.waiting_since_us = 0;
  branch.runnable = true;
  runnable_.push_back(branch.txn);
}

void ParticipantCore::RunRunnable() {
  while (!runnable_.empty() && step_work_ < config_.step_work_max) {
    Branch* branch = FindBranch(runnable_.front());
    runnable_.pop_front();
    if (branch == nullptr || !branch->runnable) continue;  // ended since; or ended, opened again, and run
    branch->runnable = false;
    Run(*branch);
  }
}

void ParticipantCore::EndBranch(Branch& branch, const Failure& failure) {
  ASSENT_CHECK(branch.state == BranchState::kWorking, "P4", ToString(branch.txn));
  switch (branch.request) {
    case BranchRequest::kNone:
    case BranchRequest::kOperate:
      Emit(branch.txn.coordinator, BranchAborted{branch.txn, failure.reason, failure.detail});
      break;
    case BranchRequest::kPrepare:
      VoteNo(branch.txn, failure);
      break;
    case BranchRequest::kOnePhase: {
      std::vector<TokenJoiner> askers = branch.joiners;
      askers.push_back(TokenJoiner{branch.txn, branch.one_phase->attempt});
      RefuseAttempts(branch.one_phase->token, branch.one_phase->acked_below, askers, failure);
      break;
    }
  }
  Remember(branch.txn, failure);
  DropBranch(branch);
}

void ParticipantCore::DropBranch(Branch& branch) {
  const TxnId txn = branch.txn;
  const uint64_t steps = locks_.steps();
  for (const TxnId& granted : locks_.Close(txn)) MakeRunnable(*FindBranch(granted));
  step_work_ += (locks_.steps() - steps) / kLockStepsOfAUnit;
  work_timers_.Cancel(txn);
  inquiry_timers_.Cancel(txn);
  wound_timers_.Cancel(txn);
  if (branch.one_phase) {
    const Token& token = branch.one_phase->token;
    const auto live = live_tokens_.find(TokenId{token.coordinator, token.client, token.seq});
    if (live != live_tokens_.end() && live->second == txn) live_tokens_.erase(live);
  }
  work_bytes_ -= branch.charged_bytes;
  branches_.erase(txn);
}

// So that a late message of an ended branch is not taken for its beginning, and its coordinator hears the
// reason. A comfort, bounded: without the memory, a message in mid-branch is answered kBranchLost, and a
// first one opens another branch, which no later message of the transaction names (P3).
void ParticipantCore::Remember(const TxnId& txn, Failure failure) {
  if (!ended_.insert_or_assign(txn, std::move(failure)).second) return;
  ended_order_.push_back(txn);
  if (ended_order_.size() <= config_.ended_max) return;
  ended_.erase(ended_order_.front());
  ended_order_.pop_front();
}

void ParticipantCore::ArmWorkTimer(const Branch& branch) {
  uint64_t due = branch.ask_us;
  if (branch.has_foreign && branch.waiting_since_us != 0) {
    due = std::min(due, branch.waiting_since_us + config_.lock_timeout_us);
  }
  work_timers_.Set(branch.txn, due);
}

void ParticipantCore::Charge(Branch& branch) {
  work_bytes_ -= branch.charged_bytes;
  branch.charged_bytes = kBranchBaseBytes + branch.operation_bytes + branch.write_bytes + branch.result_bytes;
  work_bytes_ += branch.charged_bytes;
}

bool ParticipantCore::IsOverloaded() const {
  return branches_.size() >= config_.branches_max || HoldsTooMuch() || TakesNoWrites();
}

bool ParticipantCore::HoldsTooMuch() const {
  return work_bytes_ + withheld_bytes_ > config_.work_bytes_max;
}

bool ParticipantCore::TakesNoWrites() const {
  return unreplicated_bytes_ > config_.unreplicated_bytes_max ||
         state_.overlay().bytes() > config_.overlay_bytes_max;
}

// Refusals are small, and answers that clients wait for, so they may go on for a while when
// the store is behind.
bool ParticipantCore::IsLogFull() const {
  return unreplicated_bytes_ > config_.unreplicated_bytes_max ||
         state_.overlay().bytes() > 2 * config_.overlay_bytes_max;
}

Lsn ParticipantCore::Append(LogRecord record) {
  const Lsn lsn = Next(last_lsn());
  state_.Apply(lsn, record);
  unreplicated_.emplace_back(lsn, SizeOf(record));
  unreplicated_bytes_ += unreplicated_.back().second;
  effects_->push_back(assent::Append{lsn, std::move(record)});
  return lsn;
}

void ParticipantCore::Emit(GroupId to, Message message) {
  if (IsReply(message)) ++replies_[to].said;
  effects_->push_back(Send{to, std::move(message)});
}

// R1: the message leaves once the record is replicated, which may be now.
void ParticipantCore::Withhold(Lsn lsn, GroupId to, const TxnId& txn, Message message) {
  if (lsn <= replicated_) {
    Emit(to, std::move(message));
    return;
  }
  const WithheldKey key(lsn, to, message.index(), txn);
  // G8: a peer that misses an answer asks again.
  if (withheld_bytes_ > config_.work_bytes_max && !withheld_.contains(key)) return;
  WithheldMessage& place = withheld_[key];
  withheld_bytes_ -= place.bytes;
  place.bytes = SizeOf(message);
  withheld_bytes_ += place.bytes;
  place.message = std::move(message);
}

void ParticipantCore::ReportDamage(std::string text) {
  effects_->push_back(Report{std::move(text), false});
}

// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t ParticipantCore::Jitter(uint64_t range_us) {
  uint64_t z = jitter_state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return range_us == 0 ? 0 : z % range_us;
}

void ParticipantCore::CheckInvariants() const {
  state_.CheckInvariants();
  locks_.CheckInvariants();
  if (!serving()) {
    ASSENT_CHECK(branches_.empty() && locks_.owner_count() == 0 && withheld_.empty());
    return;
  }
  ASSENT_CHECK(replicated_ <= last_lsn());
  const std::set<TxnId> in_turn(runnable_.begin(), runnable_.end());
  ASSENT_CHECK(locks_.owner_count() == branches_.size(), "lock owners", locks_.owner_count(),
               branches_.size());
  size_t prepared = 0;
  size_t committing = 0;
  size_t charged = 0;
  for (const auto& [txn, branch] : branches_) {
    ASSENT_CHECK(txn == branch.txn && locks_.Has(txn));
    charged += branch.charged_bytes;
    CheckBranch(branch);
    ASSENT_CHECK(!branch.runnable || in_turn.contains(txn), "never runs", ToString(txn));
    prepared += branch.state == BranchState::kPrepared ? 1u : 0u;
    committing += branch.state == BranchState::kCommitting ? 1u : 0u;
  }
  ASSENT_CHECK(prepared == state_.in_doubt().size(), "prepared", prepared, state_.in_doubt().size());  // I-L1
  ASSENT_CHECK(committing == committing_.size());
  ASSENT_CHECK(charged == work_bytes_, "work bytes", charged, work_bytes_);
  ASSENT_CHECK(ended_.size() == ended_order_.size() && ended_.size() <= config_.ended_max);
  for (const auto& [token, txn] : live_tokens_) ASSENT_CHECK(branches_.at(txn).one_phase.has_value());
  for (const auto& [key, message] : withheld_) ASSENT_CHECK(std::get<Lsn>(key) > replicated_);  // R1
}

void ParticipantCore::CheckBranch(const Branch& branch) const {
  const bool waiting = locks_.IsWaiting(branch.txn);
  switch (branch.state) {
    case BranchState::kWorking:
      ASSENT_CHECK(waiting == (branch.waiting_since_us != 0), "waiting", ToString(branch.txn));
      ASSENT_CHECK(!(waiting && branch.runnable) &&
                       (waiting || branch.runnable) == (branch.request != BranchRequest::kNone),
                   "open request", ToString(branch.txn));
      ASSENT_CHECK(work_timers_.Has(branch.txn) && !state_.in_doubt().contains(branch.txn));
      break;
    case BranchState::kPrepared: {
      ASSENT_CHECK(!waiting && inquiry_timers_.Has(branch.txn) && !work_timers_.Has(branch.txn));  // P4
      const auto record = state_.in_doubt().find(branch.txn);
      ASSENT_CHECK(record != state_.in_doubt().end() && record->second.lsn == branch.prepared_lsn);
      // I-L1: its locks are those that its record names.
      const std::vector<Lock> held = locks_.HeldBy(branch.txn);
      size_t exclusive = 0;
      for (const Lock& lock : held) exclusive += lock.mode == LockMode::kExclusive ? 1u : 0u;
      ASSENT_CHECK(exclusive == record->second.record.writes.size(), "write locks", ToString(branch.txn));
      ASSENT_CHECK(held.size() - exclusive == record->second.record.read_locks.size(), ToString(branch.txn));
      break;
    }
    case BranchState::kCommitting:
      ASSENT_CHECK(!waiting && !work_timers_.Has(branch.txn) && branch.one_phase.has_value());
      break;
  }
}

}  // namespace assent::participant
