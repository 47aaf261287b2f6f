#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/placement.h"
#include "directory/directory.h"
#include "driver/replica.h"
#include "driver/replica_host.h"
#include "runtime/call_gate.h"
#include "runtime/config/config.h"
#include "runtime/config/data_directory.h"
#include "runtime/crash_points.h"
#include "runtime/directory_faults.h"
#include "runtime/limited_log.h"
#include "runtime/log_writer.h"
#include "runtime/loop.h"
#include "runtime/peer_link.h"
#include "runtime/registrar.h"
#include "runtime/replica_watch.h"
#include "runtime/worker.h"
#include "wal/posix_file.h"

namespace assent {

struct NodeOptions {
  NodeConfig config;
  // Arm() may kill the process, or keep the directory from answering it: drills and tests.
  bool allow_crash_points = false;
  // Makes the role core of a group; given the placement that the directory holds.
  std::function<std::unique_ptr<RoleCore>(GroupId, const Placement&, const StateReader&)> make_role;
  // Performs a call to a foreign resource manager; the answer comes by OnForeignReply. Does not block.
  std::function<void(GroupId, const CallForeign&)> call_foreign;
};

// One process of a cluster: hosts its replicas on one loop thread, routes their messages, and keeps up with
// the directory. Services (Thrift or not) stand outside and come in through the calls marked "any thread".
class Node final : public ReplicaHost {
 public:
  // Opens the data directory, the directory and every replica of this node. Errors say what to do.
  static Result<std::unique_ptr<Node>> Open(NodeOptions options);
  ~Node() override;

  // Runs the loop until Stop(). On return all replicas are closed; an error if one could not be.
  Status Run();
  void Stop();  // any thread
  // Any thread. Gives to others what this node has in the views of its groups
  // (backup/leaving.cc), then stops.
  void Leave();

  // ---- Any thread ----

  // Messages from other nodes. Dropped where there are too many, or nobody to take them.
  void Deliver(std::vector<Envelope> envelopes);
  // A client's request; `id` is unused by any other open one. False: overloaded or stopping, surely not run.
  bool Submit(GroupId group, RequestId id, ClientRequest request, ReplyTo<ClientReply> reply);
  // Nobody waits for the reply to `id` any more.
  void Abandon(GroupId group, RequestId id);
  void OnForeignReply(GroupId group, ForeignReply reply);
  // An operator's change of a group's members; `reply` is called once, on the loop thread.
  void Change(GroupId group, const backup::OperatorChange& change, std::function<void(const Status&)> reply);
  // Runs `task` on the loop thread, where the const queries below may be used. False: overloaded or stopping.
  bool Inspect(Task task) { return loop_.TryPost(std::move(task)); }
  // A crash point, or a fault of the directory (directory_faults.h). kInvalid: no such one; kForeign: not
  // allowed on this node.
  Status Arm(std::string point, uint64_t count);

  // The leader of each group, as far as known here.
  std::vector<View> Views() const;

  const NodeConfig& config() const { return options_.config; }
  const Placement& placement() const { return placement_; }
  Directory& directory() { return *directory_; }

  // ---- Loop thread ----

  const Replica* FindReplica(GroupId group) const;
  std::vector<const Replica*> replicas() const;
  // Groups whose replica here could not be opened, and why; the others are served all the same.
  std::map<GroupId, std::string> failures() const;
  std::string WhyNoReplica(GroupId group) const;
  std::optional<View> ViewOf(GroupId group) const;
  uint64_t started_us() const { return started_us_; }
  // Primary, and under its lease (R5).
  static bool Serves(const Replica& replica, uint64_t now_us);
  // How long Serves() has been what it is.
  uint64_t ServingAge(GroupId group, uint64_t now_us) const;

 private:
  struct Hosted {
    std::unique_ptr<LogWriter> log;
    std::unique_ptr<Replica> replica;  // none: `failed`, or it is being opened
    ReplicaIdentity identity;
    ReplicaWatch watch;
    uint64_t opening =
        0;          // which one: what was asked for by another replica of the group is not for this one
    Status failed;  // why it could not be opened
    // A replica that had no room is opened again.
    bool is_reopening = false;
    uint64_t reopened_us = 0;
    uint64_t reopen_pause_us = 0;
  };
  // A replica's files, opened.
  struct OpenedGroup {
    ReplicaIdentity identity;
    OpenedReplica files;
  };

  explicit Node(NodeOptions options);
  Status OpenAll();
  Status OpenDirectory();
  Status CheckNothingIsLeftOut() const;
  Status OpenReplicas();
  Result<OpenedGroup> OpenGroup(GroupId group);  // any thread
  void Host(const GroupEntry& group, OpenedGroup opened, uint64_t life);
  void LookAtDisk();
  void OnDiskSpace(const Result<DiskSpace>& space);
  void ReopenWhatHadNoRoom();
  void Reopen(const GroupEntry& group, Hosted& hosted);
  Status ClaimRegister();
  std::vector<Confirmed> ConfirmedPositions() const;
  void StartReplica(GroupId id, Hosted& hosted);
  void FlushAll();
  void TellChanges(GroupId group, Hosted& hosted);
  void RefreshViews();
  void RefreshPeriodically();
  void NoteDirectory(const Status& status);
  void StopOnceLeft(uint64_t until_us);

  // ReplicaHost.
  Instant Now() override { return Loop::Now(); }
  void Transmit(NodeId to, Envelope envelope) override;
  std::optional<Leader> LeaderOf(GroupId group) override;
  void LearnView(const View& view) override;
  std::vector<GroupId> Groups() override;
  void LearnEpoch(GroupId group, Epoch epoch) override;
  void ReadDirectory(GroupId group) override;
  void ProposeView(const View& view) override;
  void Register(GroupId group, const Member& self) override;
  Status PersistView(GroupId group, const backup::PersistView& seen) override;
  void RunOffLoop(GroupId group, std::function<void()> work, std::function<void()> then) override;
  void AnswerClient(RequestId id, ClientReply reply) override;
  void AnswerOperator(RequestId id, const Status& status) override;
  void PerformForeign(GroupId group, const CallForeign& call) override;
  void Report(GroupId group, const std::string& text, bool halted) override;
  void BeforeEffect(const RoleEffect& effect) override { crash_points_.Before(effect); }

  void Warn(GroupId group, const std::string& what, const Status& status);  // any thread
  Replica* Find(GroupId group);
  Replica* Find(GroupId group, uint64_t opening);  // nullptr: that one is gone
  void DeliverOne(Envelope envelope);

  const NodeOptions options_;
  const uint64_t life_;
  const uint64_t started_us_;
  wal::PosixFileSystem files_;
  std::unique_ptr<DataDirectory> data_;
  std::unique_ptr<Directory> directory_;
  FaultyDirectory* faulty_directory_ = nullptr;  // directory_, where crash points are allowed
  Placement placement_;
  std::atomic<size_t> inbound_bytes_{0};  // delivered, and not yet taken up by the loop
  LimitedLog failures_;
  Loop loop_;
  Worker directory_worker_;
  Worker disk_worker_;  // disk work of replicas that the loop does not wait for
  std::map<NodeId, std::unique_ptr<PeerLink>> links_;
  std::map<GroupId, Hosted> hosted_;
  std::unique_ptr<Registrar> registrar_;  // after the replicas
  CrashPoints crash_points_;

  // Directory thread: the reason that keeps the directory from answering, and when it was told.
  std::string directory_trouble_;
  uint64_t directory_trouble_us_ = 0;

  mutable std::mutex views_mutex_;

  // Loop thread.
  uint64_t openings_ = 0;
  std::string disk_low_;  // why nothing new is taken on; or empty
  bool is_looking_at_disk_ = false;
  std::map<GroupId, View> views_;  // written under views_mutex_, too
  bool refreshing_ = false;
  bool refresh_again_ = false;
  TimerId timer_{};
  uint64_t timer_us_ = UINT64_MAX;
  uint64_t next_change_ = 1;
  std::map<RequestId, ReplyTo<ClientReply>> client_calls_;
  std::map<RequestId, std::function<void(const Status&)>> operator_calls_;
};

}  // namespace assent
