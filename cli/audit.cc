#include "cli/audit.h"

#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <utility>

namespace assent::cli {
namespace {

using std::chrono::steady_clock;

constexpr auto kAuditPoll = std::chrono::milliseconds(50);

double SecondsSince(steady_clock::time_point begun) {
  return std::chrono::duration<double>(steady_clock::now() - begun).count();
}

struct Digest {
  std::string replica;
  wire::LogPosition applied;
  int64_t hash = 0;
  int64_t rows = 0;
};

// The digests of all replicas, by group.
Result<std::map<wire::GroupId, std::vector<Digest>>> ReadDigests(const ClusterView& cluster) {
  std::map<wire::GroupId, std::vector<Digest>> digests;
  for (const NodeView& node : cluster.NodeStatuses()) {
    if (!node.status.ok()) return node.status;
    for (const wire::ReplicaStatus& replica : node.reply.replicas) {
      wire::DigestRequest request;
      request.__set_cluster(cluster.cluster());
      request.__set_group(replica.view.group);
      wire::DigestReply reply;
      const auto admin = ConnectAdmin(node.address, 60'000);
      const CallStatus called = admin->Call([&](wire::AdminClient& c) { c.digest(reply, request); });
      if (!called.ok()) return called.status;
      ASSENT_RETURN_IF_ERROR(StatusOf(reply.result));
      digests[replica.view.group].push_back({GroupName(replica.view.group) + " on " + ToString(node.address),
                                             reply.applied, reply.hash, reply.rows});
    }
  }
  return digests;
}

}  // namespace

Result<double> AwaitNothingInDoubt(const ClusterView& cluster, double timeout_s) {
  const auto begun = steady_clock::now();
  for (;;) {
    Status problem;
    int64_t left = 0;
    for (const NodeView& node : cluster.NodeStatuses()) {
      if (!node.status.ok()) problem = node.status;
      for (const wire::ReplicaStatus& replica : node.reply.replicas) left += replica.in_doubt;
    }
    if (problem.ok() && left == 0) return SecondsSince(begun);
    if (SecondsSince(begun) > timeout_s) {
      if (!problem.ok()) return problem;
      return Status(StatusCode::kUnavailable,
                    std::to_string(left) + " branches and decisions are still open");
    }
    std::this_thread::sleep_for(kAuditPoll);
  }
}

Status CompareReplicas(const ClusterView& cluster, double timeout_s) {
  const auto begun = steady_clock::now();
  for (;;) {
    const auto digests = ReadDigests(cluster);
    std::string uneven;
    if (digests.ok()) {
      for (const auto& [group, replicas] : *digests) {
        for (const Digest& replica : replicas) {
          const Digest& first = replicas.front();
          if (!(replica.applied == first.applied)) {
            uneven = replica.replica + " has not applied what " + first.replica + " has";
          } else if (replica.hash != first.hash || replica.rows != first.rows) {
            return Status(StatusCode::kDamaged,
                          replica.replica + " and " + first.replica + " differ at the same log position: " +
                              std::to_string(replica.rows) + " and " + std::to_string(first.rows) + " rows");
          }
        }
      }
      if (uneven.empty()) return {};
    }
    if (SecondsSince(begun) > timeout_s) {
      return digests.ok() ? Status(StatusCode::kUnavailable, uneven) : digests.status();
    }
    std::this_thread::sleep_for(kAuditPoll);
  }
}

}  // namespace assent::cli
