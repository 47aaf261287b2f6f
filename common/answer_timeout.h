#pragma once

#include <cstdint>

namespace assent {

// A node answers a request within this, if only with UNKNOWN. Clients wait for longer, so that they hear it;
// votes are waited for less long, so that one which is missing is told as ABORTED, with a reason (C7).
inline constexpr uint64_t kAnswerTimeoutUs = 12'000'000;
// The difference: the way here and back, and the record that ABORTED waits for.
inline constexpr uint64_t kVoteTimeoutMaxUs = kAnswerTimeoutUs - 2'000'000;

}  // namespace assent
