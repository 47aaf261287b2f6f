#pragma once

#include "common/mutant.h"
#include "sim/run.h"

namespace assent::sim {

// Makes a failing run smaller for as long as it goes on failing by the same invariant: leaves out faults,
// then time, then clients. Says on stderr how far it got.
RunOptions Reduce(RunOptions failing, Mutant mutant);

// The options of `assent-sim` that repeat it.
std::string CommandLine(const RunOptions& options, Mutant mutant);

}  // namespace assent::sim
