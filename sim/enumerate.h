#pragma once

#include <cstdint>

namespace assent::sim {

struct EnumerationOptions {
  uint64_t first_seed = 1;  // where the search for a reference run begins
  unsigned jobs = 1;
  uint64_t every = 1;             // of the effects: 1 = all of them
  uint64_t from = 1;              // the first of them, but for `every` - 1 at most
  uint64_t slice = 0;             // instead of `every`: about so many crashes in all; 0 = as `every` says
  uint64_t recovery_sample = 40;  // crashes whose recovery is crashed at each of its effects, too
};

// A reference run without faults but one kill, long enough for a takeover, and one lost disk, so that a
// learner is filled; it has transactions of every kind, a wound, an abort that overtakes its prepare, and a
// checkpoint. Then the same run again and again, a process dying before each of its effects in turn; and, for
// a sample of these, dying once more before each effect of that recovery. Prints counts; true: no violation.
bool Enumerate(const EnumerationOptions& options);

}  // namespace assent::sim
