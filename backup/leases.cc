// Leadership, and how long it lasts: beacons and leases, takeover by a backup, removal of a silent one (R3,
// R5, R11). In PacificA beacons and grace periods do the same between a primary and its secondaries.

#include <algorithm>
#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/view_text.h"

namespace assent::backup {

// ---- Forces (R11) ----

// Age of the open force, and of the slow ones just before it: a force that was late makes the word of its
// node void until the next one was fast. Else forces of some seconds each, one behind the other, would void
// it now and then only, and keep a lead, or a place in the view, for ever.
uint64_t ReplicationCore::ForceAge() const {
  const uint64_t slow_us = Mutated(Mutant::kSlowForcesForgotten) ? 0 : slow_forces_us_;
  if (durable_ < last_.lsn) return slow_us + now_us_ - std::min(now_us_, force_since_us_);
  return now_us_ - force_ended_us_ < kForcesForgottenUs ? slow_us : 0;
}

bool ReplicationCore::IsDiskDead() const {
  return ForceAge() > kForceAgeMaxUs;
}

// ---- Primary ----

// R5: each backup of the view promised not to lead before a grace period after it took a beacon in, and it
// took none in before it was sent. A primary without backups has the directory's word instead, that its epoch
// was still the current one when it was asked. So has one whose proposal to admit a replica is not answered:
// the replica that joins by it gave no word, and may lead the view after it (R3: bound by the view that it
// proposed, too). A primary that knows of a later view has no lease, nor one that has given it up.
uint64_t ReplicationCore::LeaseUntil() const {
  if (!leading_ || directory_.entering() || leading_->handed_over_us != 0) return 0;
  uint64_t since_us = UINT64_MAX;
  for (const auto& [member, peer] : leading_->peers) {
    if (peer.in_view) since_us = std::min(since_us, peer.beacon_sent_us);
  }
  if (since_us == UINT64_MAX || AdmitsByProposal()) {
    since_us = std::min(since_us, directory_.CurrentAt(epoch()));
  }
  if (Mutated(Mutant::kLonePrimaryNeedsNoLease) && view_->members.size() == 1) since_us = now_us_;
  return since_us == 0 ? 0 : since_us + kLeaseUs;
}

std::string ReplicationCore::LeaseWaitsFor(uint64_t now_us) const {
  if (directory_.entering()) return "its own step into " + Brief(*directory_.entering());
  const auto ago = [&](uint64_t then_us) {
    return then_us == 0 ? "nothing heard in this epoch"
                        : "last heard " + std::to_string((now_us - then_us) / 1'000'000) + " s ago";
  };
  const PeerProgress* silent = nullptr;
  for (const auto& [member, peer] : leading_->peers) {
    if (peer.in_view && (silent == nullptr || peer.beacon_sent_us < silent->beacon_sent_us)) silent = &peer;
  }
  if (silent != nullptr) {
    return "an answer of " + ToString(silent->member.node) + ", " + ago(silent->beacon_sent_us) +
           ": its lease has run out (R5)";
  }
  return "the directory, which must show that this epoch is still the current one: " +
         ago(directory_.CurrentAt(epoch())) + " (R5)";
}

bool ReplicationCore::AdmitsByProposal() const {
  const std::optional<View>& proposed = directory_.proposed();
  return proposed && std::any_of(proposed->members.begin(), proposed->members.end(),
                                 [&](const Member& member) { return !view_->Names(member); });
}

void ReplicationCore::SendBeacons() {
  if (now_us_ < leading_->next_beacon_us) return;
  // Late by so much, it is this process that was away: messages that came meanwhile are still to be taken in.
  if (now_us_ - leading_->next_beacon_us > kAwayUs) {
    Reached(Situation::kAwayTooLong);
    leading_->present_since_us = now_us_;
  }
  leading_->next_beacon_us = now_us_ + kBeaconUs;
  const Beacon beacon{now_us_, ForceAge()};
  const bool stops = GroupStops();
  for (const auto& [member, peer] : leading_->peers) {
    if (!IsBeingReplaced(peer) && !(stops && peer.in_view)) Emit(SendTo{member.node, epoch(), beacon});
  }
  SendHandOver();
  // A replica that is out of the view may come back in when it answers.
  for (const Member& member : directory_.registered()) {
    if (MayReturn(member) && FindPeer(member) == nullptr) Emit(SendTo{member.node, epoch(), beacon});
  }
}

void ReplicationCore::OnBeaconAck(NodeId from, const BeaconAck& ack) {
  if (!leading_ || ack.sent_us > now_us_) return;
  const Member member{from, ack.incarnation};
  PeerProgress* peer = FindPeer(member);
  if (peer == nullptr) return Readmit(ack, member);
  if (ack.sent_us <= peer->beacon_sent_us) return;  // kept back by the network: no sign of life
  peer->beacon_sent_us = ack.sent_us;
  peer->beacon_acked_us = now_us_;
  peer->force_age_us = ack.force_age_us;
  if (peer->in_view) return;
  // R11: it holds commits back no longer than a disk may take, and the log not at all.
  if (ack.force_age_us > kForceAgeMaxUs && peer == Learner() && !ViewIsChanging()) {
    return GiveLearnerUp("its disk takes " + std::to_string(ack.force_age_us / kMillisecond) +
                         " ms to make a record durable");
  }
  AdvanceChange();
}

// R3: a backup that owes an acknowledgement and does not give it holds every commit back, so it leaves the
// view: and nothing is committed before the directory agreed.
uint64_t ReplicationCore::SilenceDeadline(const PeerProgress& peer) const {
  if (!peer.in_view) return UINT64_MAX;
  // R11: a disk that hangs is no life, though the promise of the answer counts (R5).
  uint64_t alive_us = peer.force_age_us > kForceAgeMaxUs ? 0 : peer.beacon_acked_us;
  if (peer.Outstanding()) alive_us = std::min(alive_us, peer.last_durable_us);
  return std::max(alive_us, leading_->present_since_us) + kBackupSilenceUs;
}

void ReplicationCore::RemoveSilentBackups() {
  if (ViewIsChanging() || !MayPropose()) return;
  View next = view_->Successor();
  std::string silent;
  std::vector<NodeId> slow;  // of these, those that answer
  // R11: to a primary whose own disk hangs they are silent on purpose, to take over; it must not be faster.
  const uint64_t patience_us = IsDiskDead() ? 2 * kGraceUs : 0;
  for (auto& [member, peer] : leading_->peers) {
    if (!peer.in_view || now_us_ < SilenceDeadline(peer) + patience_us || IsBeingReplaced(peer)) continue;
    if (Mutated(Mutant::kBackupDroppedWithoutCas)) peer.in_view = false;
    silent += (silent.empty() ? "" : ", ") + ToString(member.node);
    if (now_us_ < peer.beacon_acked_us + kBackupSilenceUs) slow.push_back(member.node);
    std::erase(next.members, peer.member);
  }
  if (silent.empty()) return;
  if (Mutated(Mutant::kBackupDroppedWithoutCas)) return AdvanceReplicated();
  if (next.members.size() < config_.replicas_min) {
    waiting_for_ = silent + ", silent, and limits.replicas_min does not allow to go on without";
    return;
  }
  for (const NodeId node : slow) {
    PauseReadmission(node,
                     ToString(node) + " was left out: it answers, and does not make records durable in time");
  }
  if (leading_->change) {
    EndChange(Status(StatusCode::kUnavailable, silent + " was silent and left the view first; try again"));
  }
  Reached(Situation::kSilentBackupRemoved);
  Propose(std::move(next));
}

// R6: a replica that the group is configured with, and that a fault took out of the view, comes back by
// itself. One that an operator took out does not.
bool ReplicationCore::MayReturn(const Member& member) const {
  const auto& configured = config_.initial_members;
  if (std::find(configured.begin(), configured.end(), member.node) == configured.end()) return false;
  if (view_->Find(member.node) != nullptr) return MayReplace(member);
  return std::none_of(view_->removed.begin(), view_->removed.end(),
                      [&](const Member& removed) { return removed.node == member.node; }) &&
         view_->members.size() < kMembersMax;
}

// R6: a member that lost its data directory and is silent as what it was takes its own place: one
// compare-and-swap, so that the view never has fewer than limits.replicas_min.
bool ReplicationCore::MayReplace(const Member& member) const {
  const Member* named = view_->Find(member.node);
  if (named == nullptr || *named == member || named->node == config_.self || !leading_) return false;
  const auto peer = leading_->peers.find(*named);
  return peer != leading_->peers.end() && now_us_ >= SilenceDeadline(peer->second);
}

void ReplicationCore::Readmit(const BeaconAck& ack, const Member& member) {
  const std::vector<Member>& registered = directory_.registered();
  const bool is_registered = std::find(registered.begin(), registered.end(), member) != registered.end();
  if (!is_registered || leading_->change || ViewIsChanging()) return;
  if (!MayReturn(member) || !HoldsWholeLog(member.node)) return;
  if (ack.force_age_us > kForceAgeMaxUs) return;  // R11
  if (now_us_ < readmissions_[member.node].next_us()) return;
  Reached(Situation::kReplicaReadmitted);
  BeginAdding(member, std::nullopt);
}

// A replica that cannot come back, or is too slow to stay, does not cost a snapshot and two changes of the
// view each time that it answers. One that was silent was away: nothing tells when it will be again, and
// until it is back the group has one copy less.
void ReplicationCore::PauseReadmission(NodeId node, const std::string& why) {
  Readmission& readmission = readmissions_[node];
  const bool is_first =
      readmission.failed_us == 0 || now_us_ - readmission.failed_us >= kReadmissionLookBackUs;
  readmission.pause_us =
      is_first ? kReadmissionPauseMinUs : std::min(2 * readmission.pause_us, kReadmissionPauseMaxUs);
  readmission.failed_us = now_us_;
  readmission.why = why;
}

// ---- Backup ----

void ReplicationCore::OnBeacon(NodeId from, const Beacon& beacon) {
  if (!following_ || from != view_->primary) return;
  // R11: a primary whose disk hangs is as good as dead; it must not be told otherwise, nor go on by our word.
  // Unless there is nobody to lead in its place: this disk hangs, too, or this is a learner, which gives no
  // word; or the view may not become smaller.
  if (beacon.force_age_us > kForceAgeMaxUs && TakeoverDeadline() != UINT64_MAX && !IsDiskDead() &&
      !Mutated(Mutant::kSlowPrimaryKept)) {
    return Reached(Situation::kWedgedDiskGaveUp);
  }
  // It would be taken back in.
  if (leaving_since_us_ != 0 && role_ == Role::kLearner) return;
  // Bound by the view that it proposed, or won and is about to enter: it may lead that one by now (R3).
  if (ViewIsChanging()) return;
  // One that the network kept back is no sign of life: the answer to a later one has said more.
  if (beacon.sent_us <= following_->beacon_sent_us) return;
  following_->beacon_sent_us = beacon.sent_us;
  following_->heard_us = now_us_;
  Emit(SendTo{from, epoch(), BeaconAck{beacon.sent_us, ForceAge(), config_.incarnation}});
}

uint64_t ReplicationCore::TakeoverDeadline() const {
  const bool learner_may = Mutated(Mutant::kLaggingBackupPromoted) && role_ == Role::kLearner;
  if ((role_ != Role::kBackup && !learner_may) || ViewIsChanging()) return UINT64_MAX;
  if (view_->members.size() <= config_.replicas_min && !learner_may) return UINT64_MAX;
  uint64_t rank = 0;
  for (const Member& member : view_->members) {
    if (member.node == config_.self) break;
    if (member.node != view_->primary) ++rank;
  }
  return std::max(following_->heard_us + kGraceUs + rank * kTakeoverStaggerUs, directory_.next_propose_us());
}

// R3: a member that missed the primary for the grace period proposes itself. The old lease, as far as this
// replica's word went, is over by then (R5), and it went no further than every backup's.
void ReplicationCore::TakeOverIfDue() {
  const uint64_t deadline = TakeoverDeadline();
  if (now_us_ < deadline) return;
  // It is this process that was away, or this disk that hangs (R11): not before another grace period.
  if (now_us_ - deadline > kAwayUs || IsDiskDead()) {
    Reached(Situation::kAwayTooLong);
    following_->heard_us = now_us_;
    return;
  }
  Reached(Situation::kBackupTookOver);
  ProposeWithoutPrimary();
}

void ReplicationCore::ProposeWithoutPrimary() {
  View next = view_->Successor();
  std::erase_if(next.members, [&](const Member& member) { return member.node == view_->primary; });
  if (Mutated(Mutant::kLaggingBackupPromoted) && role_ == Role::kLearner) {
    std::erase_if(next.members, [&](const Member& member) { return member.node == config_.self; });
    next.members.push_back({config_.self, config_.incarnation});
    std::sort(next.members.begin(), next.members.end());
  }
  ProposeToLead(std::move(next));
}

void ReplicationCore::ProposeToLead(View next) {
  next.primary = config_.self;
  next.primary_life = config_.life;
  Propose(std::move(next));
}

}  // namespace assent::backup
