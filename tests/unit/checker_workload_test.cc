// The workload and the checker together, on stores that are right, and on stores that are wrong
// in known ways.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sim/checker/checker.h"
#include "sim/checker/workload.h"

namespace assent::checker {
namespace {

enum class Kind {
  kSerializable,  // one transaction at a time
  kSnapshot,      // snapshot isolation, first committer wins: allows write skew and phantoms
  kNoIsolation,   // each operation on the shared state at once; rollback takes nothing back
  kForgetful,     // serializable, but loses a few commits that it acknowledged
};

struct Store {
  explicit Store(Kind k) : kind(k) {}
  const Kind kind;
  std::mutex running;  // held throughout by a serializable transaction
  std::mutex state;    // guards what follows
  std::map<std::string, ResultRow> rows;
  uint64_t version = 0;
};

class MemoryClient : public TxnClient {
 public:
  MemoryClient(Store& store, uint32_t number) : store_(store), rng_(number) {}

  bool Begin(bool /*retry*/) override {
    if (store_.kind == Kind::kSerializable || store_.kind == Kind::kForgetful) {
      running_ = std::unique_lock(store_.running);
    }
    std::lock_guard lock(store_.state);
    view_ = store_.rows;
    base_ = view_;
    writes_.clear();
    return true;
  }

  std::optional<std::vector<OperationResult>> Work(const std::vector<Operation>& operations) override {
    std::this_thread::yield();  // so that transactions interleave on one core, too
    if (rng_() % 100 == 0) return End(std::nullopt);
    std::lock_guard lock(store_.state);
    if (store_.kind == Kind::kNoIsolation) view_ = store_.rows;
    std::vector<OperationResult> results;
    for (const Operation& operation : operations) {
      OperationResult result;
      if (!Perform(operation, result)) return End(std::nullopt);
      results.push_back(std::move(result));
    }
    return results;
  }

  Outcome Commit() override {
    std::lock_guard lock(store_.state);
    uint64_t fate = rng_() % 100;
    if (fate == 0) return End(Outcome::kUnknown);  // and did not happen
    for (const Write& write : writes_) {
      bool changed =
          store_.kind == Kind::kSnapshot && VersionIn(store_.rows, write.key) != VersionIn(base_, write.key);
      if (changed) return End(Outcome::kAborted);
    }
    bool forgets = store_.kind == Kind::kForgetful && rng_() % 50 == 0;
    ++store_.version;
    if (!forgets && store_.kind != Kind::kNoIsolation) {
      for (const Write& write : writes_) store_.rows[write.key] = {write.key, *write.value, store_.version};
    }
    return End(fate == 1 ? Outcome::kUnknown : Outcome::kCommitted);
  }

  void Rollback() override { End(Outcome::kAborted); }

  Executed Execute(const std::vector<Operation>& operations) override {
    Begin(false);
    std::optional<std::vector<OperationResult>> results = Work(operations);
    if (!results) return {Outcome::kAborted, {}};
    Outcome outcome = Commit();
    if (outcome != Outcome::kCommitted || rng_() % 20 == 0) results->clear();  // as a repeated answer would
    return {outcome, std::move(*results)};
  }

 private:
  template <typename T>
  T End(T result) {
    if (running_.owns_lock()) running_.unlock();
    return result;
  }

  static uint64_t VersionIn(const std::map<std::string, ResultRow>& rows, const std::string& key) {
    auto found = rows.find(key);
    return found == rows.end() ? 0 : found->second.version;
  }

  // False: a check failed.
  bool Perform(const Operation& operation, OperationResult& result) {
    if (const auto* put = std::get_if<PutOp>(&operation)) {
      writes_.push_back({put->key, put->value});
      view_[put->key] = {put->key, put->value, 0};
      if (store_.kind == Kind::kNoIsolation) store_.rows[put->key] = {put->key, put->value, ++store_.version};
    } else if (const auto* get = std::get_if<GetOp>(&operation)) {
      if (auto found = view_.find(get->key); found != view_.end()) result.rows.push_back(found->second);
    } else if (const auto* scan = std::get_if<ScanOp>(&operation)) {
      for (auto it = view_.lower_bound(scan->prefix);
           it != view_.end() && it->first.starts_with(scan->prefix); ++it) {
        result.rows.push_back(it->second);
      }
    } else if (const auto* check = std::get_if<CheckOp>(&operation)) {
      auto found = view_.find(check->key);
      if (check->kind == CheckKind::kAbsent) return found == view_.end();
      if (found == view_.end()) return false;
      return check->kind == CheckKind::kValue ? found->second.value == check->value
                                              : found->second.version == check->version;
    }
    return true;
  }

  Store& store_;
  std::mt19937_64 rng_;
  std::unique_lock<std::mutex> running_;
  std::map<std::string, ResultRow> base_;  // as the transaction began
  std::map<std::string, ResultRow> view_;  // with its own writes
  std::vector<Write> writes_;
};

WorkloadOptions TenKeys(uint64_t seed) {
  WorkloadOptions options;
  options.seed = seed;
  options.transactions_each = 60;
  options.register_keys = {"r0", "r1", "r2", "r3", "r4", "r5"};
  options.list_keys = {"l0", "l1", "l2", "l3"};
  options.scan_prefix = "s/";
  return options;
}

History RunOn(Kind kind, const WorkloadOptions& options) {
  Store store(kind);
  return RunWorkload(options, [&store](uint32_t client) -> std::unique_ptr<TxnClient> {
    return std::make_unique<MemoryClient>(store, client);
  });
}

TEST(CheckerWorkload, SerializableStoreIsClean) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Verdict verdict = CheckHistory(RunOn(Kind::kSerializable, TenKeys(seed)));
    EXPECT_TRUE(verdict.ok()) << "seed " << seed << ": " << verdict.ToString();
    EXPECT_GT(verdict.committed, 500u);
  }
}

TEST(CheckerWorkload, EveryShapeIsRecorded) {
  History history = RunOn(Kind::kSerializable, TenKeys(1));
  size_t reads = 0;
  size_t writes = 0;
  size_t rows_scanned = 0;
  size_t longest_list = 0;
  size_t outcomes[4] = {};
  for (const Transaction& t : history.transactions) {
    ++outcomes[static_cast<size_t>(t.outcome)];
    for (const Event& event : t.events) {
      reads += std::holds_alternative<Read>(event) ? 1u : 0u;
      writes += std::holds_alternative<Write>(event) ? 1u : 0u;
      if (const Scan* scan = std::get_if<Scan>(&event)) rows_scanned += scan->rows.size();
      const Read* read = std::get_if<Read>(&event);
      if (read != nullptr && read->value && history.list_keys.contains(read->key)) {
        longest_list = std::max(longest_list, ListElements(*read->value).size());
      }
    }
  }
  EXPECT_GT(reads, 1000u);
  EXPECT_GT(writes, 500u);
  EXPECT_GT(rows_scanned, 100u);
  EXPECT_EQ(longest_list, kListElementsMax);
  for (Outcome outcome : {Outcome::kCommitted, Outcome::kAborted, Outcome::kUnknown}) {
    EXPECT_GT(outcomes[static_cast<size_t>(outcome)], 0u);
  }
  EXPECT_EQ(history.transactions.back().client, 16u);  // the last look at everything
  EXPECT_EQ(history.transactions.back().outcome, Outcome::kCommitted);
  EXPECT_EQ(history.transactions.back().events.size(), 11u);
}

TEST(CheckerWorkload, StoreWithoutIsolationIsFoundOut) {
  Verdict verdict = CheckHistory(RunOn(Kind::kNoIsolation, TenKeys(1)));
  EXPECT_TRUE(verdict.Has(AnomalyKind::kAbortedRead)) << verdict.ToString();
  EXPECT_TRUE(verdict.Has(AnomalyKind::kLostUpdate) || verdict.Has(AnomalyKind::kReadSkew))
      << verdict.ToString();
}

TEST(CheckerWorkload, SnapshotIsolationIsFoundOut) {
  Verdict verdict = CheckHistory(RunOn(Kind::kSnapshot, TenKeys(1)));
  EXPECT_TRUE(verdict.Has(AnomalyKind::kWriteSkew) || verdict.Has(AnomalyKind::kPhantom))
      << verdict.ToString();
  EXPECT_FALSE(verdict.Has(AnomalyKind::kAbortedRead)) << verdict.ToString();
  EXPECT_FALSE(verdict.Has(AnomalyKind::kLostUpdate)) << verdict.ToString();
}

TEST(CheckerWorkload, LostCommitsAreFoundOut) {
  Verdict verdict = CheckHistory(RunOn(Kind::kForgetful, TenKeys(1)));
  EXPECT_FALSE(verdict.ok());
}

TEST(CheckerWorkload, StopEndsItEarly) {
  WorkloadOptions options = TenKeys(1);
  options.stop = [] { return true; };
  EXPECT_EQ(RunOn(Kind::kSerializable, options).transactions.size(), 1u);
}

}  // namespace
}  // namespace assent::checker
