#include "bench/transfer.h"

#include <algorithm>

namespace assent::bench {
namespace {

constexpr int64_t kBalance = 1'000'000;
constexpr size_t kRowBytes = 100;  // key and value
constexpr int kNumberDigits = 8;
constexpr int kPrefixDigits = 5;  // a scan then returns at most 1,000 rows

}  // namespace

Transfer::Transfer(const WorkloadOptions& options, const Placement& placement)
    : prefix_(options.name + "/"), placement_(placement), rows_(options.rows != 0 ? options.rows : 100'000) {
  const auto& shards = placement_.shards();
  keys_.resize(shards.size());
  // Numbers in turn, each to where its key hashes, until every shard has its rows.
  size_t full = 0;
  for (; full < shards.size(); ++numbers_) {
    std::string key = prefix_ + Digits(numbers_, kNumberDigits);
    const auto at = std::find(shards.begin(), shards.end(), placement_.ShardOf(key)) - shards.begin();
    auto& mine = keys_[static_cast<size_t>(at)];
    if (mine.size() == rows_) continue;
    mine.push_back(std::move(key));
    if (mine.size() == rows_) ++full;
  }
}

Status Transfer::Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<Write> rows;
  for (const auto& keys : keys_) {
    for (const std::string& key : keys) {
      std::string value = std::to_string(kBalance) + ' ';
      value.resize(kRowBytes - key.size(), '.');
      rows.push_back({key, std::move(value)});
    }
  }
  return LoadRows(client, placement_, rows, progress);
}

CommitResult Transfer::RunOne(Client& client, Random& random, uint32_t, uint64_t, Effects&) {
  const size_t from = Below(random, keys_.size());
  const size_t to = keys_.size() == 1 ? 0 : (from + 1 + Below(random, keys_.size() - 1)) % keys_.size();
  return client.Execute(
      {op::Add(keys_[from][Below(random, rows_)], -1, 0), op::Add(keys_[to][Below(random, rows_)], 1)});
}

Result<std::vector<Audit>> Transfer::Check(Client& client, const Effects&) {
  std::vector<std::string> prefixes;
  for (uint64_t number = 0; number < numbers_; number += 1000) {
    prefixes.push_back(prefix_ + Digits(number / 1000, kPrefixDigits));
  }
  const auto sum = SumOf(client, prefixes);
  if (!sum.ok()) return sum.status();
  const auto rows = static_cast<int64_t>(rows_ * keys_.size());
  return std::vector<Audit>{{"rows", rows, static_cast<int64_t>(sum->rows)},
                            {"sum of balances", rows * kBalance, sum->total}};
}

}  // namespace assent::bench
