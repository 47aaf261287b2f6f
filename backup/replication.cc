#include "backup/replication.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/overloaded.h"

namespace assent::backup {

std::string_view ToString(Role role) {
  switch (role) {
    case Role::kStarting:
      return "starting";
    case Role::kBackup:
      return "backup";
    case Role::kLearner:
      return "learner";
    case Role::kPrimary:
      return "primary";
    case Role::kHalted:
      return "halted";
  }
  return "?";
}

ReplicationCore::ReplicationCore(const ReplicationConfig& config, const LogReader& log)
    : config_(config),
      log_(log),
      directory_(config.group, {config.self, config.incarnation}, /*seed=*/config.life) {
  ASSENT_CHECK(config_.life != 0 && Raw(config_.incarnation) != 0,
               "a replica without a life or an incarnation");
}

void ReplicationCore::Step(uint64_t now_us, const Event& event, Effects& effects) noexcept {
  ASSENT_CHECK(now_us >= now_us_ || Mutated(Mutant::kWallClockLease), "the clock fell", now_us_, now_us);
  if (role_ == Role::kHalted) return;
  now_us_ = now_us;
  effects_ = &effects;
  std::visit([this](const auto& e) { On(e); }, event);
  if (role_ != Role::kHalted) directory_.Issue(now_us_, effects);
  effects_ = nullptr;
}

void ReplicationCore::On(const Started& event) {
  last_ = event.last;
  durable_ = event.last.lsn;
  replicated_ = event.applied;
  // A record is written under an epoch only after that epoch was persisted, so the log cannot know more; but
  // if it does, it is the log that counts (R12).
  directory_.Start(std::max(event.seen_epoch, event.last.epoch), event.directory_incarnation);
  confirmed_ = event.confirmed;
  confirmed_by_ = event.confirmed_by;
  if (replicated_ > last_.lsn) {
    BecomeHalted("the log ends at " + ToString(last_) + ", but the store has applied up to LSN " +
                 std::to_string(Raw(replicated_)) + ": log files are missing. Restore them, or remove this " +
                 "replica's directory and add it again with add-replica.");
    return;
  }
  waiting_for_ = "the directory";
  directory_.Read();
}

void ReplicationCore::On(const ForceDone& event) {
  Lsn durable = event.durable;
  if (truncating_) {
    durable = std::min(durable, truncating_->lsn);  // forced before it is cut: only what stays counts
  } else {
    ASSENT_CHECK(durable <= last_.lsn, "forced more than was appended", durable, last_.lsn);
  }
  if (durable <= durable_) return;
  const Lsn acked_before = following_ ? MatchedDurable() : Lsn{};
  durable_ = durable;
  const uint64_t took_us = now_us_ - std::min(now_us_, force_since_us_);
  slow_forces_us_ = took_us <= kForceSlowUs ? 0 : slow_forces_us_ + took_us;
  force_ended_us_ = force_since_us_ = now_us_;  // of the next
  if (leading_) {
    AdvanceReplicated();
    AdvanceChange();
  } else if (following_) {
    following_->unforced.DropUpTo(durable);
    LearnReplicated();
    if (MatchedDurable() > acked_before) AckShip(false, {});
  }
}

void ReplicationCore::On(const TruncateDone& event) {
  ASSENT_CHECK(truncating_ && *truncating_ == event.after, "truncated what was not asked for",
               event.after.lsn);
  truncating_.reset();
  durable_ = event.after.lsn;
  if (following_) following_->unforced.Clear();
  EnterIfReady();
  ResumeHeld();
}

void ReplicationCore::On(const Received& event) {
  if (event.from == config_.self) return;
  // R2: a message under a lower epoch is answered with ours; a higher one means that the directory has news.
  const Epoch theirs = std::min(event.from_epoch, event.to_epoch);
  if (view_ && theirs < epoch()) {
    Reached(Situation::kStaleReplicaMessage);
    if (Mutated(Mutant::kBackupIgnoresEpochs)) {
      if (const auto* ship = std::get_if<Ship>(&event.message)) {
        const LogPosition end = ship->entries.empty() ? ship->prev : ship->entries.back().position;
        Emit(SendTo{event.from, theirs, ShipAck{end, config_.incarnation, false, {}}});
      } else if (const auto* beacon = std::get_if<Beacon>(&event.message)) {
        Emit(SendTo{event.from, theirs, BeaconAck{beacon->sent_us, 0, config_.incarnation}});
      }
      return;
    }
    Emit(AnswerStaleEpoch{event.from, epoch()});
    return;
  }
  if (event.from_epoch != event.to_epoch) return;
  if (!view_ || theirs > epoch()) {
    Reached(Situation::kNewerEpochHeard);
    HoldForEpoch(event);
    directory_.Read();
    return;
  }
  std::visit(Overloaded{[&](const Ship& m) { OnShip(event.from, m); },
                        [&](const ShipAck& m) { OnAck(event.from, m); },
                        [&](const Beacon& m) { OnBeacon(event.from, m); },
                        [&](const BeaconAck& m) { OnBeaconAck(event.from, m); },
                        [&](const HandOver&) { OnHandOver(event.from); },
                        [&](const SnapshotPiece& m) { OnSnapshotPiece(event.from, m); },
                        [&](const SnapshotAck& m) { OnSnapshotAck(event.from, m); }},
             event.message);
}

void ReplicationCore::On(const PeerEpoch& event) {
  if (event.epoch > epoch()) directory_.Read();
}

void ReplicationCore::On(const LocalAppend& event) {
  ASSENT_CHECK(leading_.has_value(), "the role appended on a replica that is", ToString(role_));
  for (const LogEntry& entry : event.entries) {
    ASSENT_CHECK(entry.position == (LogPosition{epoch(), Next(last_.lsn)}), "the role numbered",
                 entry.position.lsn, "behind", last_.lsn);
    NoteAppended(entry);
  }
  PumpAll();
}

void ReplicationCore::On(const Tick&) {
  directory_.OnTick(now_us_);
  TakeOverIfDue();
  TickLeave();
  if (!leading_) return;
  SendBeacons();
  TickPeers();
  TickChange();
  AdvanceChange();  // its proposal may have had to wait
  TickHandOver();
  RemoveSilentBackups();
  RemoveLeaving();
}

uint64_t ReplicationCore::NextDeadline() const {
  if (role_ == Role::kHalted) return UINT64_MAX;
  uint64_t deadline = std::min({directory_.NextDeadline(), TakeoverDeadline(), LeaveDeadline()});
  if (leading_) {
    deadline =
        std::min({deadline, PeersDeadline(), ChangeDeadline(), HandOverDeadline(), leading_->next_beacon_us});
  }
  return deadline;
}

void ReplicationCore::NoteAppended(const LogEntry& entry) {
  if (durable_ == last_.lsn) {
    if (now_us_ - force_ended_us_ >= kForcesForgottenUs) slow_forces_us_ = 0;
    force_since_us_ = now_us_;
  }
  last_ = entry.position;
  Backlog& backlog = leading_ ? leading_->unreplicated : following_->unforced;
  backlog.Add(entry.position.lsn, entry.payload->size());
}

void ReplicationCore::Append(std::vector<LogEntry> entries) {
  for (const LogEntry& entry : entries) NoteAppended(entry);
  Emit(AppendToLog{std::move(entries)});
}

void ReplicationCore::RaiseReplicated(Lsn lsn) {
  if (lsn <= replicated_) return;
  replicated_ = lsn;
  if (leading_) leading_->unreplicated.DropUpTo(lsn);
  Emit(ReplicatedUpTo{lsn});
}

void ReplicationCore::BecomeHalted(std::string text) {
  LeaveRole();
  role_ = Role::kHalted;
  waiting_for_ = "an operator: " + text;
  Emit(Halt{std::move(text)});
}

Epoch ReplicationCore::EpochOf(Lsn lsn) const {
  const auto epoch = log_.EpochAt(lsn);
  ASSENT_CHECK(epoch.has_value(), "no record at", lsn, "base", log_.base().lsn, "last", last_.lsn);
  return *epoch;
}

Lsn ReplicationCore::LastWithEpochUpTo(Epoch epoch, Lsn from) const {
  // Epochs never fall within a log (R9), so the answer is the end of a run of epochs: skip by halves.
  Lsn low = log_.base().lsn;
  if (EpochOf(low) > epoch) return low;
  Lsn high = from;
  while (low < high) {
    const Lsn middle{Raw(low) + (Raw(high) - Raw(low) + 1) / 2};
    if (EpochOf(middle) <= epoch) {
      low = middle;
    } else {
      high = Previous(middle);
    }
  }
  return low;
}

std::string ReplicationCore::WaitsFor(uint64_t now_us) const {
  if (role_ == Role::kLearner) return LearnerWaitsFor();
  // Once it served, only a view that changes, or the lease, can be what it waits for.
  if (serving() && waiting_for_.empty() && !LeaseHolds(now_us)) return LeaseWaitsFor(now_us);
  return waiting_for_;
}

ReplicationStatus ReplicationCore::Describe(uint64_t now_us) const {
  ReplicationStatus status{role_,       view_, LeaseHolds(now_us), last_, durable_,
                           replicated_, 0,     WaitsFor(now_us),   {}};
  if (!leading_) return status;
  status.unreplicated_bytes = leading_->unreplicated.bytes();
  for (const auto& [member, peer] : leading_->peers) {
    PeerStatus p;
    p.member = peer.member;
    p.in_view = peer.in_view;
    p.required = Required(peer);
    p.has_acked = peer.has_acked;
    p.acked = peer.acked;
    p.lag_records = Raw(last_.lsn) - Raw(peer.acked.lsn);
    p.in_flight_bytes = peer.in_flight_bytes;
    p.last_ack_age_us = now_us - std::min(now_us, peer.last_ack_us);
    p.in_snapshot = peer.mode == PeerProgress::Mode::kSnapshot;
    p.snapshot_bytes = p.in_snapshot ? peer.snapshot.acked : 0;
    p.lag_bytes = leading_->unreplicated.BytesAbove(peer.acked.lsn);
    status.peers.push_back(p);
  }
  if (status.serving) status.waiting_for.clear();  // it does not wait; but a replica that stays out may
  for (const auto& [node, readmission] : readmissions_) {
    if (view_->Find(node) != nullptr || readmission.why.empty()) continue;
    const uint64_t wait_us = readmission.next_us() - std::min(readmission.next_us(), now_us);
    status.waiting_for += (status.waiting_for.empty() ? "" : "; ") + readmission.why + "; next try " +
                          (wait_us == 0 ? "now" : "in " + std::to_string(1 + wait_us / 1'000'000) + " s");
  }
  return status;
}

void ReplicationCore::CheckInvariants() const {
  ASSENT_CHECK(durable_ <= last_.lsn, durable_, last_.lsn);
  ASSENT_CHECK(replicated_ <= durable_ || role_ == Role::kHalted, "R1", replicated_, durable_);
  ASSENT_CHECK(!truncating_ || truncating_->lsn >= replicated_, "R4", replicated_);
  ASSENT_CHECK(following_.has_value() == (role_ == Role::kBackup || role_ == Role::kLearner), "follows as",
               ToString(role_));
  if (following_) {
    ASSENT_CHECK(following_->matched <= last_.lsn, "R4", following_->matched, last_.lsn);
    following_->unforced.CheckInvariants();
  }

  // I-R4
  directory_.CheckInvariants();
  const Epoch seen = directory_.seen_epoch();
  ASSENT_CHECK(epoch() >= checked_.epoch, "an epoch fell", epoch());
  ASSENT_CHECK(epoch() <= seen, "acts in an epoch that was not persisted", epoch(), seen);
  ASSENT_CHECK(last_.epoch <= seen || role_ == Role::kHalted);
  ASSENT_CHECK(!directory_.entering() || directory_.entering()->epoch > epoch(), "enters again", epoch());
  ASSENT_CHECK(replicated_ >= checked_.replicated, "replicated fell", replicated_);
  checked_ = {epoch(), replicated_};

  ASSENT_CHECK(leading_.has_value() == (role_ == Role::kPrimary), "leads as", ToString(role_));
  if (leading_) {
    leading_->unreplicated.CheckInvariants();
    const Member self{config_.self, config_.incarnation};
    ASSENT_CHECK(view_->primary == self.node && view_->primary_life == config_.life && view_->Names(self),
                 "R3");
    ASSENT_CHECK(leading_->serve_at < log_.base().lsn || EpochOf(leading_->serve_at) == epoch(),
                 "the epoch began at", leading_->serve_at);
    ASSENT_CHECK(!leading_->serving || replicated_ >= leading_->serve_at, "R4");
    for (const auto& [member, peer] : leading_->peers) {
      ASSENT_CHECK(peer.acked.lsn <= last_.lsn, peer.acked.lsn, last_.lsn);
      ASSENT_CHECK(peer.mode != PeerProgress::Mode::kStream ||
                       (peer.next > peer.acked.lsn && peer.next <= Next(last_.lsn)),
                   peer.next, last_.lsn);
      ASSENT_CHECK(peer.in_flight.size() <= kShipsInFlightMax, "R10");
      ASSENT_CHECK(!leading_->serving || !peer.in_view || peer.acked.lsn >= replicated_, "R1", peer.acked.lsn,
                   replicated_);
    }
  }
}

}  // namespace assent::backup
