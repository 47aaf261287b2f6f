#include <sqlite3.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "sim/campaign.h"
#include "sim/enumerate.h"
#include "sim/hunt.h"
#include "sim/reduce.h"
#include "sim/report.h"

// The simulator's program.
namespace assent::sim {
namespace {

struct Arguments {
  uint64_t seeds = 0;
  uint64_t first = 0;
  unsigned jobs = std::max(1u, std::thread::hardware_concurrency());
  uint64_t seed = 0;
  bool trace = false;
  double from_seconds = 0;
  bool reduce = false;
  std::vector<size_t> without;
  uint32_t clients = UINT32_MAX;
  uint64_t chaos_seconds = 0;
  std::string mutant;
  bool mutants = false;
  std::vector<std::string> which;
  uint64_t budget_seconds = 60;
  size_t slice = 0;
  bool enumerate = false;
  uint64_t every = 1;
};

constexpr uint64_t kRecoveriesOfASlice = 8;
constexpr uint64_t kSeedsASecond = 100'000;

// Seeds that no run had before: by the date.
uint64_t FreshSeed() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count()) *
         kSeedsASecond;
}

uint64_t Today() {
  constexpr uint64_t kSecondsADay = 86'400;
  return FreshSeed() / kSeedsASecond / kSecondsADay;
}

int RunMany(const Arguments& args, Mutant mutant) {
  Summary summary;
  Campaign campaign;
  campaign.first = args.first != 0 ? args.first : FreshSeed();
  campaign.count = args.seeds;
  campaign.jobs = args.jobs;
  campaign.mutant = mutant;
  const uint64_t begin_ms = NowMs();
  campaign.on_seed = [&](const SeedOutcome& outcome) {
    summary.Add(outcome);
    if (!outcome.violation.empty()) {
      std::fprintf(stderr, "seed %" PRIu64 ": %s\n", outcome.seed, outcome.violation.c_str());
    } else if (summary.seeds() % 500 == 0) {
      std::fprintf(stderr, "%" PRIu64 " of %" PRIu64 " seeds, %.0f s\n", summary.seeds(), args.seeds,
                   static_cast<double>(NowMs() - begin_ms) / 1e3);
    }
    return true;
  };
  std::printf("first seed   %" PRIu64 "\n", campaign.first);
  std::fflush(stdout);
  RunCampaign(campaign);
  summary.Print(NowMs() - begin_ms, args.jobs);
  bool ok = summary.ok();
  constexpr uint64_t kLongRun = 10'000;  // so many seeds should reach everything
  for (const Situation situation : summary.Unreached()) {
    std::printf("%s  no run reached: %s\n", args.seeds >= kLongRun ? "FAILURE" : "note   ",
                std::string(assent::ToString(situation)).c_str());
    ok = ok && args.seeds < kLongRun;
  }
  return ok ? 0 : 1;
}

int RunOne(const Arguments& args, Mutant mutant) {
  RunOptions options;
  options.seed = args.seed;
  options.faults_left_out.insert(args.without.begin(), args.without.end());
  options.clients_max = args.clients;
  if (args.chaos_seconds != 0) options.chaos_us_max = args.chaos_seconds * 1'000'000;
  if (args.reduce) {
    const RunOptions reduced = Reduce(options, mutant);
    std::printf("%s\nassent-sim %s --trace\n", RunApart(reduced, mutant).violation.c_str(),
                CommandLine(reduced, mutant).c_str());
    return 0;
  }
  active_mutant = mutant;
  if (args.trace) std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a check that fails must not swallow the end
  Trace trace(args.trace ? stdout : nullptr, static_cast<uint64_t>(args.from_seconds * 1e6));
  options.trace = &trace;
  const RunReport report = Run(options);
  std::printf("seed %" PRIu64 ": committed %" PRIu64 "  aborted %" PRIu64 "  unknown %" PRIu64
              "  faults %" PRIu64 "  simulated %.1f s  healed after %.1f s  trace %016" PRIx64 "\n",
              options.seed, report.committed, report.aborted, report.unknown, report.faults,
              static_cast<double>(report.simulated_us) / 1e6, static_cast<double>(report.healed_us) / 1e6,
              report.trace_hash);
  if (report.violation.empty()) return 0;
  std::printf("VIOLATION %s\n", report.violation.c_str());
  return 1;
}

int RunHunt(const Arguments& args) {
  std::vector<MutantInfo> mutants;
  for (const std::string& name : args.which) {
    const auto mutant = FindMutant(name);
    if (!mutant) {
      std::fprintf(stderr, "no such mutant: %s. All of them: assent-sim --mutants --help\n", name.c_str());
      return 2;
    }
    mutants.push_back(*mutant);
  }
  if (mutants.empty()) mutants.assign(AllMutants().begin(), AllMutants().end());
  if (args.slice != 0 && args.slice < mutants.size()) {
    const size_t first_of_slice = Today() * args.slice % mutants.size();
    std::rotate(mutants.begin(), mutants.begin() + static_cast<std::ptrdiff_t>(first_of_slice),
                mutants.end());
    mutants.resize(args.slice);
  }
  const uint64_t first = args.first != 0 ? args.first : FreshSeed();
  std::printf("first seed %" PRIu64 "\n", first);
  if (args.seeds != 0) {
    MeasureMutants(mutants, first, args.jobs, args.seeds);
    return 0;
  }
  return HuntMutants(mutants, first, args.jobs, args.budget_seconds * 1'000) ? 0 : 1;
}

int Main(int argc, char** argv) {
  // One thread, and nobody asks how much memory SQLite has.
  sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  Arguments args;
  CLI::App app("Runs whole clusters in virtual time, breaks them, and checks that no promise was.",
               "assent-sim");
  app.add_option("--seeds", args.seeds,
                 "Run so many seeds; with --mutants: with each mutant, and say how many catch it");
  app.add_option("--first", args.first, "The first seed (default: one that no run had before)");
  app.add_option("--jobs", args.jobs, "Processes that run seeds")->capture_default_str();
  app.add_option("--seed", args.seed, "Run this seed alone");
  app.add_flag("--trace", args.trace, "With --seed: print what happens (docs/DEBUGGING.md)");
  app.add_option("--from", args.from_seconds, "With --trace: from this second on");
  app.add_flag("--reduce", args.reduce, "With --seed: find a smaller run that fails alike");
  app.add_option("--without", args.without, "With --seed: leave out these faults of the plan, by place")
      ->delimiter(',');
  app.add_option("--clients", args.clients, "With --seed: at most so many clients");
  app.add_option("--chaos-seconds", args.chaos_seconds, "With --seed: heal after so many seconds");
  app.add_option("--mutant", args.mutant, "With --seed or --seeds: with this mutant, by number or name");
  app.add_flag("--mutants", args.mutants,
               "Switch on one mutant after the other, and see that each is caught");
  app.add_option("mutants", args.which, "With --mutants: these alone, by number or name");
  app.add_option("--budget", args.budget_seconds, "With --mutants: processor seconds for each")
      ->capture_default_str();
  app.add_option("--slice", args.slice,
                 "With --mutants or --enumerate: so many mutants or crashes, others each day");
  app.add_flag("--enumerate", args.enumerate,
               "Crash a reference run at each of its effects, and recoveries at each of theirs");
  app.add_option("--every", args.every, "With --enumerate: at one effect of so many")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  assent-sim --seeds 20000            fresh seeds; ends with what was seen\n"
      "  assent-sim --seed=165 --trace       one run, told line by line\n"
      "  assent-sim --seed=165 --reduce      the smallest run that fails as this one does\n"
      "  assent-sim --mutants 5 31           two known bugs: are they caught?\n"
      "  assent-sim --mutants --seeds 300    how likely each is to be caught by a seed\n"
      "Exit codes: 0 ok, 1 a violation, or a mutant that was not caught, 2 usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Mutant mutant = Mutant::kNone;
  if (!args.mutant.empty()) {
    const auto found = FindMutant(args.mutant);
    if (!found) {
      std::fprintf(stderr, "no such mutant: %s\n", args.mutant.c_str());
      return 2;
    }
    mutant = found->id;
  }
  if (args.mutants) return RunHunt(args);
  if (args.enumerate) {
    EnumerationOptions options;
    options.jobs = args.jobs;
    options.every = std::max<uint64_t>(1, args.every);
    if (args.slice != 0) {
      options.slice = args.slice;
      options.from = 1 + Today();
      options.recovery_sample = kRecoveriesOfASlice;
    }
    if (args.first != 0) options.first_seed = args.first;
    return Enumerate(options) ? 0 : 1;
  }
  if (args.seed != 0) return RunOne(args, mutant);
  if (args.seeds != 0) return RunMany(args, mutant);
  std::fprintf(stderr, "%s\n", app.help().c_str());
  return 2;
}

}  // namespace
}  // namespace assent::sim

int main(int argc, char** argv) {
  return assent::sim::Main(argc, argv);
}
