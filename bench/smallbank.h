#pragma once

#include <string>

#include "bench/workload.h"

namespace assent::bench {

// SmallBank (Alomar, Cahill, Fekete and Roehm, ICDE 2008): six transactions over customers who have a savings
// and a checking account each. Reads decide what is written, so most run interactively. A customer's two
// accounts share a tag; payments and amalgamations join two customers. Holds: all money = what was loaded,
// and what committed transactions brought in or took out.
class Smallbank final : public Workload {
 public:
  Smallbank(const WorkloadOptions& options, const Placement& placement);
  Status Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) override;
  CommitResult RunOne(Client& client, Random& random, uint32_t who, uint64_t n, Effects& effects) override;
  Result<std::vector<Audit>> Check(Client& client, const Effects& effects) override;

 private:
  CommitResult Amalgamate(Client& client, uint64_t from, uint64_t to);
  CommitResult WriteCheck(Client& client, uint64_t customer, int64_t amount, int64_t& net);

  std::string Block(uint64_t number) const;
  std::string SavingsKey(uint64_t customer) const;
  std::string CheckingKey(uint64_t customer) const;

  const std::string prefix_;
  const Placement placement_;
  const uint64_t customers_;
};

}  // namespace assent::bench
