#include "sim/enumerate.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <numeric>
#include <optional>
#include <vector>

#include "sim/campaign.h"
#include "sim/durations.h"

namespace assent::sim {
namespace {

// Effects of a recovery. One with more is that of a learner, and mostly other groups' work meanwhile.
constexpr uint64_t kRecoveryEffectsMax = 400;

// Situations that the reference run must have in it, besides commits of each form.
constexpr Situation kWanted[] = {
    Situation::kHolderWounded,  Situation::kTombstoneWritten,  Situation::kCheckpointWithPrepared,
    Situation::kBackupTookOver, Situation::kSnapshotInstalled, Situation::kReadOnlyVote,
    Situation::kTokenJoined};

RunOptions Reference(uint64_t seed) {
  RunOptions options;
  options.seed = seed;
  options.chaos_us_max = 9 * kSecond;
  options.think_us_max = 200'000;  // many transactions, so that a crash finds something to break
  // The world begins at second 1.
  Fault lost;
  lost.at_us = 2 * kSecond;
  lost.kind = FaultKind::kLostDisk;
  lost.node = NodeId{2};
  lost.group = GroupId{GroupKind::kShard, 1};
  lost.number = 1;
  Fault kill;
  kill.at_us = 5 * kSecond;
  kill.kind = FaultKind::kKill;
  kill.node = NodeId{1};
  kill.for_us = 4 * kSecond;
  kill.number = 1;
  options.faults = std::vector<Fault>{lost, kill};
  return options;
}

std::optional<SeedOutcome> FindReference(uint64_t first) {
  for (uint64_t seed = first; seed < first + 200; ++seed) {
    const SeedOutcome outcome = RunApart(Reference(seed), Mutant::kNone);
    const auto reached = [&](Situation s) { return outcome.situations[static_cast<size_t>(s)] != 0; };
    const auto& forms = outcome.report.committed_by_form;
    if (outcome.violation.empty() && std::all_of(std::begin(kWanted), std::end(kWanted), reached) &&
        std::find(forms.begin(), forms.end(), 0) == forms.end()) {
      return outcome;
    }
  }
  return std::nullopt;
}

struct Tally {
  uint64_t runs = 0;
  uint64_t fell_short = 0;  // runs that crashed less often than planned
  uint64_t violations = 0;
  std::vector<uint64_t> recovery_effects;  // of each plan's run
};

// One run for each plan; `jobs` at a time.
Tally RunAll(const RunOptions& reference, const std::vector<CrashPlan>& plans, unsigned jobs) {
  Tally tally;
  tally.recovery_effects.resize(plans.size());
  Campaign campaign;
  campaign.first = reference.seed;
  campaign.jobs = jobs;
  campaign.run = reference;
  campaign.plans = &plans;
  campaign.count = plans.size();
  campaign.on_seed = [&](const SeedOutcome& outcome) {
    const size_t number = outcome.seed - reference.seed;
    const CrashPlan& plan = plans[number];
    ++tally.runs;
    if (tally.runs % 1000 == 0) std::fprintf(stderr, "%" PRIu64 " runs\n", tally.runs);
    if (outcome.violation.empty()) {
      tally.recovery_effects[number] = outcome.report.recovery_effects;
      if (outcome.report.planned_crashes < (plan.again == 0 ? 1 : 2)) ++tally.fell_short;
      return true;
    }
    ++tally.violations;
    std::printf("VIOLATION    seed %" PRIu64 ", n%u dies before its effect %" PRIu64
                "%s, then before %" PRIu64 " of its recovery: %s\n",
                reference.seed, Raw(plan.node), plan.effect, plan.power ? " with the power" : "", plan.again,
                outcome.violation.c_str());
    return true;
  };
  RunCampaign(campaign);
  return tally;
}

}  // namespace

bool Enumerate(const EnumerationOptions& options) {
  const auto found = FindReference(options.first_seed);
  if (!found) {
    std::printf("no reference run found from seed %" PRIu64 " on\n", options.first_seed);
    return false;
  }
  const RunOptions reference = Reference(found->seed);
  const RunFigures& figures = found->report;
  const uint64_t effects = std::accumulate(figures.effects.begin(), figures.effects.end(), uint64_t{0});
  const uint64_t every = options.slice == 0 ? options.every : std::max<uint64_t>(1, effects / options.slice);
  std::vector<CrashPlan> plans;
  for (size_t i = 0; i < figures.effects.size(); ++i) {
    for (uint64_t effect = 1 + (options.from - 1) % every; effect <= figures.effects[i]; effect += every) {
      plans.push_back({NodeId{static_cast<uint32_t>(i + 1)}, effect, 0, effect % 2 == 0});
    }
  }
  std::printf("reference    seed %" PRIu64 ": committed %" PRIu64 "  aborted %" PRIu64 "; effects %" PRIu64
              "\n",
              found->seed, figures.committed, figures.aborted, effects);
  for (size_t i = 0; i < kForms.size(); ++i) {
    std::printf("  committed: %-31s %12" PRIu64 "\n", kForms[i], figures.committed_by_form[i]);
  }
  for (const Situation situation : kWanted) {
    std::printf("  %-42s %12" PRIu64 "\n", std::string(assent::ToString(situation)).c_str(),
                found->situations[static_cast<size_t>(situation)]);
  }
  std::fflush(stdout);
  const Tally once = RunAll(reference, plans, options.jobs);
  std::printf("crashes      at %" PRIu64 " of %" PRIu64 " effects, every %" PRIu64 ": violations %" PRIu64
              "\n",
              once.runs - once.fell_short, effects, every, once.violations);

  std::vector<CrashPlan> again;
  const size_t step = std::max<size_t>(1, plans.size() / std::max<uint64_t>(1, options.recovery_sample));
  uint64_t recoveries = 0;
  uint64_t cut_short = 0;
  for (size_t i = step / 2; i < plans.size(); i += step) {
    ++recoveries;
    const uint64_t taken = once.recovery_effects[i];
    if (taken > kRecoveryEffectsMax) ++cut_short;
    for (uint64_t effect = 1; effect <= std::min(taken, kRecoveryEffectsMax); ++effect) {
      CrashPlan twice = plans[i];
      twice.again = effect;
      again.push_back(twice);
    }
  }
  const Tally twice = RunAll(reference, again, options.jobs);
  std::printf("recoveries   %" PRIu64 ", crashed again at each of their effects (%" PRIu64
              " at their first %" PRIu64 "): %" PRIu64 " runs, violations %" PRIu64 "\n",
              recoveries, cut_short, kRecoveryEffectsMax, twice.runs - twice.fell_short, twice.violations);
  if (const uint64_t fell_short = once.fell_short + twice.fell_short; fell_short != 0) {
    std::printf("FAILURE      %" PRIu64 " runs crashed less often than planned\n", fell_short);
    return false;
  }
  return once.violations + twice.violations == 0;
}

}  // namespace assent::sim
