// Clients that contend for ten keys on two shards, interactive and one-shot, with and without kill -9 of
// nodes: the recorded history is strictly serializable (G3), and no deadlock outlives its wound (P2).
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "client/client.h"
#include "sim/checker/checker.h"
#include "sim/checker/workload.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using cli::LocalCluster;
using std::chrono::steady_clock;

constexpr uint32_t kClients = 16;
constexpr int kKeysOfEachKind = 5;
constexpr int kCallMs = 120'000;
constexpr int kKills = 8;

// The library's client, as the workload wants one.
class LibraryClient final : public checker::TxnClient {
 public:
  explicit LibraryClient(const std::vector<std::string>& addresses) {
    ClientOptions options;
    options.deadline_ms = kCallMs;
    auto connected = Client::Connect(addresses, options);
    EXPECT_TRUE(connected.ok()) << connected.status().ToString();
    if (connected.ok()) client_.emplace(std::move(connected).value());
  }

  bool Begin(bool retry) override {
    if (!client_) return false;
    auto begun = retry && txn_ ? client_->BeginAgain(*txn_) : client_->Begin();
    EXPECT_TRUE(begun.ok()) << begun.status().ToString();
    if (!begun.ok()) return false;
    txn_.emplace(std::move(begun).value());
    return true;
  }
  std::optional<std::vector<OperationResult>> Work(const std::vector<Operation>& operations) override {
    auto results = txn_->Work(operations);
    if (!results.ok()) return std::nullopt;
    return std::move(results).value();
  }
  Outcome Commit() override { return Checked(txn_->Commit()).outcome; }
  void Rollback() override { txn_->Rollback(); }
  Executed Execute(const std::vector<Operation>& operations) override {
    if (!client_) return {Outcome::kAborted, {}};
    CommitResult result = Checked(client_->Execute(operations));
    return {result.outcome, std::move(result.results)};
  }

 private:
  static CommitResult Checked(CommitResult result) {
    EXPECT_TRUE(result.refused.ok()) << Describe(result);
    return result;
  }

  std::optional<Client> client_;
  std::optional<Transaction> txn_;
};

// Keys named `prefix`N, so that neither shard has less than two of them.
std::vector<std::string> KeysOnBothShards(const Placement& placement, const std::string& prefix) {
  std::vector<std::string> keys;
  for (int number = 0; keys.size() < kKeysOfEachKind; ++number) {
    std::string key = prefix + std::to_string(number);
    const bool wanted_first = keys.size() % 2 == 0;
    if ((placement.ShardOf(key) == placement.shards().front()) == wanted_first)
      keys.push_back(std::move(key));
  }
  return keys;
}

void RunAndCheck(const TestCluster& cluster, checker::WorkloadOptions options) {
  const Placement placement = cluster.placement();
  options.clients = kClients;
  options.register_keys = KeysOnBothShards(placement, "register/");
  options.list_keys = KeysOnBothShards(placement, "list/");
  options.scan_prefix = "scanned/";
  const auto begun = steady_clock::now();
  const checker::History history = checker::RunWorkload(
      options, [&](uint32_t) { return std::make_unique<LibraryClient>(cluster.addresses()); });
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begun).count();
  size_t counts[4] = {};
  uint64_t longest_ns = 0;
  for (const checker::Transaction& transaction : history.transactions) {
    ++counts[static_cast<size_t>(transaction.outcome)];
    if (transaction.complete_ns != checker::kNever) {
      longest_ns = std::max(longest_ns, transaction.complete_ns - transaction.invoke_ns);
    }
  }
  const checker::Verdict verdict = checker::CheckHistory(history);
  std::cout << history.transactions.size() << " attempts in " << seconds << " s: committed "
            << counts[static_cast<size_t>(Outcome::kCommitted)] << ", aborted "
            << counts[static_cast<size_t>(Outcome::kAborted)] << ", unknown "
            << counts[static_cast<size_t>(Outcome::kUnknown)] << " (" << verdict.unknown_happened
            << " had happened); longest " << static_cast<double>(longest_ns) / 1e9 << " s; " << verdict.edges
            << " edges" << std::endl;
  EXPECT_TRUE(verdict.ok()) << verdict.ToString();
  ASSERT_FALSE(history.transactions.empty());
  EXPECT_EQ(history.transactions.back().outcome, Outcome::kCommitted) << "the final reads did not commit";
  EXPECT_GT(counts[static_cast<size_t>(Outcome::kCommitted)], size_t{kClients});
}

TEST(Serializability, ContendedTransactionsAreStrictlySerializable) {
  TestCluster cluster("serializability");
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  checker::WorkloadOptions options;
  options.seed = Seed(11);
  options.transactions_each = 120;
  RunAndCheck(cluster, options);
}

TEST(Serializability, ContendedTransactionsAreStrictlySerializableWhileNodesAreKilled) {
  TestCluster cluster("serializability_kills");
  const Status started = cluster.StartAll();
  ASSERT_TRUE(started.ok()) << started.ToString();
  checker::WorkloadOptions options;
  options.seed = Seed(12);
  options.transactions_each = 100'000;  // until all kills are done
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> transactions{0};
  options.stop = [&] {
    transactions.fetch_add(1);
    return stop.load();
  };
  // The nodes end with the thread that starts them, so the kills are this thread's, and the load another's.
  std::thread load([&] { RunAndCheck(cluster, options); });
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
