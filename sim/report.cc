#include "sim/report.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace assent::sim {
namespace {

// 1234567 -> "1,234,567".
std::string Grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

uint64_t Quantile(std::vector<uint64_t> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void Row(const char* name, const std::string& text) {
  std::printf("%-13s%s\n", name, text.c_str());
}

std::string Seconds(uint64_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(us) / 1e6);
  return text;
}

}  // namespace

void Summary::Add(const SeedOutcome& outcome) {
  ++seeds_;
  if (!outcome.violation.empty()) {
    violations_.push_back(outcome);
    return;
  }
  const RunFigures& r = outcome.report;
  sum_.committed += r.committed;
  sum_.aborted += r.aborted;
  sum_.unknown += r.unknown;
  sum_.faults += r.faults;
  sum_.simulated_us += r.simulated_us;
  for (size_t i = 0; i < kFaultKinds; ++i) sum_.by_kind[i] += r.by_kind[i];
  for (size_t i = 0; i < kSituations; ++i) situations_[i] += outcome.situations[i];
  sum_.world += r.world;
  transactions_.push_back(r.committed + r.aborted + r.unknown);
  faults_.push_back(r.faults);
  heals_.push_back(r.healed_us);
  longest_heal_ = std::max(longest_heal_, {r.healed_us, outcome.seed});
}

std::vector<Situation> Summary::Unreached() const {
  std::vector<Situation> unreached;
  for (size_t i = 0; i < kSituations; ++i) {
    if (situations_[i] == 0) unreached.push_back(static_cast<Situation>(i));
  }
  return unreached;
}

void Summary::Print(uint64_t wall_ms, unsigned jobs) const {
  const World::Counts& w = sum_.world;
  const double speed =
      static_cast<double>(sum_.simulated_us) / 1e3 / static_cast<double>(std::max<uint64_t>(wall_ms, 1));
  char speed_text[32];
  std::snprintf(speed_text, sizeof speed_text, "%.0f", speed);
  Row("seeds", Grouped(seeds_) + ", violations " + Grouped(violations_.size()));
  Row("time", "simulated " + Seconds(sum_.simulated_us) + " in " + Seconds(wall_ms * 1000) + " on " +
                  std::to_string(jobs) + " processes: " + speed_text + " x real time");
  Row("transactions", "committed " + Grouped(sum_.committed) + "  aborted " + Grouped(sum_.aborted) +
                          "  unknown " + Grouped(sum_.unknown) + "; median of a seed " +
                          Grouped(Quantile(transactions_, 0.5)));
  Row("crashes", Grouped(w.crashes) + ", of these between two effects " + Grouped(w.at_effect) +
                     "; disks lost " + Grouped(w.wipes) + ", replaced after damage " + Grouped(w.repaired) +
                     " (of these for a rotten last batch " + Grouped(w.tails_lost) + ")" +
                     ", replicas halted " + Grouped(w.halts));
  Row("views", Grouped(w.epochs) + "; truncations " + Grouped(w.truncations) + ", snapshots installed " +
                   Grouped(w.resets) + ", logs trimmed " + Grouped(w.trims));
  Row("messages", Grouped(w.messages));
  Row("healed", "median " + Seconds(Quantile(heals_, 0.5)) + ", 99% " + Seconds(Quantile(heals_, 0.99)) +
                    ", longest " + Seconds(longest_heal_.first) + " (seed " +
                    std::to_string(longest_heal_.second) + ")");
  Row("checked", "leases " + Grouped(w.lease_checks) + " times; lost 0 if there is no violation");
  Row("faults", Grouped(sum_.faults) + "; median of a seed " + Grouped(Quantile(faults_, 0.5)));
  for (size_t i = 0; i < kFaultKinds; ++i) {
    std::printf("  %-20s %12s\n", std::string(ToString(static_cast<FaultKind>(i))).c_str(),
                Grouped(sum_.by_kind[i]).c_str());
  }
  Row("situations", "");
  for (size_t i = 0; i < kSituations; ++i) {
    std::printf("  %-42s %12s\n", std::string(assent::ToString(static_cast<Situation>(i))).c_str(),
                Grouped(situations_[i]).c_str());
  }
  for (const SeedOutcome& v : violations_) {
    std::printf("VIOLATION    seed %" PRIu64 ": %s\n             replay: assent-sim --seed=%" PRIu64
                " --trace\n",
                v.seed, v.violation.c_str(), v.seed);
  }
}

}  // namespace assent::sim
