#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "Admin.h"
#include "common/status.h"
#include "runtime/transport/client.h"

// A cluster as its Admin services show it.
namespace assent::cli {

using AdminConnection = Connection<wire::AdminClient>;

std::unique_ptr<AdminConnection> ConnectAdmin(const Address& address, int timeout_ms = 5'000);
// A reply's AdminResult, as a Status.
Status StatusOf(const wire::AdminResult& result);

// "s1", or "?" for what names no group.
std::string GroupName(const wire::GroupId& group);
std::string NodeName(wire::NodeId node);  // "n1"

// One node's answer, or why there is none.
template <typename Reply>
struct NodeAnswer {
  Address address;
  Status status;
  Reply reply;
};
using NodeView = NodeAnswer<wire::NodeStatusReply>;

// Makes a call of Admin on each node, on all at once: nodes that hang cost the timeout of one.
// In the order of `addresses`.
template <typename Reply, typename Call>
std::vector<NodeAnswer<Reply>> AskEach(const std::vector<Address>& addresses, const Call& call) {
  std::vector<NodeAnswer<Reply>> answers(addresses.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < addresses.size(); ++i) {
    threads.emplace_back([&call, &address = addresses[i], &answer = answers[i]] {
      answer.address = address;
      answer.status =
          ConnectAdmin(address)->Call([&](wire::AdminClient& client) { call(client, answer.reply); }).status;
      if (answer.status.ok()) answer.status = StatusOf(answer.reply.result);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return answers;
}

class ClusterView {
 public:
  // Finds all nodes by asking one of `addresses`. kUnavailable if none answers.
  static Result<ClusterView> Find(const std::vector<std::string>& addresses);

  const std::string& cluster() const { return cluster_; }
  // As the node that answered has them in its configuration.
  const std::vector<Address>& addresses() const { return addresses_; }
  // Given to Find, and not among those.
  const std::vector<Address>& others() const { return others_; }

  std::vector<NodeView> NodeStatuses() const { return NodeStatuses(addresses_); }
  std::vector<NodeView> NodeStatuses(const std::vector<Address>& addresses) const;

 private:
  std::string cluster_;
  std::vector<Address> addresses_;
  std::vector<Address> others_;
};

// The views of the configured groups, and who holds which slots, as the first of `nodes` that answers has
// them from the directory.
Result<std::vector<wire::View>> ReadViews(const ClusterView& cluster, const std::vector<Address>& nodes);
Result<std::vector<wire::SlotRange>> ReadSlotRanges(const ClusterView& cluster,
                                                    const std::vector<Address>& nodes);

}  // namespace assent::cli
