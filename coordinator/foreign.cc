#include <algorithm>
#include <iterator>
#include <utility>

#include "common/check.h"
#include "common/mutant.h"
#include "coordinator/coordinator.h"

// Foreign resource managers: plain request and response, one call a branch at a time, and a scan for what
// they hold in doubt, since they do not ask by themselves.
namespace assent::coordinator {
namespace {

// Orphans ended by one scan: the next finds the rest.
constexpr size_t kOrphansPerScan = 256;

// The request to a resource manager that it did not fulfil.
std::string WhatIsMissing(const ForeignReply& reply) {
  switch (reply.verb) {
    case ForeignVerb::kPrepare:
      return "does not vote on " + ToString(reply.txn);
    case ForeignVerb::kCommit:
      return "does not commit " + ToString(reply.txn) + ", as was decided";
    case ForeignVerb::kRollback:
      return "does not roll back " + ToString(reply.txn) + ", as was decided";
    case ForeignVerb::kRecover:
      return "does not say what it holds in doubt";
  }
  return "?";
}

}  // namespace

void CoordinatorCore::CallForeignFor(Transaction& txn, Branch& branch) {
  CallForeign call{branch.participant.foreign, ForeignVerb::kRollback, txn.id};
  if (txn.state == TxnState::kPreparing) {
    call.verb = ForeignVerb::kPrepare;
    call.payload = branch.payload;
  } else if (txn.state == TxnState::kPhaseTwo) {
    call.verb = ForeignVerb::kCommit;
    branch.may_have_committed = branch.may_have_committed || branch.is_called;
    branch.is_called = true;
  } else {
    ASSENT_CHECK(txn.state == TxnState::kAborting, txn.state);
  }
  if (call.verb != ForeignVerb::kPrepare) {
    // Whose session holds the branch is told, so that it is ended, only once the branch was not to be had:
    // its application may be about to end it.
    if (!branch.trouble.empty()) call.holder = branch.holder;
    call.evidence = branch.evidence;
  }
  effects_->push_back(std::move(call));
  // Its answer schedules the next, if one is needed. Without any the call is lost.
  resends_.ScheduleAt(branch.participant, txn.id, now_.mono_us + config_.times.foreign_call_us);
}

void CoordinatorCore::OnForeignReply(const ForeignReply& reply) {
  const bool prepare = reply.verb == ForeignVerb::kPrepare;
  const bool recover = reply.verb == ForeignVerb::kRecover;
  const bool usable = reply.reached && (prepare || recover || reply.answer == ForeignAnswer::kDone ||
                                        reply.answer == ForeignAnswer::kAbsent);
  Manager& manager = managers_[reply.resource_manager];
  manager.trouble = usable ? "" : reply.detail;
  if (!reply.reached) ReportSilence(manager, reply);
  if (recover) return OnRecovered(reply);

  Transaction* txn = Find(reply.txn);
  Branch* branch =
      txn == nullptr ? nullptr : BranchAt(*txn, ParticipantId{GroupId{}, reply.resource_manager});
  if (prepare && (txn == nullptr || txn->state == TxnState::kAborting)) {
    // A late yes: the rollback may have overtaken it. (With the branch listed it is told again below.)
    if (txn == nullptr && reply.reached && reply.vote == Vote::kYes &&
        reply.txn.coordinator == config_.group && reply.txn.epoch == epoch_) {
      effects_->push_back(CallForeign{reply.resource_manager, ForeignVerb::kRollback, reply.txn});
    } else if (branch != nullptr && branch->state == BranchState::kAsked) {
      resends_.ScheduleAfter(branch->participant, txn->id, now_.mono_us, 0);
    }
    return;
  }
  // An orphan that cannot be ended shows nowhere else.
  if (txn == nullptr && !usable && reply.reached) {
    ReportContradiction(manager, reply.resource_manager,
                        WhatIsMissing(reply) + ": " + reply.detail + ". It is told again with each scan");
  }
  if (branch == nullptr || branch->state != BranchState::kAsked) return;
  const TxnState asked = prepare                              ? TxnState::kPreparing
                         : reply.verb == ForeignVerb::kCommit ? TxnState::kPhaseTwo
                                                              : TxnState::kAborting;
  if (txn->state != asked) return;
  if (prepare) return OnForeignVote(*txn, *branch, reply);
  branch->is_called = false;
  branch->may_have_committed = branch->may_have_committed || (!reply.reached && !reply.unsent);
  if (IsSettled(*txn, *branch, reply)) {
    stats_.assumed_commits += txn->state == TxnState::kPhaseTwo && reply.answer == ForeignAnswer::kAbsent;
    return Acknowledge(*txn, *branch);
  }
  branch->trouble = reply.detail;
  // G7: each once, at the pace of reports. One that is busy will be done.
  if (reply.reached && reply.answer != ForeignAnswer::kBusy && !branch->reported) {
    branch->reported =
        ReportContradiction(manager, reply.resource_manager,
                            WhatIsMissing(reply) + ": " + reply.detail +
                                ". It is asked again; see `assent txn show " + ToString(txn->id) + "`");
  }
  resends_.ScheduleAfter(branch->participant, txn->id, now_.mono_us, branch->resends);
}

// F6: the branch ended as was decided. One that is not there was rolled back, or never was; told to commit,
// it has committed if anybody may have told it so before: the application, an earlier process, or a call of
// ours without an answer.
bool CoordinatorCore::IsSettled(const Transaction& txn, const Branch& branch, const ForeignReply& reply) {
  if (!reply.reached) return false;
  if (reply.answer != ForeignAnswer::kAbsent) return reply.answer == ForeignAnswer::kDone;
  const bool from_the_log = txn.begun_us == 0;
  return txn.state == TxnState::kAborting || branch.by_application || from_the_log ||
         branch.may_have_committed;
}

void CoordinatorCore::OnForeignVote(Transaction& txn, Branch& branch, const ForeignReply& reply) {
  if (reply.reached) {
    return TakeVote(txn, branch, reply.vote, AbortReason::kForeignRefused,
                    reply.resource_manager + (reply.detail.empty() ? " voted no" : ": " + reply.detail));
  }
  branch.trouble = reply.detail;
  branch.may_have_prepared = branch.may_have_prepared || !reply.unsent;
  // C7: the vote may be on its way, and is waited for until the vote timeout; but not where it cannot be.
  if (!branch.may_have_prepared && branch.resends + 1 >= config_.times.unsent_prepares_max) {
    return Abort(txn, AbortReason::kVoteTimeout, NoAnswerFrom(branch, "vote"));
  }
  resends_.ScheduleAfter(branch.participant, txn.id, now_.mono_us, branch.resends);
}

// P - A - T: of what is prepared there, neither what is live here nor what is committed is rolled back (C3).
// The scan began before we look at A and T, so what was acknowledged meanwhile is left out, too.
void CoordinatorCore::OnRecovered(const ForeignReply& reply) {
  const std::string& name = reply.resource_manager;
  Manager& manager = managers_[name];
  if (!manager.scanning) return;
  manager.scanning = false;
  manager.next_scan_us = now_.mono_us + config_.times.foreign_scan_us;
  if (!reply.reached) return;
  // Ascending, and from where the last scan left off: those that cannot be ended do not hide the others.
  std::set<TxnId> listed(reply.prepared.begin(), reply.prepared.end());
  const auto from = listed.upper_bound(manager.asked_up_to);
  std::vector<TxnId> prepared(from, listed.end());
  prepared.insert(prepared.end(), listed.begin(), from);
  const std::set<TxnId> listed_before = std::exchange(manager.listed, {});
  std::copy_if(listed.begin(), listed.end(), std::inserter(manager.listed, manager.listed.end()),
               [this](const TxnId& id) { return id.coordinator == config_.group && id.epoch == epoch_; });
  size_t calls = 0;
  for (const TxnId& id : prepared) {
    if (id.coordinator != config_.group) continue;
    const std::string lists = "lists " + ToString(id) + " as prepared, which ";
    if (id >= NextId()) {  // C3: what a higher epoch began is not ours to presume
      ReportContradiction(manager, name,
                          lists + "this coordinator has not begun: a later one has, or " +
                              "another cluster of the same name. It is left alone");
      continue;
    }
    Transaction* txn = Find(id);
    const bool live = txn != nullptr && (IsUndecided(txn->state) || txn->state == TxnState::kCommitting);
    if (live && !Mutated(Mutant::kLiveBranchRolledBack)) continue;
    const bool committed = txn != nullptr && txn->state == TxnState::kPhaseTwo;
    const Branch* branch = committed ? BranchAt(*txn, ParticipantId{GroupId{}, name}) : nullptr;
    const auto done = Mutated(Mutant::kEndedMeanwhileRolledBack) ? manager.acknowledged.end()
                                                                 : manager.acknowledged.find(id);
    if (done != manager.acknowledged.end() && done->second >= manager.scan_begun_us) continue;
    if (branch != nullptr && branch->state == BranchState::kAsked) continue;  // it is being told
    ForeignVerb verb = ForeignVerb::kRollback;
    if (branch != nullptr || done != manager.acknowledged.end()) {
      verb = ForeignVerb::kCommit;
      ReportContradiction(manager, name,
                          lists + "it acknowledged as committed: was it restored from an " +
                              "older copy? It is told to commit again. Others that it forgot " +
                              "may be more than this coordinator remembers: those are rolled " + "back");
    } else if (ending_.contains(id)) {
      continue;  // R1: its END may yet be lost
    } else if (id.epoch == epoch_ && !listed_before.contains(id)) {
      continue;              // F4: what this process began, its application may be about to roll back
    } else if (committed) {  // without its vote
      ReportContradiction(manager, name, lists + "is committed without it. It is rolled back there");
    }
    if (++calls > kOrphansPerScan) return;
    manager.asked_up_to = id;
    effects_->push_back(CallForeign{name, verb, id});
  }
}

// Unreachable, or without a usable answer. Not a line for each call of a resource manager that is down.
void CoordinatorCore::ReportSilence(Manager& manager, const ForeignReply& reply) {
  uint64_t& next_us = manager.next_silence_report_us[reply.verb];
  if (now_.mono_us < next_us) return;
  next_us = now_.mono_us + config_.times.report_us;
  effects_->push_back(Report{"resource manager " + reply.resource_manager + " " + WhatIsMissing(reply) +
                                 ": " + reply.detail + ". It is asked again; " +
                                 std::to_string(manager.open) +
                                 " transactions wait for it, see `assent txn list`",
                             false});
}

// It says what cannot be. False: not now, so soon after the last report.
bool CoordinatorCore::ReportContradiction(Manager& manager, const std::string& name,
                                          const std::string& what) {
  if (now_.mono_us < manager.next_contradiction_report_us) return false;
  manager.next_contradiction_report_us = now_.mono_us + config_.times.report_us;
  effects_->push_back(Report{"resource manager " + name + " " + what, false});
  return true;
}

void CoordinatorCore::RememberAcknowledged(const std::string& name, const TxnId& txn) {
  Manager& manager = managers_[name];
  if (!manager.acknowledged.insert_or_assign(txn, now_.mono_us).second) return;
  manager.acknowledged_order.push_back(txn);
  if (manager.acknowledged_order.size() <= config_.limits.recent_acknowledged) return;
  const auto oldest = manager.acknowledged.find(manager.acknowledged_order.front());
  // The scan that runs may list it, and it would be taken for an orphan: the scan's answer is dropped.
  if (oldest->second >= manager.scan_begun_us) manager.scanning = false;
  manager.acknowledged.erase(oldest);
  manager.acknowledged_order.pop_front();
}

void CoordinatorCore::CountOpen(const Branch& branch, int change) {
  if (branch.participant.is_foreign()) CountOpen(branch.participant.foreign, change);
}

void CoordinatorCore::CountOpen(const std::string& name, int change) {
  size_t& open = managers_[name].open;
  ASSENT_CHECK(change > 0 || open > 0, name);
  open = change > 0 ? open + 1 : open - 1;
}

}  // namespace assent::coordinator
