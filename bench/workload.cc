#include "bench/workload.h"

#include <algorithm>
#include <map>
#include <utility>

#include "bench/smallbank.h"
#include "bench/tpcb.h"
#include "bench/transfer.h"
#include "common/number.h"

namespace assent::bench {
namespace {

constexpr size_t kRowsPerTransaction = 500;

}  // namespace

std::unique_ptr<Workload> MakeWorkload(const std::string& name, const WorkloadOptions& options,
                                       const Placement& placement) {
  if (name == "transfer") return std::make_unique<Transfer>(options, placement);
  if (name == "tpcb") return std::make_unique<Tpcb>(options, placement);
  if (name == "smallbank") return std::make_unique<Smallbank>(options, placement);
  return nullptr;
}

Status LoadRows(Client& client, const Placement& placement, const std::vector<Write>& rows,
                const std::function<void(uint64_t, uint64_t)>& progress) {
  std::map<GroupId, std::vector<Operation>> batches;
  uint64_t done = 0;
  const auto flush = [&](std::vector<Operation>& batch) -> Status {
    const size_t count = batch.size();
    const CommitResult result = client.Execute(std::exchange(batch, {}));
    if (!result.committed()) return Status(StatusCode::kUnavailable, "loading rows: " + Describe(result));
    done += count;
    if (progress) progress(done, rows.size());
    return {};
  };
  for (const Write& row : rows) {
    auto& batch = batches[placement.ShardOf(row.key)];
    batch.push_back(op::Put(row.key, *row.value));
    if (batch.size() == kRowsPerTransaction) ASSENT_RETURN_IF_ERROR(flush(batch));
  }
  for (auto& [shard, batch] : batches) {
    if (!batch.empty()) ASSENT_RETURN_IF_ERROR(flush(batch));
  }
  return {};
}

Result<Sum> SumOf(Client& client, const std::vector<std::string>& prefixes) {
  Sum sum;
  for (const std::string& prefix : prefixes) {
    const auto rows = client.Scan(prefix);
    if (!rows.ok()) return rows.status();
    for (const ResultRow& row : *rows) {
      const auto number = LeadingNumber(row.value);
      if (!number)
        return Status(StatusCode::kDamaged, row.key + " does not lead with a number: " + row.value);
      sum.total += *number;
      ++sum.rows;
    }
  }
  return sum;
}

std::string Digits(uint64_t number, int width) {
  std::string text = std::to_string(number);
  if (static_cast<int>(text.size()) < width) text.insert(0, static_cast<size_t>(width) - text.size(), '0');
  return text;
}

uint64_t Below(Random& random, uint64_t bound) {
  return std::uniform_int_distribution<uint64_t>(0, bound - 1)(random);
}

}  // namespace assent::bench
