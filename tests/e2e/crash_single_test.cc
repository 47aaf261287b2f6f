// kill -9 of any one process (coordinator, backup, either shard's primary or backup: six processes), and of
// all at once, at random moments under load: what was acknowledged is there once, what was not is not half
// there, replicas are equal, and nothing stays in doubt.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "tests/e2e/bank_load.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr int kSingleKills = 50;
constexpr int kTotalKills = 5;
constexpr double kProgressSeconds = 120;
constexpr uint64_t kCommitsBetweenMax = 120;  // kills come after 1 to so many commits

class CrashSingle : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().one_replica_a_node = true;
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
  }

  uint64_t Nodes() const { return static_cast<uint64_t>(cluster_.nodes().node_count()); }

  // Waits for commits, so that each kill meets work under way; some kills come while
  // the last victim recovers.
  void AwaitWork(const BankLoad& load, std::mt19937_64& random) {
    const uint64_t before = load.committed();
    const auto begun = steady_clock::now();
    ASSERT_TRUE(load.AwaitCommitted(before + 1, kProgressSeconds)) << "no progress after a restart";
    idle_s_.push_back(SecondsSince(begun));
    ASSERT_TRUE(load.AwaitCommitted(before + 1 + random() % kCommitsBetweenMax, kProgressSeconds));
    // Commits come in step with forces; moments between them are wanted, too.
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3'000));
  }

  // From when all groups served to the first commit.
  void PrintIdle() {
    std::sort(idle_s_.begin(), idle_s_.end());
    std::cout << "then, until the first commit: median " << idle_s_[idle_s_.size() / 2] << " s, longest "
              << idle_s_.back() << " s" << std::endl;
  }

  TestCluster cluster_{"crash_single"};
  std::vector<double> idle_s_;
};

TEST_F(CrashSingle, EachAcknowledgedCommitIsThereOnceAfterFiftyKillsOfOneProcess) {
  const uint64_t seed = Seed(20240607);
  std::mt19937_64 random(seed);
  LoadOptions options;
  options.seed = seed;
  BankLoad load("one", cluster_.addresses(), cluster_.placement(), options);
  const Status loaded = load.LoadRows();
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  load.Start();
  std::map<int, int> killed;
  int in_recovery = 0;
  double longest_s = 0;
  const auto begun = steady_clock::now();
  for (int kill = 0; kill < kSingleKills; ++kill) {
    ASSERT_NO_FATAL_FAILURE(AwaitWork(load, random));
    const int node = 1 + static_cast<int>(random() % Nodes());
    cluster_.nodes().Kill(node);
    ++killed[node];
    const auto down = steady_clock::now();
    ASSERT_TRUE(cluster_.nodes().Start(node).ok());
    if (random() % 4 == 0 && kill + 1 < kSingleKills) {
      // Again, somewhere in its recovery.
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
      cluster_.nodes().Kill(node);
      ++killed[node];
      ++kill;
      ++in_recovery;
      ASSERT_TRUE(cluster_.nodes().Start(node).ok());
    }
    const Status serving = cluster_.AwaitServing();
    ASSERT_TRUE(serving.ok()) << "after kill " << kill << ", of n" << node << ": " << serving.ToString();
    longest_s = std::max(longest_s, SecondsSince(down));
  }
  std::cout << "kill -9: c1's first replica " << killed[1] << " times, its second " << killed[2] << ", s1's "
            << killed[3] << " and " << killed[4] << ", s2's " << killed[5] << " and " << killed[6] << " ("
            << in_recovery << " in recovery) in " << SecondsSince(begun) << " s; longest until all served "
            << longest_s << " s" << std::endl;
  PrintIdle();
  load.StopAndAudit("single kills", cluster_);
}

TEST_F(CrashSingle, EachAcknowledgedCommitIsThereOnceAfterAllProcessesAreKilledAtOnce) {
  const uint64_t seed = Seed(20240608);
  std::mt19937_64 random(seed);
  LoadOptions options;
  options.seed = seed;
  BankLoad load("all", cluster_.addresses(), cluster_.placement(), options);
  const Status loaded = load.LoadRows();
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  load.Start();
  double longest_s = 0;
  for (int kill = 0; kill < kTotalKills; ++kill) {
    ASSERT_NO_FATAL_FAILURE(AwaitWork(load, random));
    // Stopped first, so that none acts on the death of another.
    const int nodes = cluster_.nodes().node_count();
    for (int node = 1; node <= nodes; ++node) cluster_.nodes().Pause(node, true);
    for (int node = 1; node <= nodes; ++node) cluster_.nodes().Kill(node);
    const auto down = steady_clock::now();
    const Status serving = cluster_.StartAll();
    ASSERT_TRUE(serving.ok()) << "after kill " << kill << ": " << serving.ToString();
    longest_s = std::max(longest_s, SecondsSince(down));
  }
  std::cout << "kill -9 of all at once " << kTotalKills << " times; longest until all served " << longest_s
            << " s" << std::endl;
  PrintIdle();
  load.StopAndAudit("total kills", cluster_);
}

}  // namespace
}  // namespace assent::e2e
