#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

// Rare situations that the simulator must have seen, or it has tested less than it seems to: the code says
// where one is reached, a simulator's build counts it. A product build has none of it.
namespace assent {

enum class Situation : uint8_t {
  kTakeoverDuringCatchUp,       // the primary changed while a learner caught up
  kBackupTookOver,              // a backup that heard nothing proposed itself
  kSilentBackupRemoved,         // a primary proposed a view without a silent backup
  kReplicaReadmitted,           // a replica that a fault took out is being brought back
  kLearnerGivenUp,              // a learner that was silent, or stalled, no longer holds anything back
  kSnapshotInstalled,           // a learner installed a snapshot
  kSnapshotRestarted,           // a snapshot began again, wholly or from what its receiver holds
  kInstallationFinishedOnOpen,  // a crash had interrupted the installation of a snapshot
  kPrimaryTookItsOwnEpoch,      // a restarted primary proposed an epoch of its own
  kProposalFoundApplied,        // a compare-and-swap without an answer turned out to have won
  kProposalFoundLost,           // a compare-and-swap without an answer turned out to have lost
  kStaleReplicaMessage,         // a replica's message named an older epoch than ours
  kStaleGroupMessage,           // another group's message named an older epoch than ours
  kNewerEpochHeard,             // a message named an epoch that this replica had not heard of
  kDivergentTailCut,            // a backup truncated what diverges
  kMessageWaitedForLease,       // a lease was over between a step and what it had to say
  kMessageLeftWithLease,        // what waited for a lease left when it was back
  kLoneLease,                   // a primary without backups acknowledged by the directory's word
  kWedgedDiskGaveUp,            // a primary whose disk hangs was not believed any more
  kAwayTooLong,                 // a process that was stopped for long listens again before it judges
  kTombstoneWritten,            // an abort overtook its prepare
  kTombstoneRefused,            // late work was refused by a tombstone or a refusal
  kDecisionReachedNewPrimary,   // a decision reached a primary that had not prepared the branch itself
  kYesRepeatedAfterFailover,    // a yes was repeated by a primary that had not voted it
  kBranchLost,                  // work was refused because a failover had eaten what came before it
  kReadOnlyVote,                // a branch voted read-only and let go
  kReadOnlyValidationFailed,    // reads of several shards turned out not to be of one moment
  kSettledByPeerCommit,         // another shard's word settled a branch in doubt on commit
  kSettledByPeerAbort,          // another shard's word, or its refusal, settled a branch in doubt on abort
  kRefusedForPeer,              // a shard that had not voted refused for good, for one in doubt
  kInquiryPresumedAbort,        // an inquiry was answered by presumption
  kInquiryToldCommit,           // an inquiry was answered with a commit
  kHolderWounded,               // an older transaction ended a younger holder
  kWaiterWounded,               // an older transaction ended a younger holder that was waiting itself
  kWoundRequestTooLate,  // a wound was asked for a transaction whose COMMIT was appended, or that had ended
  kWoundRequestObeyed,   // a coordinator aborted a voted transaction for an older one
  kLockTimeout,          // a lock wait beside foreign branches timed out
  kWorkTimedOut,         // unprepared work expired
  kIdleWorkKept,         // unprepared work of which nothing was heard turned out to be of a live transaction
  kIdledOut,             // a coordinator ended a transaction that its client had left open
  kVoteTimeout,          // a transaction was aborted because a vote was missing
  kOnePhaseSettled,      // a one-phase commit was settled by asking its shard
  kTokenFoundAtShard,    // a shard found the token's commit on record
  kAttemptsRefused,      // a shard recorded that attempts of a token may not commit
  kTokenJoined,          // a duplicate request joined its live token
  kTokenBelowFloor,      // a token below its client's floor was refused
  kTokenBeforeHorizon,   // a token born before the horizon was refused
  kBelowMarkRefused,     // work below the mark was refused
  kUnknownCommitBelowMark,    // a commit of a forgotten branch was acknowledged below the mark
  kCheckpointWithPrepared,    // a checkpoint carried an open PREPARED record
  kTrimmedPastPrepared,       // the log was trimmed past an open PREPARED record
  kTornTailCut,               // a torn tail was cut when the log was opened
  kTruncationFinishedOnOpen,  // a truncation, reset or trim was finished when the log was opened
  kCheckpointInterrupted,     // a store was opened in whose checkpoint its process had died
  kLogPoisoned,               // a write or sync of the log failed
  kSegmentHitFullDisk,        // a segment could not be made for want of room
  kOverloadRefused,           // a request was refused because a bound was reached
  kBranchHeldBack,            // new work waited for the end of a handover
  kHandedOver,                // a primary gave its lease up, and a backup led at once
  kHandOverTakenBack,         // the backup did not lead, and the primary led on in an epoch of its own
  kDrainGivenUp,              // open work did not end in time, and the primary kept the lead
  kRepliesUnconfirmed,        // a shard was handed over though a coordinator did not confirm its replies
  kLeaderHeardOf,             // a group's new primary was heard before the directory was read
  kOldFilesRefused,           // a node was not started: its files are older than its register
  kOldReplicaRefused,         // a replica was not started: its files lack what its register says
  kRunningLifeRefused,        // a second process of a node was not started
  kUnknownLifeRefused,        // a copy of a node's files was not started: the original may still run
  kMachineRestartWatched,     // a node was started once its machine's earlier life was silent for long
  kLast = kMachineRestartWatched
};
inline constexpr size_t kSituations = static_cast<size_t>(Situation::kLast) + 1;

std::string_view ToString(Situation situation);  // "tombstone written"

#ifdef ASSENT_MUTANTS
inline constexpr bool kCountsSituations = true;
inline std::array<uint64_t, kSituations> situation_counts{};  // one thread
inline void Reached(Situation situation) {
  ++situation_counts[static_cast<size_t>(situation)];
}
#else
inline constexpr bool kCountsSituations = false;  // for what would cost time to find out
constexpr void Reached(Situation) {}
#endif

}  // namespace assent
