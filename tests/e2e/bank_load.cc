#include "tests/e2e/bank_load.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <set>
#include <utility>

#include "cli/audit.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr double kSettleSeconds = 120;   // generous; the time taken is printed
constexpr int kBankCallMs = 60'000;      // outlasts every restart
constexpr int kBriefMs = 150;            // of the session that gives up early
constexpr uint64_t kBriefEvery = 11;     // transactions
constexpr uint64_t kAskAgainEvery = 13;  // transactions that committed
constexpr int kAsksMax = 20;
constexpr size_t kRowsPerRead = 400;

bench::WorkloadOptions OptionsOf(const std::string& name, const LoadOptions& options) {
  bench::WorkloadOptions tpcb;
  tpcb.name = name;
  tpcb.rows = options.accounts;
  tpcb.branches = options.branches;
  tpcb.remote_percent = options.remote_percent;
  return tpcb;
}

// The key of the transaction's own row.
const std::string& RowOf(const std::vector<Operation>& operations) {
  for (const Operation& operation : operations) {
    if (std::holds_alternative<PutOp>(operation)) return KeyOf(operation);
  }
  ADD_FAILURE() << "a transaction without a row";
  return KeyOf(operations.front());
}

}  // namespace

BankLoad::BankLoad(const std::string& name, std::vector<std::string> addresses, const Placement& placement,
                   const LoadOptions& options)
    : addresses_(std::move(addresses)),
      placement_(placement),
      options_(options),
      tpcb_(OptionsOf(name, options), placement),
      tallies_(options.one_shot_clients + options.interactive_clients) {}

BankLoad::~BankLoad() {
  abandon_ = true;
  Stop();
}

Status BankLoad::LoadRows() {
  auto client = Client::Connect(addresses_);
  if (!client.ok()) return client.status();
  ASSENT_RETURN_IF_ERROR(tpcb_.Load(*client, {}));
  bench::Random random(0);
  abort_key_ = KeyOf(tpcb_.MakeOperations(random, 0, 0).front());
  return {};
}

void BankLoad::Start() {
  for (uint32_t who = 0; who < tallies_.size(); ++who) {
    threads_.emplace_back([this, who] {
      if (who < options_.one_shot_clients) {
        RunOneShot(who, tallies_[who]);
      } else {
        RunInteractive(who, tallies_[who]);
      }
      if (!tallies_[who].problem.empty()) gave_up_ = true;
    });
  }
}

bool BankLoad::AwaitCommitted(uint64_t count, double timeout_s) const {
  const auto begun = steady_clock::now();
  while (committed_ < count) {
    if (gave_up_ || SecondsSince(begun) > timeout_s) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

steady_clock::time_point BankLoad::LatestBegun(GroupId group) const {
  const std::lock_guard lock(latest_mutex_);
  const auto latest = latest_begun_.find(group);
  return latest == latest_begun_.end() ? steady_clock::time_point() : latest->second;
}

void BankLoad::NoteCommitted(const std::vector<Operation>& operations, steady_clock::time_point begun) {
  committed_.fetch_add(1);
  const std::lock_guard lock(latest_mutex_);
  std::set<GroupId> groups;
  for (const Operation& operation : operations) groups.insert(placement_.ShardOf(KeyOf(operation)));
  if (groups.size() > 1) groups.insert({GroupKind::kCoordinator, 1});  // C6: else its log is not asked
  for (const GroupId group : groups) latest_begun_[group] = std::max(latest_begun_[group], begun);
}

void BankLoad::Stop() {
  stop_ = true;
  if (threads_.empty()) return;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (const Tally& tally : tallies_) EXPECT_EQ(tally.problem, "");
}

std::vector<Operation> BankLoad::Operations(bench::Random& random, uint32_t who, uint64_t n) const {
  std::vector<Operation> operations = tpcb_.MakeOperations(random, who, n);
  if (options_.abort_every != 0 && n % options_.abort_every == options_.abort_every - 1) {
    operations.push_back(op::CheckAbsent(abort_key_));
  }
  return operations;
}

// Nodes may die and answers may be lost: in the end the cluster knows.
CommitResult BankLoad::UntilKnown(Client& client, const Token& token,
                                  const std::vector<Operation>& operations, Tally& tally) {
  CommitResult result = client.Execute(token, operations);
  for (int ask = 0; ask < kAsksMax && result.outcome == Outcome::kUnknown && !abandon_; ++ask) {
    ++tally.asked_again;
    result = client.Execute(token, operations);
  }
  return result;
}

// Connects also where all nodes are down for a while.
Result<Client> BankLoad::AwaitClient(const ClientOptions& options) const {
  const auto begun = steady_clock::now();
  while (true) {
    auto client = Client::Connect(addresses_, options);
    const bool over = steady_clock::now() - begun > std::chrono::milliseconds(options.deadline_ms);
    if (client.ok() || over) return client;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void BankLoad::RunOneShot(uint32_t who, Tally& tally) {
  ClientOptions options;
  options.deadline_ms = kBankCallMs;
  options.attempts = 1'000;
  ClientOptions brief = options;
  brief.deadline_ms = kBriefMs;
  auto client = AwaitClient(options);
  if (!client.ok()) {
    tally.problem = client.status().ToString();
    return;
  }
  bench::Random random(options_.seed * 1'000'003 + who);
  for (uint64_t n = 0; !stop_; ++n) {
    const auto operations = Operations(random, who, n);
    const auto begun = steady_clock::now();
    Result<Token> token = Status(StatusCode::kUnavailable, "not drawn");
    if (n % kBriefEvery == kBriefEvery - 1) {
      // A session that draws and sends it, and is gone, often before it hears of it.
      if (auto other = Client::Connect(addresses_, brief); other.ok()) {
        token = other->NewToken();
        if (token.ok()) {
          ++tally.asked_again;
          (void)other->Execute(*token, operations);
        }
      }
    }
    if (!token.ok()) token = client->NewToken();
    if (!token.ok()) {
      tally.problem = "no token: " + token.status().ToString();
      return;
    }
    const CommitResult result = UntilKnown(*client, *token, operations, tally);
    tally.attempts += result.attempts;
    tally.done.push_back({RowOf(operations), result.outcome});
    if (result.outcome == Outcome::kUnknown || !result.refused.ok()) {
      tally.problem = ToString(*token) + ": " + Describe(result);
      return;
    }
    if (result.committed()) {
      NoteCommitted(operations, begun);
      if (operations.size() > 4) tally.problem = ToString(*token) + " committed in spite of its check";
      if (n % kAskAgainEvery == 0) {
        ++tally.asked_again;
        const CommitResult again = UntilKnown(*client, *token, operations, tally);
        if (!again.committed() || again.txn != result.txn) {
          tally.problem = ToString(*token) + " was " + Describe(result) + ", then " + Describe(again);
          return;
        }
      }
    }
    client->Release(*token);
  }
}

void BankLoad::RunInteractive(uint32_t who, Tally& tally) {
  ClientOptions options;
  options.deadline_ms = kBankCallMs;
  options.attempts = 1'000;
  auto client = AwaitClient(options);
  if (!client.ok()) {
    tally.problem = client.status().ToString();
    return;
  }
  bench::Random random(options_.seed * 1'000'003 + who);
  for (uint64_t n = 0; !stop_; ++n) {
    auto operations = Operations(random, who, n);
    const auto begun = steady_clock::now();
    const CommitResult result = client->Run([&](Transaction& txn) -> Status {
      auto read = txn.Get(KeyOf(operations.front()));
      if (!read.ok()) return read.status();
      for (const Operation& operation : operations) {
        auto worked = txn.Work({operation});
        if (!worked.ok()) return worked.status();
      }
      return {};
    });
    tally.attempts += result.attempts;
    tally.done.push_back({RowOf(operations), result.outcome});
    if (result.committed()) NoteCommitted(operations, begun);
    if (result.committed() && operations.size() > 4) tally.problem = "committed in spite of its check";
    if (!result.refused.ok()) {
      tally.problem = Describe(result);
      return;
    }
  }
}

void BankLoad::CheckRows(Client& client, const std::vector<Done>& done, uint64_t& unknown_there) const {
  for (size_t from = 0; from < done.size(); from += kRowsPerRead) {
    const size_t to = std::min(done.size(), from + kRowsPerRead);
    std::vector<Operation> reads;
    for (size_t i = from; i < to; ++i) reads.push_back(op::Get(done[i].row));
    const CommitResult read = client.Execute(reads);
    ASSERT_TRUE(read.committed() && read.results.size() == reads.size()) << Describe(read);
    for (size_t i = from; i < to; ++i) {
      const bool there = !read.results[i - from].rows.empty();
      if (done[i].outcome == Outcome::kCommitted) {
        EXPECT_TRUE(there) << done[i].row << " was acknowledged, and is lost";
      } else if (done[i].outcome == Outcome::kAborted) {
        EXPECT_FALSE(there) << done[i].row << " was reported aborted, and is there";
      } else if (there) {
        ++unknown_there;
      }
    }
  }
}

void BankLoad::Audit(const std::string& what, const cli::ClusterView& cluster) {
  ASSERT_TRUE(threads_.empty());
  uint64_t counts[4] = {};
  uint64_t asked_again = 0, unknown_there = 0;
  for (const Tally& tally : tallies_) {
    asked_again += tally.asked_again;
    for (const Done& done : tally.done) ++counts[static_cast<size_t>(done.outcome)];
  }
  const auto settled = cli::AwaitNothingInDoubt(cluster, kSettleSeconds);
  ASSERT_TRUE(settled.ok()) << settled.status().ToString();

  const auto begun = steady_clock::now();
  ClientOptions options;
  options.deadline_ms = kBankCallMs;
  auto client = Client::Connect(addresses_, options);
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  for (const Tally& tally : tallies_) CheckRows(*client, tally.done, unknown_there);
  const uint64_t committed = counts[static_cast<size_t>(Outcome::kCommitted)];
  const auto history = tpcb_.History(*client);
  ASSERT_TRUE(history.ok()) << history.status().ToString();
  EXPECT_EQ(history->rows, committed + unknown_there);
  const auto sums = tpcb_.Check(*client, {});
  ASSERT_TRUE(sums.ok()) << sums.status().ToString();
  for (const bench::Audit& sum : *sums)
    EXPECT_TRUE(sum.ok()) << sum.what << ": " << sum.found << " is not " << sum.expected;
  const Status equal = cli::CompareReplicas(cluster, kSettleSeconds);
  EXPECT_TRUE(equal.ok()) << equal.ToString();
  std::cout << what << ": committed " << committed << ", aborted "
            << counts[static_cast<size_t>(Outcome::kAborted)] << ", unknown (interactive) "
            << counts[static_cast<size_t>(Outcome::kUnknown)] << " of which " << unknown_there
            << " had happened, tokens sent again " << asked_again << "; nothing in doubt after " << *settled
            << " s; audit took " << SecondsSince(begun) << " s" << std::endl;
}

void BankLoad::StopAndAudit(const std::string& what, const TestCluster& cluster) {
  Stop();
  const auto view = cluster.View();
  ASSERT_TRUE(view.ok()) << view.status().ToString();
  Audit(what, *view);
}

}  // namespace assent::e2e
