#pragma once

#include <cstdint>

#include "Admin.h"
#include "runtime/call_gate.h"
#include "runtime/node.h"

namespace assent {

// The Admin service of a node. Server threads; what it shows of replicas it reads on the loop thread.
class AdminService final : public wire::AdminIf {
 public:
  AdminService(Node& node, CallGate& gate) : node_(node), gate_(gate) {}

  void node_status(wire::NodeStatusReply& reply, const wire::AdminRequest& request) override;
  void transactions(wire::TransactionsReply& reply, const wire::TransactionsRequest& request) override;
  void transaction(wire::TransactionReply& reply, const wire::TransactionRequest& request) override;
  void group_views(wire::GroupViewsReply& reply, const wire::AdminRequest& request) override;
  void add_replica(wire::ChangeReplicaReply& reply, const wire::ChangeReplicaRequest& request) override;
  void remove_replica(wire::ChangeReplicaReply& reply, const wire::ChangeReplicaRequest& request) override;
  void promote(wire::ChangeReplicaReply& reply, const wire::PromoteRequest& request) override;
  void digest(wire::DigestReply& reply, const wire::DigestRequest& request) override;
  void placement(wire::PlacementReply& reply, const wire::AdminRequest& request) override;
  void arm_crash(wire::ArmCrashReply& reply, const wire::ArmCrashRequest& request) override;

 private:
  // Asks `fill` for what the reply holds, unless the caller means another cluster, and says how that went.
  template <typename Reply, typename Fn>
  void Answer(Reply& reply, const std::string& cluster, Fn fill);
  // Runs `fn` on the loop thread and waits for what it returns.
  template <typename Shown, typename Fn>
  Status OnLoop(Shown& shown, Fn fn);
  bool IsForUs(const std::string& cluster, wire::AdminResult& result) const;
  Result<StoreDigest> DigestOf(GroupId group);
  void Change(wire::ChangeReplicaReply& reply, const std::string& cluster, const wire::GroupId& wire_group,
              wire::Epoch epoch, backup::OperatorChange change);

  Node& node_;
  CallGate& gate_;
};

}  // namespace assent
