#include "sim/hunt.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <vector>

#include "sim/campaign.h"

namespace assent::sim {
namespace {

struct Found {
  bool found = false;
  uint64_t seed = 0;
  uint64_t seeds = 0;
  std::string invariant;
  std::string broken_without;  // what fails without any mutant
  double seconds = 0;
};

Found Hunt(const MutantInfo& mutant, uint64_t first, unsigned jobs, uint64_t budget_ms) {
  Found result;
  Campaign campaign;
  campaign.first = first;
  campaign.count = UINT64_MAX / 2;
  campaign.jobs = jobs;
  campaign.mutant = mutant.id;
  campaign.budget_ms = budget_ms;
  uint64_t used_ms = 0;
  campaign.used_ms = &used_ms;
  campaign.on_seed = [&](const SeedOutcome& outcome) {
    ++result.seeds;
    if (outcome.violation.empty()) return true;
    RunOptions same;
    same.seed = outcome.seed;
    const SeedOutcome sane = RunApart(same, Mutant::kNone);
    if (!sane.violation.empty()) {
      result.broken_without = sane.violation;
      return false;
    }
    result.found = true;
    result.seed = outcome.seed;
    result.invariant = InvariantOf(outcome.violation);
    return false;
  };
  RunCampaign(campaign);
  result.seconds = static_cast<double>(used_ms) / 1e3;
  return result;
}

}  // namespace

bool HuntMutants(const std::vector<MutantInfo>& mutants, uint64_t first, unsigned jobs, uint64_t budget_ms) {
  size_t found_count = 0;
  size_t missed = 0;
  size_t redundant = 0;
  std::printf("%-4s %-34s %-22s %10s %8s %9s\n", "", "MUTANT", "CAUGHT BY", "SEED", "SEEDS", "CPU");
  for (const MutantInfo& mutant : mutants) {
    const Found found = Hunt(mutant, first, jobs, budget_ms);
    const char* verdict = found.found                ? found.invariant.c_str()
                          : mutant.redundant.empty() ? "NOT CAUGHT"
                                                     : "redundant";
    std::printf("%-4u %-34.*s %-22s %10" PRIu64 " %8" PRIu64 " %7.1f s\n", static_cast<unsigned>(mutant.id),
                static_cast<int>(mutant.name.size()), mutant.name.data(), verdict, found.seed, found.seeds,
                found.seconds);
    if (!found.broken_without.empty()) {
      std::printf("     the run fails without the mutant, too: %s\n", found.broken_without.c_str());
    }
    std::fflush(stdout);
    ++(found.found ? found_count : mutant.redundant.empty() ? missed : redundant);
  }
  std::printf("mutants %zu: caught %zu, not caught %zu, redundant %zu\n", mutants.size(), found_count, missed,
              redundant);
  for (const MutantInfo& mutant : mutants) {
    if (mutant.redundant.empty()) continue;
    std::printf("  %u %.*s: %.*s\n", static_cast<unsigned>(mutant.id), static_cast<int>(mutant.name.size()),
                mutant.name.data(), static_cast<int>(mutant.redundant.size()), mutant.redundant.data());
  }
  return missed == 0;
}

namespace {

// Which of the seeds fail.
std::vector<bool> Failing(Mutant mutant, uint64_t first, unsigned jobs, uint64_t seeds, uint64_t& used_ms) {
  std::vector<bool> failing(seeds);
  Campaign campaign;
  campaign.first = first;
  campaign.count = seeds;
  campaign.jobs = jobs;
  campaign.mutant = mutant;
  campaign.used_ms = &used_ms;
  campaign.on_seed = [&](const SeedOutcome& outcome) {
    failing[outcome.seed - first] = !outcome.violation.empty();
    return true;
  };
  RunCampaign(campaign);
  return failing;
}

}  // namespace

void MeasureMutants(const std::vector<MutantInfo>& mutants, uint64_t first, unsigned jobs, uint64_t seeds) {
  constexpr int kHuntSeeds = 100;
  uint64_t used_ms = 0;
  const std::vector<bool> broken = Failing(Mutant::kNone, first, jobs, seeds, used_ms);
  std::printf("%lld of %" PRIu64 " seeds fail without a mutant, and do not count\n",
              static_cast<long long>(std::count(broken.begin(), broken.end(), true)), seeds);
  std::printf("%-4s %-34s %7s %10s %16s %8s\n", "", "MUTANT", "CAUGHT", "LONGEST", "MISSED BY 100", "CPU");
  std::printf("%-4s %-34s %7s %10s %16s %8s\n", "", "", "seeds", "row without", "seeds", "a seed");
  for (const MutantInfo& mutant : mutants) {
    std::vector<bool> caught = Failing(mutant.id, first, jobs, seeds, used_ms);
    for (size_t i = 0; i < caught.size(); ++i) caught[i] = caught[i] && !broken[i];
    const auto count = std::count(caught.begin(), caught.end(), true);
    uint64_t row = 0;
    uint64_t longest = 0;
    for (const bool one : caught) {
      row = one ? 0 : row + 1;
      longest = std::max(longest, row);
    }
    const double missed = 1 - static_cast<double>(count) / static_cast<double>(seeds);
    std::printf("%-4u %-34.*s %7lld %10" PRIu64 " %14.3f %% %5.2f s\n", static_cast<unsigned>(mutant.id),
                static_cast<int>(mutant.name.size()), mutant.name.data(), static_cast<long long>(count),
                longest, 100 * std::pow(missed, kHuntSeeds),
                static_cast<double>(used_ms) / 1e3 / static_cast<double>(seeds));
    std::fflush(stdout);
  }
}

}  // namespace assent::sim
