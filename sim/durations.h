#pragma once

#include <cstdint>

namespace assent::sim {

// In microseconds, as all times of a world are.
inline constexpr uint64_t kMs = 1'000;
inline constexpr uint64_t kSecond = 1'000'000;

}  // namespace assent::sim
