#include <algorithm>
#include <utility>

#include "common/xid.h"
#include "coordinator/coordinator.h"

// Resource managers where the application itself works, prepares and ends its branches: enlisting (F1), and
// who finishes (F4).
namespace assent::coordinator {

void CoordinatorCore::OnEnlist(RequestId id, const Enlist& request) {
  Transaction* txn = FindOpen(id, request.txn, request.key);
  if (txn == nullptr) return;
  if (txn->state != TxnState::kActive) return RefuseBusy(id, *txn);
  if (RefusedEnlisting(id, txn->id, txn->enlisted, {request.resource_manager})) return;
  EnlistIn(*txn, request.resource_manager);
  KeepOpen(*txn);
  AnswerCall(id, EnlistedBranch{request.resource_manager, kOnlyBranch});
}

bool CoordinatorCore::RefusedEnlisting(RequestId id, const TxnId& txn, const std::set<std::string>& enlisted,
                                       const std::vector<std::string>& names) {
  std::set<std::string> all = enlisted;
  std::optional<std::string> problem;
  std::optional<std::string> overload;
  for (const std::string& name : names) {
    if (!problem) problem = ProblemOfManager(name, config_.resource_managers);
    if (all.insert(name).second && !overload) overload = ForeignOverload(name);
  }
  if (!problem && all.size() > config_.limits.foreign_per_txn_max) {
    problem = "too many resource managers in one transaction; enlist at most " +
              std::to_string(config_.limits.foreign_per_txn_max);
  }
  if (!problem && !all.empty() && !HasXid(txn)) {
    problem = "transaction " + ToString(txn) + " has no xid: its numbers do not fit 64 bytes";
  }
  if (problem) {
    Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  } else if (overload) {
    Refuse(id, RefusalCode::kOverloaded, std::move(*overload));
  }
  return problem || overload;
}

// F1: from now on shards bound the lock waits of this transaction (P2): it may hold locks that they do not
// see.
void CoordinatorCore::EnlistIn(Transaction& txn, const std::string& name) {
  if (!txn.enlisted.insert(name).second) return;
  txn.has_foreign = true;
  CountOpen(name, 1);
}

// Idle from now on.
void CoordinatorCore::KeepOpen(Transaction& txn) {
  SetDeadline(txn, std::min(now_.mono_us + txn.idle_us, txn.begun_us + txn.life_us));
}

void CoordinatorCore::OnKeepAlive(RequestId id, const KeepAlive& request) {
  Transaction* txn = FindOpen(id, request.txn, request.key);
  if (txn == nullptr) return;
  if (txn->state != TxnState::kActive && txn->state != TxnState::kWorking) return RefuseBusy(id, *txn);
  if (txn->state == TxnState::kActive) KeepOpen(*txn);  // while work runs it does not idle
  AnswerCall(id, KeptAlive{});
}

void CoordinatorCore::OnFinished(RequestId id, const Finished& request) {
  const std::string name = ToString(request.txn);
  // Only of this process' own: keys of others are not known, and anybody could end what they decided.
  const bool owner = request.txn.epoch == epoch_ && IsOwner(request.txn, request.key);
  Transaction* txn = owner ? Find(request.txn) : nullptr;
  if (txn != nullptr) {
    if (auto problem = ProblemOfFinished(request, *txn)) {
      return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
    }
    Branch& branch = *BranchAt(*txn, ParticipantId{GroupId{}, request.resource_manager});
    if (branch.state == BranchState::kAsked) Acknowledge(*txn, branch);
    return AnswerCall(id, FinishNoted{});
  }
  const auto recent = owner ? recent_.find(request.txn) : recent_.end();
  if (recent != recent_.end() && recent->second.outcome == Outcome::kAborted &&
      request.decision == Decision::kCommit) {
    return Refuse(id, RefusalCode::kInvalid,
                  "transaction " + name + " was aborted; no branch of it may commit");
  }
  Refuse(id, RefusalCode::kNoSuchTxn, "transaction " + name + " has ended, or is not remembered here");
}

// What the application may end is decided here, and is not what it says that it did.
std::optional<std::string> CoordinatorCore::ProblemOfFinished(const Finished& request,
                                                              const Transaction& txn) const {
  const std::string name = "transaction " + ToString(txn.id);
  const bool commits = request.decision == Decision::kCommit;
  if (txn.state == TxnState::kPhaseTwo && !commits) {
    return name + " is committed; commit the branch, which cannot be rolled back";
  }
  if (txn.state == TxnState::kAborting && commits) {
    return name + " was aborted; no branch of it may commit";
  }
  if (txn.state != TxnState::kPhaseTwo && txn.state != TxnState::kAborting) {
    return name + " is " + std::string(ToString(txn.state)) + "; it is not decided how its branches end";
  }
  const bool known = std::any_of(txn.branches.begin(), txn.branches.end(), [&](const Branch& branch) {
    return branch.by_application && branch.participant.foreign == request.resource_manager;
  });
  if (!known || request.branch != kOnlyBranch) {
    return name + " has no branch " + std::to_string(request.branch) + " at resource manager '" +
           request.resource_manager + "' that the application reported";
  }
  return std::nullopt;
}

// F4: the application was just told, and ends what it prepared on its own connections. Where somebody waits
// for the end, or so much is aborting that each is told once, it is not left to it.
bool CoordinatorCore::IsLeftToApplication(const Transaction& txn, const Branch& branch) const {
  if (!branch.by_application) return false;
  return txn.state == TxnState::kPhaseTwo ? !txn.finish_at_once : aborting_ <= config_.limits.aborting_max;
}

// COMMITTED, for a client that waits for what follows.
void CoordinatorCore::HoldUntilFinished(RequestId id, Transaction& txn, Ending ending, uint64_t wait_us) {
  if (txn.state != TxnState::kPhaseTwo || draining_) {
    ending.finished = txn.state != TxnState::kPhaseTwo;  // its only participant has committed, or none wrote
    return AnswerCall(id, std::move(ending));
  }
  const uint64_t until_us = now_.mono_us + std::min(wait_us, kFinishedWaitMaxUs);
  finish_waits_.emplace(id, FinishWait{txn.id, until_us, std::move(ending)});
  finish_deadlines_.emplace(until_us, id);
  txn.finish_waiters.push_back(id);
  if (std::exchange(txn.finish_at_once, true)) return;
  for (const Branch& branch : txn.branches) {
    if (branch.by_application && branch.state == BranchState::kAsked && branch.resends == 0) {
      resends_.ScheduleAt(branch.participant, txn.id, now_.mono_us);
    }
  }
}

void CoordinatorCore::AnswerFinishWaiter(RequestId id, bool finished) {
  FinishWait wait = std::move(finish_waits_.extract(id).mapped());
  finish_deadlines_.erase({wait.until_us, id});
  std::erase(Find(wait.txn)->finish_waiters, id);
  wait.ending.finished = finished;
  AnswerCall(id, std::move(wait.ending));
}

void CoordinatorCore::AnswerFinishWaiters(Transaction& txn, bool finished) {
  while (!txn.finish_waiters.empty()) AnswerFinishWaiter(txn.finish_waiters.back(), finished);
}

void CoordinatorCore::ExpireFinishWaits() {
  while (!finish_deadlines_.empty() && finish_deadlines_.begin()->first <= now_.mono_us) {
    AnswerFinishWaiter(finish_deadlines_.begin()->second, false);
  }
}

}  // namespace assent::coordinator
