#include "common/coverage.h"

namespace assent {
namespace {

constexpr std::string_view NameOf(Situation situation) {
  switch (situation) {
    case Situation::kTakeoverDuringCatchUp:
      return "takeover during catch up";
    case Situation::kBackupTookOver:
      return "backup took over";
    case Situation::kSilentBackupRemoved:
      return "silent backup removed";
    case Situation::kReplicaReadmitted:
      return "replica readmitted";
    case Situation::kLearnerGivenUp:
      return "learner given up";
    case Situation::kSnapshotInstalled:
      return "snapshot installed";
    case Situation::kSnapshotRestarted:
      return "snapshot restarted";
    case Situation::kInstallationFinishedOnOpen:
      return "installation finished on open";
    case Situation::kPrimaryTookItsOwnEpoch:
      return "primary took its own epoch";
    case Situation::kProposalFoundApplied:
      return "proposal found applied";
    case Situation::kProposalFoundLost:
      return "proposal found lost";
    case Situation::kStaleReplicaMessage:
      return "stale replica message";
    case Situation::kStaleGroupMessage:
      return "stale group message";
    case Situation::kNewerEpochHeard:
      return "newer epoch heard";
    case Situation::kDivergentTailCut:
      return "divergent tail cut";
    case Situation::kMessageWaitedForLease:
      return "message waited for lease";
    case Situation::kMessageLeftWithLease:
      return "message left with lease";
    case Situation::kLoneLease:
      return "lone lease";
    case Situation::kWedgedDiskGaveUp:
      return "wedged disk gave up";
    case Situation::kAwayTooLong:
      return "away too long";
    case Situation::kTombstoneWritten:
      return "tombstone written";
    case Situation::kTombstoneRefused:
      return "tombstone refused";
    case Situation::kDecisionReachedNewPrimary:
      return "decision reached new primary";
    case Situation::kYesRepeatedAfterFailover:
      return "yes repeated after failover";
    case Situation::kBranchLost:
      return "branch lost";
    case Situation::kReadOnlyVote:
      return "read only vote";
    case Situation::kReadOnlyValidationFailed:
      return "read only validation failed";
    case Situation::kSettledByPeerCommit:
      return "settled by peer commit";
    case Situation::kSettledByPeerAbort:
      return "settled by peer abort";
    case Situation::kRefusedForPeer:
      return "refused for peer";
    case Situation::kInquiryPresumedAbort:
      return "inquiry presumed abort";
    case Situation::kInquiryToldCommit:
      return "inquiry told commit";
    case Situation::kHolderWounded:
      return "holder wounded";
    case Situation::kWaiterWounded:
      return "waiter wounded";
    case Situation::kWoundRequestTooLate:
      return "wound request too late";
    case Situation::kWoundRequestObeyed:
      return "wound request obeyed";
    case Situation::kLockTimeout:
      return "lock timeout";
    case Situation::kIdleWorkKept:
      return "idle work kept";
    case Situation::kWorkTimedOut:
      return "work timed out";
    case Situation::kIdledOut:
      return "idled out";
    case Situation::kVoteTimeout:
      return "vote timeout";
    case Situation::kOnePhaseSettled:
      return "one phase settled";
    case Situation::kTokenFoundAtShard:
      return "token found at shard";
    case Situation::kAttemptsRefused:
      return "attempts refused";
    case Situation::kTokenJoined:
      return "token joined";
    case Situation::kTokenBelowFloor:
      return "token below floor";
    case Situation::kTokenBeforeHorizon:
      return "token before horizon";
    case Situation::kBelowMarkRefused:
      return "below mark refused";
    case Situation::kUnknownCommitBelowMark:
      return "unknown commit below mark";
    case Situation::kCheckpointWithPrepared:
      return "checkpoint with prepared";
    case Situation::kTrimmedPastPrepared:
      return "trimmed past prepared";
    case Situation::kTornTailCut:
      return "torn tail cut";
    case Situation::kTruncationFinishedOnOpen:
      return "truncation finished on open";
    case Situation::kCheckpointInterrupted:
      return "checkpoint interrupted";
    case Situation::kLogPoisoned:
      return "log poisoned";
    case Situation::kSegmentHitFullDisk:
      return "segment hit full disk";
    case Situation::kOverloadRefused:
      return "overload refused";
    case Situation::kBranchHeldBack:
      return "branch held back";
    case Situation::kHandedOver:
      return "handed over";
    case Situation::kHandOverTakenBack:
      return "handover taken back";
    case Situation::kDrainGivenUp:
      return "drain given up";
    case Situation::kRepliesUnconfirmed:
      return "replies unconfirmed at a handover";
    case Situation::kOldFilesRefused:
      return "old files refused";
    case Situation::kOldReplicaRefused:
      return "old replica refused";
    case Situation::kRunningLifeRefused:
      return "running life refused";
    case Situation::kUnknownLifeRefused:
      return "unknown life refused";
    case Situation::kMachineRestartWatched:
      return "machine restart watched";
    case Situation::kLeaderHeardOf:
      return "new primary heard of";
  }
  return "";
}

static_assert(!NameOf(Situation::kLast).empty() && NameOf(static_cast<Situation>(kSituations)).empty(),
              "Situation::kLast is not the last one");

}  // namespace

std::string_view ToString(Situation situation) {
  return NameOf(situation);
}

}  // namespace assent
