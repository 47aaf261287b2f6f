#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/ids.h"
#include "common/node_register.h"

namespace assent::backup {

// How often a register is renewed, and for how long one is watched that may belong to a living process: three
// renewals, so that one or two that are slow are no death.
inline constexpr uint64_t kRenewUs = 1'000'000;
inline constexpr uint64_t kWatchUs = 3'000'000;
inline constexpr uint64_t kLookUs = 250'000;
// Per group: the incarnations whose files may be put back by mistake.
inline constexpr int64_t kIncarnationsKept = 4;

// The state of the process that a register names, as far as the driver can tell.
enum class EarlierLife : uint8_t {
  kGone = 1,
  kRuns,
  kMachineRestarted,  // it ran on these very files, before their machine was started anew: gone, as long as
                      // its register stands still. (A clone of a whole machine looks the same.)
  kUnknown,
};

// A replica of this node.
struct OwnReplica {
  GroupId group;
  Incarnation incarnation{};
};

// The register of a node in the directory, seen from a process that is to run as that node (R3), as a
// deterministic state machine: no I/O, no clock. (node, incarnation) is in the files, so a copy of the files
// is the member, unless something outside of them tells the two apart. That is this register, changed by
// compare-and-swap on its version, off the commit path.
//
//   Looking --nobody's, or of a process that is gone--> Claiming --won--> Held --names another life--> Lost
//      | '--another life runs, or may run on the original of these files--> Refused
//      '----a later process ran on these files than they know of, or
//           other files have taken the place of these-------------------------> Refused
//
// Guarantees, as far as the register shows it (docs/PROTOCOL.md, R3, says what it cannot show):
//   - Held only after every earlier life of the node was gone, or an operator vouched for that.
//   - Held only if no later process than this one was ever registered with these files, or with files that
//     took their place.
//   - A position confirmed of an incarnation never falls. A replica that is a member and lacks it has older
//     files (ReplicationCore halts it).
class Registration {
 public:
  enum class State : uint8_t { kLooking = 1, kClaiming, kHeld, kRefused, kLost };

  // `own`: node, files, starts (one more than the files know of: counted there before the first swap), life,
  // address and process of this process.
  Registration(NodeRegister own, std::vector<OwnReplica> replicas);

  // The work to do now: read the register (answered by OnLooked), or make this one the node's if the current
  // version is the one before (OnSwapped); nothing: see NextDeadline. One at a time.
  struct Look {};
  using Work = std::variant<Look, NodeRegister>;
  std::optional<Work> Next(uint64_t now_us);
  uint64_t NextDeadline() const;

  void OnLooked(uint64_t now_us, const std::optional<NodeRegister>& seen, EarlierLife earlier);
  // `won` false: it was lost, or its fate is not known.
  void OnSwapped(uint64_t now_us, bool won);
  void OnNoAnswer(uint64_t now_us);  // to a Look

  // For the next renewal. A position lower than before, or of no incarnation, changes nothing.
  void Confirm(uint64_t wall_us, const std::vector<Confirmed>& positions);
  // Somebody else knows that the register names another life: look, rather than wait for the next renewal.
  void Doubt() { doubts_ = true; }
  // The register to put in place of `seen`, the one as it is, when this process has closed its replicas: it
  // says that the process ended in order. Nothing where the register is not this life's.
  std::optional<NodeRegister> Farewell(const std::optional<NodeRegister>& seen) const;

  NodeId node() const { return own_.node; }
  State state() const { return state_; }
  const std::string& text() const { return text_; }  // kRefused, kLost: why, and what to do
  // Held: the position that this life of the node, or one before, confirmed of these files; (0, 0): none.
  LogPosition ConfirmedOf(GroupId group, Incarnation incarnation) const;
  std::string ConfirmedBy() const;  // whom, and when, for people

 private:
  void Judge(uint64_t now_us, const NodeRegister& seen, EarlierLife earlier);
  bool IsWatchOver(uint64_t now_us, const NodeRegister& seen);
  bool SharesReplicas(const NodeRegister& seen) const;
  void Claim(const NodeRegister& seen);
  void Refuse(std::string text);
  void RefuseForARunningOne(const NodeRegister& seen);
  void ForgetOldest(GroupId group);

  NodeRegister own_;  // as last put there, or about to be
  const std::vector<OwnReplica> replicas_;
  State state_ = State::kLooking;
  bool busy_ = false;    // Next's work is unanswered
  bool doubts_ = false;  // kHeld: the fate of a swap is not known
  uint64_t next_us_ = 0;
  std::optional<NodeRegister> watched_;  // since watched_us_
  uint64_t watched_us_ = 0;
  std::string text_;
  uint64_t confirmed_us_ = 0;  // wall clock: when all of own_.confirmed had been
};

}  // namespace assent::backup
