// The primary's half of a ReplicationCore: it ships its log to each peer, finds the last record in common,
// and counts what all hold (PacificA: an update is committed once every replica's prepared list holds it).

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

size_t BytesOf(const std::vector<LogEntry>& entries) {
  size_t bytes = 0;
  for (const LogEntry& entry : entries) bytes += entry.payload->size();
  return bytes;
}

}  // namespace

PeerProgress* ReplicationCore::FindPeer(const Member& member) {
  // R3: an ack counts only under the incarnation named; another disk holds nothing of what
  // this one acknowledged.
  auto& peers = leading_->peers;
  const auto found =
      Mutated(Mutant::kIncarnationIgnored) ? peers.lower_bound({member.node, {}}) : peers.find(member);
  return found != peers.end() && found->first.node == member.node ? &found->second : nullptr;
}

// By the learner of the change under way, on the same node with another data directory (R6).
bool ReplicationCore::IsBeingReplaced(const PeerProgress& peer) const {
  return peer.in_view && leading_->IsAdding() && leading_->change->member.node == peer.member.node;
}

bool ReplicationCore::Required(const PeerProgress& peer) const {
  if (Mutated(Mutant::kLearnerGivenUpAfterCas) && directory_.proposed()) return peer.in_view;
  // R6: a learner counts before its view is proposed and until that is known to have failed.
  return peer.in_view ||
         (leading_->IsAdding() && leading_->change->required && leading_->change->member == peer.member);
}

void ReplicationCore::SendShip(PeerProgress& peer, Ship ship) {
  ship.replicated = replicated_;
  peer.told_replicated = replicated_;
  peer.last_sent_us = now_us_;
  Emit(SendTo{peer.member.node, epoch(), std::move(ship)});
}

// Asks for an answer without sending records: where matching stands, or whether the last Ship arrived.
void ReplicationCore::SendProbe(PeerProgress& peer) {
  const Lsn at = peer.mode == Mode::kProbe ? peer.probe : Previous(peer.next);
  if (at < log_.base().lsn) {  // trimmed meanwhile
    NeedsWhatIsTrimmed(peer);
    return;
  }
  peer.last_progress_us = now_us_;
  SendShip(peer, {PositionOf(at), {}, {}});
}

// R10: appended records go out at once, without waiting for the local force or for a timer. While
// kShipsInFlightMax are on their way, records gather; the next Ship takes them all.
void ReplicationCore::Pump(PeerProgress& peer) {
  while (peer.mode == Mode::kStream && peer.next <= last_.lsn && peer.WindowOpen()) {
    const LogPosition base = log_.base();
    if (peer.next <= base.lsn) {
      NeedsWhatIsTrimmed(peer);
      return;
    }
    const size_t window = kInFlightBytesMax - static_cast<size_t>(peer.in_flight_bytes);
    std::vector<LogEntry> entries = log_.Read(peer.next, std::min(kShipBytesMax, window));
    if (entries.empty()) return;
    if (entries.size() > kShipEntriesMax) entries.resize(kShipEntriesMax);
    ASSENT_CHECK(entries.front().position.lsn == peer.next && entries.back().position.lsn <= last_.lsn);
    const Lsn last = entries.back().position.lsn;
    const LogPosition prev = PositionOf(Previous(peer.next));
    peer.Sent(last, BytesOf(entries), now_us_);
    SendShip(peer, {prev, std::move(entries), {}});
  }
}

void ReplicationCore::PumpAll() {
  for (auto& [member, peer] : leading_->peers) Pump(peer);
}

void ReplicationCore::NeedsWhatIsTrimmed(PeerProgress& peer) {
  // The log is trimmed only below what the store holds durably, so only below what is replicated, and a
  // member holds all of that: only a learner can need more.
  if (peer.in_view) {
    waiting_for_ =
        ToString(peer.member.node) + ", which lacks replicated records: remove it, then add it again";
    peer.StartProbe(log_.base().lsn, now_us_);
  } else {
    BeginSnapshot(peer);
  }
}

void ReplicationCore::OnAck(NodeId from, const ShipAck& ack) {
  if (!leading_) return;
  PeerProgress* peer = FindPeer({from, ack.incarnation});
  if (peer == nullptr) {
    IgnoreOtherIncarnation(from, ack.incarnation);
    return;
  }
  const LogPosition durable = ack.durable;
  if (durable.lsn > last_.lsn) return;
  // The epoch of a record tells whether it is the one at that LSN here: R4, and I-R1.
  if (durable.lsn >= log_.base().lsn && EpochOf(durable.lsn) != durable.epoch &&
      !Mutated(Mutant::kAckByLength)) {
    return;
  }
  peer->has_acked = true;
  peer->last_ack_us = now_us_;
  // It entered the epoch just now, and dropped the beacons before.
  if (peer->in_view && peer->beacon_sent_us == 0) Emit(SendTo{from, epoch(), Beacon{now_us_, ForceAge()}});
  if (durable.lsn >= log_.base().lsn && peer->Acked(durable, now_us_) && peer == Learner()) {
    Change& change = *leading_->change;
    change.last_progress_us = now_us_;
    if (change.caught_up_us == 0 && durable.lsn >= change.catch_up_to) {
      change.caught_up_us = now_us_;
      Emit(SendTo{from, epoch(), Beacon{now_us_, ForceAge()}});  // R11: how did its disk do?
    }
  }
  if (peer->mode == Mode::kProbe && durable.lsn >= peer->probe && (!ack.mismatch || Raw(durable.lsn) != 0)) {
    peer->StartStream(Next(std::max(peer->probe, durable.lsn)), now_us_);
  } else if (ack.mismatch) {
    OnMismatch(*peer, ack);
  }
  Pump(*peer);
  AdvanceReplicated();
  AdvanceChange();
}

// Walks back to the last record in common, by runs of epochs: neither log holds a common record above the
// last one here whose epoch is not above the hint's, nor above the hint, which the follower
// chose likewise (R4).
void ReplicationCore::OnMismatch(PeerProgress& peer, const ShipAck& ack) {
  if (peer.mode == Mode::kSnapshot) return;
  const Lsn base = log_.base().lsn;
  const bool trimmed = ack.hint.lsn < base || EpochOf(base) > ack.hint.epoch;
  if (trimmed && peer.acked.lsn < base) {
    NeedsWhatIsTrimmed(peer);
    return;
  }
  Lsn candidate = trimmed ? base : LastWithEpochUpTo(ack.hint.epoch, std::min(ack.hint.lsn, last_.lsn));
  candidate = std::max(candidate, peer.acked.lsn);  // matched in this epoch: it does not get lost
  const Lsn tried = peer.mode == Mode::kProbe ? peer.probe : Previous(peer.next);
  // Up only where the follower's log begins above the probe, at a record that is here. Anything else is an
  // answer to something older.
  if (candidate == tried || (candidate > tried && PositionOf(candidate) != ack.hint)) return;
  peer.StartProbe(candidate, now_us_);
  SendProbe(peer);
}

// R1: what is durable here, and acknowledged by every replica that counts.
Lsn ReplicationCore::HeldByMembers() const {
  Lsn all = durable_;
  for (const auto& [member, peer] : leading_->peers) {
    if (Required(peer)) all = std::min(all, peer.acked.lsn);
  }
  return all;
}

// R4, R6: the members hold the whole log as it was inherited, but for the one whose place `joining` takes.
bool ReplicationCore::HoldsWholeLog(NodeId joining) const {
  return durable_ >= leading_->serve_at &&
         std::all_of(leading_->peers.begin(), leading_->peers.end(), [&](const auto& known) {
           const auto& [member, peer] = known;
           return !peer.in_view || member.node == joining || peer.acked.lsn >= leading_->serve_at;
         });
}

void ReplicationCore::AdvanceReplicated() {
  if (!leading_) return;
  const Lsn all = HeldByMembers();
  if (all < leading_->serve_at) return;  // R4: the inherited log first, whole
  // R5: a primary without backups has only its own force; that nobody leads a later view
  // is the directory's word.
  if (view_->members.size() == 1 && now_us_ >= LeaseUntil()) {
    if (!leading_->serving)
      waiting_for_ = "the directory, which must show that this epoch is still the current one";
    return;
  }
  if (view_->members.size() < config_.replicas_min) {  // R3
    waiting_for_ = "more replicas: the view has " + std::to_string(view_->members.size()) +
                   ", limits.replicas_min is " + std::to_string(config_.replicas_min) +
                   "; an operator's add-replica helps";
    return;
  }
  if (view_->members.size() == 1 && all > replicated_) Reached(Situation::kLoneLease);
  if (leading_->serving && all > replicated_) waiting_for_.clear();
  RaiseReplicated(all);
  if (!leading_->serving) {
    leading_->serving = true;
    waiting_for_.clear();
    Emit(Serve{epoch()});
  }
  HandOverIfQuiet();
}

void ReplicationCore::TickPeers() {
  for (auto& [member, peer] : leading_->peers) {
    if (now_us_ < PeerDeadline(peer)) continue;
    if (peer.mode == Mode::kSnapshot) {
      peer.last_progress_us = now_us_;
      peer.snapshot.sent = peer.snapshot.acked;
      peer.snapshot.all_sent = false;
      PumpSnapshot(peer);
    } else {
      // Something was lost, or only the news of what is replicated is due. A probe behind the last Ship
      // tells, without sending again what is merely slow to be forced.
      SendProbe(peer);
      Pump(peer);
    }
  }
}

uint64_t ReplicationCore::PeerDeadline(const PeerProgress& peer) const {
  uint64_t deadline = UINT64_MAX;
  if (IsBeingReplaced(peer)) return deadline;
  if (peer.Outstanding()) deadline = peer.last_progress_us + kSilenceUs;
  if (peer.mode == Mode::kStream) {
    if (peer.told_replicated < replicated_)
      deadline = std::min(deadline, peer.last_sent_us + kReplicatedNewsUs);
    deadline = std::min(deadline, peer.last_sent_us + kNewsRepeatUs);  // the last news may be lost
    // The log could not be read when the window was open.
    if (peer.next <= last_.lsn && peer.WindowOpen())
      deadline = std::min(deadline, peer.last_sent_us + kSilenceUs);
  }
  return deadline;
}

uint64_t ReplicationCore::PeersDeadline() const {
  uint64_t deadline = UINT64_MAX;
  for (const auto& [member, peer] : leading_->peers) deadline = std::min(deadline, PeerDeadline(peer));
  return deadline;
}

}  // namespace assent::backup
