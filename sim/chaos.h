#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "sim/world.h"

// The faults of a run: a list drawn from the seed before the run begins, so that a failing one can be made
// smaller by leaving faults out.
namespace assent::sim {

enum class FaultKind : uint8_t {
  kKill,              // of a process
  kStop,              // of a process, as an operator stops it: it leaves its views first
  kPowerCut,          // of a machine
  kPowerCutAll,       // of all at once
  kFlap,              // the power of a machine goes again and again, each time as soon as its log writes
  kCrashAtEffect,     // a process dies between two of its effects; with its machine or without
  kPause,             // a process stops, and goes on
  kPartition,         // a node and another, both ways
  kOneWay,            // the same, one way
  kIsolate,           // a node from all others
  kCutOffThenDie,     // a node from all others, and then its power goes, for long
  kCutBackupThenDie,  // a primary from its backups alone, and then its power goes, for long
  kCutLeaders,        // the primary of the coordinators from that of a group
  kCutAtProposal,     // a node, as it proposes a view: the directory takes it, and no answer comes
  kCutGroup,          // the nodes of a group from all others
  kNoClients,         // a node from clients
  kNoDirectory,       // a node from the directory
  kDirectoryTrouble,  // for everybody: no answers, compare-and-swaps of unknown fate
  kLoss,              // many messages are lost
  kSlowNetwork,       // messages take long, and overtake each other
  kReplay,            // messages come again, much later
  kClockJump,         // of the wall clock
  kSlowDisk,          // a log's forces do not end for a while
  kSlowForces,        // each force of a node's logs takes seconds, for a while
  kIoError,           // a write or sync of a log or a store fails
  kDiskFull,          // one write finds no room
  kNoRoom,            // no file grows for a while
  kBitRot,            // one bit of a log or a store of a machine that is down
  kLostDisk,          // all files of a replica, or of a node
  kOldDisk,           // the same, put back from a copy of them that was made before
  kClonedDisk,        // a process starts on a copy of a running node's files
  kRemoveReplica,     // an operator does
  kAddReplica,
  kPromote,
  kLast = kPromote
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(FaultKind::kLast) + 1;
std::string_view ToString(FaultKind kind);

// A fault's number, as independent choices.
class Choices {
 public:
  explicit Choices(uint64_t number) : number_(number) {}
  uint64_t Below(uint64_t bound) {
    const uint64_t choice = number_ % bound;
    number_ /= bound;
    return choice;
  }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t number_;
};

struct Fault {
  uint64_t at_us = 0;  // of the world's time
  FaultKind kind{};
  NodeId node{};
  NodeId other{};
  GroupId group{};
  uint64_t for_us = 0;
  uint64_t number = 0;  // which effect, how far: see Choices
};

struct ChaosPlan {
  std::vector<Fault> faults;  // in order of time
  uint64_t end_us = 0;        // healing begins
};

ChaosPlan DrawChaos(uint64_t seed, const WorldOptions& options, uint64_t from_us);

// Lets the faults of a plan happen to a world, ends them in time, and does what an operator does meanwhile:
// restarts what is down or halted.
class Chaos {
 public:
  // `stir` is called where something begins that the plan does not date.
  Chaos(World& world, ChaosPlan plan, uint64_t seed, std::function<void()> stir);

  // Schedules all of it.
  void Begin();
  // Everything works from here on, once the operator was here.
  void Heal();

  // An operator's help for a node that is down, or has a replica that has halted.
  void Repair(NodeId node);

  using Counts = std::array<uint64_t, kFaultKinds>;
  const Counts& counts() const { return counts_; }  // that happened: some have nothing to happen to

 private:
  Fault Aimed(Fault fault);
  bool Apply(const Fault& fault);
  bool Cut(NodeId from, NodeId to, uint64_t for_us);
  bool LoseDisk(const Fault& fault);
  bool CopyDisk(const Fault& fault);
  void PutBackDisk(const Fault& fault, bool all, const World::Copy& copy);
  std::vector<GroupId> LossOf(const Fault& fault) const;
  void Isolate(NodeId node, uint64_t for_us);
  void CutGroup(const Fault& fault);
  bool Die(NodeId node, bool power, uint64_t for_us);
  void CutPowerInForce(NodeId node);
  void Flap(NodeId node, uint64_t times);
  void CutBackupThenDie(GroupId group, NodeId primary, uint64_t cut_us, Choices choices);
  void CutAtProposal(NodeId node, GroupId group, uint64_t for_us, Choices choices);
  void Operate();
  void RestartHalted(NodeId node);
  void MoveOldFilesAside(NodeId node);
  void Later(uint64_t us, std::function<void()> run);

  World& world_;
  const ChaosPlan plan_;
  const WorldOptions calm_;  // as it was before
  std::mt19937_64 random_;
  const std::function<void()> stir_;
  Counts counts_{};
  std::map<NodeId, uint64_t> down_until_us_;
  bool healed_ = false;
};

}  // namespace assent::sim
