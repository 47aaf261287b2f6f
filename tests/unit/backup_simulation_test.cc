// Whole groups of replicas under random faults and operators, over many seeds (backup_simulation.h).
#include "tests/unit/backup_simulation.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace assent::backup {
namespace {

// ASSENT_BACKUP_SEED=N runs that seed alone; ASSENT_BACKUP_SEEDS=N so many.
uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A check inside the core aborts without knowing the seed.
volatile uint64_t running_seed = 0;
void PrintSeed(int) {
  std::fprintf(stderr, "again with: ASSENT_BACKUP_SEED=%llu\n",
               static_cast<unsigned long long>(running_seed));
}

SimulatedGroup::Options OptionsOf(uint64_t seed) {
  SimulatedGroup::Options options;
  options.nodes = seed % 3 == 0 ? 2 : 3;
  options.loss = seed % 5 == 0 ? 0.3 : 0.05;
  options.delay_us_max = seed % 7 == 0 ? 100'000 : 3000;
  options.force_us_max = seed % 4 < 2 ? 2000 : 30'000;
  options.directory_trouble = seed % 4 == 0 ? 0.6 : 0.2;
  options.trims = seed % 2 == 0;
  options.outages = seed % 8 >= 5;
  return options;
}

// As many as take a minute or so.
#if defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kSeeds = 1000;
#else
constexpr uint64_t kSeeds = 4000;
#endif

TEST(BackupSimulation, NothingAnsweredIsLostAndTheGroupRecovers) {
  const uint64_t one = FromEnvironment("ASSENT_BACKUP_SEED", 0);
  const uint64_t first = one != 0 ? one : 1;
  const uint64_t last = one != 0 ? one : FromEnvironment("ASSENT_BACKUP_SEEDS", kSeeds);
  SimulatedGroup::Counts sum;
  std::signal(SIGABRT, PrintSeed);
  for (uint64_t seed = first; seed <= last; ++seed) {
    running_seed = seed;
    SimulatedGroup group(seed, OptionsOf(seed));
    group.Chaos(OptionsOf(seed).outages ? 40'000'000 : 10'000'000);
    if (!group.Heal(60'000'000)) {
      ADD_FAILURE() << "no progress after healing; seed " << seed << "\n" << group.Describe();
      break;
    }
    const SimulatedGroup::Counts& c = group.counts();
    sum.crashes += c.crashes, sum.wipes += c.wipes, sum.truncations += c.truncations,
        sum.snapshots += c.snapshots;
    sum.changes += c.changes, sum.ambiguous += c.ambiguous, sum.answered += c.answered,
        sum.epochs += c.epochs;
    sum.lost_tails += c.lost_tails, sum.takeovers += c.takeovers, sum.pauses += c.pauses,
        sum.leases_checked += c.leases_checked;
  }
  std::printf(
      "seeds %llu..%llu: answered %llu, lost 0; crashes %llu (tails lost %llu), wipes %llu, epochs %llu, "
      "ambiguous CAS "
      "%llu, truncations %llu, snapshots %llu, operator changes %llu, takeovers %llu, pauses %llu, leases "
      "checked "
      "%llu\n",
      static_cast<unsigned long long>(first), static_cast<unsigned long long>(last),
      static_cast<unsigned long long>(sum.answered), static_cast<unsigned long long>(sum.crashes),
      static_cast<unsigned long long>(sum.lost_tails), static_cast<unsigned long long>(sum.wipes),
      static_cast<unsigned long long>(sum.epochs), static_cast<unsigned long long>(sum.ambiguous),
      static_cast<unsigned long long>(sum.truncations), static_cast<unsigned long long>(sum.snapshots),
      static_cast<unsigned long long>(sum.changes), static_cast<unsigned long long>(sum.takeovers),
      static_cast<unsigned long long>(sum.pauses), static_cast<unsigned long long>(sum.leases_checked));
  if (one == 0) {
    // A generator that no longer reaches these tests nothing.
    EXPECT_GT(sum.truncations, 0U);
    EXPECT_GT(sum.snapshots, 0U);
    EXPECT_GT(sum.wipes, 0U);
    EXPECT_GT(sum.changes, 0U);
    EXPECT_GT(sum.takeovers, 0U);
    EXPECT_GT(sum.pauses, 0U);
    EXPECT_GT(sum.leases_checked, 0U);
  }
}

}  // namespace
}  // namespace assent::backup
