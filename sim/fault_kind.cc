#include "sim/chaos.h"

// The faults' names.
namespace assent::sim {
namespace {

constexpr std::string_view NameOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kKill:
      return "kill";
    case FaultKind::kStop:
      return "stop";
    case FaultKind::kPowerCut:
      return "power-cut";
    case FaultKind::kPowerCutAll:
      return "power-cut-all";
    case FaultKind::kFlap:
      return "flap";
    case FaultKind::kCrashAtEffect:
      return "crash-at-effect";
    case FaultKind::kPause:
      return "pause";
    case FaultKind::kPartition:
      return "partition";
    case FaultKind::kOneWay:
      return "one-way";
    case FaultKind::kIsolate:
      return "isolate";
    case FaultKind::kCutOffThenDie:
      return "cut-off-then-die";
    case FaultKind::kCutBackupThenDie:
      return "cut-backup-then-die";
    case FaultKind::kCutLeaders:
      return "cut-leaders";
    case FaultKind::kCutAtProposal:
      return "cut-at-proposal";
    case FaultKind::kCutGroup:
      return "cut-group";
    case FaultKind::kNoClients:
      return "no-clients";
    case FaultKind::kNoDirectory:
      return "no-directory";
    case FaultKind::kDirectoryTrouble:
      return "directory-trouble";
    case FaultKind::kLoss:
      return "loss";
    case FaultKind::kSlowNetwork:
      return "slow-network";
    case FaultKind::kReplay:
      return "replay";
    case FaultKind::kClockJump:
      return "clock-jump";
    case FaultKind::kSlowDisk:
      return "slow-disk";
    case FaultKind::kSlowForces:
      return "slow-forces";
    case FaultKind::kIoError:
      return "io-error";
    case FaultKind::kDiskFull:
      return "disk-full";
    case FaultKind::kNoRoom:
      return "no-room";
    case FaultKind::kBitRot:
      return "bit-rot";
    case FaultKind::kLostDisk:
      return "lost-disk";
    case FaultKind::kOldDisk:
      return "old-disk";
    case FaultKind::kClonedDisk:
      return "cloned-disk";
    case FaultKind::kRemoveReplica:
      return "remove-replica";
    case FaultKind::kAddReplica:
      return "add-replica";
    case FaultKind::kPromote:
      return "promote";
  }
  return "";
}

static_assert(!NameOf(FaultKind::kLast).empty() && NameOf(static_cast<FaultKind>(kFaultKinds)).empty(),
              "FaultKind::kLast is not the last one");

}  // namespace

std::string_view ToString(FaultKind kind) {
  return NameOf(kind);
}

}  // namespace assent::sim
