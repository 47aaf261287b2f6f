#include "server/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>

namespace assent {
namespace {

// Standard descriptors, the data directory's lock, the listener, event descriptors, files of the directory
// that are open for a moment; and some to spare, for libraries and for whoever looks into the process.
constexpr uint64_t kBase = 64;
// A log's current segment, its spare, its directory, one that a backup catches up from; SQLite's three files;
// a snapshot on its way out or in, with its own files.
constexpr uint64_t kPerReplica = 16;
constexpr uint64_t kPerLink = 4;              // socket and two event descriptors, one while it reconnects
constexpr uint64_t kPerResourceManager = 24;  // as many connections as ForeignCaller has, likewise

constexpr size_t kClientsMin = 8;
constexpr size_t kOperators = 16;
constexpr size_t kUnclaimedMin = 16;
constexpr size_t kUnclaimedMost = 128;

// The descriptors that so many clients' seats take, with those of others.
uint64_t Fill(DescriptorPlan& plan, size_t clients) {
  plan.connections_max = clients;
  plan.operators_max = kOperators;
  plan.unclaimed_max = std::clamp(clients / 4, kUnclaimedMin, kUnclaimedMost);
  // Those who had to leave hold their descriptors for a moment longer: as many as are unclaimed.
  return plan.reserved + clients + plan.operators_max + plan.peers_max + 2 * plan.unclaimed_max;
}

}  // namespace

Result<DescriptorPlan> PlanDescriptors(const NodeConfig& config, uint64_t limit) {
  const size_t peers = config.nodes.size() - 1;
  DescriptorPlan plan;
  plan.limit = limit;
  plan.reserved = kBase + kPerReplica * config.OwnGroups().size() + kPerLink * peers +
                  kPerResourceManager * config.resource_managers.size();
  // A link, its successor, and the remains of a peer that restarts again and again.
  plan.peers_max = 4 * peers + 4;
  if (const uint64_t least = Fill(plan, kClientsMin); least > limit) {
    return Status(StatusCode::kInvalid,
                  "this process may have " + std::to_string(limit) +
                      " files open, and a node of this configuration needs at least " +
                      std::to_string(least) + " (logs, stores and links " + std::to_string(plan.reserved) +
                      ", connections " + std::to_string(least - plan.reserved) +
                      "). Raise the limit: `ulimit -Hn`, or LimitNOFILE= where systemd starts it");
  }
  size_t clients = config.connections_max;
  while (Fill(plan, clients) > limit) --clients;
  return plan;
}

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

}  // namespace assent
