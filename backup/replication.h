#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/log_reader.h"
#include "backup/peer_progress.h"
#include "backup/replication_events.h"
#include "common/ids.h"
#include "common/log_entry.h"
#include "common/view.h"

namespace assent::backup {

struct ReplicationConfig {
  GroupId group;
  NodeId self{};
  Incarnation incarnation{};  // of this replica's data directory
  uint64_t life = 0;          // drawn at random at the process's start; not 0
  // Looked at only while the directory holds no view of the group.
  std::vector<NodeId> initial_members;
  NodeId initial_primary{};
  // A smaller view acknowledges nothing, and no view is proposed that is (R3).
  size_t replicas_min = 1;
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
  bool serving = false;
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
// records are appended, durable and replicated. It does no I/O, knows no clock, and nothing of what the
// records say.
//
//              view names this life
//   Starting -----------------------------> Primary --a higher view--> Backup, Learner or Starting
//    | |  '-- view names an earlier life of this process as primary: CAS epoch+1 (R3), then as above
//    | '--- view names (node, incarnation) ---> Backup ----.
//    '----- view does not --------------------> Learner ---+--> any other, by a higher view
//   any --directory or log contradicts what is known (R4, R12)--> Halted
//
// Guarantees (CheckInvariants() here; across replicas, tests/unit/backup_simulation_test.cc):
//   R1  ReplicatedUpTo{lsn} on a primary only when all up to `lsn` is durable here and acknowledged, in this
//       epoch and under the incarnation that the view names, by every other member; also by the learner of a
//       view that was proposed and whose fate is not known (R3, R6).
//   R2  A message of another epoch than ours has no effect but an answer, or a look at the directory.
//   R3  Appends, numbers and answers nothing before the directory gave this process life an epoch.
//   R4  Serve only when the whole log is replicated in the view. Truncates by (epoch, LSN), never at or
//       below what is known replicated or applied: it halts. Acks only what is durable and was matched in
//       this epoch and life.
//   R6  A learner's acks are required before its view is proposed, and until that is known to have failed.
//   R10 Ships at once what was appended; while kShipsInFlightMax are on their way, records gather.
//   R12 Serves nothing, and halts, where the directory is another, or older than what this replica saw.
//   G8  Holds no log entries but those of one Ship that waits; windows bound what is on the way to a peer.
//
// Leases, beacons and takeover by a backup (R3, R5, R11) are not in it: the view changes only by an
// operator's command and at a primary's restart.
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
  // What every record that the role core appends now, and every message sent, is to carry; 0 before the first
  // view.
  Epoch epoch() const { return view_ ? view_->epoch : Epoch{}; }
  const std::optional<View>& view() const { return view_; }
  bool serving() const { return serving_; }  // primary, and R4 done in this epoch
  LogPosition last() const { return last_; }
  Lsn durable() const { return durable_; }
  Lsn replicated() const { return replicated_; }
  // A learner still needs what follows this LSN: the log is better not trimmed above it. A driver that runs
  // out of room may do so (G8); the learner then begins again with a snapshot. UINT64_MAX = no such need.
  Lsn TrimLimit() const;
  ReplicationStatus Describe(uint64_t now_us) const;

  // Aborts the process if an invariant does not hold. O(peers + log N); also compares with the state at the
  // last call.
  void CheckInvariants() const;

 private:
  // An operator's change on its way (R6).
  struct Change {
    RequestId id{};
    ChangeKind kind{};
    Member member;
    bool required = false;          // the learner's ack is needed for every new record
    uint64_t last_progress_us = 0;  // of the learner
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
  void On(const Tick& event);
  void NoteAppended(const LogEntry& entry);
  void Append(std::vector<LogEntry> entries);
  void BecomeHalted(std::string text);
  void RaiseReplicated(Lsn lsn);
  template <typename T>
  void Emit(T effect) {
    effects_->emplace_back(std::move(effect));
  }

  // --- views.cc: the directory, and which role follows from it (R3, R12) ---
  void On(const ViewRead& event);
  void On(const ViewUnread& event);
  void On(const CasDone& event);
  void On(const ViewPersisted& event);
  bool DirectoryIsBehind(const ViewRead& event);
  void FoundGroup(const ViewRead& event);
  void Adopt(const View& view);
  void Propose(View view);
  void WantRead();
  void IssueDirectoryWork();
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
  bool HoldsWholeLog() const { return HeldByMembers() >= serve_at_; }
  bool Required(const PeerProgress& peer) const;
  PeerProgress* FindPeer(const Member& member);

  // --- changes.cc: an operator's changes, snapshots out (R6) ---
  void On(const OperatorChange& event);
  void On(const SnapshotRead& event);
  void On(const SnapshotFailed& event);
  void OnSnapshotAck(NodeId from, const SnapshotAck& ack);
  void BeginSnapshot(PeerProgress& peer);
  void PumpSnapshot(PeerProgress& peer);
  void AdvanceChange();
  void TickChange();
  uint64_t ChangeDeadline() const;
  PeerProgress* Learner();  // of an add-replica under way
  void EndChange(const Status& status);
  void IgnoreOtherIncarnation(NodeId from, Incarnation incarnation);

  // --- follower.cc: the other end (R2, R4, R6) ---
  void OnShip(NodeId from, const Ship& ship);
  void HoldForEpoch(const Received& event);
  void ResumeHeld();
  void TakeShip(NodeId from, const Ship& ship);
  void HaltOnConflict(const LogPosition& theirs);
  void AckShip(bool mismatch, const LogPosition& hint);
  Lsn MatchedDurable() const;
  void LearnReplicated();
  void AckSnapshot(const LogPosition& at, uint64_t received, bool installed);
  void OnSnapshotPiece(NodeId from, const SnapshotPiece& piece);
  void On(const SnapshotWritten& event);
  void On(const SnapshotInstalled& event);

  bool IsFollower() const { return role_ == Role::kBackup || role_ == Role::kLearner; }
  Epoch EpochOf(Lsn lsn) const;  // REQUIRES: held, or the base
  LogPosition PositionOf(Lsn lsn) const { return {EpochOf(lsn), lsn}; }
  Lsn LastWithEpochUpTo(Epoch epoch,
                        Lsn from) const;  // highest l <= from, >= base, of an epoch <= `epoch`; or base

  const ReplicationConfig config_;
  const LogReader& log_;
  uint64_t now_us_ = 0;         // of the Step that runs
  Effects* effects_ = nullptr;  // of the Step that runs

  Role role_ = Role::kStarting;
  std::optional<View> view_;             // acted in; empty before the first
  Epoch seen_epoch_{};                   // persisted, or being persisted for `entering_` (I-R4)
  Incarnation directory_incarnation_{};  // as seen_epoch_
  std::string waiting_for_;

  // The log.
  LogPosition last_;
  Lsn durable_{};
  Lsn replicated_{};                       // known to be; at the start what the store has applied
  std::optional<LogPosition> truncating_;  // TruncateLog is not answered

  // The directory.
  bool directory_busy_ = false;  // ReadDirectory or ProposeView is unanswered
  bool want_read_ = false;
  uint64_t next_read_us_ = 0;
  std::optional<View> proposed_;  // its fate is not known: bound by it, and by view_ (R3)
  bool want_propose_ = false;     // proposed_ is to be sent (again)
  std::optional<View> entering_;  // read or won; acted in once persisted and the log is at rest
  Role entering_role_ = Role::kStarting;
  bool persisting_ = false;

  // Primary.
  bool serving_ = false;
  Lsn serve_at_{};  // this epoch's EpochBegan
  uint64_t led_since_us_ = 0;
  std::map<NodeId, PeerProgress> peers_;
  std::optional<Change> change_;
  std::deque<std::pair<Lsn, size_t>> unreplicated_;  // appended in this epoch, by record
  uint64_t unreplicated_bytes_ = 0;

  // Backup or learner.
  Lsn matched_{};             // the prefix verified against this epoch's primary (R4); volatile
  Lsn primary_replicated_{};  // the highest Ship.replicated of this epoch
  std::deque<std::pair<Lsn, size_t>> unforced_;
  uint64_t unforced_bytes_ = 0;
  struct Held {
    NodeId from{};
    Epoch epoch{};
    Ship ship;
  };
  std::optional<Held> held_;  // waits for a truncation, or for its epoch's view
  std::optional<SnapshotIn> snapshot_in_;

  // Of the last CheckInvariants().
  struct Checked {
    Epoch epoch{};
    Epoch seen_epoch{};
    Lsn replicated{};
  };
  mutable Checked checked_;
};

}  // namespace assent::backup
