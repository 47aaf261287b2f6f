#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "common/mutant.h"

// Facts about each mutant (common/mutant.h): for the runs that must find it, and for people.
namespace assent::sim {

struct MutantInfo {
  Mutant id = Mutant::kNone;
  std::string_view name;  // the enumerator's, without its k, in words: "no tombstone"
  std::string_view what;  // the bug, in one sentence
  // The invariants expected to show it, the likeliest first.
  std::string_view breaks;
  // Why it cannot be found by what comes of it alone; empty for those that can.
  std::string_view redundant;
};

// All of them, by number.
std::span<const MutantInfo> AllMutants();
// By number ("17") or by name. Nothing: no such mutant.
std::optional<MutantInfo> FindMutant(std::string_view number_or_name);

}  // namespace assent::sim
