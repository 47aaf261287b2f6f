#include "cli/cluster_view.h"

#include <algorithm>
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

std::string NodeName(wire::NodeId node) {
  return ToString(NodeId{static_cast<uint32_t>(node)});
}

namespace {

// For a call that each of several nodes can answer: one that hangs holds nobody up for long.
constexpr int kRoundsMs[] = {1'000, 5'000};

// The answer of the first node that can give one.
template <typename Reply, typename Call>
Result<Reply> AskAny(const ClusterView& cluster, const std::vector<Address>& nodes, const Call& call) {
  wire::AdminRequest request;
  request.__set_cluster(cluster.cluster());
  Status last(StatusCode::kUnavailable, "no node answers");
  for (const int timeout_ms : kRoundsMs) {
    for (const Address& address : nodes) {
      Reply reply;
      const CallStatus called = ConnectAdmin(address, timeout_ms)->Call([&](wire::AdminClient& client) {
        call(client, reply, request);
      });
      last = called.ok() ? StatusOf(reply.result) : called.status;
      if (last.ok()) return reply;
    }
  }
  return last;
}

}  // namespace

Result<std::vector<wire::View>> ReadViews(const ClusterView& cluster, const std::vector<Address>& nodes) {
  auto reply = AskAny<wire::GroupViewsReply>(
      cluster, nodes, [](auto& client, auto& out, const auto& request) { client.group_views(out, request); });
  if (!reply.ok()) return reply.status();
  return std::move(reply->views);
}

Result<std::vector<wire::SlotRange>> ReadSlotRanges(const ClusterView& cluster,
                                                    const std::vector<Address>& nodes) {
  auto reply = AskAny<wire::PlacementReply>(
      cluster, nodes, [](auto& client, auto& out, const auto& request) { client.placement(out, request); });
  if (!reply.ok()) return reply.status();
  return std::move(reply->ranges);
}

Result<ClusterView> ClusterView::Find(const std::vector<std::string>& addresses) {
  std::vector<Address> given;
  for (const std::string& text : addresses) {
    const auto address = ParseAddress(text);
    if (!address.ok()) return address.status();
    given.push_back(*address);
  }
  Status last(StatusCode::kInvalid, "no address was given");
  for (const int timeout_ms : kRoundsMs) {
    for (const Address& address : given) {
      Connection<wire::TransactionManagerClient> connection(
          {.peer = address, .service = "TransactionManager", .recv_timeout_ms = timeout_ms});
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
      for (const Address& other : given) {
        if (std::find(view.addresses_.begin(), view.addresses_.end(), other) == view.addresses_.end()) {
          view.others_.push_back(other);
        }
      }
      return view;
    }
  }
  return Status(last.code(),
                last.message() +
                    "\nIs the cluster up? `assent dev` starts one here; --connect or ASSENT_CONNECT "
                    "names another.");
}

std::vector<NodeView> ClusterView::NodeStatuses(const std::vector<Address>& addresses) const {
  wire::AdminRequest request;
  request.__set_cluster(cluster_);
  return AskEach<wire::NodeStatusReply>(
      addresses,
      [&](wire::AdminClient& client, wire::NodeStatusReply& reply) { client.node_status(reply, request); });
}

}  // namespace assent::cli
