#include "cli/cluster_view.h"

#include <utility>

#include "TransactionManager.h"
#include "thrift/codec_fields.h"

namespace assent::cli {

std::unique_ptr<AdminConnection> ConnectAdmin(const Address& address, int timeout_ms) {
  return std::make_unique<AdminConnection>(ConnectionOptions{.peer = address,
                                                             .service = "Admin",
                                                             .limits = kPeerLimits,
                                                             .send_timeout_ms = timeout_ms,
                                                             .recv_timeout_ms = timeout_ms});
}

Status StatusOf(const wire::AdminResult& result) {
  switch (result.status) {
    case wire::AdminStatus::OK:
      return {};
    case wire::AdminStatus::INVALID:
      return Status(StatusCode::kInvalid, result.detail);
    case wire::AdminStatus::NOT_FOUND:
      return Status(StatusCode::kNotFound, result.detail);
    case wire::AdminStatus::CONFLICT:
      return Status(StatusCode::kConflict, result.detail);
    case wire::AdminStatus::WRONG_CLUSTER:
      return Status(StatusCode::kForeign, result.detail);
    case wire::AdminStatus::NOT_SERVING:
    case wire::AdminStatus::UNAVAILABLE:
    case wire::AdminStatus::UNSPECIFIED:
      return Status(StatusCode::kUnavailable, result.detail);
  }
  return Status(StatusCode::kUnavailable, result.detail);
}

std::string GroupName(const wire::GroupId& group) {
  GroupId id;
  codec::Fault fault;
  return codec::Decode(group, id, fault) ? ToString(id) : "?";
}

Result<ClusterView> ClusterView::Find(const std::vector<std::string>& addresses) {
  Status last(StatusCode::kInvalid, "no address was given");
  for (const std::string& text : addresses) {
    const auto address = ParseAddress(text);
    if (!address.ok()) return address.status();
    Connection<wire::TransactionManagerClient> connection(
        {.peer = *address, .service = "TransactionManager"});
    wire::WhereIsReply reply;
    const CallStatus called = connection.Call(
        [&](wire::TransactionManagerClient& client) { client.where_is(reply, wire::WhereIsRequest()); });
    if (!called.ok()) {
      last = called.status;
      continue;
    }
    ClusterView view;
    view.cluster_ = reply.cluster;
    for (const std::string& node : reply.addresses) {
      const auto parsed = ParseAddress(node);
      if (parsed.ok()) view.addresses_.push_back(*parsed);
    }
    return view;
  }
  return Status(last.code(),
                last.message() +
                    "\nIs the cluster up? `assent dev` starts one here; --connect or ASSENT_CONNECT "
                    "names another.");
}

std::vector<NodeView> ClusterView::NodeStatuses() const {
  std::vector<NodeView> nodes;
  for (const Address& address : addresses_) {
    NodeView node;
    node.address = address;
    wire::AdminRequest request;
    request.__set_cluster(cluster_);
    node.status =
        ConnectAdmin(address)->Call([&](wire::AdminClient& c) { c.node_status(node.reply, request); }).status;
    if (node.status.ok()) node.status = StatusOf(node.reply.result);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Status ClusterView::ForEachNode(const std::function<Status(AdminConnection&)>& fn) const {
  Status first;
  for (const Address& address : addresses_) {
    const auto connection = ConnectAdmin(address);
    if (Status status = fn(*connection); !status.ok() && first.ok()) first = std::move(status);
  }
  return first;
}

}  // namespace assent::cli
