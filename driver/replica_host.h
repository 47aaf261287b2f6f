#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backup/replication_events.h"
#include "common/client_api.h"
#include "common/messages.h"
#include "common/role.h"
#include "common/view.h"

namespace assent {

// The leader of a group, as far as this node has heard.
struct Leader {
  NodeId node{};
  Epoch epoch{};
};

// The process around a replica, as the replica sees it: a node, or a simulator. Calls come from the
// loop thread; none blocks, and none calls back into the replica before it returns.
class ReplicaHost {
 public:
  virtual ~ReplicaHost() = default;

  virtual Instant Now() = 0;

  // To a node of the cluster, this one included. May lose, repeat or reorder.
  virtual void Transmit(NodeId to, Envelope envelope) = 0;
  virtual std::optional<Leader> LeaderOf(GroupId group) = 0;
  virtual std::vector<GroupId> Groups() = 0;  // those of which it has heard
  // A view was adopted, or a message told of an epoch: the host's picture of who leads what follows.
  virtual void LearnView(const View& view) = 0;
  virtual void LearnEpoch(GroupId group, Epoch epoch) = 0;

  // Answered by Replica::OnReplicationEvent: ViewRead or ViewUnread; CasDone; nothing.
  virtual void ReadDirectory(GroupId group) = 0;
  virtual void ProposeView(const View& view) = 0;
  virtual void Register(GroupId group, const Member& self) = 0;
  // Durably, before it returns: a rename and two syncs, at view changes only. kUnavailable: not done, for
  // want of a descriptor; asked again later.
  virtual Status PersistView(GroupId group, const backup::PersistView& seen) = 0;
  // Runs `work` where it may wait for a disk, then `then` on the loop thread; neither once the replica is
  // gone, but `work` may outlive it.
  virtual void RunOffLoop(GroupId group, std::function<void()> work, std::function<void()> then) = 0;

  virtual void AnswerClient(RequestId id, ClientReply reply) = 0;
  virtual void AnswerOperator(RequestId id, const Status& status) = 0;
  // Answered by Replica::OnForeign.
  virtual void PerformForeign(GroupId group, const CallForeign& call) = 0;
  // For the operator's eyes: `halted` if the replica has stopped for good.
  virtual void Report(GroupId group, const std::string& text, bool halted) = 0;
  // Called just before a role's effect is performed: crash points.
  virtual void BeforeEffect(const RoleEffect& effect) = 0;
};

// Makes the role core of a group over the state of its store: participant or coordinator,
// by the group's kind.
using RoleFactory = std::function<std::unique_ptr<RoleCore>(GroupId group, const StateReader& state)>;

}  // namespace assent
