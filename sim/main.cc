#include <cstdio>
#include <cstdlib>

#include "sim/run.h"
int main(int argc, char** argv) {
  using namespace assent::sim;
  const uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const bool print = argc > 3;
  uint64_t committed = 0, aborted = 0, unknown = 0, faults = 0, sim = 0, longest = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    if (print) std::setvbuf(stdout, nullptr, _IOLBF, 0);
    Trace trace(print ? stdout : nullptr);
    RunOptions options;
    options.seed = seed;
    options.trace = &trace;
    RunReport r = Run(options);
    if (!r.violation.empty()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), r.violation.c_str());
    }
    committed += r.committed, aborted += r.aborted, unknown += r.unknown, faults += r.faults,
        sim += r.simulated_us;
    longest = std::max(longest, r.healed_us);
  }
  std::printf("committed %lu aborted %lu unknown %lu faults %lu sim %lu s heal max %lu ms\n", committed,
              aborted, unknown, faults, sim / 1000000, longest / 1000);
}
