#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "sim/chaos.h"
#include "sim/trace.h"

// One run of the simulator: chaos, healing, liveness, audit.
namespace assent::sim {

struct RunOptions {
  uint64_t seed = 1;
  Trace* trace = nullptr;
  // To make a failing run smaller.
  std::set<size_t> faults_left_out;  // by place in the plan
  uint32_t clients_max = UINT32_MAX;
  uint64_t chaos_us_max = UINT64_MAX;
};

struct RunReport {
  std::string violation;  // empty: none. Begins with the invariant's name
  uint64_t committed = 0;
  uint64_t aborted = 0;
  uint64_t unknown = 0;
  uint64_t faults = 0;
  Chaos::Counts by_kind{};
  World::Counts world;
  uint64_t simulated_us = 0;
  uint64_t healed_us = 0;  // from healing until all was at rest
  uint64_t trace_hash = 0;
  uint64_t planned_faults = 0;
  uint32_t clients = 0;
};

// Aborts the process on a violation that is found in the middle of a step, after printing it with the seed.
RunReport Run(const RunOptions& options);

}  // namespace assent::sim
