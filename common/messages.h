#pragma once

#include <assent/outcome.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/log_entry.h"
#include "common/operations.h"
#include "common/overloaded.h"
#include "common/records.h"

// Messages between nodes. Delivery may lose, repeat and reorder; every receiver copes.
namespace assent {

constexpr std::pair<AbortReason, AbortReason> RangeOf(AbortReason) {
  return {AbortReason::kNone, AbortReason::kTokenExpired};
}

constexpr std::pair<Vote, Vote> RangeOf(Vote) {
  return {Vote::kYes, Vote::kReadOnly};
}

// Beside its own business, each message of a coordinator about a transaction says this.
struct TxnHeader {
  static constexpr size_t kFields = 5;
  TxnId txn;
  Age age;
  bool has_foreign = false;  // the transaction has branches outside: lock waits here are bounded (P2)
  TxnId mark;                // C8, for the receiving participant
  uint64_t horizon_us = 0;   // C5
};

// ---- Replication, between the replicas of one group ----

// Log records after `prev` (R1, R4). `replicated`: the highest LSN that is durable on every replica of the
// view. Without entries it is a probe, or news of `replicated`.
struct Ship {
  static constexpr size_t kFields = 3;
  LogPosition prev;
  std::vector<LogEntry> entries;
  Lsn replicated{};
};
// `durable`: the last record that is durable here and was matched against this epoch's primary (R4); (0, 0) =
// none yet. On `mismatch`, `hint` is the last position here that may match, at or below the probe's prev.
struct ShipAck {
  static constexpr size_t kFields = 4;
  LogPosition durable;
  Incarnation incarnation{};
  bool mismatch = false;
  LogPosition hint;
};
// A primary's sign of life (R5). `sent_us`: its own clock, for the answer to name. `force_age_us`: for how
// long its oldest open force has been going on (R11); 0 = none is open.
struct Beacon {
  static constexpr size_t kFields = 2;
  uint64_t sent_us = 0;
  uint64_t force_age_us = 0;
};
// The replica will not try to lead before a grace period has passed since it took the beacon in.
struct BeaconAck {
  static constexpr size_t kFields = 3;
  uint64_t sent_us = 0;
  uint64_t force_age_us = 0;
  Incarnation incarnation{};
};
// A primary to the backup that is to lead in its place, its lease given up for good (R5); or a backup that is
// about to stop to its primary: go on without. Repeated, since nothing answers it but a new view.
struct HandOver {
  static constexpr size_t kFields = 0;
};
// A learner's snapshot (R6): a piece of the group's SQLite file as of `at`. Pieces come in order; `done`
// on the last.
struct SnapshotPiece {
  static constexpr size_t kFields = 4;
  LogPosition at;
  uint64_t offset = 0;
  std::string bytes;
  bool done = false;
};
struct SnapshotAck {
  static constexpr size_t kFields = 4;
  LogPosition at;
  uint64_t received = 0;  // bytes held so far: where to go on
  bool installed = false;
  Incarnation incarnation{};
};

// ---- Coordinator to participant ----

// Which of the branches that a shard has opened for a transaction (P3). It may have forgotten the end of one,
// and take a repeated first message for the beginning of another, which knows nothing of what
// the first has done.
struct BranchId {
  static constexpr size_t kFields = 2;
  Epoch epoch{};        // of the shard, when it opened the branch; 0 = not known yet
  uint64_t number = 0;  // rises with each branch that the shard opens in that epoch, from 1
  auto operator<=>(const BranchId&) const = default;
};

// Work of an interactive transaction. Operations are numbered from 1 within the branch; `first` is the number
// of the first one here. `branch` is empty in the branch's first message, then what OperateReply said (P3).
struct Operate {
  static constexpr size_t kFields = 4;
  TxnHeader header;
  BranchId branch;
  uint32_t first = 1;
  std::vector<Operation> operations;
};
// Phase one. One-shot: `operations` are all of the branch (`branch` is empty). Interactive: they are empty,
// and `last` is the number of the last operation sent (P3). `may_release`: every lock of the transaction was
// granted before the first prepare was sent, so a branch without writes may vote read-only and let go (P9).
struct Prepare {
  static constexpr size_t kFields = 7;
  TxnHeader header;
  BranchId branch;
  uint32_t last = 0;
  std::vector<Operation> operations;
  std::vector<Participant> participants;
  CommitMode mode = CommitMode::kCoordinator;
  bool may_release = false;
};
// The whole commit, where there is one participant (C6). Fields as in Prepare and OnePhaseCommitted. A branch
// without writes is read-only and leaves no record.
struct CommitOnePhase {
  static constexpr size_t kFields = 8;
  TxnHeader header;
  BranchId branch;
  uint32_t last = 0;
  std::vector<Operation> operations;
  Token token;
  uint32_t attempt = 0;
  uint64_t content = 0;
  uint64_t acked_below = 0;
};
// Phase two, the answer to Inquire, and the end of a branch that was never prepared.
struct Decide {
  static constexpr size_t kFields = 2;
  TxnHeader header;
  Decision decision = Decision::kAbort;
};
// Asks what became of this token here. Ends what is still running of it up to `attempt`, and refuses
// those attempts (C6).
struct SettleToken {
  static constexpr size_t kFields = 3;
  TxnHeader header;
  Token token;
  uint32_t attempt = 0;
};
// Marks for a participant that no other message goes to; and the answer to Inquire about a transaction that
// is undecided, which `live` names.
struct MarkNews {
  static constexpr size_t kFields = 3;
  TxnId mark;
  uint64_t horizon_us = 0;
  TxnId live = {};
};

// ---- Participant to coordinator ----

// `last`: number of the last operation done. `results` are those of this Operate's operations.
struct OperateReply {
  static constexpr size_t kFields = 4;
  TxnId txn;
  BranchId branch;
  uint32_t last = 0;
  std::vector<OperationResult> results;
};
// The branch ended without a vote having been asked for, or asked for too late: wounded, check
// failed, timed out.
struct BranchAborted {
  static constexpr size_t kFields = 3;
  TxnId txn;
  AbortReason reason = AbortReason::kNone;
  std::string detail;
};
struct VoteReply {
  static constexpr size_t kFields = 5;
  TxnId txn;
  Vote vote = Vote::kNo;
  AbortReason reason = AbortReason::kNone;  // of a no
  std::string detail;
  std::vector<OperationResult> results;  // one-shot: of its operations
};
// Answers CommitOnePhase and SettleToken. Not `committed`: attempts up to `attempt` are refused
// here for good.
struct OnePhaseReply {
  static constexpr size_t kFields = 9;
  TxnId txn;  // of the request
  Token token;
  uint32_t attempt = 0;
  bool committed = false;
  TxnId committed_txn;   // the one that did, if `committed`: an earlier attempt's, perhaps
  uint64_t content = 0;  // of the one that did
  AbortReason reason = AbortReason::kNone;
  std::string detail;
  std::vector<OperationResult> results;  // empty if it is an earlier attempt's outcome
};
struct DecideAck {
  static constexpr size_t kFields = 2;
  TxnId txn;
  Decision decision = Decision::kAbort;
};
// In doubt: what was decided? (P8) `unprepared`: not in doubt, and nothing was heard of the transaction for
// long: is it live still? (P4) Only a live one is answered; nothing is presumed.
struct Inquire {
  static constexpr size_t kFields = 2;
  TxnId txn;
  bool unprepared = false;
};
// An older transaction needs a lock that `txn`, which has voted here, holds (P2).
struct WoundRequest {
  static constexpr size_t kFields = 1;
  TxnId txn;
};
// A shard that is being handed over, before it lets go: some of what it said (results, read-only votes) only
// this primary can say again. Messages between two nodes arrive in the order sent while their connection
// lasts, so whoever answers this has all replies `through` this one, counted per coordinator.
struct ConfirmReplies {
  static constexpr size_t kFields = 1;
  uint64_t through = 0;
};
struct RepliesConfirmed {
  static constexpr size_t kFields = 1;
  uint64_t through = 0;
};

// ---- Shard to shard (P8) ----

struct PeerInquire {
  static constexpr size_t kFields = 1;
  TxnId txn;
};
// nullopt: do not know.
struct PeerOutcome {
  static constexpr size_t kFields = 2;
  TxnId txn;
  std::optional<Decision> decision;
};

// Any group to any: my epoch is this envelope's `from_epoch`. Answers a message that named an older one of
// mine, or reached no primary, and was dropped. A primary that begins to serve sends it to all other groups,
// unasked (R3).
struct EpochNews {
  static constexpr size_t kFields = 0;
};

// ---- All of them ----

// An alternative's place is its number on the wire: new ones come at the end.
using Message = std::variant<Ship, ShipAck, SnapshotPiece, SnapshotAck, Beacon, BeaconAck, HandOver, Operate,
                             Prepare, CommitOnePhase, Decide, SettleToken, MarkNews, OperateReply,
                             BranchAborted, VoteReply, OnePhaseReply, DecideAck, Inquire, WoundRequest,
                             ConfirmReplies, RepliesConfirmed, PeerInquire, PeerOutcome, EpochNews>;

// By who takes them in: a replica's replication core, the role core of a shard or of a coordinator group, or
// the driver itself. Others drop them.
using ReplicaMessage = std::variant<Ship, ShipAck, SnapshotPiece, SnapshotAck, Beacon, BeaconAck, HandOver>;
using ToShard = std::variant<Operate, Prepare, CommitOnePhase, Decide, SettleToken, MarkNews,
                             RepliesConfirmed, PeerInquire, PeerOutcome>;
using ToCoordinator = std::variant<OperateReply, BranchAborted, VoteReply, OnePhaseReply, DecideAck, Inquire,
                                   WoundRequest, ConfirmReplies>;
using ToDriver = std::variant<EpochNews>;

template <typename M>
constexpr int kReceivers = int{OneOf<M, ReplicaMessage>} + int{OneOf<M, ToShard>} +
                           int{OneOf<M, ToCoordinator>} + int{OneOf<M, ToDriver>};
template <typename... Ms>
constexpr bool EachHasOneReceiver(const std::variant<Ms...>*) {
  return ((kReceivers<Ms> == 1) && ...);
}
static_assert(EachHasOneReceiver(static_cast<const Message*>(nullptr)),
              "name the message among those of its receiver, and of no other");

// R2: each message carries the epochs of the groups it goes between. The sender believes the receiver's epoch
// to be `to_epoch`: a receiver whose own is higher drops the message and answers with its own, in EpochNews.
// 0 in `to_epoch` = not known yet; receivers answer that with their epoch, too, and do nothing else.
struct Envelope {
  static constexpr size_t kFields = 6;
  GroupId from_group;
  NodeId from_node{};
  Epoch from_epoch{};
  GroupId to_group;
  Epoch to_epoch{};
  Message message;
};

}  // namespace assent
