#include "sim/reduce.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <vector>

#include "sim/campaign.h"

namespace assent::sim {

RunOptions Reduce(RunOptions failing, Mutant mutant) {
  const SeedOutcome first = RunApart(failing, mutant);
  if (first.violation.empty()) return failing;
  const std::string invariant = InvariantOf(first.violation);
  const auto still_fails = [&](const RunOptions& options) {
    const SeedOutcome outcome = RunApart(options, mutant);
    return !outcome.violation.empty() && InvariantOf(outcome.violation) == invariant;
  };

  // The plan is drawn from the seed alone: asking for it costs no run.
  const size_t planned = PlannedFaults(failing.seed);
  std::vector<size_t> kept;
  for (size_t i = 0; i < planned; ++i) {
    if (!failing.faults_left_out.contains(i)) kept.push_back(i);
  }
  for (size_t step = std::max<size_t>(1, kept.size() / 2);; step = std::max<size_t>(1, step / 2)) {
    bool smaller = false;
    for (size_t from = 0; from < kept.size();) {
      const size_t to = std::min(kept.size(), from + step);
      RunOptions fewer = failing;
      for (size_t i = from; i < to; ++i) fewer.faults_left_out.insert(kept[i]);
      if (still_fails(fewer)) {
        failing = fewer;
        kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(from),
                   kept.begin() + static_cast<std::ptrdiff_t>(to));
        smaller = true;
        std::fprintf(stderr, "%zu of %zu faults left\n", kept.size(), planned);
      } else {
        from = to;
      }
    }
    if (step == 1 && !smaller) break;
  }
  for (uint64_t seconds = 40; seconds > 0; --seconds) {
    RunOptions shorter = failing;
    shorter.chaos_us_max = seconds * 1'000'000;
    if (!still_fails(shorter)) break;
    failing = shorter;
  }
  for (uint32_t clients = 8; clients > 0; --clients) {
    RunOptions fewer = failing;
    fewer.clients_max = clients;
    if (!still_fails(fewer)) break;
    failing = fewer;
  }
  return failing;
}

std::string CommandLine(const RunOptions& options, Mutant mutant) {
  std::string text = "--seed=" + std::to_string(options.seed);
  if (mutant != Mutant::kNone) text += " --mutant=" + std::to_string(static_cast<unsigned>(mutant));
  if (!options.faults_left_out.empty()) {
    text += " --without=";
    for (const size_t fault : options.faults_left_out) {
      if (text.back() != '=') text += ',';
      text += std::to_string(fault);
    }
  }
  if (options.clients_max != UINT32_MAX) text += " --clients=" + std::to_string(options.clients_max);
  if (options.chaos_us_max != UINT64_MAX)
    text += " --chaos-seconds=" + std::to_string(options.chaos_us_max / 1'000'000);
  return text;
}

}  // namespace assent::sim
