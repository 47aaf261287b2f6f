// A primary that dies or is stopped is replaced without an operator: service goes on, acknowledged commits
// are there once, and the replica comes back by itself.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "tests/e2e/bank_load.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr double kSettleSeconds = 120;
constexpr GroupId kGroups[] = {{GroupKind::kCoordinator, 1}, {GroupKind::kShard, 1}, {GroupKind::kShard, 2}};

class Failover : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().one_replica_a_node = true;
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    LoadOptions options;
    options.seed = Seed(5);
    load_.emplace("failover", cluster_.addresses(), cluster_.placement(), options);
    const Status loaded = load_->LoadRows();
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    load_->Start();
    ASSERT_TRUE(load_->AwaitCommitted(50, kSettleSeconds));
  }

  // Until another node than `old` leads the group, and clients' transactions commit again. Seconds.
  double AwaitTakeover(GroupId group, int old) {
    const auto begun = steady_clock::now();
    int primary = 0;
    while ((primary = cluster_.Show(group).primary) == 0 || primary == old) {
      if (SecondsSince(begun) > kSettleSeconds) {
        ADD_FAILURE() << ToString(group) << " has no new primary";
        return 0;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(load_->AwaitCommitted(load_->committed() + 20, kSettleSeconds)) << ToString(group);
    return SecondsSince(begun);
  }

  TestCluster cluster_{"failover"};
  std::optional<BankLoad> load_;
};

TEST_F(Failover, KilledPrimaryOfEachGroupIsReplacedAndComesBackAsABackup) {
  for (const GroupId group : kGroups) {
    const int old = cluster_.Show(group).primary;
    ASSERT_NE(old, 0);
    cluster_.nodes().Kill(old);
    std::cout << ToString(group) << ": n" << old << " killed; commits again after "
              << AwaitTakeover(group, old) << " s" << std::endl;
    ASSERT_TRUE(cluster_.nodes().Start(old).ok());
    ASSERT_NO_FATAL_FAILURE(cluster_.AwaitBackup(group));
  }
  load_->StopAndAudit("killed primaries", cluster_);
}

TEST_F(Failover, KilledBackupOfEachGroupIsGivenUpAndComesBack) {
  for (const int node : {2, 4, 6}) {
    cluster_.nodes().Kill(node);
    const auto begun = steady_clock::now();
    ASSERT_TRUE(load_->AwaitCommitted(load_->committed() + 20, kSettleSeconds)) << "n" << node;
    std::cout << "n" << node << " killed; commits again after " << SecondsSince(begun) << " s" << std::endl;
    ASSERT_TRUE(cluster_.nodes().Start(node).ok());
    ASSERT_NO_FATAL_FAILURE(cluster_.AwaitBackup(kGroups[node / 2 - 1]));
  }
  load_->StopAndAudit("killed backups", cluster_);
}

// It wakes up in the belief that it leads, with a lease that is over (R5) and an epoch that
// is not its own (R2).
TEST_F(Failover, StoppedPrimaryOfEachGroupAnswersNothingStaleWhenItGoesOn) {
  for (const GroupId group : kGroups) {
    const int old = cluster_.Show(group).primary;
    ASSERT_NE(old, 0);
    cluster_.Pause(old, true);
    std::cout << ToString(group) << ": n" << old << " stopped; commits again after "
              << AwaitTakeover(group, old) << " s" << std::endl;
    cluster_.Pause(old, false);
    ASSERT_NO_FATAL_FAILURE(cluster_.AwaitBackup(group));
    EXPECT_NE(cluster_.Show(group).primary, old);
  }
  load_->StopAndAudit("stopped primaries", cluster_);
}

}  // namespace
}  // namespace assent::e2e
