// The directory's half of a ReplicationCore: which view holds, what this replica is in it, and how a
// restarted primary gets an epoch of its own (R3, R12; the directory is what PacificA calls
// the configuration manager).

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

void ReplicationCore::WantRead() {
  want_read_ = true;
}

void ReplicationCore::IssueDirectoryWork() {
  if (directory_busy_) return;
  if (proposed_ && want_propose_ && now_us_ >= bound_until_us_ && MayPropose()) {
    want_propose_ = false;
    directory_busy_ = true;
    directory_asked_us_ = now_us_;
    Emit(ProposeView{*proposed_, std::exchange(planned_, false)});
  } else if (want_read_ && now_us_ >= no_read_before_us_) {
    want_read_ = false;
    directory_busy_ = true;
    directory_asked_us_ = now_us_;
    Emit(ReadDirectory{});
  }
}

void ReplicationCore::On(const ViewUnread&) {
  ASSENT_CHECK(directory_busy_, "an answer that was not asked for");
  directory_busy_ = false;
  next_read_us_ = no_read_before_us_ = now_us_ + kReadWaitingUs;
  if (!view_ && !entering_) waiting_for_ = "the directory, which cannot be read";
}

void ReplicationCore::On(const ViewRead& event) {
  ASSENT_CHECK(directory_busy_, "an answer that was not asked for");
  directory_busy_ = false;
  if (DirectoryIsBehind(event)) return;
  directory_incarnation_ = event.directory_incarnation;

  const Member self{config_.self, config_.incarnation};
  if (std::find(event.registered.begin(), event.registered.end(), self) == event.registered.end()) {
    Emit(Register{self});
  }
  registered_ = event.registered;
  const Epoch before = epoch();
  if (event.view) SawEpoch(event.view->epoch);
  if (!event.view) {
    FoundGroup(event);
  } else if (event.view->epoch > epoch()) {
    if (proposed_ && event.view->epoch >= proposed_->epoch) {
      Reached(*event.view == *proposed_ ? Situation::kProposalFoundApplied : Situation::kProposalFoundLost);
    }
    Adopt(*event.view);
  } else if (*event.view != *view_) {
    BecomeHalted("the directory now shows " + ToString(*event.view) + ", where this replica acted in " +
                 ToString(*view_) + ": it was restored from a copy, or edited (R12).");
    return;
  } else if (proposed_) {
    // Not applied, but it may still be: only asking again for the very same view can tell (R3, R6).
    want_propose_ = true;
  }
  const bool waiting = role_ == Role::kStarting || proposed_.has_value() || epoch() != before;
  const bool lone = role_ == Role::kPrimary && view_->members.size() == 1;
  next_read_us_ = now_us_ + (waiting ? kReadWaitingUs : lone ? kLoneReadUs : kReadSettledUs);
  AdvanceReplicated();  // R5: what waited for the lease of a primary without backups
}

void ReplicationCore::SawEpoch(Epoch epoch) {
  directory_epoch_ = epoch;
  directory_epoch_us_ = directory_asked_us_;
}

// R12: nobody serves from a directory that is another one, or an older copy of itself.
bool ReplicationCore::DirectoryIsBehind(const ViewRead& event) {
  const Epoch epoch_there = event.view ? event.view->epoch : Epoch{};
  const Epoch epoch_here = std::max(seen_epoch_, epoch());
  if (event.view && event.view->group != config_.group) {
    BecomeHalted("the directory answered with a view of " + ToString(event.view->group) + " for " +
                 ToString(config_.group) + ".");
  } else if (Raw(directory_incarnation_) != 0 && event.directory_incarnation != directory_incarnation_) {
    BecomeHalted(
        "this is not the directory that the replica knows (R12). Point it at that directory again; if it is "
        "lost for good, an operator must accept the loss.");
  } else if (epoch_there < epoch_here) {
    BecomeHalted("the directory shows epoch " + std::to_string(Raw(epoch_there)) +
                 ", this replica has seen epoch " + std::to_string(Raw(epoch_here)) +
                 ": the directory was restored from a copy, or lost (R12). Bring " +
                 "back the newest copy, or an operator must accept the loss.");
  } else {
    return false;
  }
  return true;
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
  Propose(proposed_ ? *proposed_ : first);
}

void ReplicationCore::Propose(View view, bool planned) {
  planned_ = planned;
  waiting_for_ = "the directory to accept " + Brief(view);
  proposed_ = std::move(view);
  want_propose_ = true;
  // R5: until it was made the proposal cannot hold, so its maker knows that of it as well as a reading would.
  // (One without backups needs the directory's word for more than that.)
  if (role_ == Role::kPrimary && view_->members.size() > 1 && AdmitsByProposal()) {
    directory_epoch_ = epoch();
    directory_epoch_us_ = now_us_;
  }
}

void ReplicationCore::On(const CasDone& event) {
  ASSENT_CHECK(directory_busy_ && proposed_ && event.attempted == *proposed_,
               "an answer that was not asked for");
  directory_busy_ = false;
  if (event.outcome == CasOutcome::kOk) {
    SawEpoch(event.attempted.epoch);
    Adopt(event.attempted);
    return;
  }
  PauseProposals();
  if (event.outcome == CasOutcome::kUnknown) is_fate_open_ = true;
  if (!event.why.empty()) waiting_for_ = "the directory, which cannot be written: " + event.why;
  if (event.outcome == CasOutcome::kFailed && !is_fate_open_) {
    // Nothing was made, nor will be: this replica is bound by the view that it acts in alone, and the reason
    // for another one may be over before it can be proposed again.
    ForgetProposal();
    if (leading_ && leading_->change && !IsPromoting()) {
      EndChange(Status(StatusCode::kUnavailable,
                       "nothing was changed: the directory cannot be written: " + event.why));
    }
    AdvanceReplicated();
    return;
  }
  // Lost: an earlier try of the same proposal may have won. Unknown: it may be applied at any time.
  // The directory knows.
  WantRead();
}

// A proposal that came to nothing is not made again at once: a directory that cannot be written would be
// asked, and said to be so, thousands of times a second. With jitter, so that replicas do not ask in step.
void ReplicationCore::PauseProposals() {
  proposal_pause_us_ = std::clamp(2 * proposal_pause_us_, kProposalPauseMinUs, kProposalPauseMaxUs);
  jitter_ = jitter_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX generator
  next_propose_us_ = now_us_ + proposal_pause_us_ / 2 + (jitter_ >> 32) % (proposal_pause_us_ / 2);
}

void ReplicationCore::ForgetProposal() {
  proposed_.reset();
  want_propose_ = false;
  is_fate_open_ = false;
}

// R3: a member's log holds what it confirmed, whatever a restart knows of it, unless its files are older
// ones. (One that was a learner since may have begun again with a snapshot from further below: it owes that
// only once it is a member again, and holds it then.)
bool ReplicationCore::LacksWhatWasConfirmed() const {
  if (Mutated(Mutant::kFloorIgnored)) return false;
  return confirmed_.lsn > log_.base().lsn && log_.EpochAt(confirmed_.lsn) != confirmed_.epoch;
}

// The directory's view is `view`, above the one acted in.
void ReplicationCore::Adopt(const View& view) {
  if (entering_ && entering_->epoch >= view.epoch) return;
  if (proposed_ && view.epoch >= proposed_->epoch) ForgetProposal();
  const bool member = view.Names({config_.self, config_.incarnation}) ||
                      (Mutated(Mutant::kIncarnationIgnored) && view.Find(config_.self) != nullptr);
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
    if (proposed_) {
      want_propose_ = true;  // unanswered: the same again
      return;
    }
    // R5: no life of this process entered the epoch, so its compare-and-swap may have been on its way
    // while a later life answered beacons as a backup. That life's word binds this one: a full grace
    // period from here.
    if (seen_epoch_ < view.epoch) bound_until_us_ = now_us_ + kGraceUs;
    Reached(Situation::kPrimaryTookItsOwnEpoch);
    ProposeToLead(view.Successor());
    return;
  }
  entering_ = view;
  entering_role_ = view.primary == config_.self && member ? Role::kPrimary
                   : member                               ? Role::kBackup
                                                          : Role::kLearner;
  EnterIfReady();
}

void ReplicationCore::On(const ViewPersisted& event) {
  ASSENT_CHECK(persisting_, "an answer that was not asked for");
  persisting_ = false;
  seen_epoch_ = std::max(seen_epoch_, event.seen_epoch);
  EnterIfReady();
}

void ReplicationCore::EnterIfReady() {
  if (!entering_ || persisting_) return;
  if (seen_epoch_ < entering_->epoch) {
    // I-R4: a crash right after acting in the epoch must not forget it.
    persisting_ = true;
    Emit(PersistView{entering_->epoch, directory_incarnation_});
    return;
  }
  // The log is being cut or replaced: what it holds is known when that is done.
  if (truncating_ || (snapshot_in_ && snapshot_in_->done)) return;
  const View view = *std::exchange(entering_, std::nullopt);
  proposal_pause_us_ = next_propose_us_ = 0;
  if (entering_role_ == Role::kPrimary) {
    Lead(view);
  } else {
    Follow(view, entering_role_);
  }
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
  if (view.members.size() == 1) next_read_us_ = now_us_ + kLoneReadUs;
}

}  // namespace assent::backup
