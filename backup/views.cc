// What follows from the directory's answers: which view a ReplicationCore acts in, what it is in that view,
// and how a restarted primary gets an epoch of its own (R3). Which answers those are is known to its
// DirectoryDialogue. The directory is what PacificA calls the configuration manager.

#include <algorithm>
#include <memory>
#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/records.h"
#include "common/view_text.h"

namespace assent::backup {

void ReplicationCore::On(const ViewUnread&) {
  directory_.OnUnread(now_us_);
  if (!view_ && !directory_.entering()) waiting_for_ = "the directory, which cannot be read";
}

void ReplicationCore::On(const ViewRead& event) {
  if (std::string why = directory_.OnRead(event, view_, *effects_); !why.empty()) {
    return BecomeHalted(std::move(why));
  }
  const Epoch before = epoch();
  if (!event.view) {
    FoundGroup(event);
  } else if (event.view->epoch > before) {
    Adopt(*event.view);
  }
  const bool waiting = role_ == Role::kStarting || directory_.proposed() || epoch() != before;
  const bool lone = leading_ && view_->members.size() == 1;
  directory_.ReadAt(now_us_ + (waiting ? kReadWaitingUs : lone ? kLoneReadUs : kReadSettledUs));
  AdvanceReplicated();  // R5: what waited for the lease of a primary without backups
}

// No view yet: a new group. Its members register, and the configured primary proposes the first view
// once all have.
void ReplicationCore::FoundGroup(const ViewRead& event) {
  if (config_.self != config_.initial_primary) {
    waiting_for_ = ToString(config_.initial_primary) + " to found the group";
    return;
  }
  View first{config_.group, event.first_epoch, config_.self, config_.life, {}, {}};
  for (const NodeId node : config_.initial_members) {
    const auto found = std::find_if(event.registered.begin(), event.registered.end(),
                                    [&](const Member& member) { return member.node == node; });
    if (found == event.registered.end() ||
        (node == config_.self && found->incarnation != config_.incarnation)) {
      waiting_for_ = ToString(node) + " to register with the directory";
      return;
    }
    first.members.push_back(*found);
  }
  std::sort(first.members.begin(), first.members.end());
  if (const Status status = ValidateView(first); !status.ok()) {
    BecomeHalted("the configured members make no view: " + status.message());
    return;
  }
  // As with any other proposal, one that was not answered is repeated as it was.
  Propose(directory_.proposed().value_or(first));
}

void ReplicationCore::Propose(View view, bool planned) {
  waiting_for_ = "the directory to accept " + Brief(view);
  directory_.Propose(std::move(view), planned);
  // R5: until it was made the proposal cannot hold, so its maker knows that of it as well as a reading would.
  // (One without backups needs the directory's word for more than that.)
  if (leading_ && view_->members.size() > 1 && AdmitsByProposal()) directory_.NoteCurrent(epoch(), now_us_);
}

void ReplicationCore::On(const CasDone& event) {
  const DirectoryDialogue::Fate fate = directory_.OnSwapped(now_us_, event);
  if (fate == DirectoryDialogue::Fate::kWon) return Adopt(event.attempted);
  if (!event.why.empty()) waiting_for_ = "the directory, which cannot be written: " + event.why;
  if (fate == DirectoryDialogue::Fate::kOpen) return;
  if (leading_ && leading_->change && !IsPromoting()) {
    EndChange(Status(StatusCode::kUnavailable,
                     "nothing was changed: the directory cannot be written: " + event.why));
  }
  AdvanceReplicated();
}

// R3: a member's log holds what it confirmed, whatever a restart knows of it, unless its files are older
// ones. (One that was a learner since may have begun again with a snapshot from further below: it owes that
// only once it is a member again, and holds it then.)
bool ReplicationCore::LacksWhatWasConfirmed() const {
  if (Mutated(Mutant::kFloorIgnored)) return false;
  return confirmed_.lsn > log_.base().lsn && log_.EpochAt(confirmed_.lsn) != confirmed_.epoch;
}

// Under this incarnation.
bool ReplicationCore::IsNamedBy(const View& view) const {
  return view.Names({config_.self, config_.incarnation}) ||
         (Mutated(Mutant::kIncarnationIgnored) && view.Find(config_.self) != nullptr);
}

// The directory's view is `view`, above the one acted in.
void ReplicationCore::Adopt(const View& view) {
  if (!directory_.Learn(view)) return;
  const bool member = IsNamedBy(view);
  if (member && LacksWhatWasConfirmed()) {
    Reached(Situation::kOldReplicaRefused);
    const bool is_short = last_.lsn < confirmed_.lsn;
    return BecomeHalted(
        "these files are older than what " + confirmed_by_ + ", or damaged: " + ToString(confirmed_) +
        " was durable in them, and they " +
        (is_short ? "end at LSN " + std::to_string(Raw(last_.lsn)) : "hold another record there") +
        " (R3). If newer files of this replica exist, put those in their place. Otherwise move its "
        "directory aside and restart the node: it joins again, as a new replica.");
  }
  if (member) confirmed_ = {};
  if (view.primary == config_.self && member && view.primary_life != config_.life &&
      !Mutated(Mutant::kRestartedPrimaryKeepsEpoch)) {
    // R3: an epoch belongs to one process lifetime. Records that an earlier life of this process numbered in
    // its epoch are unknown here, so nothing is appended, answered or numbered before the directory gave
    // this life one.
    if (role_ != Role::kStarting) {
      LeaveRole();
      role_ = Role::kStarting;
      Emit(BecomeFollower{view, role_});
    }
    if (directory_.proposed()) return directory_.ProposeAgain();  // unanswered: the same again
    // R5: no life of this process entered the epoch, so its compare-and-swap may have been on its way
    // while a later life answered beacons as a backup. That life's word binds this one: a full grace
    // period from here.
    if (directory_.seen_epoch() < view.epoch) directory_.ProposeNothingBefore(now_us_ + kGraceUs);
    Reached(Situation::kPrimaryTookItsOwnEpoch);
    ProposeToLead(view.Successor());
    return;
  }
  directory_.Enter(view);
  EnterIfReady();
}

void ReplicationCore::On(const ViewPersisted& event) {
  directory_.OnPersisted(event.seen_epoch);
  EnterIfReady();
}

void ReplicationCore::EnterIfReady() {
  // While the log is being cut or replaced, what it holds is not known.
  const bool is_log_at_rest = !truncating_ && !(snapshot_in_ && snapshot_in_->done);
  const std::optional<View> view = directory_.TakeNext(is_log_at_rest, *effects_);
  if (!view) return;
  if (!IsNamedBy(*view)) return Follow(*view, Role::kLearner);
  if (view->primary != config_.self) return Follow(*view, Role::kBackup);
  Lead(*view);
}

void ReplicationCore::LeaveRole() {
  if (leading_ && leading_->change) {
    EndChange(Status(StatusCode::kUnavailable,
                     "the view changed before the command was done; look, and try again"));
  }
  leading_.reset();
  following_.reset();  // R4: matching restarts with each epoch
  if (snapshot_in_ && !snapshot_in_->done) snapshot_in_.reset();
}

void ReplicationCore::Follow(const View& view, Role role) {
  if (MakesChange(view)) EndChange(Status());
  if (role_ == Role::kLearner && view_->primary != view.primary) Reached(Situation::kTakeoverDuringCatchUp);
  LeaveRole();
  role_ = role;
  view_ = view;
  following_.emplace();
  following_->heard_us = now_us_;  // R5: a full grace period from here
  waiting_for_.clear();
  Emit(BecomeFollower{view, role});
  ResumeHeld();
}

void ReplicationCore::Lead(const View& view) {
  if (MakesChange(view)) EndChange(Status());
  LeaveRole();
  ASSENT_CHECK(last_.epoch < view.epoch || Mutated(Mutant::kRestartedPrimaryKeepsEpoch),
               "the epoch was used before", last_.epoch, view.epoch);
  role_ = Role::kPrimary;
  view_ = view;
  held_.reset();
  leading_.emplace();
  leading_->next_beacon_us = leading_->present_since_us = now_us_;
  waiting_for_ = "every member to hold the whole log";
  Emit(BecomePrimary{view});

  // R4: the epoch's first record; once it is replicated, so is all that was inherited.
  const LogPosition inherited = last_;
  const LogEntry began{{view.epoch, Next(last_.lsn)},
                       std::make_shared<const std::string>(EncodeRecord(EpochBegan{}))};
  leading_->serve_at = began.position.lsn;
  Append({began});
  for (const Member& member : view.members) {
    if (member.node == config_.self) continue;
    PeerProgress& peer = leading_->peers[member];
    peer.member = member;
    peer.in_view = true;
    peer.last_ack_us = now_us_;
    // Most likely the backup has all but this record: the first probe carries it.
    peer.StartProbe(inherited.lsn, now_us_);
    SendShip(peer, {inherited, {began}, {}});
  }
  SendBeacons();
  // R5: one without backups leads by the directory's word; the lease that it won may be all it waits for.
  if (view.members.size() == 1) directory_.ReadAt(now_us_ + kLoneReadUs);
}

}  // namespace assent::backup
