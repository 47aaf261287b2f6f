#pragma once

#include <cstdint>

// Small deliberate bugs, one of which the simulator can switch on to see that it is found. A product build
// has none of it: there Mutated() is the constant false.
namespace assent {

// Each breaks the rule named; sim/mutants.cc says what the simulator expects. Numbers are for ever: they name
// a failing run.
enum class Mutant : uint8_t {
  kNone = 0,
  kDecisionSentBeforeForce = 1,        // C1: participants hear of a commit that is appended only
  kAbortedAnsweredWhileReplaying = 2,  // C3: a coordinator that does not serve presumes aborts
  kDecisionForgottenAtFirstAck = 3,    // C4: END at the first acknowledgement
  kPreparedNotForced = 4,              // P3: the yes leaves before PREPARED is durable anywhere
  kVoteBeforeBackupsAck = 5,           // R1: a shard takes its own force for replication
  kClientAnsweredBeforeBackup = 6,     // R1: a coordinator group does
  kBackupIgnoresEpochs = 7,            // R2: what comes under an older epoch is acknowledged
  kEpochNotPersisted = 8,              // R3: an epoch is acted in that the disk has not seen
  kLeaseCheckedBeforeTheRead = 9,      // R5: by the clock of the last beacon, not after the work
  kWallClockLease = 10,                // R5: leases and grace periods by a clock that people set
  kLaggingBackupPromoted = 11,         // R3: a learner takes over as a member would
  kDivergentTailKept = 12,             // R4: what diverges is taken for the same
  kCutAtFirstBadChecksum = 13,         // R8: damage is taken for a torn tail
  kAppendAfterTornTail = 14,           // R8: a torn tail is not cut; what follows is written behind it
  kSyncRetried = 15,                   // R7: a second sync that succeeds makes up for the first
  kNoDirectorySync = 16,               // R7: creations, renames and removals are not synced
  kTrimPastInDoubt = 17,               // R13: the checkpoint leaves PREPARED to a log that is trimmed
  kIdsRestart = 18,                    // C3: ids do not carry the epoch
  kNoTombstone = 19,                   // P6: an abort that overtakes its prepare leaves nothing
  kDuplicateCommitAppliedAgain = 20,   // C6: a repeated commit whose token is recorded runs
  kTokensNotReplicated = 21,           // C5: a new primary knows no outcomes of those before it
  kServeBeforeLocksRestored = 22,      // P1: prepared branches come back without their locks
  kUnknownCommitAcknowledged = 23,     // P6: "ok" to a commit of what is not known, or not led, here
  kTimeoutToldAsAborted = 24,          // C3, C7: ABORTED to clients where the outcome is not known
  kReadIgnoresPreparedLock = 25,       // P1: a get goes past the lock of a voted writer
  kBackupDroppedWithoutCas = 26,       // R3: a silent backup is left out before the directory agreed
  kResolverReadsAnotherRecord = 27,    // P8: who resolves looks elsewhere than who commits writes
  kDiskFullFragmentLeft = 28,          // R9: what a full disk left of a segment counts as one
  kNoBackoff = 29,                     // C7: resends at once, without a budget
  kChecksumOmitsPosition = 30,         // R9: a frame's checksum does not cover LSN and epoch
  kRestartedPrimaryKeepsEpoch = 31,    // R3: an epoch outlives the process that it was given to
  kLearnerAdmittedWithGap = 32,        // R6: proposed before it holds what was replicated without it
  kAppliedBeforeReplicated = 33,       // R13: SQLite gets the log's end
  kTrimBelowUnsyncedCheckpoint = 34,   // R13: the log is trimmed below what SQLite has not synced
  kTornTailReadAsDamage = 35,          // R8: the contrary of kCutAtFirstBadChecksum
  kRefusedFromNoMemory = 36,           // P8, C8: "never voted" where it may be forgotten
  kHalfABranchPrepared = 37,           // P3: a branch of which a failover ate the work may go on
  kAbortAfterCommitAppended = 38,      // C1: an inquiry or a wound aborts what is being committed
  kAbortedTokenRunsLater = 39,         // C5: an attempt that was told ABORTED runs
  kReadsNotValidated = 40,             // C6: reads of several shards count though one lost its locks
  kOnePhaseLocksFreedAtAppend = 41,    // C6: P5 applied to one-phase commits
  kMarkNotLogged = 42,                 // C8: rows go, the mark that allowed it is not kept
  kAcknowledgedTokenRuns = 43,         // C5: a token below its client's floor runs
  kRepeatedPrepareVotesNo = 44,        // P3: a yes is taken back. (Equivalent: here nobody asks a
                                       // new primary again once the vote is in)
  kLonePrimaryNeedsNoLease = 45,       // R5: one without backups does not ask the directory
  kSnapshotWithoutPrepared = 46,       // R13: snapshots leave the open PREPARED records out
  kLearnerGivenUpAfterCas = 47,        // R6: its acks are not needed once the view is proposed
  kIncarnationIgnored = 48,            // R3: another disk on the same node counts as the member
  kAckByLength = 49,                   // R4: acks name the log's length, whatever it was matched with
  kHorizonPassesLiveTokens = 50,       // C5: a shard forgets a token that is live, and its word is a refusal
  kAbortedOnAFewShardsWord = 51,       // C3: of an unknown commit only the shards that are named are asked
  kBranchNumberIgnored = 52,           // P3: a branch opened anew in the same epoch passes for the first
  kRegistrationIgnored = 53,           // R3: a process runs as a node whatever the node's register says
  kFloorIgnored = 54,                  // R3: files are taken in that lack what was confirmed of them
  kLiveBranchRolledBack = 55,          // C3: a scan of a resource manager ends what is live
  kEndedMeanwhileRolledBack = 56,      // C3: a scan's list counts for what ended while it was on its way
  kOutcomesEndByWallClock = 57,        // C5: births and the horizon go by a clock that people set
  kSlowForcesForgotten = 58,           // R11: only the open force counts, not those that were late before it
  kSlowPrimaryKept = 59,               // R11: a primary whose disk does not keep up is told that it is heard
};

#ifdef ASSENT_MUTANTS
inline Mutant active_mutant = Mutant::kNone;  // set before a run begins; one thread
inline bool Mutated(Mutant mutant) {
  return active_mutant == mutant;
}
#else
constexpr bool Mutated(Mutant) {
  return false;
}
#endif

}  // namespace assent
