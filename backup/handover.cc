// An operator's change of the primary. The old one lets its open work end, gives its lease up, and only then
// tells the backup, which proposes itself (R3): whoever makes a view waits the old lease out, or is handed it
// (R5). So no moment is lost to a grace period, and no transaction to the change.

#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/coverage.h"

namespace assent::backup {

void ReplicationCore::Promote(const OperatorChange& event) {
  const NodeId node = event.member.node;
  const Member* named = view_->Find(node);
  if (node == config_.self) {
    Emit(OperatorReply{event.id, Status()});  // a repeated command
  } else if (named == nullptr) {
    Refuse(event.id, StatusCode::kNotFound,
           ToString(node) + " is no backup of " + ToString(config_.group) + "; add-replica " +
               ToString(node) + " first");
  } else if (!leading_->serving) {
    Refuse(event.id, StatusCode::kUnavailable, "the group does not serve yet (R4); try again later");
  } else {
    Change change;
    change.id = event.id;
    change.kind = event.kind;
    change.member = *named;
    change.drain_until_us = now_us_ + event.drain_us;
    change.force = event.force;
    BeginPromoting(change);
  }
}

void ReplicationCore::BeginPromoting(const Change& change) {
  leading_->change = change;
  Emit(Drain{true});
}

void ReplicationCore::On(const Drained&) {
  if (!IsPromoting()) return;
  leading_->change->drained = true;
  HandOverIfQuiet();
}

// The role core's messages from before it was quiet are on their way, and its records are replicated. Those
// withheld since are lost with the lease, and the next leader can send them again.
void ReplicationCore::HandOverIfQuiet() {
  if (IsPromoting() && leading_->change->drained && replicated_ == last_.lsn) GiveUpLease();
}

void ReplicationCore::GiveUpLease() {
  if (ViewIsChanging()) return;
  leading_->handed_over_us = now_us_;
  waiting_for_ = ToString(leading_->change->member.node) + " to take the lead";
  SendHandOver();
}

void ReplicationCore::SendHandOver() {
  if (leading_->handed_over_us == 0 || directory_.proposed()) return;
  Emit(SendTo{leading_->change->member.node, epoch(), HandOver{}});
}

void ReplicationCore::OnHandOver(NodeId from) {
  if (role_ == Role::kPrimary) return NoteLeaving(from);
  if (role_ != Role::kBackup || from != view_->primary || ViewIsChanging() || !MayPropose()) return;
  if (IsDiskDead()) return;  // R11
  Reached(Situation::kHandedOver);
  ProposeToLead(view_->Successor());
}

uint64_t ReplicationCore::HandOverDeadline() const {
  if (!IsPromoting() || directory_.proposed() || directory_.entering()) return UINT64_MAX;
  if (leading_->handed_over_us == 0) return leading_->change->drain_until_us;
  return std::max(leading_->handed_over_us + kHandOverUs, directory_.next_propose_us());
}

void ReplicationCore::TickHandOver() {
  if (now_us_ < HandOverDeadline()) return;
  if (leading_->handed_over_us != 0) {
    // The lease of this epoch is gone for good, since the backup may still act on what it was told. Which of
    // the two views is made the directory decides (R3).
    Reached(Situation::kHandOverTakenBack);
    Propose(view_->Successor());
  } else if (leading_->change->force) {
    GiveUpLease();
  } else {
    Reached(Situation::kDrainGivenUp);
    EndChange(Status(
        StatusCode::kUnavailable,
        "transactions that are open on " + ToString(config_.group) +
            " did not end in time; nothing was changed. `assent txn list` shows them. Wait longer, or " +
            "use --force, which ends them"));
  }
}

}  // namespace assent::backup
