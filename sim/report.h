#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/campaign.h"

// The results of a campaign, for people.
namespace assent::sim {

class Summary {
 public:
  void Add(const SeedOutcome& outcome);
  // `wall_ms`: how long it took, on `jobs` processes.
  void Print(uint64_t wall_ms, unsigned jobs) const;

  bool ok() const { return violations_.empty(); }
  uint64_t seeds() const { return seeds_; }
  // Situations that no run reached.
  std::vector<Situation> Unreached() const;

 private:
  uint64_t seeds_ = 0;
  RunFigures sum_;
  std::vector<uint64_t> transactions_;  // of each seed
  std::vector<uint64_t> faults_;
  std::vector<uint64_t> heals_;
  std::pair<uint64_t, uint64_t> longest_heal_;  // and its seed
  std::array<uint64_t, kSituations> situations_{};
  std::vector<SeedOutcome> violations_;
};

}  // namespace assent::sim
