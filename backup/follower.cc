// The other end of shipping: a backup's or a learner's half of a ReplicationCore (R2, R4, R6; what PacificA
// calls the secondary's prepared list, and its reconciliation with a new primary's).

#include <algorithm>
#include <utility>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::backup {
namespace {

// The most that a peer may send at once. A primary's Ships are smaller, but for a single record.
constexpr size_t kShipBytesAccepted = 4 << 20;
constexpr size_t kPieceBytesAccepted = 4 << 20;
// Far above a primary's window: more than that was not sent by one of ours (G8).
constexpr uint64_t kUnforcedBytesMax = 16 << 20;
constexpr uint64_t kUnwrittenBytesMax = 4 << 20;

bool IsPosition(const LogPosition& position) {
  return (Raw(position.lsn) == 0) == (Raw(position.epoch) == 0);
}

// Entries without a gap from `prev` on, epochs that do not fall (R9) nor pass the sender's, within bounds.
bool IsWellFormed(const Ship& ship, Epoch epoch) {
  if (!IsPosition(ship.prev) || ship.prev.epoch > epoch || ship.entries.size() > kShipEntriesMax)
    return false;
  LogPosition at = ship.prev;
  size_t bytes = 0;
  for (const LogEntry& entry : ship.entries) {
    const LogPosition& position = entry.position;
    if (!entry.payload || Raw(at.lsn) == UINT64_MAX || position.lsn != Next(at.lsn)) return false;
    if (position.epoch < at.epoch || position.epoch > epoch || Raw(position.epoch) == 0) return false;
    bytes += entry.payload->size();
    at = position;
  }
  return bytes <= kShipBytesAccepted;
}

}  // namespace

// A Ship of an epoch that is not known here yet: most likely the first of a new one. Keeping it spares the
// primary a retransmission after the directory was read.
void ReplicationCore::HoldForEpoch(const Received& event) {
  const Ship* ship = std::get_if<Ship>(&event.message);
  if (ship != nullptr && IsWellFormed(*ship, event.from_epoch))
    held_ = Held{event.from, event.from_epoch, *ship};
}

void ReplicationCore::ResumeHeld() {
  if (!held_ || !following_ || held_->epoch > epoch()) return;
  const Held held = *std::exchange(held_, std::nullopt);
  if (held.epoch == epoch()) OnShip(held.from, held.ship);
}

void ReplicationCore::OnShip(NodeId from, const Ship& ship) {
  if (!following_ || from != view_->primary || !IsWellFormed(ship, epoch())) return;
  if (truncating_ || (snapshot_in_ && snapshot_in_->done)) {
    held_ = Held{from, epoch(), ship};
    return;
  }
  TakeShip(from, ship);
}

void ReplicationCore::TakeShip(NodeId from, const Ship& ship) {
  const LogPosition base = log_.base();
  if (ship.prev.lsn > last_.lsn) {
    // Something is missing here; at the latest this may be common.
    AckShip(true, PositionOf(LastWithEpochUpTo(ship.prev.epoch, last_.lsn)));
    return;
  }
  if (ship.prev.lsn >= base.lsn) {
    if (EpochOf(ship.prev.lsn) != ship.prev.epoch) {
      if (ship.prev.lsn <= replicated_) {
        RejectPrimary(ship.prev);
      } else {
        AckShip(true, PositionOf(LastWithEpochUpTo(ship.prev.epoch, ship.prev.lsn)));
      }
      return;
    }
    // I-R1: one (epoch, LSN) is one record, and all before it are the same, too.
    following_->matched = std::max(following_->matched, ship.prev.lsn);
  } else {
    // Below the base all is replicated, and so held by this primary, but not held here to be compared: match
    // at the base itself.
    const size_t skipped = Raw(base.lsn) - Raw(ship.prev.lsn) - 1;
    if (ship.entries.size() <= skipped) {
      AckShip(true, base);
      return;
    }
    if (ship.entries[skipped].position != base) {
      RejectPrimary(ship.entries[skipped].position);
      return;
    }
    following_->matched = std::max(following_->matched, base.lsn);
  }

  std::vector<LogEntry> fresh;
  uint64_t bytes = following_->unforced.bytes();
  for (const LogEntry& entry : ship.entries) {
    const LogPosition& position = entry.position;
    if (position.lsn <= base.lsn) continue;
    if (position.lsn > last_.lsn) {
      bytes += entry.payload->size();
      if (bytes > kUnforcedBytesMax) break;
      fresh.push_back(entry);
    } else if (EpochOf(position.lsn) == position.epoch || Mutated(Mutant::kDivergentTailKept)) {
      following_->matched = std::max(following_->matched, position.lsn);  // held already
    } else if (position.lsn <= replicated_) {
      RejectPrimary(position);
      return;
    } else if (position.lsn <= following_->matched) {
      return;  // contradicts what this primary sent before
    } else {
      // R4: records that diverge, by (epoch, LSN), go; the rest of the Ship waits until they are gone.
      Reached(Situation::kDivergentTailCut);
      truncating_ = PositionOf(Previous(position.lsn));
      last_ = *truncating_;
      durable_ = std::min(durable_, last_.lsn);
      held_ = Held{from, epoch(), ship};
      Emit(TruncateLog{last_});
      return;
    }
  }
  const bool appended = !fresh.empty();
  if (appended) {
    following_->matched = fresh.back().position.lsn;
    Append(std::move(fresh));
  }
  following_->primary_replicated = std::max(following_->primary_replicated, ship.replicated);
  LearnReplicated();
  // Appended records are acknowledged when they are forced.
  if (!appended) AckShip(false, {});
}

// R4: never truncates what is replicated or applied. A primary without such a record lost it: damage at the
// end of its log looks like a torn tail (R8). It has not served in this epoch, nor anybody with it, since
// this replica has not acknowledged its log: so there is no lease to wait out, and this replica, which holds
// the record, leads in its place. It must not get the time to drop this replica as silent and to go on
// without the record (I-R3). Where no view without it may serve, stop: nor may one without this replica.
void ReplicationCore::RejectPrimary(const LogPosition& theirs) {
  if (ViewIsChanging()) return;
  if (role_ == Role::kBackup && view_->members.size() > config_.replicas_min) {
    if (MayPropose()) ProposeWithoutPrimary();
    return;
  }
  const auto ours = log_.EpochAt(theirs.lsn);
  BecomeHalted("the primary of epoch " + std::to_string(Raw(epoch())) + " has " + ToString(theirs) +
               ", this replica " + "has epoch " + (ours ? std::to_string(Raw(*ours)) : "?") +
               " there, and knows the log to be replicated " + "up to LSN " +
               std::to_string(Raw(replicated_)) + " (R4). One of the two lost acknowledged records: " +
               "compare the logs with 'assent wal inspect' before either is removed.");
}

// The last record that is durable, and that was compared with this epoch's primary:
// not the log's length (R4).
Lsn ReplicationCore::MatchedDurable() const {
  return Mutated(Mutant::kAckByLength) ? durable_ : std::min(following_->matched, durable_);
}

void ReplicationCore::AckShip(bool mismatch, const LogPosition& hint) {
  const Lsn lsn = MatchedDurable();
  // Matched before, and trimmed meanwhile: no epoch to name it by. The next Ship matches further up.
  const LogPosition durable = lsn >= log_.base().lsn ? PositionOf(lsn) : LogPosition{};
  Emit(SendTo{view_->primary, epoch(), ShipAck{durable, config_.incarnation, mismatch, hint}});
}

void ReplicationCore::LearnReplicated() {
  // R1 holds for the primary's log, so here only for what was matched with it; and only what is durable here
  // counts on this replica, too (R13).
  RaiseReplicated(std::min(following_->primary_replicated, MatchedDurable()));
}

// For people. The configuration that counts is the primary's; where this one differs, that is a mistake.
std::string ReplicationCore::LearnerWaitsFor() const {
  const std::string primary = ToString(view_->primary);
  const std::string self = ToString(config_.self);
  if (snapshot_in_) {
    return "the rest of a snapshot from " + primary + ": " + std::to_string(snapshot_in_->accepted) +
           " bytes came so far";
  }
  if (!snapshot_refused_.empty()) {
    return primary + " to send a snapshot again, which this replica could not take in: " + snapshot_refused_;
  }
  if (view_->primary == config_.self) {
    const std::string lost = "the data directory that " + self + " had before, which led the group";
    // R3, R4: others may lack records that it alone acknowledged.
    return view_->members.size() == 1
               ? lost + " alone: no other replica is sure to hold all of its records, so put it back"
               : lost + ", or for another member to lead in its place, which it does by itself";
  }
  if (view_->Find(config_.self) != nullptr) {
    return primary + " to let this data directory take the place of the one that " + self +
           " had before, which it does by itself once that one is silent";
  }
  if (!MayReturn({config_.self, config_.incarnation})) {
    return "an operator's add-replica: one took it out, or the group is not configured with it";
  }
  return primary + " to take it back in, which it does by itself once this replica has caught up";
}

// ---- Snapshots in ----

void ReplicationCore::AckSnapshot(const LogPosition& at, uint64_t received, bool installed) {
  Emit(SendTo{view_->primary, epoch(), SnapshotAck{at, received, installed, config_.incarnation}});
}

void ReplicationCore::OnSnapshotPiece(NodeId from, const SnapshotPiece& piece) {
  // A member holds all that is replicated, and never needs one.
  if (role_ != Role::kLearner || from != view_->primary || truncating_) return;
  if (!IsPosition(piece.at) || Raw(piece.at.lsn) == 0 || piece.at.epoch > epoch()) return;
  if (piece.bytes.size() > kPieceBytesAccepted) return;
  // Not answered: its sender finds no progress, gives up, and tries again, later each time (R6).
  if (now_us_ < no_snapshot_before_us_) return;
  // Held, or installed before. Acknowledged records are never installed over, late pieces or not (R4).
  if (piece.at.lsn <= std::max(replicated_, MatchedDurable())) {
    AckSnapshot(piece.at, 0, true);
    return;
  }
  if (snapshot_in_ && snapshot_in_->done) {
    if (piece.at == snapshot_in_->at) AckSnapshot(piece.at, snapshot_in_->written, false);
    return;
  }
  if (!snapshot_in_ || snapshot_in_->at != piece.at) {
    if (snapshot_in_) Reached(Situation::kSnapshotRestarted);
    if (piece.offset != 0) {
      AckSnapshot(piece.at, 0, false);
      return;
    }
    snapshot_in_ = SnapshotIn{piece.at, 0, 0, false};
    snapshot_refused_.clear();
  }
  if (piece.offset != snapshot_in_->accepted) {
    AckSnapshot(piece.at, snapshot_in_->written, false);
    return;
  }
  if (snapshot_in_->accepted - snapshot_in_->written > kUnwrittenBytesMax) return;
  snapshot_in_->accepted += piece.bytes.size();
  snapshot_in_->done = piece.done;
  Emit(WriteSnapshot{piece});
}

void ReplicationCore::On(const SnapshotWritten& event) {
  if (!snapshot_in_ || snapshot_in_->at != event.at) return;  // of one given up
  snapshot_in_->written = std::min(event.received, snapshot_in_->accepted);
  if (following_) AckSnapshot(event.at, snapshot_in_->written, false);
}

// The old store and log are as they were.
void ReplicationCore::On(const SnapshotRefused& event) {
  if (!snapshot_in_ || snapshot_in_->at != event.at) return;  // of one given up
  snapshot_in_.reset();
  no_snapshot_before_us_ = now_us_ + kLearnerProgressUs;
  snapshot_refused_ = event.why;
  EnterIfReady();
  ResumeHeld();
}

void ReplicationCore::On(const SnapshotInstalled& event) {
  ASSENT_CHECK(snapshot_in_ && snapshot_in_->done && snapshot_in_->at == event.at, "installed", event.at.lsn);
  Reached(Situation::kSnapshotInstalled);
  snapshot_in_.reset();
  last_ = event.at;
  durable_ = event.at.lsn;
  replicated_ = event.at.lsn;  // a store holds only what is replicated (R13)
  if (following_) {
    following_->matched = {};
    following_->unforced.Clear();
  }
  EnterIfReady();
  if (following_) AckSnapshot(event.at, 0, true);
  ResumeHeld();
}

}  // namespace assent::backup
