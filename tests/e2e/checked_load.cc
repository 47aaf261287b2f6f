#include "tests/e2e/checked_load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/checker/checker.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr int kKeysOfEachKind = 5;
constexpr int kWatchedKeys = 300;
constexpr int kCheckedCallMs = 120'000;

// The library's client, as the workload wants one.
class LibraryClient final : public checker::TxnClient {
 public:
  LibraryClient(const std::vector<std::string>& addresses, ClientOptions options) {
    options.deadline_ms = kCheckedCallMs;
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

}  // namespace

void RunChecked(const TestCluster& cluster, checker::WorkloadOptions options,
                const std::function<ClientOptions(uint32_t client)>& client_options) {
  const Placement placement = cluster.placement();
  options.register_keys = KeysOnBothShards(placement, "register/");
  options.list_keys = KeysOnBothShards(placement, "list/");
  options.scan_prefix = "scanned/";
  for (int number = 0; number < kWatchedKeys && options.watchers > 0; ++number) {
    options.watched_keys.push_back("watched/" + std::to_string(number));
  }
  const auto begun = steady_clock::now();
  const checker::History history = checker::RunWorkload(options, [&](uint32_t client) {
    return std::make_unique<LibraryClient>(cluster.addresses(),
                                           client_options ? client_options(client) : ClientOptions());
  });
  const double seconds = SecondsSince(begun);
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
  EXPECT_GT(counts[static_cast<size_t>(Outcome::kCommitted)], size_t{options.clients});
}

}  // namespace assent::e2e
