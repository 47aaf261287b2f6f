#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/coverage.h"
#include "common/mutant.h"
#include "sim/run.h"

// Many runs, in processes of their own: a check that fails, or a run that hangs, ends one seed and no more.
namespace assent::sim {

struct SeedOutcome {
  uint64_t seed = 0;
  RunReport report;  // all zeros if the process died
  std::array<uint64_t, kSituations> situations{};
  std::string violation;  // empty: none. Begins with the invariant
};

struct Campaign {
  uint64_t first = 1;
  uint64_t count = 1;
  unsigned jobs = 1;
  Mutant mutant = Mutant::kNone;
  uint64_t budget_ms =
      UINT64_MAX;               // of processor time, then it ends: another load on the machine does not count
  uint64_t* used_ms = nullptr;  // told how much that was, if wanted
  RunOptions run;               // but for the seed and the trace
  // Not null: the run of the first seed, once with each of these; outcomes are numbered from `first` on.
  const std::vector<CrashPlan>* plans = nullptr;
  // Called in the order in which seeds end. False: enough.
  std::function<bool(const SeedOutcome&)> on_seed;
};

void RunCampaign(const Campaign& campaign);

// By a clock that never goes back.
uint64_t NowMs();

// One run in a process of its own.
SeedOutcome RunApart(const RunOptions& options, Mutant mutant);

// "I-D1" of "I-D1: ...", or the check that failed.
std::string InvariantOf(const std::string& violation);

}  // namespace assent::sim
