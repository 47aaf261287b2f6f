#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/log_entry.h"
#include "common/messages.h"
#include "common/status.h"
#include "common/view.h"

// The events that the driver tells a ReplicationCore, and the effects that the core wants (replication.h).
namespace assent::backup {

enum class Role : uint8_t {
  kStarting = 1,  // leads nothing and follows nobody: has not yet read, or won, a view that it may act in
  kBackup,        // member of the view, copies the primary's log; its acks make records replicated
  kLearner,       // not a member: takes the log in, and counts for nothing until an operator adds it (R6)
  kPrimary,
  kHalted,  // for good, until an operator acts and the process restarts
};
std::string_view ToString(Role role);

// ---- Events ----

// The first event, once. After wal::Log::Open everything up to `last` is durable.
struct Started {
  LogPosition last;                     // the log's end; its base if it holds no record
  Lsn applied{};                        // of the store: replicated, so never truncated (R4, R13)
  Epoch seen_epoch{};                   // of the last PersistView; 0 = never
  Incarnation directory_incarnation{};  // of the last PersistView; 0 = never
  // R3: the last position that was confirmed of this incarnation, and who said so, for people. (0, 0) = none.
  LogPosition confirmed{};
  std::string confirmed_by{};
};

// Answers ReadDirectory: one consistent read. `registered`: the incarnation that each node registered last.
struct ViewRead {
  std::optional<View> view;
  Incarnation directory_incarnation{};
  std::vector<Member> registered;
  Epoch first_epoch{1};  // of a group that has no view yet
};
// Answers ReadDirectory, too: the directory was not reached. The core asks again later.
struct ViewUnread {};

// Answers ProposeView. kFailed: this try surely made nothing, and will not. kUnknown: no answer; the proposal
// may be applied now, later or never.
enum class CasOutcome : uint8_t { kOk = 1, kLost, kFailed, kUnknown };
struct CasDone {
  View attempted;
  CasOutcome outcome = CasOutcome::kUnknown;
  std::string why = {};  // kFailed, kUnknown
};

// Answers PersistView: it is on disk.
struct ViewPersisted {
  Epoch seen_epoch{};
};

// The log is durable up to here. ForceDone, TruncateDone and SnapshotInstalled come in the order in which the
// log did these things.
struct ForceDone {
  Lsn durable{};
};
// Answers TruncateLog. The rest of the log is durable as well.
struct TruncateDone {
  LogPosition after;
};

// A message of another replica of this group. `from_epoch`, `to_epoch`: of the Envelope.
struct Received {
  NodeId from{};
  Epoch from_epoch{};
  Epoch to_epoch{};
  ReplicaMessage message;
};
// A replica of this group answered that its epoch is `epoch` (R2).
struct PeerEpoch {
  NodeId from{};
  Epoch epoch{};
};

// Primary only, after Serve: the role core appended these; they are in the LogReader, under epoch(), behind
// last(). To be stepped before any other event, since the core numbers its own record
// (EpochBegan) behind last().
struct LocalAppend {
  std::vector<LogEntry> entries;
};

// An operator's command, for the primary; one at a time. OperatorReply answers it, perhaps much later.
enum class ChangeKind : uint8_t {
  kAddReplica = 1,  // R6: `member` catches up as a learner, then joins the view
  kRemoveReplica,   // `member.node` leaves the view; its incarnation is not looked at. Also gives up an
                    // unfinished kAddReplica of that node whose view was not yet proposed
  kPromote,         // `member.node` leads in this replica's place; its incarnation is not looked at
};
struct OperatorChange {
  RequestId id{};
  ChangeKind kind{};
  Member member;
  // kPromote: how long open work may take to end. Then the command fails and nothing changes; or, with
  // `force`, the work is lost, and the change made.
  uint64_t drain_us = 0;
  bool force = false;
};

// Since the last Drain{true} the role core has become quiet.
struct Drained {};

// This process is about to stop: whatever this replica has in the view is to go to others. Its lead goes only
// once `hands_over` came: of two groups that are handed over at the same time, each may hold work back that
// the other waits for. The driver stops once MayStop() holds, or when its patience ends.
struct Leave {
  bool hands_over = false;
};

// Answers ReadSnapshot: the piece at `piece.offset`, empty and `done` at the snapshot's end. The first one
// fixes `at` (the store's applied position); all until StopSnapshot are of that same snapshot. An `at` below
// the log's base is refused, and another snapshot asked for.
struct SnapshotRead {
  NodeId to{};
  SnapshotPiece piece;
};
// Answers StartSnapshot or ReadSnapshot: it cannot be made or read. The core gives the add-replica up.
struct SnapshotFailed {
  NodeId to{};
  std::string text;
};
// Learner: answers WriteSnapshot. `received`: bytes of this snapshot held so far.
struct SnapshotWritten {
  LogPosition at;
  uint64_t received = 0;
};
// Learner: answers WriteSnapshot, too: this snapshot cannot be taken in, and nothing of it is kept.
struct SnapshotRefused {
  LogPosition at;
  std::string why;
};
// Learner: answers the WriteSnapshot of the last piece, instead of SnapshotWritten: the store is the
// snapshot's, the log was Reset to `at`, durably, and the role core was built anew.
struct SnapshotInstalled {
  LogPosition at;
};

// NextDeadline() has come. May come early or late.
struct Tick {};

using Event = std::variant<Started, ViewRead, ViewUnread, CasDone, ViewPersisted, ForceDone, TruncateDone,
                           Received, PeerEpoch, LocalAppend, OperatorChange, Drained, Leave, SnapshotRead,
                           SnapshotFailed, SnapshotWritten, SnapshotRefused, SnapshotInstalled, Tick>;

// ---- Effects ----
//
// Performed in order, all of one Step before the next Step. None needs to be complete before the next is
// performed: where that matters the core waits for the answering event.

// Write these behind the log's end, make them visible to the LogReader, hand them to the role core's Apply,
// and force them by group commit: ForceDone follows. On a backup they are the primary's records; on a primary
// it is EpochBegan, the first record of its epoch (the role's own records do not come this way,
// but by LocalAppend).
struct AppendToLog {
  std::vector<LogEntry> entries;
};
// Force what is left, then cut what is above `after`, durably (R4). Nothing above it is replicated or
// applied. A role core that took in what goes is discarded, and built anew from store and log. Answer:
// TruncateDone. Until then the core appends nothing.
struct TruncateLog {
  LogPosition after;
};
// Make these durable: the highest view epoch is on disk before it is acted on (I-R4). Answer: ViewPersisted.
struct PersistView {
  Epoch seen_epoch{};
  Incarnation directory_incarnation{};
};

// From this replica, with from_epoch = to_epoch = `epoch`.
struct SendTo {
  NodeId to{};
  Epoch epoch{};
  ReplicaMessage message;
};
// R2: `to` sent under an epoch below ours; it gets PeerEpoch.
struct AnswerStaleEpoch {
  NodeId to{};
  Epoch epoch{};
};

// At most one of ReadDirectory and ProposeView is unanswered at any time.
struct ReadDirectory {};
// Compare-and-swap: make `view` the group's, if the group's epoch there is view.epoch - 1 (0: no view).
// Nothing that depends on it has happened.
struct ProposeView {
  View view;
  // Nobody waits for it, so open work may come to its end first, for a moment: work that the role core has
  // not finished ends with the epoch.
  bool planned = false;
};
// Record the incarnation of this replica. No answer: a later ReadDirectory shows it.
struct Register {
  Member self;
};

// All records up to `lsn` are replicated (R1); on a backup or learner: known to be (R13: the store may apply
// them). Rises, never repeats.
struct ReplicatedUpTo {
  Lsn lsn{};
};
// This process leads `view`; its epoch is persisted. The role core is told nothing yet: it goes on following,
// or, if it served the epoch before (the same life changed its view), goes on as it is, its records now under
// the new epoch.
struct BecomePrimary {
  View view;
};
// R4: the whole log, with the epoch's EpochBegan, is replicated in this view; ReplicatedUpTo for it came just
// before. The role core serves from here on. Comes again, with a higher epoch, each time that
// the view changed.
struct Serve {
  Epoch epoch{};
};
// `role` is kStarting, kBackup or kLearner in `view`. A role core that was primary is discarded
// and built anew.
struct BecomeFollower {
  View view;
  Role role = Role::kStarting;
};
// Stop everything and show `text` to the operator (R4, R12). The core does nothing any more.
struct Halt {
  std::string text;
};

// Primary (R6): make a snapshot of the store for `to`. SnapshotFailed is the only answer; ReadSnapshot may
// follow at once.
struct StartSnapshot {
  NodeId to{};
};
// Answer: SnapshotRead (later, if need be) with at most `bytes_max` bytes from `offset` on; any offset up to
// the highest asked for so far may be asked for again.
struct ReadSnapshot {
  NodeId to{};
  uint64_t offset = 0;
  size_t bytes_max = 0;
};
// The snapshot for `to` is not needed any more; answers to it that are still to come are ignored.
struct StopSnapshot {
  NodeId to{};
};
// Learner: keep this piece; pieces come in order, and offset 0 begins anew. Answer: SnapshotWritten, or, if
// `piece.done`, SnapshotInstalled once all of it took the store's and the log's place.
struct WriteSnapshot {
  SnapshotPiece piece;
};

// Primary: the role core is to take nothing new on, or to go on as before. Answer to the former: Drained, in
// its time. Ends with the epoch.
struct Drain {
  bool begun = false;
};

// Answers OperatorChange.
struct OperatorReply {
  RequestId id{};
  Status status;
};

using Effect = std::variant<AppendToLog, TruncateLog, PersistView, SendTo, AnswerStaleEpoch, ReadDirectory,
                            ProposeView, Register, ReplicatedUpTo, BecomePrimary, Serve, BecomeFollower, Halt,
                            StartSnapshot, ReadSnapshot, StopSnapshot, WriteSnapshot, Drain, OperatorReply>;
using Effects = std::vector<Effect>;

}  // namespace assent::backup
