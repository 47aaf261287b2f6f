// kill -9 at each named point of the protocol (runtime/crash_points.h), on each node where it can be met,
// under one-shot, one-phase, interactive and aborting transactions.
#include "runtime/crash_points.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "tests/e2e/bank_load.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

constexpr int kDieMs = 60'000;
constexpr double kProgressSeconds = 60;

// Where the primaries are that meet the point: c1 on n1, s1 on n2, s2 on n3.
std::vector<int> NodesOf(std::string_view point) {
  if (point.starts_with("coordinator.")) return {1};
  EXPECT_TRUE(point.starts_with("participant.")) << point;
  return {2, 3};
}

// One cluster for all: each point also meets what the crashes before it left behind.
TEST(CrashPointsOfNodes, NothingIsLostDoubledOrHalfDoneAtAnyPoint) {
  cli::LocalClusterOptions with_points;
  with_points.crash_points = true;
  TestCluster cluster("crash_points", with_points);
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  const auto view = cluster.View();
  ASSERT_TRUE(view.ok()) << view.status().ToString();
  LoadOptions options;
  options.seed = Seed(7);
  options.one_shot_clients = 6;
  options.accounts = 50;
  options.abort_every = 3;
  for (const CrashPoint& point : AllCrashPoints()) {
    for (const int node : NodesOf(point.name)) {
      const std::string what = std::string(point.name) + " on n" + std::to_string(node);
      SCOPED_TRACE(what);
      BankLoad load(what, cluster.addresses(), cluster.placement(), options);
      const Status loaded = load.LoadRows();
      ASSERT_TRUE(loaded.ok()) << loaded.ToString();
      load.Start();
      ASSERT_TRUE(load.AwaitCommitted(5, kProgressSeconds));
      const Status armed = cluster.nodes().ArmCrash(node, std::string(point.name), 1 + node);
      ASSERT_TRUE(armed.ok()) << armed.ToString();
      const Status died = cluster.nodes().AwaitExit(node, kDieMs);
      ASSERT_TRUE(died.ok()) << died.ToString();
      ASSERT_EQ(cluster.nodes().ExitStatus(node), 137);
      const Status serving = cluster.Restart(node);
      ASSERT_TRUE(serving.ok()) << serving.ToString();
      EXPECT_TRUE(load.AwaitCommitted(load.committed() + 10, kProgressSeconds)) << "no progress afterwards";
      load.Stop();
      load.Audit(what, *view);
      if (HasFatalFailure()) return;
      ++options.seed;
    }
  }
}

TEST(CrashPointsOfNodes, NodeWithoutThemAllowedRefusesToBeArmed) {
  TestCluster cluster("crash_points_off");
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  const Status armed = cluster.nodes().ArmCrash(1, "coordinator.before-decision", 1);
  ASSERT_FALSE(armed.ok());
  EXPECT_NE(armed.message().find("--allow-crash-points"), std::string::npos) << armed.ToString();
  EXPECT_EQ(cluster.nodes().ExitStatus(1), -1);
}

}  // namespace
}  // namespace assent::e2e
