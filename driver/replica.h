#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backup/replication.h"
#include "common/role.h"
#include "driver/heard_leaders.h"
#include "driver/log_port.h"
#include "driver/log_view.h"
#include "driver/outbox.h"
#include "driver/replica_files.h"
#include "driver/replica_host.h"
#include "driver/snapshot_exchange.h"
#include "driver/state_machine.h"

namespace assent {

struct ReplicaConfig {
  backup::ReplicationConfig replication;
  backup::Started started;  // `last` and `applied` are filled in from log and store
  SnapshotConfig snapshots;
  uint64_t checkpoint_bytes = 0;  // of SQLite's -wal file, between two checkpoints
};

// The driver of one replica: feeds its two cores (replication below, the role above) one event at a time, and
// performs their effects in the order in which they give them. It owns nothing of the protocol.
//
//            Envelope, ClientCall, ForeignReply, Tick          LogDone, ViewRead, ...
//                        |                                              |
//                        v                                              v
//    RoleCore --Append--> LogView, LocalAppend --> ReplicationCore --Ship--> host, --AppendToLog--> LogPort
//        ^                                              |
//        '------------- Replicated{lsn} ----------------'
//
// Events that one core's effects cause in the other are queued, so all effects of a step are performed before
// the next step. Loop thread only. It is the same under the simulator: all it touches comes
// in through the constructor.
class Replica final : private SnapshotExchange::Owner {
 public:
  // `log` and `store` were opened from the same directory; `log` outlives this.
  Replica(ReplicaConfig config, ReplicaHost& host, LogPort& log, std::unique_ptr<Store> store,
          RoleFactory make_role, InstallNote install_note);

  // Once, before anything else counts: rebuilds the state from store and log, which may halt the replica.
  // `confirmed`, `confirmed_by`: as of backup::Started.
  void Start(const LogPosition& confirmed, const std::string& confirmed_by);
  // For good: takes no part from here on, and says why. Before Start(), too.
  void Halt(const std::string& why, bool for_room = false);

  // Events. OnMessage: R2 passed to the cores; a message for another epoch is answered or dropped.
  void OnMessage(Envelope envelope);
  void OnClient(RequestId id, ClientRequest request);
  void OnClientGone(RequestId id);
  void OnForeign(ForeignReply reply);
  void OnGroupEpoch(GroupId group, Epoch epoch);
  void OnReplicationEvent(backup::Event event);  // ViewRead, ViewUnread, CasDone, OperatorChange
  void OnLogDone(const LogDone& done);
  // The disk with its files has less than the reserve left: why nothing new should be taken on; or empty.
  void OnDiskLow(std::string why) { disk_low_ = std::move(why); }
  void OnTime();  // NextDeadline() has come, perhaps

  // At the end of each slice of the loop: hands what gathered to the log and the links, and to SQLite.
  void Flush();
  uint64_t NextDeadline() const;

  // A clean stop: what is replicated goes to SQLite, and is synced.
  Status Close();

  GroupId group() const { return config_.replication.group; }
  bool serving() const { return !halted_ && replication_.serving(); }
  bool halted() const override { return halted_; }
  // After backup::Leave: nobody counts on this replica any more, or nobody can be helped.
  bool MayStop() const { return halted_ || !started_ || replication_.MayStop(); }
  const std::string& halt_reason() const { return halt_reason_; }
  bool halted_for_room() const { return halted_for_room_; }  // nothing is damaged: room is all that it lacks
  // R3: all up to here is durable in these files, and known to be replicated; (0, 0): nothing is known.
  LogPosition confirmed() const;
  const backup::ReplicationCore& replication() const { return replication_; }
  const StateMachine& state() const { return state_; }
  const LogView& log() const { return log_; }

 private:
  // A message for the role core, and the node that it came from.
  struct Early {
    NodeId node{};
    assent::Received received;
  };

  // As SnapshotExchange's owner, too.
  void Enqueue(backup::Event event) override { queue_.push_back(std::move(event)); }
  void Run() override;  // until no event is queued
  void HaltUnless(const Status& status) override;

  void StepRole(const RoleEvent& event);
  void StepReplication(const backup::Event& event);
  void Enqueue(RoleEvent event) { queue_.push_back(std::move(event)); }
  void CountLogBytes(std::span<const LogEntry> entries);
  void FlushAppends();
  void TellIfQuiet();
  void LetGoProposal();
  void EndQuiet(backup::CasOutcome outcome);
  void SeeToViews(uint64_t now_us);
  void StopServing();
  void ApplyToStore(bool force);
  void CheckpointAndTrim();
  bool IsLastToServe() const;
  void GiveToRole(Early message);
  void AnswerWith(const Envelope& envelope, Message message);
  Envelope EnvelopeFrom(Epoch epoch, GroupId to, Epoch to_epoch, Message message) const;
  void Tell(GroupId to, const Leader& leader, Message message);
  uint64_t LeaseClock();
  uint64_t ReplicationDeadline() const;

  // Role effects.
  void Perform(Append& effect);
  void Perform(Send& effect);
  void Perform(Answer& effect);
  void Perform(CallForeign& effect);
  void Perform(assent::Report& effect);
  // Replication effects.
  void Perform(backup::AppendToLog& effect);
  void Perform(backup::TruncateLog& effect);
  void Perform(backup::PersistView& effect);
  void Perform(backup::SendTo& effect);
  void Perform(backup::AnswerStaleEpoch& effect);
  void Perform(backup::ReadDirectory& effect);
  void Perform(backup::ProposeView& effect);
  void Perform(backup::Register& effect);
  void Perform(backup::ReplicatedUpTo& effect);
  void Perform(backup::BecomePrimary& effect);
  void Perform(backup::Serve& effect);
  void Perform(backup::BecomeFollower& effect);
  void Perform(backup::Halt& effect);
  void Perform(backup::StartSnapshot& effect);
  void Perform(backup::ReadSnapshot& effect);
  void Perform(backup::StopSnapshot& effect);
  void Perform(backup::WriteSnapshot& effect);
  void Perform(backup::Drain& effect);
  void Perform(backup::OperatorReply& effect);

  const ReplicaConfig config_;
  ReplicaHost& host_;
  LogPort& port_;
  LogView log_;
  StateMachine state_;
  backup::ReplicationCore replication_;
  SnapshotExchange snapshots_;
  Outbox outbox_;

  bool started_ = false;
  bool running_ = false;  // inside Run()
  bool halted_ = false;
  std::string halt_reason_;
  bool role_serves_ = false;   // the role core was told Serving, in this epoch
  bool role_is_fresh_ = true;  // it never was: it has only followed
  bool draining_ = false;      // replication, or proposal_, waits until the role core is quiet
  bool halted_for_room_ = false;
  std::string disk_low_;

  std::set<RequestId> open_changes_;  // of operators, that the replication core has not answered

  HeardLeaders heard_leaders_;

  // Came for this epoch before it was served. Its sender would wait long: the longer, the oftener it
  // asked in vain.
  std::deque<Early> early_;

  // Events that effects of the running step caused, in order.
  std::deque<std::variant<RoleEvent, backup::Event>> queue_;

  // Appended by the role core and not yet handed to replication and log. Records that nobody waits for may
  // stay here up to 5 ms, so that they share a force (R10).
  std::vector<LogEntry> appended_;
  bool append_now_ = false;
  uint64_t append_deadline_us_ = UINT64_MAX;

  uint64_t log_bytes_ = 0;  // appended since the last checkpoint

  // A view that could not be made durable for want of a descriptor, and when to try again.
  std::optional<backup::PersistView> unpersisted_;
  uint64_t persist_at_us_ = UINT64_MAX;

  // A planned change of the view waits for open work to end, until then.
  std::optional<View> proposal_;
  uint64_t propose_at_us_ = UINT64_MAX;
  bool quieted_for_view_ = false;  // the role core takes nothing new on until the change's fate is known

  std::optional<LogPosition> truncating_;  // the log thread has not answered yet
};

}  // namespace assent
