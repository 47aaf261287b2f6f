// Clients that contend for ten keys on two shards, interactive and one-shot, with and without kill -9 of
// nodes: the recorded history is strictly serializable (G3), and no deadlock outlives its wound (P2).
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <random>
#include <thread>

#include "tests/e2e/checked_load.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using cli::LocalCluster;
using std::chrono::steady_clock;

constexpr uint32_t kClients = 16;
constexpr int kKills = 8;

TEST(Serializability, ContendedTransactionsAreStrictlySerializable) {
  TestCluster cluster("serializability");
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  checker::WorkloadOptions options;
  options.clients = kClients;
  options.seed = Seed(11);
  options.transactions_each = 120;
  RunChecked(cluster, options);
}

TEST(Serializability, ContendedTransactionsAreStrictlySerializableWhileNodesAreKilled) {
  TestCluster cluster("serializability_kills");
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  checker::WorkloadOptions options;
  options.clients = kClients;
  options.seed = Seed(12);
  options.transactions_each = 100'000;  // until all kills are done
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> transactions{0};
  options.stop = [&] {
    transactions.fetch_add(1);
    return stop.load();
  };
  // The nodes end with the thread that starts them, so the kills are this thread's, and the load another's.
  std::thread load([&] { RunChecked(cluster, options); });
  std::mt19937_64 random(options.seed);
  int killed = 0;
  for (; killed < kKills && !testing::Test::HasFailure(); ++killed) {
    const uint64_t due = transactions + 1 + random() % 150;
    const auto deadline = steady_clock::now() + std::chrono::seconds(60);
    while (transactions < due && steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(transactions, due) << "no progress: a deadlock outlived its wound?";
    const int node = 1 + static_cast<int>(random() % LocalCluster::kNodes);
    cluster.nodes().Kill(node);
    const Status serving = cluster.Restart(node);
    EXPECT_TRUE(serving.ok()) << serving.ToString();
  }
  stop = true;
  load.join();
  std::cout << "kill -9 of random nodes " << killed << " times" << std::endl;
}

}  // namespace
}  // namespace assent::e2e
