#pragma once

#include <cstdint>

// When a ReplicationCore does again what was not answered. None of these delays a record on its way (R10).
namespace assent::backup {

inline constexpr uint64_t kMillisecond = 1000;

// No news from a peer that owes an ack: long against a round trip and a force, short against an operator's
// patience.
inline constexpr uint64_t kSilenceUs = 500 * kMillisecond;
// A backup's store lags the primary's by about this much when no Ship carries the replicated LSN anyway.
inline constexpr uint64_t kReplicatedNewsUs = 20 * kMillisecond;
// How often the directory is read by a replica that waits for it to change, and by one that does not.
inline constexpr uint64_t kReadWaitingUs = 200 * kMillisecond;
inline constexpr uint64_t kReadSettledUs = 1000 * kMillisecond;
// R6: a learner whose acks are already required, but do not come, holds commits back no longer than this, as
// long as its view was not proposed.
inline constexpr uint64_t kLearnerStallUs = 2000 * kMillisecond;
// Without a sign of life for so long a learner is given up, so that it does not pin the log.
inline constexpr uint64_t kLearnerSilenceUs = 30'000 * kMillisecond;

}  // namespace assent::backup
