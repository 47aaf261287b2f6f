#pragma once

#include <string>

#include "bench/workload.h"

namespace assent::bench {

// pgbench's TPC-B transaction: an amount goes to an account, the teller that took it, the teller's branch,
// and a history row. A branch's rows share the tag {b<branch>}, so they lie on one shard; the account may be
// another branch's (`remote_percent`), which makes the transaction span two shards if that one lies
// elsewhere. Holds: the sums over accounts, tellers, branches and history are the same, and no history
// row is doubled.
class Tpcb final : public Workload {
 public:
  Tpcb(const WorkloadOptions& options, const Placement& placement);
  Status Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) override;
  CommitResult RunOne(Client& client, Random& random, uint32_t who, uint64_t n, Effects& effects) override;
  Result<std::vector<Audit>> Check(Client& client, const Effects& effects) override;

  // The operations of one transaction; its history row is named by (who, n).
  std::vector<Operation> MakeOperations(Random& random, uint32_t who, uint64_t n) const;
  // Rows of history, each one committed transaction.
  Result<Sum> History(Client& client) const;

 private:
  std::string Tag(uint64_t branch) const;
  std::string AccountKey(uint64_t branch, uint64_t account) const;
  std::string TellerKey(uint64_t branch, uint64_t teller) const;
  std::string BranchKey(uint64_t branch) const;
  std::string HistoryPrefix(uint64_t branch) const;

  const std::string prefix_;
  const Placement placement_;
  const uint64_t accounts_;  // a branch
  const uint32_t branches_;
  const uint32_t remote_percent_;
};

}  // namespace assent::bench
