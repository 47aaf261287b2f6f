#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/directory_dialogue.h"
#include "backup/log_reader.h"
#include "backup/peer_progress.h"
#include "backup/replication_events.h"
#include "backup/role_state.h"
#include "common/ids.h"
#include "common/log_entry.h"
#include "common/mutant.h"
#include "common/view.h"

namespace assent::backup {

struct ReplicationConfig {
  GroupId group;
  NodeId self{};
  Incarnation incarnation{};  // of this replica's data directory
  uint64_t life = 0;          // drawn at random at the process's start; not 0
  // The nodes that are to hold replicas: they form the first view, and may come back by themselves later.
  std::vector<NodeId> initial_members;
  NodeId initial_primary{};
  // A smaller view acknowledges nothing, and no view is proposed that is (R3).
  size_t replicas_min = 1;
  // How much of a learner's snapshot goes in one message. At most what a peer frame holds.
  size_t snapshot_piece_bytes = kSnapshotPieceBytes;
};

// For operators.
struct PeerStatus {
  Member member;
  bool in_view = false;
  bool required = false;   // its acks hold records back: of a member always, of a learner from R6 on
  bool has_acked = false;  // in this epoch
  LogPosition acked;
  uint64_t lag_records = 0;
  uint64_t lag_bytes = 0;  // of them, what this life appended and is not replicated yet
  uint64_t in_flight_bytes = 0;
  uint64_t last_ack_age_us = 0;  // since the epoch began, if !has_acked
  bool in_snapshot = false;
  uint64_t snapshot_bytes = 0;  // acknowledged so far, if in_snapshot
};
struct ReplicationStatus {
  Role role = Role::kStarting;
  std::optional<View> view;  // in which `role` is held
  bool serving = false;      // under its lease (R5)
  LogPosition last;
  Lsn durable{};
  Lsn replicated{};
  uint64_t unreplicated_bytes = 0;  // on a primary: appended by this life and not yet replicated
  std::string waiting_for;          // why this replica does not serve or follow yet, for people; may be empty
  std::vector<PeerStatus> peers;    // on a primary
};

// Primary-backup replication of one group's log, seen from one replica: PacificA (Lin, Yang, Zhang and Zhou,
// MSR-TR-2008-25; prepared/committed lists there are `last` and `replicated` here) with every replica of the
// view in the commit path, as a deterministic state machine. It owns the role, the view in force, and which
// records are appended, durable and replicated. It does no I/O, knows no clock, and nothing of what
// the records say.
//
//              view names this life
//   Starting -----------------------------> Primary --a higher view--> Backup, Learner or Starting
//    | |  '-- view names an earlier life of this process as primary: CAS epoch+1 (R3), then as above
//    | '--- view names (node, incarnation) ---> Backup ----.
//    '----- view does not --------------------> Learner ---+--> any other, by a higher view
//   any --directory or log contradicts what is known (R4, R12)--> Halted
//
// Guarantees (CheckInvariants() here; across replicas, sim/world_checks.cc and backup_simulation_test.cc):
//   R1  ReplicatedUpTo{lsn} on a primary only when all up to `lsn` is durable here and acknowledged, in this
//       epoch and under the incarnation that the view names, by every other member; also by the learner of a
//       view that was proposed and whose fate is not known (R3, R6).
//   R2  A message of another epoch than ours has no effect but an answer, or a look at the directory.
//   R3  Appends, numbers and answers nothing before the directory gave this process life an epoch.
//   R4  Serve only when the whole log is replicated in the view. Truncates by (epoch, LSN), never at or
//       below what is known replicated or applied: it halts. Acks only what is durable and was matched in
//       this epoch and life.
//   R5  LeaseHolds only while no other replica can lead, while clock rates differ by less than the margin. A
//       primary without backups acknowledges under it, too.
//   R6  A learner's acks are required before its view is proposed, and until that is known to have failed.
//   R10 Ships at once what was appended; while kShipsInFlightMax are on their way, records gather.
//   R12 Serves nothing, and halts, where the directory is another, or older than what this replica saw.
//   G8  Holds no log entries but those of one Ship that waits; windows bound what is on the way to a peer.
//
// How a view changes (R3), each time by compare-and-swap of the next epoch in the directory
// (directory_dialogue.h): a primary that restarts takes an epoch of its own; a backup that hears no beacon
// for the grace period takes over; a primary gives up a backup that is silent; an operator adds, removes and
// promotes; and a replica that a fault took out comes back.
class ReplicationCore {
 public:
  // `log` outlives the core.
  ReplicationCore(const ReplicationConfig& config, const LogReader& log);

  // Takes one event and appends what follows from it to `effects`, in the order in which it must be
  // performed. `now_us` is CLOCK_BOOTTIME and never falls. Bad peer input is dropped; a broken local contract
  // aborts the process.
  void Step(uint64_t now_us, const Event& event, Effects& effects) noexcept;

  // When Tick is wanted next; UINT64_MAX = not.
  uint64_t NextDeadline() const;

  Role role() const { return role_; }
  // The epoch that every record appended by the role core, and every message sent, carries from now on; 0
  // before the first view.
  Epoch epoch() const { return view_ ? view_->epoch : Epoch{}; }
  const std::optional<View>& view() const { return view_; }
  bool serving() const { return leading_ && leading_->serving; }  // primary, and R4 done in this epoch
  // R5: the lease of this epoch is given up for good; another is asked to lead.
  bool handed_over() const { return leading_ && leading_->handed_over_us != 0; }
  // After Leave: nothing more can be given to others; nobody waits for this replica, or nobody can be helped.
  bool MayStop() const;
  // R5: whether what was read before `now_us` may leave. Asked after the reading was done; where it does not
  // hold, the answer waits until it does again in the same epoch, or is lost with the epoch.
  bool LeaseHolds(uint64_t now_us) const {
    if (Mutated(Mutant::kLeaseCheckedBeforeTheRead)) now_us = now_us_;
    return serving() && now_us < LeaseUntil();
  }
  LogPosition last() const { return last_; }
  Lsn durable() const { return durable_; }
  Lsn replicated() const { return replicated_; }
  // A learner still needs what follows this LSN: the log is better not trimmed above it. A driver that runs
  // out of room may do so (G8); the learner then begins again with a snapshot. UINT64_MAX = no such need.
  Lsn TrimLimit() const;
  ReplicationStatus Describe(uint64_t now_us) const;

  // Why this replica does not serve or follow, for people: "waits for " goes before it. Empty: it does.
  std::string WaitsFor(uint64_t now_us) const;

  // Aborts the process if an invariant does not hold. O(peers + log N); also compares with the state
  // at the last call.
  void CheckInvariants() const;

 private:
  // When a replica that a fault took out may be brought back again.
  struct Readmission {
    uint64_t failed_us = 0;  // when that last came to nothing, or did not last for its slow disk; 0 = never
    uint64_t pause_us = 0;   // behind that
    std::string why;         // for people; empty once it is back
    uint64_t next_us() const { return failed_us + pause_us; }
  };
  // A snapshot on its way in.
  struct SnapshotIn {
    LogPosition at;
    uint64_t accepted = 0;  // bytes handed to the driver
    uint64_t written = 0;   // bytes it answered for
    bool done = false;      // the last piece was handed over: waits for SnapshotInstalled
  };

  // --- replication.cc: events of the log, ticks, effects ---
  void On(const Started& event);
  void On(const ForceDone& event);
  void On(const TruncateDone& event);
  void On(const Received& event);
  void On(const PeerEpoch& event);
  void On(const LocalAppend& event);
  void On(const Drained& event);
  void On(const Leave& event);
  void On(const Tick& event);
  void NoteAppended(const LogEntry& entry);
  void Append(std::vector<LogEntry> entries);
  void BecomeHalted(std::string text);
  void RaiseReplicated(Lsn lsn);
  template <typename T>
  void Emit(T effect) {
    effects_->emplace_back(std::move(effect));
  }

  // --- views.cc: what the directory answered, and which role follows from it (R3, R12) ---
  void On(const ViewRead& event);
  void On(const ViewUnread& event);
  void On(const CasDone& event);
  void On(const ViewPersisted& event);
  bool LacksWhatWasConfirmed() const;
  void FoundGroup(const ViewRead& event);
  bool IsNamedBy(const View& view) const;
  void Adopt(const View& view);
  void Propose(View view, bool planned = false);
  bool MayPropose() const { return directory_.MayPropose(now_us_); }
  void EnterIfReady();
  void Lead(const View& view);
  void Follow(const View& view, Role role);
  void LeaveRole();

  // --- primary.cc: shipping, acks, what is replicated (R1, R4, R10) ---
  void OnAck(NodeId from, const ShipAck& ack);
  void OnMismatch(PeerProgress& peer, const ShipAck& ack);
  void SendShip(PeerProgress& peer, Ship ship);
  void SendProbe(PeerProgress& peer);
  void Pump(PeerProgress& peer);
  void PumpAll();
  void NeedsWhatIsTrimmed(PeerProgress& peer);
  void AdvanceReplicated();
  void TickPeers();
  uint64_t PeerDeadline(const PeerProgress& peer) const;
  uint64_t PeersDeadline() const;
  Lsn HeldByMembers() const;
  // A proposal's fate is open, or the view that it made is not entered yet; or another was asked to make one.
  bool ViewIsChanging() const { return directory_.proposed() || directory_.entering() || handed_over(); }
  bool HoldsWholeLog(NodeId joining) const;
  bool Required(const PeerProgress& peer) const;
  bool IsBeingReplaced(const PeerProgress& peer) const;
  PeerProgress* FindPeer(const Member& member);

  // --- leases.cc: leadership, and how long it lasts (R3, R5, R11) ---
  void OnBeacon(NodeId from, const Beacon& beacon);
  void OnBeaconAck(NodeId from, const BeaconAck& ack);
  uint64_t ForceAge() const;
  uint64_t LeaseUntil() const;  // 0 = none
  bool AdmitsByProposal() const;
  std::string LeaseWaitsFor(uint64_t now_us) const;
  void SendBeacons();
  bool IsDiskDead() const;
  uint64_t SilenceDeadline(const PeerProgress& peer) const;
  void RemoveSilentBackups();
  bool MayReturn(const Member& member) const;
  bool MayReplace(const Member& member) const;
  void Readmit(const BeaconAck& ack, const Member& member);
  void PauseReadmission(NodeId node, const std::string& why);
  uint64_t TakeoverDeadline() const;
  void TakeOverIfDue();
  void ProposeWithoutPrimary();
  void ProposeToLead(View next);

  // --- handover.cc: an operator's change of the primary (R3, R5) ---
  void Promote(const OperatorChange& event);
  void BeginPromoting(const Change& change);
  void HandOverIfQuiet();
  void GiveUpLease();
  void SendHandOver();
  void OnHandOver(NodeId from);
  void TickHandOver();
  uint64_t HandOverDeadline() const;
  bool IsPromoting() const { return leading_ && leading_->IsPromoting(); }

  // --- leaving.cc: a planned stop (R3) ---
  void TickLeave();
  uint64_t LeaveDeadline() const { return leaving_since_us_ == 0 ? UINT64_MAX : next_leave_us_; }
  const PeerProgress* Heir() const;
  void NoteLeaving(NodeId from);
  bool IsLeaving(const PeerProgress& peer) const;
  bool IsSettledToLeave() const;
  bool GroupStops() const;  // a primary, and with all of its backups
  void RemoveLeaving();

  // --- changes.cc: an operator's changes, snapshots out (R6) ---
  void On(const OperatorChange& event);
  void Refuse(RequestId id, StatusCode code, std::string text);
  void RemoveReplica(const OperatorChange& event);
  void AddReplica(const OperatorChange& event);
  void BeginAdding(const Member& member, std::optional<RequestId> id);
  bool IsDiskProven(const PeerProgress& learner) const;
  void GiveLearnerUp(const std::string& why);
  void On(const SnapshotRead& event);
  void On(const SnapshotFailed& event);
  void OnSnapshotAck(NodeId from, const SnapshotAck& ack);
  void BeginSnapshot(PeerProgress& peer);
  void PumpSnapshot(PeerProgress& peer);
  void AdvanceChange();
  void ProposeWith(const Member& joining);
  void TickChange();
  uint64_t ChangeDeadline() const;
  PeerProgress* Learner();  // of an add-replica under way
  bool MakesChange(const View& view) const;
  void EndChange(const Status& status);
  void IgnoreOtherIncarnation(NodeId from, Incarnation incarnation);

  // --- follower.cc: the other end (R2, R4, R6) ---
  void OnShip(NodeId from, const Ship& ship);
  void HoldForEpoch(const Received& event);
  void ResumeHeld();
  void TakeShip(NodeId from, const Ship& ship);
  void RejectPrimary(const LogPosition& theirs);
  void AckShip(bool mismatch, const LogPosition& hint);
  Lsn MatchedDurable() const;
  void LearnReplicated();
  std::string LearnerWaitsFor() const;
  void AckSnapshot(const LogPosition& at, uint64_t received, bool installed);
  void OnSnapshotPiece(NodeId from, const SnapshotPiece& piece);
  void On(const SnapshotWritten& event);
  void On(const SnapshotRefused& event);
  void On(const SnapshotInstalled& event);

  Epoch EpochOf(Lsn lsn) const;  // REQUIRES: held, or the base
  LogPosition PositionOf(Lsn lsn) const { return {EpochOf(lsn), lsn}; }
  Lsn LastWithEpochUpTo(Epoch epoch,
                        Lsn from) const;  // highest l <= from, >= base, of an epoch <= `epoch`; or base

  const ReplicationConfig config_;
  const LogReader& log_;
  uint64_t now_us_ = 0;         // of the Step that runs
  Effects* effects_ = nullptr;  // of the Step that runs

  Role role_ = Role::kStarting;
  std::optional<View> view_;  // acted in; empty before the first
  DirectoryDialogue directory_;
  std::string waiting_for_;
  LogPosition
      confirmed_;  // R3: owed from before the start, until a view names this replica; (0, 0) = nothing
  std::string confirmed_by_;

  // The log.
  LogPosition last_;
  Lsn durable_{};
  Lsn replicated_{};                       // known to be; at the start what the store has applied
  std::optional<LogPosition> truncating_;  // TruncateLog is not answered
  uint64_t force_since_us_ = 0;  // when the oldest record that is not durable was appended, at the latest
  // R11: how long the slow forces took that ended since the last fast one, and when the last one ended.
  uint64_t slow_forces_us_ = 0;
  uint64_t force_ended_us_ = 0;

  uint64_t leaving_since_us_ = 0;  // 0: this process is not about to stop
  uint64_t next_leave_us_ = 0;
  bool hands_over_ = false;

  // Of the role, and gone with it.
  std::optional<Leading> leading_;      // exactly while kPrimary
  std::optional<Following> following_;  // exactly while kBackup or kLearner

  // What outlasts a role.
  std::map<NodeId, Readmission> readmissions_;
  struct Held {
    NodeId from{};
    Epoch epoch{};
    Ship ship;
  };
  std::optional<Held> held_;               // waits for a truncation, or for its epoch's view
  std::optional<SnapshotIn> snapshot_in_;  // only if `done`: it is installed whatever the role is by then
  std::string snapshot_refused_;           // why the last one could not be taken in; or empty
  uint64_t no_snapshot_before_us_ = 0;

  // As of the last CheckInvariants().
  struct Checked {
    Epoch epoch{};
    Lsn replicated{};
  };
  mutable Checked checked_;
};

}  // namespace assent::backup
