#pragma once

#include <assent/client.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/operations.h"
#include "common/placement.h"
#include "common/status.h"

// The standard workloads of `assent bench`. Each knows how to load its rows, what one transaction does, and
// what must hold at the end.
namespace assent::bench {

struct WorkloadOptions {
  std::string name;   // leads all keys; one that was not used before, since nothing is deleted
  uint64_t rows = 0;  // transfer: rows a shard; tpcb: accounts a branch; smallbank: customers. 0 = default
  uint32_t branches = 10;        // tpcb
  uint32_t remote_percent = 15;  // tpcb: share of transactions whose account belongs to another branch
};

// Random numbers of one client.
using Random = std::mt19937_64;

// Something that must hold at the end, and whether it does.
struct Audit {
  std::string what;
  int64_t expected = 0;
  int64_t found = 0;
  bool ok() const { return expected == found; }
};

// Changes by committed transactions that the audit must know. Summed over all clients by the runner.
struct Effects {
  int64_t net = 0;  // smallbank: money that came from or went outside
};

class Workload {
 public:
  virtual ~Workload() = default;
  // `progress`: rows done, of how many.
  virtual Status Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) = 0;
  // Runs one transaction of client number `who`, its `n`-th, and says how it ended.
  virtual CommitResult RunOne(Client& client, Random& random, uint32_t who, uint64_t n, Effects& effects) = 0;
  // With nothing else running.
  virtual Result<std::vector<Audit>> Check(Client& client, const Effects& effects) = 0;
};

inline constexpr const char* kWorkloads[] = {"transfer", "tpcb", "smallbank"};
// nullptr: no such workload.
std::unique_ptr<Workload> MakeWorkload(const std::string& name, const WorkloadOptions& options,
                                       const Placement& placement);

// ---- What the workloads share ----

// Writes rows in transactions of a few hundred, each on one shard.
Status LoadRows(Client& client, const Placement& placement, const std::vector<Write>& rows,
                const std::function<void(uint64_t, uint64_t)>& progress);
// Sum of the leading numbers of all rows under the prefixes, and how many rows there are.
struct Sum {
  int64_t total = 0;
  uint64_t rows = 0;
};
Result<Sum> SumOf(Client& client, const std::vector<std::string>& prefixes);
// `number` in `width` digits.
std::string Digits(uint64_t number, int width);
uint64_t Below(Random& random, uint64_t bound);  // uniform in [0, bound)

}  // namespace assent::bench
