#pragma once

#include <cstdint>

// Times after which a ReplicationCore repeats what was not answered. None delays a record on its way (R10).
namespace assent::backup {

inline constexpr uint64_t kMillisecond = 1000;

// No news from a peer that owes an ack: long against a round trip and a force, short against
// an operator's patience.
inline constexpr uint64_t kSilenceUs = 500 * kMillisecond;
// A backup's store lags the primary's by about this much when no Ship carries the replicated LSN anyway.
inline constexpr uint64_t kReplicatedNewsUs = 20 * kMillisecond;
// An idle primary says again what is replicated: nobody acknowledges that, and a backup that missed it would
// not apply the last records until the next one comes.
inline constexpr uint64_t kNewsRepeatUs = 1000 * kMillisecond;
// How often the directory is read by a replica that waits for it to change, and by one that does not; and no
// sooner after a reading that failed.
inline constexpr uint64_t kReadWaitingUs = 200 * kMillisecond;
inline constexpr uint64_t kReadSettledUs = 1000 * kMillisecond;
// A proposal that came to nothing is made again after the first, then twice that and so on to the last.
inline constexpr uint64_t kProposalPauseMinUs = 100 * kMillisecond;
inline constexpr uint64_t kProposalPauseMaxUs = 2000 * kMillisecond;
// R6: a learner whose acks are already required, but do not come, holds commits back no longer than this, as
// long as its view was not proposed.
inline constexpr uint64_t kLearnerStallUs = 1000 * kMillisecond;
// A learner that gets no further for so long is given up, answering or not: it pins the log, and keeps others
// out. Beside that, installing a snapshot takes its time, by the least that a disk may do in a second.
inline constexpr uint64_t kLearnerProgressUs = 10'000 * kMillisecond;
inline constexpr uint64_t kInstallBytesPerSecond = 10 << 20;

// R5, R11. A primary may answer reads for kLeaseUs after it sent a beacon that every backup answered; a
// backup takes over when it heard no beacon for kGraceUs, which is longer by more than two clocks may drift
// apart in that time. The primary gives a silent backup up a little earlier than a backup would a silent
// primary, so that of two that do not hear each other the one that serves goes on.
//
// A force is slow above kForceSlowUs. A disk that has been at slow forces, and no other, for kForceAgeMaxUs
// is as good as dead, until one is fast; or until there was none for kForcesForgottenUs, or an idle group
// would never find out.
inline constexpr uint64_t kBeaconUs = 100 * kMillisecond;
inline constexpr uint64_t kLeaseUs = 2000 * kMillisecond;
inline constexpr uint64_t kDriftMarginUs = 500 * kMillisecond;
inline constexpr uint64_t kBackupSilenceUs = 2500 * kMillisecond;
inline constexpr uint64_t kGraceUs = 3000 * kMillisecond;
inline constexpr uint64_t kForceSlowUs = 1000 * kMillisecond;
inline constexpr uint64_t kForceAgeMaxUs = 2500 * kMillisecond;
inline constexpr uint64_t kForcesForgottenUs = 10'000 * kMillisecond;
static_assert(kLeaseUs + kDriftMarginUs < kGraceUs);
// A tick that comes so late tells of a process that was stopped, not of silent peers.
inline constexpr uint64_t kAwayUs = 500 * kMillisecond;
// Before a replica is brought back that could not be, or was too slow to stay: twice as long as the time
// before, unless that lies further back than is looked.
inline constexpr uint64_t kReadmissionPauseMinUs = 1000 * kMillisecond;
inline constexpr uint64_t kReadmissionPauseMaxUs = 60'000 * kMillisecond;
inline constexpr uint64_t kReadmissionLookBackUs = 2 * kReadmissionPauseMaxUs;
// A backup that was handed the lead and has not taken it is given up after so long.
inline constexpr uint64_t kHandOverUs = 1500 * kMillisecond;
// A planned stop. Whether more of the group stop at the same time shows within kLeaveSettleUs, so the view is
// not changed before; and open work may take kLeaveDrainUs to end before the lead is handed over.
inline constexpr uint64_t kLeaveSettleUs = 200 * kMillisecond;
inline constexpr uint64_t kLeaveDrainUs = 1000 * kMillisecond;
// Where there are several backups, the first in the view tries first.
inline constexpr uint64_t kTakeoverStaggerUs = 200 * kMillisecond;
// How often a primary without backups reads the directory, for its lease.
inline constexpr uint64_t kLoneReadUs = kLeaseUs / 8;

}  // namespace assent::backup
