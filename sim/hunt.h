#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/mutants.h"

namespace assent::sim {

// Looks for each of `mutants` with fresh seeds from `first` on, until a run fails that does not fail without
// the mutant, or `budget_ms` of one processor's time are over. Prints a line for each. True: all were found,
// but for those that the design makes redundant.
bool HuntMutants(const std::vector<MutantInfo>& mutants, uint64_t first, unsigned jobs, uint64_t budget_ms);

// Runs `seeds` seeds from `first` on with each of `mutants`, and prints how many failed: how likely a hunt is
// to find it, and the longest row of seeds in which nothing was seen.
void MeasureMutants(const std::vector<MutantInfo>& mutants, uint64_t first, unsigned jobs, uint64_t seeds);

}  // namespace assent::sim
