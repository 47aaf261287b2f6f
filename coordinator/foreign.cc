#include <algorithm>
#include <utility>

#include "common/check.h"
#include "coordinator/coordinator.h"

// Foreign resource managers: plain request and response, one call a branch at a time, and a scan for what
// they hold in doubt, since they do not ask by themselves.
namespace assent::coordinator {
namespace {

// Of one scan: the next finds the rest.
constexpr size_t kOrphansPerScan = 256;

}  // namespace

void CoordinatorCore::CallForeignFor(Transaction& txn, Branch& branch) {
  CallForeign call{branch.peer.foreign, ForeignVerb::kRollback, txn.id, ""};
  if (txn.state == TxnState::kPreparing) {
    call.verb = ForeignVerb::kPrepare;
    call.payload = branch.payload;
  } else if (txn.state == TxnState::kPhaseTwo) {
    call.verb = ForeignVerb::kCommit;
  } else {
    ASSENT_CHECK(txn.state == TxnState::kAborting, txn.state);
  }
  effects_->push_back(std::move(call));
  // Its answer schedules the next, if one is needed. Without any the call is lost.
  resends_.ScheduleAt(branch.peer, txn.id, now_.mono_us + config_.times.foreign_call_us);
}

void CoordinatorCore::OnForeignReply(const ForeignReply& reply) {
  if (reply.verb == ForeignVerb::kRecover) return OnRecovered(reply);
  Transaction* txn = Find(reply.txn);
  Branch* branch = txn == nullptr ? nullptr : BranchAt(*txn, Peer{GroupId{}, reply.resource_manager});
  const bool prepare = reply.verb == ForeignVerb::kPrepare;
  if (prepare && (txn == nullptr || txn->state == TxnState::kAborting)) {
    // A late yes: the rollback may have overtaken it. (With the branch listed it is told again below.)
    if (txn == nullptr && reply.reached && reply.vote == Vote::kYes &&
        reply.txn.coordinator == config_.group && reply.txn.epoch == epoch_) {
      effects_->push_back(CallForeign{reply.resource_manager, ForeignVerb::kRollback, reply.txn, ""});
    } else if (branch != nullptr && branch->state == BranchState::kAsked) {
      resends_.ScheduleAfter(branch->peer, txn->id, now_.mono_us, 0);
    }
    return;
  }
  if (branch == nullptr || branch->state != BranchState::kAsked) return;
  const TxnState asked = prepare                              ? TxnState::kPreparing
                         : reply.verb == ForeignVerb::kCommit ? TxnState::kPhaseTwo
                                                              : TxnState::kAborting;
  if (txn->state != asked) return;
  if (!prepare && reply.reached && !reply.done && !branch->reported) {
    branch->reported = true;
    effects_->push_back(Report{"resource manager " + reply.resource_manager + " does not " +
                                   (reply.verb == ForeignVerb::kCommit ? "commit " : "roll back ") +
                                   ToString(txn->id) + ", as was decided: " + reply.detail +
                                   ". It is asked again; see `assent txn show " + ToString(txn->id) + "`",
                               false});
  }
  if (!reply.reached ||
      (!prepare && !reply.done)) {  // may or may not have run: again, until the vote timeout (C7)
    return resends_.ScheduleAfter(branch->peer, txn->id, now_.mono_us, branch->resends);
  }
  if (!prepare) return Acknowledge(*txn, *branch);
  TakeVote(*txn, *branch, reply.vote, AbortReason::kForeignRefused, reply.detail);
}

// P - A - T: of what is prepared there, neither what is live here nor what is committed is rolled back. The
// scan began before we look at A and T, so what ended meanwhile is left out too.
void CoordinatorCore::OnRecovered(const ForeignReply& reply) {
  const auto found = scans_.find(reply.resource_manager);
  if (found == scans_.end() || !found->second.running) return;
  ForeignScan& scan = found->second;
  scan.running = false;
  scan.next_us = now_.mono_us + config_.times.foreign_scan_us;
  const std::set<TxnId> ended = std::move(scan.ended);
  scan.ended.clear();
  if (!reply.reached) return;
  // Ascending, and from where the last scan left off: those that cannot be ended do not hide the others.
  std::set<TxnId> listed(reply.prepared.begin(), reply.prepared.end());
  const auto from = listed.upper_bound(scan.asked_up_to);
  std::vector<TxnId> prepared(from, listed.end());
  prepared.insert(prepared.end(), listed.begin(), from);
  size_t calls = 0;
  for (const TxnId& id : prepared) {
    if (id.coordinator != config_.group || id >= NextId()) continue;  // C3: nor what a higher epoch began
    const Transaction* txn = Find(id);
    if (txn != nullptr && txn->state != TxnState::kAborting && txn->state != TxnState::kPhaseTwo) continue;
    if (ended.contains(id) || ending_.contains(id)) continue;  // R1: its END may yet be lost
    if (++calls > kOrphansPerScan) return;
    scan.asked_up_to = id;
    const bool committed = txn != nullptr && txn->state == TxnState::kPhaseTwo;
    effects_->push_back(CallForeign{reply.resource_manager,
                                    committed ? ForeignVerb::kCommit : ForeignVerb::kRollback, id, ""});
  }
}

}  // namespace assent::coordinator
