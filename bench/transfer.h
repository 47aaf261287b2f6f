#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/workload.h"

namespace assent::bench {

// Moves one unit between a row of one shard and a row of another: `add` on each, in one one-shot transaction.
// Rows have 100 bytes. Holds: the sum of all balances. With a single shard, both rows lie there.
class Transfer final : public Workload {
 public:
  Transfer(const WorkloadOptions& options, const Placement& placement);
  Status Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) override;
  CommitResult RunOne(Client& client, Random& random, uint32_t who, uint64_t n, Effects& effects) override;
  Result<std::vector<Audit>> Check(Client& client, const Effects& effects) override;

 private:
  const std::string prefix_;
  const Placement placement_;
  const uint64_t rows_;                         // a shard
  std::vector<std::vector<std::string>> keys_;  // by shard
  uint64_t numbers_ = 0;                        // keys are numbered 0..numbers_-1
};

}  // namespace assent::bench
