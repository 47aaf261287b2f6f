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
#include "thrift/codec_fields.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr double kSettleSeconds = 120;
constexpr GroupId kGroups[] = {{GroupKind::kCoordinator, 1}, {GroupKind::kShard, 1}, {GroupKind::kShard, 2}};

double SecondsSince(steady_clock::time_point begun) {
  return std::chrono::duration<double>(steady_clock::now() - begun).count();
}

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

  // The node that leads the group and serves, as the nodes that answer show it; 0 = none.
  int PrimaryOf(GroupId group) const { return Count(group).primary; }

  struct Shown {
    int primary = 0;
    int backups = 0;
  };
  Shown Count(GroupId group) const {
    Shown shown;
    int64_t epoch = 0;
    for (int node = 1; node <= cluster_.nodes().node_count(); ++node) {
      if (stopped_ == node) continue;
      const auto admin = cli::ConnectAdmin(cluster_.nodes().config(node).listen, 2'000);
      wire::NodeStatusReply reply;
      const auto called =
          admin->Call([&](wire::AdminClient& client) { client.node_status(reply, wire::AdminRequest()); });
      if (!called.ok()) continue;
      for (const wire::ReplicaStatus& replica : reply.replicas) {
        if (replica.view.group != codec::Encode(group) || replica.view.epoch < epoch) continue;
        if (replica.view.epoch > epoch) shown = {};
        epoch = replica.view.epoch;
        if (replica.role == wire::ReplicaRole::PRIMARY && replica.serving) shown.primary = node;
        if (replica.role == wire::ReplicaRole::BACKUP) ++shown.backups;
      }
    }
    return shown;
  }

  // Until another node than `old` leads the group, and clients' transactions commit again. Seconds.
  double AwaitTakeover(GroupId group, int old) {
    const auto begun = steady_clock::now();
    int primary = 0;
    while ((primary = PrimaryOf(group)) == 0 || primary == old) {
      if (SecondsSince(begun) > kSettleSeconds) {
        ADD_FAILURE() << ToString(group) << " has no new primary";
        return 0;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(load_->AwaitCommitted(load_->committed() + 20, kSettleSeconds)) << ToString(group);
    return SecondsSince(begun);
  }

  void AwaitBackup(GroupId group) {
    const auto begun = steady_clock::now();
    while (Count(group).backups == 0) {
      ASSERT_LT(SecondsSince(begun), kSettleSeconds) << ToString(group) << " has no backup again";
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  void Finish(const std::string& what) {
    load_->Stop();
    const auto view = cluster_.View();
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    load_->Audit(what, *view);
  }

  TestCluster cluster_{"failover"};
  std::optional<BankLoad> load_;
  int stopped_ = 0;
};

TEST_F(Failover, KilledPrimaryOfEachGroupIsReplacedAndComesBackAsABackup) {
  for (const GroupId group : kGroups) {
    const int old = PrimaryOf(group);
    ASSERT_NE(old, 0);
    cluster_.nodes().Kill(old);
    std::cout << ToString(group) << ": n" << old << " killed; commits again after "
              << AwaitTakeover(group, old) << " s" << std::endl;
    ASSERT_TRUE(cluster_.nodes().Start(old).ok());
    ASSERT_NO_FATAL_FAILURE(AwaitBackup(group));
  }
  Finish("killed primaries");
}

TEST_F(Failover, KilledBackupOfEachGroupIsGivenUpAndComesBack) {
  for (const int node : {2, 4, 6}) {
    cluster_.nodes().Kill(node);
    const auto begun = steady_clock::now();
    ASSERT_TRUE(load_->AwaitCommitted(load_->committed() + 20, kSettleSeconds)) << "n" << node;
    std::cout << "n" << node << " killed; commits again after " << SecondsSince(begun) << " s" << std::endl;
    ASSERT_TRUE(cluster_.nodes().Start(node).ok());
    ASSERT_NO_FATAL_FAILURE(AwaitBackup(kGroups[node / 2 - 1]));
  }
  Finish("killed backups");
}

// It wakes up in the belief that it leads, with a lease that is over (R5) and an epoch that is not its own
// (R2).
TEST_F(Failover, StoppedPrimaryOfEachGroupAnswersNothingStaleWhenItGoesOn) {
  for (const GroupId group : kGroups) {
    const int old = PrimaryOf(group);
    ASSERT_NE(old, 0);
    cluster_.nodes().Pause(old, true);
    stopped_ = old;
    std::cout << ToString(group) << ": n" << old << " stopped; commits again after "
              << AwaitTakeover(group, old) << " s" << std::endl;
    stopped_ = 0;
    cluster_.nodes().Pause(old, false);
    ASSERT_NO_FATAL_FAILURE(AwaitBackup(group));
    EXPECT_NE(PrimaryOf(group), old);
  }
  Finish("stopped primaries");
}

}  // namespace
}  // namespace assent::e2e
