// `assent group drain` and `promote` under load, as an operator runs them before a node's maintenance: every
// transaction that was begun commits, at its first attempt.
#include <assent/client.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr int kOneShotClients = 4;
constexpr int kInteractiveClients = 4;
constexpr int kRounds = 3;  // each node is drained so often
constexpr int kKeysPerClient = 8;
constexpr double kSettleSeconds = 120;

class HandOver : public testing::Test {
 protected:
  void SetUp() override {
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    for (int who = 0; who < kOneShotClients + kInteractiveClients; ++who) {
      threads_.emplace_back([this, who] { Transfer(who); });
    }
    AwaitCommitted(50);
  }
  void TearDown() override { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  // Moves an amount between two keys of its own, which lie on any shards, again and again. Nothing it does
  // can be in anybody's way, so whatever ends in another way than by a commit is a failure.
  void Transfer(int who) {
    ClientOptions options;
    options.attempts = 1;
    auto client = Client::Connect(cluster_.addresses(), options);
    if (!client.ok()) return Fail(client.status().ToString());
    for (uint64_t n = 0; !stop_; ++n) {
      const auto key = [&](uint64_t i) {
        return "client/" + std::to_string(who) + "/" + std::to_string(i % kKeysPerClient);
      };
      const auto begun = steady_clock::now();
      CommitResult result;
      if (who < kOneShotClients) {
        result = client->Execute({op::Add(key(n), -1), op::Add(key(3 * n + 1), 1)});
      } else {
        auto txn = client->Begin();
        if (!txn.ok()) return Fail(txn.status().ToString());
        const auto read = txn->Get(key(n));
        if (!read.ok()) return Fail(read.status().ToString());
        (void)txn->Add(key(n), -1);
        const auto worked = txn->Work({op::Add(key(3 * n + 1), 1)});
        if (!worked.ok()) return Fail(worked.status().ToString());
        result = txn->Commit();
      }
      if (!result.committed()) return Fail(Describe(result));
      committed_.fetch_add(1);
      const std::lock_guard lock(mutex_);
      longest_s_ = std::max(longest_s_, SecondsSince(begun));
    }
  }

  void Fail(const std::string& what) {
    const std::lock_guard lock(mutex_);
    failures_.push_back(what);
  }

  void AwaitCommitted(uint64_t more) {
    const uint64_t target = committed_ + more;
    const auto begun = steady_clock::now();
    while (committed_ < target && SecondsSince(begun) < kSettleSeconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      const std::lock_guard lock(mutex_);
      ASSERT_TRUE(failures_.empty()) << failures_.front();
    }
    ASSERT_GE(committed_, target);
  }

  double TakeLongest() {
    const std::lock_guard lock(mutex_);
    return std::exchange(longest_s_, 0);
  }

  TestCluster cluster_{"handover"};
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> committed_ = 0;
  std::mutex mutex_;
  std::vector<std::string> failures_;
  double longest_s_ = 0;
  std::vector<std::thread> threads_;
};

TEST_F(HandOver, DrainedNodesLeadNothingAndNoTransactionFails) {
  constexpr GroupId kGroups[] = {
      {GroupKind::kCoordinator, 1}, {GroupKind::kShard, 1}, {GroupKind::kShard, 2}};
  for (int round = 0; round < kRounds; ++round) {
    for (int node = 1; node <= cli::LocalCluster::kNodes; ++node) {
      const std::string name = "n" + std::to_string(node);
      TakeLongest();
      const auto begun = steady_clock::now();
      const TestCluster::Ran drained = cluster_.Run({"group", "drain", name});
      ASSERT_EQ(drained.exit_code, 0) << drained.out;
      const double took_s = SecondsSince(begun);
      for (const GroupId group : kGroups) {
        EXPECT_NE(cluster_.Show(group).primary, node) << ToString(group) << " after\n" << drained.out;
      }
      ASSERT_NO_FATAL_FAILURE(AwaitCommitted(50));
      std::cout << name << " drained in " << took_s << " s, longest transaction " << TakeLongest() << " s"
                << std::endl;
    }
  }
  Stop();
  for (const std::string& failure : failures_) ADD_FAILURE() << failure;
  std::cout << committed_ << " transactions, " << failures_.size() << " failed" << std::endl;

  auto client = Client::Connect(cluster_.addresses());
  ASSERT_TRUE(client.ok());
  const CommitResult all = client->Execute({op::Scan("client/")});
  ASSERT_TRUE(all.committed()) << Describe(all);
  int64_t sum = 0;
  for (const ResultRow& row : all.results.at(0).rows) sum += std::stoll(row.value);
  EXPECT_EQ(sum, 0);
}

}  // namespace
}  // namespace assent::e2e
