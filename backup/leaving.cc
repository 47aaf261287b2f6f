// A planned stop of one process: it gives what it has in the view to others first, so that nobody waits a
// grace period for it (R3, R5). A primary hands its lead over (handover.cc). A backup asks its primary, which
// proposes the view without it; until that view holds, the backup goes on acknowledging, and no commit waits.
//
// Where the whole group stops, or the view may not become smaller (limits.replicas_min), the view stays as it
// is: all of its members hold all of its records, and any of them can lead after the next start. The primary
// sends its backups no more beacons then, so none of them waits for it to be gone: it may itself wait for one
// of them, in another group.

#include <algorithm>
#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"

namespace assent::backup {

void ReplicationCore::On(const Leave& event) {
  if (leaving_since_us_ != 0 && hands_over_ >= event.hands_over) return;
  if (leaving_since_us_ == 0) leaving_since_us_ = now_us_;
  hands_over_ = event.hands_over;
  next_leave_us_ = now_us_;
  TickLeave();
}

void ReplicationCore::TickLeave() {
  if (leaving_since_us_ == 0 || now_us_ < next_leave_us_) return;
  next_leave_us_ = now_us_ + kBeaconUs;
  // Repeated: it may be lost, and the primary may be another by now.
  if (role_ == Role::kBackup) return Emit(SendTo{view_->primary, epoch(), HandOver{}});
  if (!leading_ || !hands_over_ || !leading_->serving || ViewIsChanging() || IsPromoting()) return;
  const PeerProgress* heir = Heir();
  if (heir == nullptr || now_us_ < leaving_since_us_ + kLeaveSettleUs) return;
  const Member member = heir->member;
  if (leading_->change) {
    EndChange(Status(StatusCode::kUnavailable, ToString(config_.self) + " stops, and hands " +
                                                   ToString(config_.group) + " over to " +
                                                   ToString(member.node) + "; ask that node"));
  }
  BeginPromoting({.id = {},
                  .kind = ChangeKind::kPromote,
                  .member = member,
                  .drain_until_us = now_us_ + kLeaveDrainUs,
                  .force = true});
}

// The backup to lead in this replica's place: one that lives and stays. None where the group may not go on
// without this one.
const PeerProgress* ReplicationCore::Heir() const {
  if (view_->members.size() <= config_.replicas_min) return nullptr;
  const PeerProgress* heir = nullptr;
  for (const auto& [member, peer] : leading_->peers) {
    if (!peer.in_view || IsLeaving(peer) || now_us_ > peer.beacon_acked_us + kSilenceUs) continue;
    if (heir == nullptr || peer.acked.lsn > heir->acked.lsn) heir = &peer;
  }
  return heir;
}

bool ReplicationCore::MayStop() const {
  if (leaving_since_us_ == 0) return false;
  if (!leading_ && role_ != Role::kBackup) return true;
  if (view_->members.size() <= config_.replicas_min) return true;
  // Its primary is gone, or about to be (GroupStops): the rest is for takeovers.
  if (role_ == Role::kBackup) return now_us_ > following_->heard_us + kSilenceUs;
  return IsSettledToLeave() && Heir() == nullptr;
}

// So long that all who leave at the same time have said so, and the lead stays here.
bool ReplicationCore::IsSettledToLeave() const {
  return role_ == Role::kPrimary && leaving_since_us_ != 0 && now_us_ >= leaving_since_us_ + kLeaveSettleUs &&
         !ViewIsChanging() && !IsPromoting();
}

bool ReplicationCore::GroupStops() const {
  return IsSettledToLeave() &&
         std::all_of(leading_->peers.begin(), leading_->peers.end(),
                     [&](const auto& entry) { return !entry.second.in_view || IsLeaving(entry.second); });
}

// ---- On the primary ----

void ReplicationCore::NoteLeaving(NodeId from) {
  const Member* named = view_->Find(from);
  const auto peer = named == nullptr ? leading_->peers.end() : leading_->peers.find(*named);
  if (peer == leading_->peers.end()) return;
  if (!IsLeaving(peer->second)) peer->second.leaving_since_us = now_us_;
  peer->second.leaving_heard_us = now_us_;
}

// Not any more, if it is not said again: the process may be another one by now.
bool ReplicationCore::IsLeaving(const PeerProgress& peer) const {
  return peer.leaving_heard_us != 0 && now_us_ <= peer.leaving_heard_us + kSilenceUs;
}

// R3: by compare-and-swap as ever. Not at once: where all of the group stops, this process is told so, too,
// in a moment; and nobody waits for it meanwhile.
void ReplicationCore::RemoveLeaving() {
  if (ViewIsChanging() || !MayPropose() || IsPromoting() || leaving_since_us_ != 0) return;
  View next = view_->Successor();
  std::string leaving;
  for (const auto& [member, peer] : leading_->peers) {
    if (!peer.in_view || !IsLeaving(peer) || now_us_ < peer.leaving_since_us + kLeaveSettleUs) continue;
    leaving += (leaving.empty() ? "" : ", ") + ToString(member.node);
    std::erase(next.members, member);
  }
  if (leaving.empty() || next.members.size() < config_.replicas_min) return;
  if (leading_->change) {
    EndChange(Status(StatusCode::kUnavailable, leaving + " stops, and left the view first; try again"));
  }
  Propose(std::move(next), /*planned=*/true);
}

}  // namespace assent::backup
