#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/node_register.h"
#include "common/placement.h"
#include "common/status.h"
#include "common/view.h"

// Where views and placement are agreed: the external configuration service of PacificA (Lin et al.,
// MSR-TR-2008-25, section 3). Not on the commit path. It stores what it is given and compares epochs; whether
// a proposer was entitled to its proposal (R3) is for backup/ to know.
//
// Calls block on a disk or a network and come from one helper thread; implementations are safe
// to call from several.
namespace assent {

// Drawn at random when the directory was made (R12). A replica that finds another one than it has stored, or
// its own epoch above the directory's, is looking at a directory that was made anew or restored from a copy.
// 0 = none.
enum class DirectoryIncarnation : uint64_t {};

struct DirectorySnapshot {
  DirectoryIncarnation incarnation{};
  Epoch first_epoch{1};      // of the first view of each group
  std::optional<View> view;  // that of the highest epoch; none before the group's first one
  std::vector<Member>
      registrations;  // replicas that announced themselves, members of the view or not; by node
};

enum class CasOutcome : uint8_t {
  kWon = 1,
  kLost,     // another view holds: `current`
  kFailed,   // this call made nothing, nor will it
  kUnknown,  // it may hold or not, now or later: Read until the view's epoch is at or above the proposal's
             // (R3)
};
struct CasResult {
  CasOutcome outcome = CasOutcome::kUnknown;
  std::optional<View> current;  // kLost only; none if the group has no view yet
  Status error;                 // kFailed, kUnknown
};

class Directory {
 public:
  virtual ~Directory() = default;

  // Linearizable: shows every CAS that had won, and every registration that had returned, before the call.
  // The view that it shows is durable.
  virtual Result<DirectorySnapshot> Read(GroupId group) = 0;

  // Makes `next` the group's view if the current epoch is next.epoch - 1, or where there is none, next.epoch
  // is the first one. At most one view is ever made for an epoch (I-R2), and a won one is durable. R3:
  // kFailed with kForeign where the register of next.primary names another process than the one that this
  // object was opened for: that one proposes no more.
  virtual CasResult CompareAndSwap(const View& next) = 0;

  // Announces a replica, or replaces what was announced for (group, node). Any incarnation but 0 is accepted:
  // a replica that lost its disk comes back under a new one, and since views and acks count only under the
  // incarnation that the view names (R3), the announcement lends it nothing but the chance
  // to become a learner.
  virtual Status Register(GroupId group, NodeId node, Incarnation incarnation) = 0;

  // R3: the node's register, durable; none before its first process.
  virtual Result<std::optional<NodeRegister>> ReadRegister(NodeId node) = 0;
  // Makes `next` the node's register if the current version is next.version - 1 (0 where there is none).
  // kConflict: another one holds. After any other error it may hold or not: read.
  virtual Status SwapRegister(const NodeRegister& next) = 0;

  // kNotFound until it was created.
  virtual Result<Placement> ReadPlacement() = 0;
  // Once. ok if the same is there already; kConflict if another is.
  virtual Status CreatePlacement(const Placement& placement) = 0;
};

}  // namespace assent
