// How many file descriptors a node plans for, and what is left for clients.
#include <gtest/gtest.h>

#include "server/descriptors.h"

namespace assent {
namespace {

NodeConfig ThreeNodes(uint32_t connections_max) {
  NodeConfig config;
  config.node = NodeId{1};
  for (const uint32_t n : {1U, 2U, 3U}) config.nodes.push_back({NodeId{n}, {"127.0.0.1", 7400}});
  config.groups = {{{GroupKind::kCoordinator, 1}, {NodeId{1}, NodeId{2}}},
                   {{GroupKind::kShard, 1}, {NodeId{2}, NodeId{1}}}};
  config.connections_max = connections_max;
  return config;
}

uint64_t Taken(const DescriptorPlan& plan) {
  return plan.reserved + plan.connections_max + plan.operators_max + plan.peers_max + 2 * plan.unclaimed_max;
}

TEST(Descriptors, AreEnoughForWhatIsConfigured) {
  const auto plan = PlanDescriptors(ThreeNodes(1024), 4096);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->connections_max, 1024U);
  EXPECT_LE(Taken(*plan), 4096U);
}

// Under any limit logs, stores and links have theirs, and peers and operators get in.
TEST(Descriptors, ClientsGetWhatIsLeft) {
  uint64_t least = 0;
  for (uint64_t limit = 1; limit <= 2'000; ++limit) {
    const auto plan = PlanDescriptors(ThreeNodes(1024), limit);
    if (!plan.ok()) {
      EXPECT_EQ(least, 0U) << "a limit of " << limit << " is too low, and a lower one was not";
      EXPECT_EQ(plan.status().code(), StatusCode::kInvalid);
      EXPECT_NE(plan.status().message().find("may have " + std::to_string(limit) + " files open"),
                std::string::npos);
      continue;
    }
    if (least == 0) least = limit;
    EXPECT_LE(Taken(*plan), limit);
    EXPECT_GE(plan->reserved, 64U + 2 * 8);
    EXPECT_GE(plan->connections_max, 8U);
    EXPECT_GE(plan->peers_max, 4U);
    EXPECT_GE(plan->operators_max, 1U);
  }
  EXPECT_GT(least, 64U);
  EXPECT_LT(least, 256U);
}

}  // namespace
}  // namespace assent
