#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/workload.h"

namespace assent::bench {

struct RunOptions {
  std::vector<std::string> addresses;
  uint32_t clients = 16;
  uint32_t first_client = 0;  // clients are numbered from here on: what they write under their number differs
  double seconds = 30;        // measured
  double warmup_seconds = 2;
  uint64_t seed = 1;
};

struct RunResult {
  double seconds = 0;  // measured, from the end of the warm-up
  uint64_t committed = 0;
  uint64_t aborted = 0;
  uint64_t unknown = 0;
  uint64_t retries = 0;  // attempts beyond the first
  uint64_t p50_us = 0;   // of committed transactions, retries included
  uint64_t p99_us = 0;
  uint64_t max_us = 0;
  std::string first_problem;  // detail of the first outcome that is neither committed nor aborted
  Effects effects;            // warm-up included
};

// Runs the workload from one thread and connection a client, closed loop. Called at the start and the end of
// the measured time: `at_edge`. `progress` about once a second, with the seconds done and the commits so far.
Result<RunResult> Run(Workload& workload, const RunOptions& options, const std::function<void()>& at_edge,
                      const std::function<void(double, uint64_t)>& progress);

}  // namespace assent::bench
