// Changes of the members, run by the primary: an operator's, and the return of replicas that a fault took
// out; and the snapshot that a learner may need first (R6; PacificA's addition of a secondary: a candidate
// joins only when it holds all that is prepared).

#include <algorithm>
#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::backup {
namespace {

using Mode = PeerProgress::Mode;

}  // namespace

void ReplicationCore::Refuse(RequestId id, StatusCode code, std::string text) {
  Emit(OperatorReply{id, Status(code, std::move(text))});
}

void ReplicationCore::On(const OperatorChange& event) {
  if (!leading_ || directory_.entering()) {
    Refuse(event.id, StatusCode::kUnavailable,
           "this replica of " + ToString(config_.group) + " is not the primary" +
               (view_ && view_->primary != config_.self ? "; ask " + ToString(view_->primary)
                                                        : "; try again later"));
    return;
  }
  std::optional<Change>& change = leading_->change;
  const bool adding =
      leading_->IsAdding() && change->member.node == event.member.node && !directory_.proposed();
  if (adding && event.kind == ChangeKind::kAddReplica && change->member == event.member && !change->id) {
    change->id = event.id;  // it is coming back already
    return;
  }
  if (adding && event.kind == ChangeKind::kRemoveReplica) {
    const Member learner = change->member;
    EndChange(Status(StatusCode::kConflict, "given up: remove-replica " + ToString(learner.node) + " came"));
    // One that would come back by itself is kept out by the view.
    if (!MayReturn(learner)) return Emit(OperatorReply{event.id, Status()});
  }
  if (change || ViewIsChanging()) {
    const std::string whose =
        change ? "a change of " + ToString(change->member.node) : "a change of the view";
    return Refuse(event.id, StatusCode::kConflict, whose + " is under way; try again later");
  }
  switch (event.kind) {
    case ChangeKind::kAddReplica:
      return AddReplica(event);
    case ChangeKind::kRemoveReplica:
      return RemoveReplica(event);
    case ChangeKind::kPromote:
      return Promote(event);
  }
}

void ReplicationCore::RemoveReplica(const OperatorChange& event) {
  const NodeId node = event.member.node;
  View next = view_->Successor();
  std::optional<Member> out;  // whom to take out, or to keep out
  if (const Member* named = view_->Find(node)) {
    out = *named;
    std::erase(next.members, *named);
  } else {
    const std::vector<Member>& registered = directory_.registered();
    const auto found = std::find_if(registered.begin(), registered.end(), [&](const Member& member) {
      return member.node == node && MayReturn(member);
    });
    if (found != registered.end()) out = *found;
  }
  if (node == config_.self) {
    return Refuse(event.id, StatusCode::kInvalid, ToString(node) + " is the primary and cannot be removed");
  }
  if (!out) return Refuse(event.id, StatusCode::kNotFound, ToString(node) + " is not in " + ToString(*view_));
  if (next.members.size() < config_.replicas_min) {
    return Refuse(event.id, StatusCode::kInvalid,
                  "the group would have fewer replicas than limits.replicas_min, " +
                      std::to_string(config_.replicas_min) + ", and could not serve. If the disk of " +
                      ToString(node) +
                      " is lost, start the node with an empty data directory: it takes its " + "own place");
  }
  std::erase_if(next.removed, [&](const Member& member) { return member.node == node; });
  if (next.removed.size() == kMembersMax) next.removed.erase(next.removed.begin());
  next.removed.push_back(*out);
  std::sort(next.removed.begin(), next.removed.end());
  leading_->change = Change{event.id, event.kind, *out, false, now_us_};
  Propose(std::move(next), /*planned=*/true);
}

void ReplicationCore::AddReplica(const OperatorChange& event) {
  const std::string node = ToString(event.member.node);
  const Member* named = view_->Find(event.member.node);
  if (named != nullptr && *named == event.member) {
    Emit(OperatorReply{event.id, Status()});  // a repeated command
  } else if (Raw(event.member.incarnation) == 0 || event.member.node == config_.self) {
    Refuse(event.id, StatusCode::kInvalid, node + " has not registered with the directory: is it running?");
  } else if (named != nullptr && !MayReplace(event.member)) {
    Refuse(event.id, StatusCode::kInvalid,
           node +
               " is a member with another data directory, which was heard of just now; try again later, "
               "or remove-replica " +
               node + " first");
  } else if (named == nullptr && view_->members.size() >= kMembersMax) {
    Refuse(event.id, StatusCode::kInvalid, "the group has as many replicas as it may have");
  } else if (!HoldsWholeLog(event.member.node)) {
    Refuse(event.id, StatusCode::kUnavailable,
           "the members do not all hold the log yet (R4); try again later");
  } else {
    BeginAdding(event.member, event.id);
  }
}

void ReplicationCore::BeginAdding(const Member& member, std::optional<RequestId> id) {
  Change& change = leading_->change.emplace(Change{id, ChangeKind::kAddReplica, member, false, now_us_});
  change.catch_up_to = last_.lsn;
  PeerProgress& learner = leading_->peers[member];
  learner = {};
  learner.member = member;
  learner.last_ack_us = now_us_;
  learner.StartProbe(last_.lsn, now_us_);
  SendProbe(learner);
}

PeerProgress* ReplicationCore::Learner() {
  return leading_ && leading_->IsAdding() ? FindPeer(leading_->change->member) : nullptr;
}

// R11: a replica that joins holds every commit back, so its disk must have kept up with what was sent so far,
// and be fast as of its last force.
bool ReplicationCore::IsDiskProven(const PeerProgress& learner) const {
  const uint64_t caught_up_us = leading_->change->caught_up_us;
  if (caught_up_us == 0 || learner.beacon_sent_us < caught_up_us) return false;
  return learner.force_age_us <= kForceSlowUs;
}

void ReplicationCore::AdvanceChange() {
  PeerProgress* learner = Learner();
  if (learner == nullptr || ViewIsChanging() || !HoldsWholeLog(learner->member.node)) return;
  Change& change = *leading_->change;
  if (Mutated(Mutant::kLearnerAdmittedWithGap)) return ProposeWith(change.member);
  if (learner->mode != Mode::kStream) return;
  // R6: commits go on while it catches up. Once all was sent, its acks are required for every record from
  // here on ...
  if (!change.required && learner->next > last_.lsn && IsDiskProven(*learner)) {
    change.required = true;
    change.last_progress_us = now_us_;
  }
  // ... and only when it also holds what was replicated without it, and the whole log as inherited by this
  // epoch, may it be proposed as a member.
  if (!change.required || learner->acked.lsn < std::max(replicated_, leading_->serve_at)) return;
  if (MayPropose()) ProposeWith(change.member);
}

void ReplicationCore::ProposeWith(const Member& joining) {
  View next = view_->Successor();
  std::erase_if(next.members, [&](const Member& member) { return member.node == joining.node; });
  next.members.push_back(joining);
  std::sort(next.members.begin(), next.members.end());
  std::erase_if(next.removed, [&](const Member& member) { return member.node == joining.node; });
  Propose(std::move(next), /*planned=*/true);
}

uint64_t ReplicationCore::ChangeDeadline() const {
  if (!leading_->IsAdding() || ViewIsChanging()) return UINT64_MAX;
  const Change& change = *leading_->change;
  const auto learner = leading_->peers.find(change.member);
  ASSENT_CHECK(learner != leading_->peers.end());
  const PeerProgress& peer = learner->second;
  // While its snapshot is being made here the learner owes nothing.
  if (peer.mode == Mode::kSnapshot && !peer.snapshot.at) return UINT64_MAX;
  if (change.required && peer.acked.lsn < last_.lsn) return change.last_progress_us + kLearnerStallUs;
  // Progress is what moves: one whose disk hangs may go on answering for ever.
  uint64_t patience_us = kLearnerProgressUs;
  if (peer.mode == Mode::kSnapshot && peer.snapshot.size != 0 && peer.snapshot.acked == peer.snapshot.size) {
    patience_us += peer.snapshot.size * 1'000'000 / kInstallBytesPerSecond;
  }
  return change.last_progress_us + patience_us;
}

void ReplicationCore::TickChange() {
  // Once the proposal was made, no timeout ends it: only knowing that it failed does (R6).
  if (now_us_ < ChangeDeadline()) return;
  const PeerProgress* learner = Learner();
  GiveLearnerUp(now_us_ - learner->last_ack_us < kSilenceUs + kLearnerStallUs
                    ? "it answers, and gets no further: look at its disk"
                    : "it does not answer");
}

// Commits and the log's trimming go on without it, and another may be served.
void ReplicationCore::GiveLearnerUp(const std::string& why) {
  Reached(Situation::kLearnerGivenUp);
  EndChange(
      Status(StatusCode::kUnavailable, ToString(leading_->change->member.node) + " was given up: " + why));
  AdvanceReplicated();
}

// Whether `view` does what the change under way is for.
bool ReplicationCore::MakesChange(const View& view) const {
  if (!leading_ || !leading_->change) return false;
  const Change& change = *leading_->change;
  const NodeId node = change.member.node;
  switch (change.kind) {
    case ChangeKind::kAddReplica:
      return view.Names(change.member);
    case ChangeKind::kRemoveReplica:
      return view.Find(node) == nullptr;
    case ChangeKind::kPromote:
      return view.primary == node;
  }
  return false;
}

void ReplicationCore::EndChange(const Status& status) {
  const Change ended = *std::exchange(leading_->change, std::nullopt);
  const auto peer = leading_->peers.find(ended.member);
  if (peer != leading_->peers.end() && !peer->second.in_view) {
    if (peer->second.mode == Mode::kSnapshot) Emit(StopSnapshot{ended.member.node});
    leading_->peers.erase(peer);
  }
  if (ended.kind == ChangeKind::kPromote) Emit(Drain{false});
  if (ended.kind == ChangeKind::kAddReplica) {
    if (status.ok()) {
      readmissions_[ended.member.node].why.clear();
    } else {
      PauseReadmission(ended.member.node, status.message());
    }
  }
  if (ended.id) Emit(OperatorReply{*ended.id, status});
}

void ReplicationCore::IgnoreOtherIncarnation(NodeId from, Incarnation incarnation) {
  if (!leading_->IsAdding() || leading_->change->member.node != from || ViewIsChanging()) return;
  if (leading_->change->member.incarnation == incarnation) return;
  EndChange(Status(StatusCode::kConflict, ToString(from) +
                                              " runs with another data directory than it registered; "
                                              "try again"));
  AdvanceReplicated();
}

Lsn ReplicationCore::TrimLimit() const {
  Lsn limit{UINT64_MAX};
  if (!leading_) return limit;
  for (const auto& [member, peer] : leading_->peers) {
    // Members hold all that may be trimmed.
    if (peer.in_view) continue;
    Lsn needed = log_.base().lsn;
    if (peer.mode == Mode::kSnapshot && peer.snapshot.at) needed = peer.snapshot.at->lsn;
    if (peer.mode != Mode::kSnapshot) needed = std::max(needed, peer.acked.lsn);
    limit = std::min(limit, needed);
  }
  return limit;
}

// ---- Snapshots out ----

void ReplicationCore::BeginSnapshot(PeerProgress& peer) {
  if (peer.mode == Mode::kSnapshot) {
    Reached(Situation::kSnapshotRestarted);
    Emit(StopSnapshot{peer.member.node});
  }
  peer.StartSnapshot(now_us_);
  Emit(StartSnapshot{peer.member.node});
  PumpSnapshot(peer);
}

void ReplicationCore::PumpSnapshot(PeerProgress& peer) {
  PeerProgress::Snapshot& snapshot = peer.snapshot;
  if (snapshot.reading || snapshot.all_sent || snapshot.sent - snapshot.acked >= kSnapshotInFlightBytesMax)
    return;
  snapshot.reading = true;
  Emit(ReadSnapshot{peer.member.node, snapshot.sent, config_.snapshot_piece_bytes});
}

void ReplicationCore::On(const SnapshotRead& event) {
  PeerProgress* peer = Learner();
  // The snapshot was stopped meanwhile.
  if (peer == nullptr || peer->member.node != event.to || peer->mode != Mode::kSnapshot ||
      !peer->snapshot.reading) {
    return;
  }
  PeerProgress::Snapshot& snapshot = peer->snapshot;
  snapshot.reading = false;
  const LogPosition at = event.piece.at;
  if (!snapshot.at) {
    ASSENT_CHECK(at.lsn <= replicated_, "a snapshot of what is not replicated (R13)", at.lsn, replicated_);
    if (at.lsn < log_.base().lsn) {  // trimmed since it was asked for: what follows it is gone
      BeginSnapshot(*peer);
      return;
    }
    ASSENT_CHECK(EpochOf(at.lsn) == at.epoch, "a snapshot of another log", at.lsn);
    snapshot.at = at;
    peer->last_ack_us = leading_->change->last_progress_us = now_us_;  // its silence begins here
  }
  ASSENT_CHECK(at == *snapshot.at, "two snapshots in one", at.lsn);
  if (event.piece.offset == snapshot.sent) {  // else it went back meanwhile
    snapshot.sent += event.piece.bytes.size();
    snapshot.sent_max = std::max(snapshot.sent_max, snapshot.sent);
    snapshot.all_sent = event.piece.done;
    if (event.piece.done) snapshot.size = snapshot.sent;
    peer->last_sent_us = now_us_;
    Emit(SendTo{event.to, epoch(), event.piece});
  }
  PumpSnapshot(*peer);
}

void ReplicationCore::On(const SnapshotFailed& event) {
  const PeerProgress* peer = Learner();
  if (peer == nullptr || peer->member.node != event.to || peer->mode != Mode::kSnapshot || ViewIsChanging()) {
    return;
  }
  EndChange(Status(StatusCode::kIo, "no snapshot for " + ToString(event.to) + ": " + event.text));
  AdvanceReplicated();
}

void ReplicationCore::OnSnapshotAck(NodeId from, const SnapshotAck& ack) {
  if (!leading_) return;
  PeerProgress* peer = FindPeer({from, ack.incarnation});
  if (peer == nullptr) {
    IgnoreOtherIncarnation(from, ack.incarnation);
    return;
  }
  PeerProgress::Snapshot& snapshot = peer->snapshot;
  if (peer->mode != Mode::kSnapshot || ack.at != snapshot.at || ack.received > snapshot.sent_max) return;
  peer->has_acked = true;
  peer->last_ack_us = now_us_;
  if (ack.installed) {
    leading_->change->last_progress_us = now_us_;
    Emit(StopSnapshot{from});
    peer->StartProbe(std::max(snapshot.at->lsn, log_.base().lsn), now_us_);
    SendProbe(*peer);
    return;
  }
  if (ack.received > snapshot.acked) {
    peer->last_progress_us = leading_->change->last_progress_us = now_us_;
  } else if (ack.received == 0 && snapshot.acked != 0) {  // it restarted, and begins anew
    Reached(Situation::kSnapshotRestarted);
    snapshot.sent = ack.received;
    snapshot.all_sent = false;
  }
  // Lower, but not 0: it was overtaken, and a higher one comes; or the learner restarted and took a piece
  // that came late, and silence tells.
  snapshot.acked = ack.received;
  snapshot.sent = std::max(snapshot.sent, snapshot.acked);  // an old 0 was no restart: it holds this much
  PumpSnapshot(*peer);
}

}  // namespace assent::backup
