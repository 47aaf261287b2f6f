#include "sim/mutants.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace assent::sim {
namespace {

constexpr std::array kMutants = {
    MutantInfo{Mutant::kDecisionSentBeforeForce, "decision sent before force",
               "participants are told to commit when COMMIT is appended, and may be the only ones to know",
               "I-A1 I-A3", ""},
    MutantInfo{Mutant::kAbortedAnsweredWhileReplaying, "aborted answered while replaying",
               "a coordinator replica that does not serve answers every inquiry with a presumed abort",
               "I-A1", ""},
    MutantInfo{
        Mutant::kDecisionForgottenAtFirstAck, "decision forgotten at first ack",
        "END is appended at the first acknowledgement, so whoever else is in doubt hears a presumed abort",
        "I-A1", ""},
    MutantInfo{Mutant::kPreparedNotForced, "prepared not forced",
               "a yes leaves when PREPARED is appended; a crash, and the vote was for nothing",
               "I-A3 I-A1 I-D1", ""},
    MutantInfo{Mutant::kVoteBeforeBackupsAck, "vote before backups ack",
               "a shard's votes and one-phase answers leave when its own disk has the record",
               "I-A3 I-D1 I-R3", ""},
    MutantInfo{Mutant::kClientAnsweredBeforeBackup, "client answered before backup",
               "a coordinator's answers and decisions leave when its own disk has the record",
               "I-D1 I-A1 I-R3", ""},
    MutantInfo{Mutant::kBackupIgnoresEpochs, "backup ignores epochs",
               "a replica in a newer epoch goes on acknowledging the old primary's records and beacons",
               "I-R2 I-D1 I-S2", ""},
    MutantInfo{Mutant::kEpochNotPersisted, "epoch not persisted",
               "an epoch is acted in that the replica's identity on disk does not name", "I-R4", ""},
    MutantInfo{
        Mutant::kLeaseCheckedBeforeTheRead, "lease checked before the read",
        "the lease is looked at by the clock of the last replication event, so a stop in between goes unseen",
        "I-S2 I-S1", ""},
    MutantInfo{Mutant::kWallClockLease, "wall clock lease",
               "beacons, leases and grace periods go by the wall clock: set back, a lease lasts for an hour",
               "I-S2 I-A5", ""},
    MutantInfo{Mutant::kLaggingBackupPromoted, "lagging backup promoted",
               "a learner that hears no primary makes itself one, whatever it lacks", "I-R3 I-D1", ""},
    MutantInfo{Mutant::kDivergentTailKept, "divergent tail kept",
               "records of another epoch than the primary's are taken for the same", "I-R1 I-C1", ""},
    MutantInfo{Mutant::kCutAtFirstBadChecksum, "cut at first bad checksum",
               "damage in the last segment is cut off as if it were a torn tail", "I-D3 I-D1", ""},
    MutantInfo{Mutant::kAppendAfterTornTail, "append after torn tail",
               "the remnant of a torn batch stays, and what is written behind it is not found again",
               "I-D2 I-D1", ""},
    MutantInfo{Mutant::kSyncRetried, "sync retried",
               "a sync that failed is tried again, and its success taken for that of the first", "I-D1 I-D2",
               ""},
    MutantInfo{Mutant::kNoDirectorySync, "no directory sync",
               "new, renamed and removed files of the log, and the note of an installation, are not synced",
               "I-D1 I-D2", ""},
    // Open PREPARED records are in the checkpoint here, so trimming needs not stop at them: the equivalent is
    // a checkpoint without them.
    MutantInfo{
        Mutant::kTrimPastInDoubt, "trim past in doubt",
        "what goes to SQLite leaves the open PREPARED records to the log, which is trimmed all the same",
        "I-L2 I-L1 I-A1", ""},
    MutantInfo{Mutant::kIdsRestart, "ids restart", "transaction ids begin anew with each primary",
               "I-X2 I-A1", ""},
    MutantInfo{Mutant::kNoTombstone, "no tombstone",
               "an abort that overtakes its prepare leaves nothing behind", "P6", ""},
    // A two-phase branch gives its writes up with the decision, so only a one-phase commit can be done twice.
    MutantInfo{Mutant::kDuplicateCommitAppliedAgain, "duplicate commit applied again",
               "a shard runs a repeated one-phase commit although its token is recorded as committed",
               "I-X1 I-S1", ""},
    MutantInfo{Mutant::kTokensNotReplicated, "tokens not replicated",
               "a new coordinator primary does not know which tokens its predecessors committed, and runs "
               "them again",
               "I-X1 I-S1", ""},
    MutantInfo{Mutant::kServeBeforeLocksRestored, "serve before locks restored",
               "prepared branches are back after a failover, their locks are not", "I-L1 I-S1", ""},
    MutantInfo{
        Mutant::kUnknownCommitAcknowledged, "unknown commit acknowledged",
        "a shard replica that does not know the branch, or does not even serve, acknowledges its commit",
        "I-A1", ""},
    MutantInfo{Mutant::kTimeoutToldAsAborted, "timeout told as aborted",
               "clients are told ABORTED where the coordinator or its shard did not answer", "I-U1", ""},
    MutantInfo{Mutant::kReadIgnoresPreparedLock, "read ignores prepared lock",
               "a get reads past the lock of a writer that has voted, and takes none itself", "I-S1", ""},
    MutantInfo{Mutant::kBackupDroppedWithoutCas, "backup dropped without cas",
               "a silent backup no longer counts, and the directory is not asked", "I-R3 I-D1 I-R2", ""},
    // There is one decision record: the equivalent is a resolver that looks somewhere else.
    MutantInfo{Mutant::kResolverReadsAnotherRecord, "resolver reads another record",
               "a shard asked by its peer, and a coordinator asked about an earlier primary's transaction, "
               "do not look "
               "at the record that the decision was written to",
               "I-A1 I-A2", ""},
    // A fragment is not part of the log here: the equivalent is one that becomes part of it.
    MutantInfo{Mutant::kDiskFullFragmentLeft, "disk full fragment left",
               "a segment that a full disk cut short is taken for a whole one, and refused at the next start",
               "I-D1 I-D3", ""},
    MutantInfo{Mutant::kNoBackoff, "no backoff",
               "a coordinator sends what is not answered again at once, without end", "I-Q1", ""},
    // A changed LSN no longer continues its batch, and a changed epoch falls again at the next record: only
    // the last record of the log, or of an epoch, can hide it.
    MutantInfo{Mutant::kChecksumOmitsPosition, "checksum omits position",
               "a frame whose LSN or epoch went bad still has a sound checksum", "I-D3 I-R1", ""},
    MutantInfo{Mutant::kRestartedPrimaryKeepsEpoch, "restarted primary keeps epoch",
               "a primary that restarts goes on in the epoch of its earlier life", "I-R1 I-R2 I-R4", ""},
    MutantInfo{Mutant::kLearnerAdmittedWithGap, "learner admitted with gap",
               "a learner becomes a member before it holds the log", "I-R3 I-D1 I-A5", ""},
    MutantInfo{Mutant::kAppliedBeforeReplicated, "applied before replicated",
               "SQLite gets records that a new primary may still take back", "I-D2 I-C1 I-R1", ""},
    MutantInfo{Mutant::kTrimBelowUnsyncedCheckpoint, "trim below unsynced checkpoint",
               "the log is trimmed below what SQLite has applied, synced or not", "I-L2 I-D1", ""},
    MutantInfo{Mutant::kTornTailReadAsDamage, "torn tail read as damage",
               "after an ordinary power cut the replica refuses to open its log", "I-A5 I-D3", ""},
    MutantInfo{Mutant::kRefusedFromNoMemory, "refused from no memory",
               "a shard that may have forgotten a transaction tells its peer that it never voted", "I-A1",
               ""},
    MutantInfo{Mutant::kHalfABranchPrepared, "half a branch prepared",
               "a branch whose work a failover ate votes yes, or commits in one phase, all the same",
               "I-D1 I-S1", ""},
    MutantInfo{Mutant::kAbortAfterCommitAppended, "abort after commit appended",
               "who asks while COMMIT is being replicated is told abort", "I-A1", ""},
    MutantInfo{Mutant::kAbortedTokenRunsLater, "aborted token runs later",
               "an attempt that a client was told ABORTED for runs when a duplicate of it comes",
               "I-U1 I-X1 I-A2", ""},
    MutantInfo{Mutant::kReadsNotValidated, "reads not validated",
               "reads of several shards are committed although one of them lost its locks meanwhile", "I-S1",
               ""},
    // Readers wait for the record of a version that they show, which would hide it: here they do not.
    MutantInfo{
        Mutant::kOnePhaseLocksFreedAtAppend, "one phase locks freed at append",
        "the writes of a one-phase commit are seen before its record, which is its decision, is replicated",
        "I-S1 I-D1", ""},
    MutantInfo{Mutant::kMarkNotLogged, "mark not logged",
               "rows below a risen mark go, and a restart forgets that they ever mattered", "I-A1 I-L1 I-D2",
               ""},
    MutantInfo{Mutant::kAcknowledgedTokenRuns, "acknowledged token runs",
               "a token below its client's floor, whose outcome is dropped, runs again", "I-X1", ""},
    // Only to vote no would merely abort what need not be: it ends the branch, too.
    MutantInfo{Mutant::kRepeatedPrepareVotesNo, "repeated prepare votes no",
               "a repeated prepare is answered with no, and what was voted yes to is dropped", "I-A1 I-A3",
               ""},
    MutantInfo{Mutant::kLonePrimaryNeedsNoLease, "lone primary needs no lease",
               "a primary without backups acknowledges and reads without the directory's word",
               "I-S2 I-S1 I-D1", ""},
    MutantInfo{Mutant::kSnapshotWithoutPrepared, "snapshot without prepared",
               "a replica made from a snapshot does not know what is in doubt", "I-L1 I-A1 I-C1", ""},
    MutantInfo{Mutant::kLearnerGivenUpAfterCas, "learner given up after cas",
               "once the view with the learner is proposed, its acknowledgements are not waited for",
               "I-R3 I-D1", ""},
    MutantInfo{Mutant::kIncarnationIgnored, "incarnation ignored",
               "a node that lost its disk counts as the member that it was", "I-R3 I-D1 I-R2", ""},
    MutantInfo{Mutant::kAckByLength, "ack by length",
               "acknowledgements name the log's length, also where it was not matched with the primary's",
               "I-R1 I-R3 I-A5", ""},
    MutantInfo{Mutant::kHorizonPassesLiveTokens, "horizon passes live tokens",
               "a shard is told a horizon above a token that is live, forgets what became of it, and the "
               "client hears "
               "that it was not run",
               "I-U1 I-X1", ""},
    MutantInfo{Mutant::kAbortedOnAFewShardsWord, "aborted on a few shards' word",
               "of the commit of an unknown transaction only the shards that the client names are asked, or "
               "any if it "
               "names none",
               "I-U1", ""},
    MutantInfo{
        Mutant::kBranchNumberIgnored, "branch number ignored",
        "what a repeated first message opened after the branch had ended passes for that branch", "I-S1 I-D1",
        "the end must be forgotten, its news be lost, and a first message come late, before the next one "
        "of the transaction: too rare here, also where no end is remembered and a tenth of all messages come "
        "again late; unit tests and the model (M_OTHER_BRANCH_PASSES) show it"},
    MutantInfo{Mutant::kRegistrationIgnored, "registration ignored",
               "a copy of a node's files, older or beside the original, passes for the node",
               "I-R3 I-D1 I-R1", ""},
    MutantInfo{Mutant::kFloorIgnored, "floor ignored",
               "files that are older than what their node confirmed are taken for its last ones",
               "I-R3 I-D1 I-R1", ""},
    MutantInfo{Mutant::kLiveBranchRolledBack, "live branch rolled back",
               "a scan of a resource manager rolls back what is prepared there for a live transaction",
               "I-A1", ""},
    MutantInfo{
        Mutant::kEndedMeanwhileRolledBack, "ended meanwhile rolled back",
        "what a resource manager acknowledged while its list was on the way is rolled back as an orphan",
        "I-A1", ""},
    MutantInfo{Mutant::kOutcomesEndByWallClock, "outcomes end by wall clock",
               "births and the horizon of a new primary go by its wall clock, wherever the last one's was",
               "C5 I-A5", ""},
    MutantInfo{
        Mutant::kSlowForcesForgotten, "slow forces forgotten",
        "a node's word counts again as soon as a force that took seconds has ended, until the next one",
        "I-A5", ""},
    MutantInfo{Mutant::kSlowPrimaryKept, "slow primary kept",
               "backups answer a primary whose disk takes seconds for a force, so that it goes on leading",
               "I-A5", ""},
};

constexpr bool AreInOrder() {
  for (size_t i = 1; i < kMutants.size(); ++i) {
    if (kMutants[i - 1].id >= kMutants[i].id) return false;
  }
  return true;
}
static_assert(AreInOrder());

}  // namespace

std::span<const MutantInfo> AllMutants() {
  return kMutants;
}

std::optional<MutantInfo> FindMutant(std::string_view number_or_name) {
  size_t number = 0;
  const char* const end = number_or_name.data() + number_or_name.size();
  const auto [stopped, error] = std::from_chars(number_or_name.data(), end, number);
  const bool is_number = error == std::errc{} && stopped == end;
  const auto found = std::find_if(kMutants.begin(), kMutants.end(), [&](const MutantInfo& mutant) {
    return is_number ? static_cast<size_t>(mutant.id) == number : mutant.name == number_or_name;
  });
  if (found == kMutants.end()) return std::nullopt;
  return *found;
}

}  // namespace assent::sim
