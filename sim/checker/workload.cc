#include "sim/checker/workload.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <thread>
#include <utility>

namespace assent::checker {
namespace {

using Rng = std::mt19937_64;
using Operations = std::vector<Operation>;

constexpr uint32_t kFinalAttemptsMax = 100;
// A client moves to the next scanned prefix after so many transactions: keys are few under each, and there is
// always one where most of them are still to come.
constexpr uint32_t kTransactionsPerPrefix = 8;

uint64_t Now() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

size_t Below(Rng& rng, size_t bound) {
  return static_cast<size_t>(rng() % bound);
}

// One client: its actions and their results. Used by one thread.
class Driver {
 public:
  Driver(const WorkloadOptions& options, uint32_t number, TxnClient& client)
      : options_(options), number_(number), client_(client), rng_(options.seed * 1'000'003 + number) {
    keys_ = options.register_keys;
    keys_.insert(keys_.end(), options.list_keys.begin(), options.list_keys.end());
  }

  void Run() {
    for (done_ = 0; done_ < options_.transactions_each; ++done_) {
      if (options_.stop && options_.stop()) return;
      Rng choices = rng_;  // a retry makes the same ones
      for (uint32_t attempt = 0; attempt < options_.attempts_max; ++attempt) {
        rng_ = choices;
        if (Attempt(attempt > 0) != Outcome::kAborted) break;
      }
    }
  }

  void ReadEverything() {
    for (uint32_t attempt = 0; attempt < kFinalAttemptsMax; ++attempt) {
      Operations operations = Gets(keys_);
      if (!options_.scan_prefix.empty()) operations.push_back(ScanOp{options_.scan_prefix, 0});
      if (!BeginInteractive(attempt > 0)) continue;
      Do(operations);
      if (End() == Outcome::kCommitted) return;
    }
  }

  std::vector<Transaction> Take() { return std::move(transactions_); }

 private:
  bool IsWatcher() const {
    return number_ < options_.clients && number_ + options_.watchers >= options_.clients;
  }

  // One transaction of a random shape.
  Outcome Attempt(bool retry) {
    if (IsWatcher()) return ExecuteAndRecord(Gets(Pick(options_.watched_keys, 1)));
    if (!options_.watched_keys.empty() && Below(rng_, 3) == 0) return Swap(options_.watched_keys, 1);
    switch (Below(rng_, 10)) {
      case 0:
      case 1:
        return ReadModifyWrite(retry, 1 + Below(rng_, 3), false);
      case 2:
        return ReadModifyWrite(retry, 2, true);
      case 3:
        return ReadOnly(retry);
      case 4:
        return options_.scan_prefix.empty() ? ReadOnly(retry) : ScanAndInsert(retry);
      case 5:
        return WriteTwice(retry, false);
      case 6:
        return WriteTwice(retry, true);
      case 7:
        return Swap(options_.register_keys, 3);
      case 8:
        return CheckAndAppend(retry);
      default:
        return Below(rng_, 2) == 0 ? BlindWrites() : ExecuteAndRecord(Gets(Pick(keys_, 3)));
    }
  }

  // Interactive: reads keys, then writes them all; or only one of them, which invites write skew.
  Outcome ReadModifyWrite(bool retry, size_t count, bool write_one) {
    std::vector<std::string> keys = Pick(keys_, count);
    if (!BeginInteractive(retry)) return Outcome::kAborted;
    if (Below(rng_, 2) == 0) {
      Do(Gets(keys));
    } else {
      for (const std::string& key : keys) Do({GetOp{key}});
    }
    if (write_one) keys.resize(1);
    for (const std::string& key : keys) Do({PutOp{key, NextValue(key)}});
    return End();
  }

  // Interactive: reads keys in two steps, which invites read skew.
  Outcome ReadOnly(bool retry) {
    std::vector<std::string> keys = Pick(keys_, 4);
    if (!BeginInteractive(retry)) return Outcome::kAborted;
    size_t half = keys.size() / 2;
    Do(Gets({keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(half)}));
    Do(Gets({keys.begin() + static_cast<std::ptrdiff_t>(half), keys.end()}));
    return End();
  }

  // Interactive: scans, then inserts under the same prefix.
  Outcome ScanAndInsert(bool retry) {
    std::string prefix = options_.scan_prefix + std::to_string(done_ / kTransactionsPerPrefix) + "/";
    if (!BeginInteractive(retry)) return Outcome::kAborted;
    Do({ScanOp{prefix, 0}});
    std::string name = NextName();
    Do({PutOp{prefix + name, name}});
    return End();
  }

  // Interactive: writes one key twice, and another, then rolls back, if asked to: bait for dirty reads.
  Outcome WriteTwice(bool retry, bool roll_back) {
    std::vector<std::string> keys = Pick(options_.register_keys, 2);
    if (!BeginInteractive(retry)) return Outcome::kAborted;
    for (const std::string& key : keys) Do({PutOp{key, NextName()}});
    if (!keys.empty()) Do({PutOp{keys.front(), NextName()}, GetOp{keys.front()}});
    if (!roll_back) return End();
    if (open_) client_.Rollback();
    open_ = false;
    Finish(Outcome::kAborted);
    return Outcome::kUnknown;  // ended as meant: no retry
  }

  // One-shot: reads what it replaces.
  Outcome Swap(const std::vector<std::string>& among, size_t count) {
    Operations operations;
    for (const std::string& key : Pick(among, count)) {
      operations.push_back(GetOp{key});
      operations.push_back(PutOp{key, NextName()});
    }
    return ExecuteAndRecord(operations);
  }

  Outcome BlindWrites() {
    Operations operations;
    for (const std::string& key : Pick(options_.register_keys, 2))
      operations.push_back(PutOp{key, NextName()});
    return ExecuteAndRecord(operations);
  }

  // One-shot: appends to lists as they were last seen, if they still are so.
  Outcome CheckAndAppend(bool retry) {
    std::vector<std::string> keys = Pick(options_.list_keys, 2);
    bool by_value = Below(rng_, 2) == 0;
    auto unseen = [this](const std::string& key) { return !last_seen_.contains(key); };
    if (retry || std::any_of(keys.begin(), keys.end(), unseen)) {
      if (ExecuteAndRecord(Gets(keys)) != Outcome::kCommitted) return Outcome::kAborted;
      if (std::any_of(keys.begin(), keys.end(), unseen)) return Outcome::kAborted;
    }
    Operations operations;
    for (const std::string& key : keys) {
      const Read& seen = last_seen_[key];
      CheckOp check{key, CheckKind::kAbsent, "", 0};
      if (seen.value) {
        check.kind = by_value ? CheckKind::kValue : CheckKind::kVersion;
        check.value = by_value ? *seen.value : "";
        check.version = by_value ? 0 : seen.version;
      }
      operations.push_back(std::move(check));
      operations.push_back(PutOp{key, NextValue(key)});
    }
    return ExecuteAndRecord(operations);
  }

  Outcome ExecuteAndRecord(const Operations& operations) {
    Start();
    if (operations.empty()) return Outcome::kCommitted;
    TxnClient::Executed done = client_.Execute(operations);
    Record(operations, done.outcome == Outcome::kAborted ? nullptr : &done.results);
    Finish(done.outcome);
    return done.outcome;
  }

  bool BeginInteractive(bool retry) {
    Start();
    open_ = client_.Begin(retry);
    return open_;
  }

  void Do(const Operations& operations) {
    if (!open_ || operations.empty()) return;
    std::optional<std::vector<OperationResult>> results = client_.Work(operations);
    open_ = results.has_value();
    Record(operations, results ? &*results : nullptr);
  }

  Outcome End() {
    Outcome outcome = open_ ? client_.Commit() : Outcome::kAborted;
    open_ = false;
    Finish(outcome);
    return outcome;
  }

  void Start() {
    current_ = Transaction();
    current_.client = number_;
    current_.invoke_ns = Now();
  }

  void Finish(Outcome outcome) {
    current_.outcome = outcome;
    current_.complete_ns = outcome == Outcome::kUnknown ? kNever : Now();
    transactions_.push_back(std::move(current_));
  }

  // `results`: null where there was no answer. Writes are noted in any case: they may have happened.
  void Record(const Operations& operations, const std::vector<OperationResult>* results) {
    for (size_t i = 0; i < operations.size(); ++i) {
      const OperationResult* result = results != nullptr && i < results->size() ? &(*results)[i] : nullptr;
      if (const auto* put = std::get_if<PutOp>(&operations[i])) {
        current_.events.emplace_back(Write{put->key, put->value});
      } else if (const auto* check = std::get_if<CheckOp>(&operations[i])) {
        // The transaction's fate does not matter: if it happened, the key was as last seen.
        current_.events.emplace_back(last_seen_[check->key]);
      } else if (const auto* get = std::get_if<GetOp>(&operations[i]); get != nullptr && result != nullptr) {
        Read read{get->key, std::nullopt, 0};
        if (!result->rows.empty()) {
          read.value = result->rows.front().value;
          read.version = result->rows.front().version;
        }
        last_seen_[get->key] = read;
        current_.events.emplace_back(std::move(read));
      } else if (const auto* scan = std::get_if<ScanOp>(&operations[i]);
                 scan != nullptr && result != nullptr) {
        current_.events.emplace_back(Scan{scan->prefix, result->rows, result->truncated});
      }
    }
  }

  // Up to `count` of `keys`, in random order.
  std::vector<std::string> Pick(std::vector<std::string> keys, size_t count) {
    std::shuffle(keys.begin(), keys.end(), rng_);
    keys.resize(std::min(count, keys.size()));
    return keys;
  }

  static Operations Gets(const std::vector<std::string>& keys) {
    Operations operations;
    for (const std::string& key : keys) operations.push_back(GetOp{key});
    return operations;
  }

  std::string NextName() { return std::to_string(number_) + "." + std::to_string(++names_); }

  // A value that nobody wrote to this key: of a list, as last seen, one element more.
  std::string NextValue(const std::string& key) {
    bool is_list =
        std::find(options_.list_keys.begin(), options_.list_keys.end(), key) != options_.list_keys.end();
    const std::optional<std::string>& old = last_seen_[key].value;
    if (!is_list || !old || ListElements(*old).size() >= kListElementsMax) return NextName();
    return *old + "," + NextName();
  }

  const WorkloadOptions& options_;
  const uint32_t number_;
  TxnClient& client_;
  Rng rng_;
  std::vector<std::string> keys_;
  std::map<std::string, Read> last_seen_;
  std::vector<Transaction> transactions_;
  Transaction current_;  // the one that is being recorded
  bool open_ = false;    // an interactive transaction is
  uint32_t done_ = 0;
  uint64_t names_ = 0;
};

}  // namespace

History RunWorkload(const WorkloadOptions& options,
                    const std::function<std::unique_ptr<TxnClient>(uint32_t client)>& make_client) {
  std::vector<std::vector<Transaction>> recorded(options.clients + 1);
  std::vector<std::thread> threads;
  for (uint32_t number = 0; number < options.clients; ++number) {
    threads.emplace_back([&options, &make_client, &recorded, number] {
      std::unique_ptr<TxnClient> client = make_client(number);
      Driver driver(options, number, *client);
      driver.Run();
      recorded[number] = driver.Take();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::unique_ptr<TxnClient> client = make_client(options.clients);
  Driver last(options, options.clients, *client);
  last.ReadEverything();
  recorded.back() = last.Take();

  History history;
  history.list_keys.insert(options.list_keys.begin(), options.list_keys.end());
  for (std::vector<Transaction>& transactions : recorded) {
    for (Transaction& t : transactions) history.transactions.push_back(std::move(t));
  }
  return history;
}

}  // namespace assent::checker
