#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/chaos.h"
#include "sim/client.h"
#include "sim/trace.h"

// One run of the simulator: chaos, healing, liveness, audit.
namespace assent::sim {

// A process dies just before one of its effects, counted from the run's begin; and, if `again` is not 0, once
// more before that effect of its recovery.
struct CrashPlan {
  NodeId node{};
  uint64_t effect = 0;
  uint64_t again = 0;
  bool power = false;
};

struct RunOptions {
  uint64_t seed = 1;
  Trace* trace = nullptr;
  // To make a failing run smaller.
  std::set<size_t> faults_left_out;  // by place in the plan
  uint32_t clients_max = UINT32_MAX;
  uint64_t chaos_us_max = UINT64_MAX;
  // Instead of the plan that the seed draws.
  std::optional<std::vector<Fault>> faults;
  std::optional<CrashPlan> crash;
  std::optional<uint64_t> think_us_max;
};

struct RunFigures {
  uint64_t committed = 0;
  FormCounts committed_by_form{};  // what clients knew of when they went on
  uint64_t aborted = 0;
  uint64_t unknown = 0;
  uint64_t faults = 0;
  Chaos::Counts by_kind{};
  World::Counts world;
  uint64_t simulated_us = 0;
  uint64_t healed_us = 0;  // from healing until all was at rest
  uint64_t trace_hash = 0;
  uint64_t planned_faults = 0;
  uint64_t planned_chaos_us = 0;
  uint32_t clients = 0;
  std::array<uint64_t, 4> effects{};  // of each node, until healing
  uint64_t planned_crashes = 0;
  // Effects of the node that crashed as planned, until all its replicas are members again, or healing.
  uint64_t recovery_effects = 0;
};
struct RunReport : RunFigures {
  std::string violation;  // empty: none. Begins with the invariant's name
};

// Aborts the process on a violation that is found in the middle of a step, after printing it with the seed.
RunReport Run(const RunOptions& options);
// How many faults the seed's plan has.
size_t PlannedFaults(uint64_t seed);

}  // namespace assent::sim
