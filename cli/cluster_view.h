#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "Admin.h"
#include "common/status.h"
#include "runtime/transport/client.h"

// A cluster as its Admin services show it.
namespace assent::cli {

using AdminConnection = Connection<wire::AdminClient>;

std::unique_ptr<AdminConnection> ConnectAdmin(const Address& address, int timeout_ms = 5'000);
// What a reply's AdminResult says.
Status StatusOf(const wire::AdminResult& result);

// "s1", or "?" for what names no group.
std::string GroupName(const wire::GroupId& group);

// One node, or why it did not answer.
struct NodeView {
  Address address;
  Status status;
  wire::NodeStatusReply reply;
};

class ClusterView {
 public:
  // Finds all nodes by asking one of `addresses`. kUnavailable if none answers.
  static Result<ClusterView> Find(const std::vector<std::string>& addresses);

  const std::string& cluster() const { return cluster_; }
  const std::vector<Address>& addresses() const { return addresses_; }

  std::vector<NodeView> NodeStatuses() const;

  // Calls `fn` for each node that is up, with a connection to it. The first error is returned, after all were
  // tried.
  Status ForEachNode(const std::function<Status(AdminConnection&)>& fn) const;

 private:
  std::string cluster_;
  std::vector<Address> addresses_;
};

}  // namespace assent::cli
