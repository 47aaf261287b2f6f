#include "sim/chaos.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "sim/durations.h"

namespace assent::sim {
namespace {

std::vector<NodeId> NodesOf(const WorldOptions& options) {
  std::set<NodeId> nodes;
  for (const GroupSpec& spec : options.groups) {
    nodes.insert(spec.replicas.begin(), spec.replicas.end());
    nodes.insert(spec.others.begin(), spec.others.end());
  }
  return {nodes.begin(), nodes.end()};
}

}  // namespace

ChaosPlan DrawChaos(uint64_t seed, const WorldOptions& options, uint64_t from_us) {
  std::mt19937_64 random(seed * 7919 + 17);
  const auto below = [&random](uint64_t bound) { return bound == 0 ? 0 : random() % bound; };
  const std::vector<NodeId> nodes = NodesOf(options);
  // A seed leaves some kinds out altogether: what one kind alone does is not covered up by others.
  std::vector<FaultKind> kinds;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    const auto kind = static_cast<FaultKind>(i);
    if (below(100) < 55) kinds.push_back(kind);
  }
  kinds.push_back(FaultKind::kKill);
  kinds.push_back(FaultKind::kCrashAtEffect);
  kinds.push_back(FaultKind::kCutAtProposal);
  kinds.push_back(FaultKind::kCutLeaders);
  ChaosPlan plan;
  plan.end_us = from_us + 40 * kSecond + below(20 * kSecond);
  const uint64_t count = 18 + below(24);
  for (uint64_t i = 0; i < count; ++i) {
    Fault fault;
    fault.at_us = from_us + below(plan.end_us - from_us);
    fault.kind = kinds[below(kinds.size())];
    fault.node = nodes[below(nodes.size())];
    fault.other = nodes[below(nodes.size())];
    fault.group = options.groups[below(options.groups.size())].id;
    // Mostly short against the times that decide a failover, often about as long, now and then longer.
    const uint64_t span = below(10);
    fault.for_us = span < 5   ? below(800 * kMs)
                   : span < 9 ? 1'500 * kMs + below(2'500 * kMs)
                              : below(9 * kSecond);
    fault.number = random();
    plan.faults.push_back(fault);
  }
  std::stable_sort(plan.faults.begin(), plan.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at_us < b.at_us; });
  return plan;
}

Chaos::Chaos(World& world, ChaosPlan plan, uint64_t seed, std::function<void()> stir)
    : world_(world),
      plan_(std::move(plan)),
      calm_(world.options()),
      random_(seed * 31 + 7),
      stir_(std::move(stir)) {}

void Chaos::Later(uint64_t us, std::function<void()> run) {
  world_.After(us, [this, run = std::move(run)] {
    if (!healed_) run();
  });
}

void Chaos::Begin() {
  for (const Fault& planned : plan_.faults) {
    Later(planned.at_us - world_.now_us(), [this, &planned] {
      const Fault fault = Aimed(planned);
      if (!Apply(fault)) return;
      ++counts_[static_cast<size_t>(fault.kind)];
      world_.trace().Line(world_.now_us(), fault.node, fault.group, "FAULT",
                          std::string(ToString(fault.kind)) + " " + ToString(fault.other) + " for " +
                              std::to_string(fault.for_us) + " us, " + std::to_string(fault.number % 1000));
    });
  }
  Later(200 * kMs, [this] { Operate(); });
}

// Restarts a node whose replica has halted, as the message asks; after damage, without its disk.
void Chaos::RestartHalted(NodeId node) {
  for (const GroupSpec& spec : calm_.groups) {
    Replica* replica = world_.IsUp(node) ? world_.Find(node, spec.id) : nullptr;
    if (replica == nullptr || !replica->halted()) continue;
    const std::string& why = replica->halt_reason();
    const bool is_lost = why.starts_with("damaged") || why.find("files are older") != std::string::npos;
    world_.Crash(node, false);
    if (is_lost && world_.MayLoseDisk(node, spec.id)) world_.Wipe(node, spec.id);
    break;
  }
}

// Does so where a node did not start because its files are older ones.
void Chaos::MoveOldFilesAside(NodeId node) {
  if (world_.IsUp(node) || world_.Refusal(node).empty()) return;
  for (const GroupSpec& spec : calm_.groups) {
    if (world_.Has(node, spec.id) && !world_.MayLoseDisk(node, spec.id)) return;
  }
  world_.WipeNode(node);
}

void Chaos::Repair(NodeId node) {
  RestartHalted(node);
  MoveOldFilesAside(node);
  if (!world_.IsUp(node)) world_.Start(node);
}

void Chaos::Operate() {
  for (const NodeId node : NodesOf(calm_)) {
    if (random_() % 4 == 0) RestartHalted(node);
    MoveOldFilesAside(node);
    if (!world_.IsUp(node) && world_.now_us() >= down_until_us_[node] && random_() % 4 == 0) {
      if (random_() % 4 == 0)
        world_.CrashAtEffect(node, 1 + random_() % 60, random_() % 2 == 0);  // in recovery
      world_.Start(node);
    }
  }
  if (world_.options().replay > 0) world_.SendAgain();
  Later(100 * kMs + random_() % (500 * kMs), [this] { Operate(); });
}

bool Chaos::Cut(NodeId from, NodeId to, uint64_t for_us) {
  if (from == to) return false;
  world_.Cut(from, to, true);
  Later(for_us, [this, from, to] { world_.Cut(from, to, false); });
  return true;
}

// The replicas whose files the fault takes; none where one of them holds the last copy
// of an acknowledged record.
std::vector<GroupId> Chaos::LossOf(const Fault& fault) const {
  const bool all = Choices(fault.number).OneIn(2);
  std::vector<GroupId> groups;
  for (const GroupSpec& spec : calm_.groups) {
    if (!world_.Has(fault.node, spec.id)) continue;
    if (all || spec.id == fault.group) groups.push_back(spec.id);
  }
  const auto may = [&](GroupId group) { return world_.MayLoseDisk(fault.node, group); };
  return std::all_of(groups.begin(), groups.end(), may) ? groups : std::vector<GroupId>();
}

bool Chaos::LoseDisk(const Fault& fault) {
  const std::vector<GroupId> groups = LossOf(fault);
  if (groups.empty()) return false;
  if (world_.IsUp(fault.node)) world_.Crash(fault.node, true);
  for (const GroupId group : groups) world_.Wipe(fault.node, group);
  return true;
}

// A copy of a node that is stopped; put back when the node has run again for a while.
bool Chaos::CopyDisk(const Fault& fault) {
  Choices choices(fault.number);
  const bool all = choices.OneIn(2);  // as LossOf
  if (world_.IsUp(fault.node)) world_.Crash(fault.node, false);
  const std::shared_ptr<const World::Copy> copy = world_.CopyFiles(fault.node);
  if (!choices.OneIn(3)) world_.Start(fault.node);
  Later(kSecond + fault.for_us + choices.Below(8 * kSecond),
        [this, fault, all, copy] { PutBackDisk(fault, all, *copy); });
  return true;
}

void Chaos::PutBackDisk(const Fault& fault, bool all, const World::Copy& copy) {
  const NodeId node = fault.node;
  const std::vector<GroupId> groups = LossOf(fault);
  if (groups.empty() || (!all && !world_.ShowsAsOld(node, fault.group, copy))) return;
  world_.trace().Line(world_.now_us(), node, fault.group, "FAULT", "the old disk is put back");
  if (world_.IsUp(node)) world_.Crash(node, random_() % 5 == 0);
  world_.PutBack(node, copy, all ? std::nullopt : std::optional(fault.group));
  // With all others down, as often as not: as at a restore.
  const bool alone = random_() % 7 < 4;
  for (const NodeId other : NodesOf(calm_)) {
    if (alone && other != node) Die(other, false, 2 * kSecond + random_() % (5 * kSecond));
  }
  if (random_() % 4 != 0) world_.Start(node);
}

// The operator does not bring it back before the time is over.
bool Chaos::Die(NodeId node, bool power, uint64_t for_us) {
  if (!world_.IsUp(node)) return false;
  world_.Crash(node, power);
  down_until_us_[node] = world_.now_us() + for_us;
  return true;
}

void Chaos::Isolate(NodeId node, uint64_t for_us) {
  for (const NodeId other : NodesOf(calm_)) {
    Cut(node, other, for_us);
    Cut(other, node, for_us);
  }
}

void Chaos::CutGroup(const Fault& fault) {
  for (const NodeId inside : NodesOf(calm_)) {
    if (!world_.Has(inside, fault.group)) continue;
    for (const NodeId outside : NodesOf(calm_)) {
      if (world_.Has(outside, fault.group)) continue;
      Cut(inside, outside, 2 * fault.for_us);
      Cut(outside, inside, 2 * fault.for_us);
    }
  }
}

// Every other time the disk stalls before, so that more gathers for that force.
void Chaos::CutPowerInForce(NodeId node) {
  const auto hold = [this, node](bool held) {
    for (const GroupSpec& spec : calm_.groups) {
      if (world_.Find(node, spec.id) != nullptr) world_.HoldLog(node, spec.id, held);
    }
  };
  if (random_() % 2 == 0) return world_.CutPowerInForce(node, true);
  hold(true);
  Later(50 * kMs + random_() % (400 * kMs), [this, node, hold] {
    if (!world_.IsUp(node)) return;
    world_.CutPowerInForce(node, true);
    hold(false);
  });
}

void Chaos::Flap(NodeId node, uint64_t times) {
  if (!world_.IsUp(node)) world_.Start(node);
  if (times == 0) return;
  stir_();
  CutPowerInForce(node);
  Later(100 * kMs + random_() % (900 * kMs), [this, node, times] { Flap(node, times - 1); });
}

// Records that the primary goes on to write are nowhere else when it dies, and its backups lead in its place:
// they did not hear of them, or their disks hung and their processes were killed with it.
void Chaos::CutBackupThenDie(GroupId group, NodeId primary, uint64_t cut_us, Choices choices) {
  const bool disks_hang = choices.OneIn(2);
  const View view = *world_.ViewOf(group);
  for (const Member& member : view.members) {
    if (member.node == primary) continue;
    if (!disks_hang) {
      Cut(primary, member.node, cut_us + 100 * kMs);
      if (choices.OneIn(2)) Cut(member.node, primary, cut_us + 100 * kMs);
    } else if (world_.IsUp(member.node)) {
      world_.HoldLog(member.node, group, true);
      Later(cut_us, [this, node = member.node] { Die(node, /*power=*/false, 0); });
    }
  }
  const bool power = choices.OneIn(2);
  const uint64_t for_us = 2 * kSecond + choices.Below(8 * kSecond);
  Later(cut_us, [this, primary, power, for_us] { Die(primary, power, for_us); });
}

// From all others, or from the other replicas alone. A backup may have died just before: then the proposal is
// to go on without it, or the one behind that, to take it back in.
void Chaos::CutAtProposal(NodeId node, GroupId group, uint64_t for_us, Choices choices) {
  uint64_t others = 0;
  if (const auto primary = world_.PrimaryNode(group); primary && choices.OneIn(2)) {
    node = *primary;
    const View view = *world_.ViewOf(group);
    for (const Member& member : view.members) {
      if (member.node != node) Die(member.node, /*power=*/choices.OneIn(2), 3 * kSecond);
    }
    others = choices.OneIn(3) ? 0 : 1;
  }
  const bool from_all = choices.OneIn(2);
  world_.CutAtProposal(node, others, [this, node, from_all, for_us](GroupId proposed) {
    if (healed_) return;
    stir_();
    for (const NodeId other : NodesOf(calm_)) {
      if (!from_all && !world_.Has(other, proposed)) continue;
      Cut(node, other, for_us);
      Cut(other, node, for_us);
    }
    world_.CutDirectory(node, true);
    Later(for_us, [this, node] { world_.CutDirectory(node, false); });
  });
}

// Every other fault hits the node that leads the group: that is where most can go wrong.
Fault Chaos::Aimed(Fault fault) {
  Choices choices(fault.number);
  if (choices.OneIn(2)) fault.node = world_.PrimaryNode(fault.group).value_or(fault.node);
  fault.number /= 2;
  return fault;
}

bool Chaos::Apply(const Fault& fault) {
  const NodeId node = fault.node;
  const bool up = world_.IsUp(node);
  Choices choices(fault.number);
  WorldOptions& options = world_.options();
  switch (fault.kind) {
    case FaultKind::kKill:
    case FaultKind::kPowerCut:
      if (fault.kind == FaultKind::kPowerCut && choices.OneIn(2)) {
        if (up) CutPowerInForce(node);
        return up;
      }
      return Die(node, fault.kind == FaultKind::kPowerCut, choices.OneIn(3) ? 0 : fault.for_us);
    case FaultKind::kStop:
      if (up) world_.Leave(node);
      return up;
    case FaultKind::kPowerCutAll:
      for (const NodeId each : NodesOf(calm_)) {
        if (world_.IsUp(each)) world_.Crash(each, true);
      }
      return true;
    case FaultKind::kFlap:
      Flap(node, 2 + choices.Below(3));
      return true;
    case FaultKind::kCrashAtEffect:
      if (up) {
        const bool power = choices.OneIn(2);
        world_.CrashAtEffect(node, 1 + choices.Below(400), power);
      }
      return up;
    case FaultKind::kPause:
      if (up) world_.Pause(node, fault.for_us + (choices.OneIn(2) ? 3 * kSecond : 0));
      return up;
    case FaultKind::kPartition:
      return Cut(node, fault.other, fault.for_us) && Cut(fault.other, node, fault.for_us);
    case FaultKind::kOneWay:
      return Cut(node, fault.other, fault.for_us);
    case FaultKind::kIsolate:
      Isolate(node, fault.for_us);
      if (choices.OneIn(2)) return true;
      world_.CutDirectory(node, true);
      Later(fault.for_us, [this, node] { world_.CutDirectory(node, false); });
      return true;
    case FaultKind::kCutOffThenDie:
      if (!up) return false;
      Isolate(node, fault.for_us % (1'900 * kMs));
      Later(fault.for_us % (1'900 * kMs), [this, node, choices]() mutable {
        const bool power = choices.OneIn(2);
        Die(node, power, 2 * kSecond + choices.Below(8 * kSecond));
      });
      return true;
    case FaultKind::kCutBackupThenDie: {
      const auto primary = world_.PrimaryNode(fault.group);
      if (!primary) return false;
      const uint64_t cut_us = 50 * kMs + fault.for_us % (1'800 * kMs);
      CutBackupThenDie(fault.group, *primary, cut_us, choices);
      return true;
    }
    case FaultKind::kCutLeaders: {
      const auto one = world_.PrimaryNode(calm_.groups.front().id);
      const auto other = world_.PrimaryNode(fault.group);
      if (!one || !other || *one == *other) return false;
      const uint64_t for_us = kSecond + fault.for_us;
      if (choices.OneIn(2)) Cut(*one, *other, for_us);
      return Cut(*other, *one, for_us);
    }
    case FaultKind::kCutAtProposal:
      if (!up) return false;
      CutAtProposal(node, fault.group, 4 * kSecond + fault.for_us, choices);
      return true;
    case FaultKind::kCutGroup:
      CutGroup(fault);
      return true;
    case FaultKind::kNoClients:
      world_.CutClients(node, true);
      Later(fault.for_us, [this, node] { world_.CutClients(node, false); });
      return true;
    case FaultKind::kNoDirectory:
      world_.CutDirectory(node, true);
      Later(fault.for_us, [this, node] { world_.CutDirectory(node, false); });
      return true;
    case FaultKind::kDirectoryTrouble:
      options.directory_trouble = 0.5;
      Later(fault.for_us, [this] { world_.options().directory_trouble = calm_.directory_trouble; });
      return true;
    case FaultKind::kLoss:
      options.loss = 0.02 + static_cast<double>(choices.Below(30)) / 100;
      Later(fault.for_us, [this] { world_.options().loss = calm_.loss; });
      return true;
    case FaultKind::kSlowNetwork:
      options.delay_us_max = 5 * kMs + choices.Below(300 * kMs);
      Later(fault.for_us, [this] { world_.options().delay_us_max = calm_.delay_us_max; });
      return true;
    case FaultKind::kReplay:
      options.replay = 0.1;
      options.duplication = 0.1;
      options.stall = choices.OneIn(2) ? 0.05 : 0;
      for (uint64_t at_us = 0; at_us < fault.for_us; at_us += 40 * kMs) {
        Later(at_us, [this] { world_.SendAgain(); });
      }
      Later(fault.for_us, [this] {
        world_.options().replay = calm_.replay;
        world_.options().stall = 0;
        world_.options().duplication = calm_.duplication;
      });
      return true;
    case FaultKind::kClockJump:
      world_.JumpClock(
          node, static_cast<int64_t>(choices.Below(7'200 * kSecond)) - static_cast<int64_t>(3'600 * kSecond));
      return true;
    case FaultKind::kSlowDisk:
      if (!up || !world_.Has(node, fault.group)) return false;
      world_.HoldLog(node, fault.group, true);
      Later(fault.for_us, [this, node, group = fault.group] {
        if (world_.IsUp(node)) world_.HoldLog(node, group, false);
      });
      return true;
    case FaultKind::kSlowForces: {
      if (!up) return false;
      const uint64_t by_us = kSecond + choices.Below(5 * kSecond);
      for (const GroupSpec& spec : calm_.groups) {
        if (world_.Has(node, spec.id)) world_.SlowLog(node, spec.id, by_us);
      }
      Later(3 * fault.for_us + 5 * kSecond, [this, node] {
        for (const GroupSpec& spec : calm_.groups) {
          if (world_.IsUp(node) && world_.Has(node, spec.id)) world_.SlowLog(node, spec.id, 0);
        }
      });
      return true;
    }
    case FaultKind::kIoError:
    case FaultKind::kDiskFull: {
      if (!up || !world_.Has(node, fault.group)) return false;
      // Writes that a failed sync left out may be lost at any later power cut (R7).
      if (!world_.MayLoseDisk(node, fault.group)) return false;
      const bool of_log = !choices.OneIn(3);
      const uint64_t effect = 1 + choices.Below(12);
      std::function<void()> then;
      if (!choices.OneIn(3)) {  // what was not written is gone once the power goes
        const uint64_t until_us = choices.OneIn(3) ? fault.for_us : fault.for_us % (300 * kMs);
        then = [this, node, until_us] { Later(until_us, [this, node] { Die(node, /*power=*/true, 0); }); };
      }
      world_.BreakDisk(node, fault.group, effect,
                       fault.kind == FaultKind::kIoError ? wal::MemoryFileSystem::Fault::kError
                                                         : wal::MemoryFileSystem::Fault::kDiskFull,
                       of_log, std::move(then));
      return true;
    }
    case FaultKind::kNoRoom:
      if (!up || !world_.Has(node, fault.group)) return false;
      world_.LimitDisk(node, fault.group, choices.Below(choices.OneIn(2) ? 4 << 10 : 16 << 10),
                       /*of_store=*/choices.OneIn(3));
      Later(3 * kSecond + fault.for_us, [this, node, group = fault.group, restart = choices.OneIn(2)] {
        world_.LimitDisk(node, group, std::nullopt);
        if (restart) Die(node, /*power=*/false, 0);
      });
      return true;
    case FaultKind::kBitRot:
      if (!world_.Has(node, fault.group) || !world_.MayLoseDisk(node, fault.group)) return false;
      if (up) world_.Crash(node, true);
      world_.Rot(node, fault.group, /*of_log=*/!choices.OneIn(3));
      return true;
    case FaultKind::kLostDisk:
      return LoseDisk(fault);
    case FaultKind::kOldDisk:
      return CopyDisk(fault);
    case FaultKind::kClonedDisk: {
      if (!up) return false;
      world_.StartClone(node, /*same_machine=*/choices.OneIn(2));
      const uint64_t for_us = 4 * kSecond + fault.for_us;
      if (choices.OneIn(3)) {  // and the original's register stands still
        world_.CutDirectory(node, true);
        Later(for_us, [this, node] { world_.CutDirectory(node, false); });
      }
      Later(for_us, [this] { world_.StopClones(); });
      return true;
    }
    case FaultKind::kRemoveReplica:
    case FaultKind::kAddReplica: {
      const auto primary = world_.PrimaryNode(fault.group);
      if (!primary || !world_.Has(node, fault.group)) return false;
      world_.Ask(*primary, fault.group,
                 fault.kind == FaultKind::kAddReplica ? backup::ChangeKind::kAddReplica
                                                      : backup::ChangeKind::kRemoveReplica,
                 node);
      return true;
    }
    case FaultKind::kPromote: {
      const auto primary = world_.PrimaryNode(fault.group);
      if (!primary) return false;
      std::vector<Member> backups = world_.ViewOf(fault.group)->members;
      std::erase_if(backups, [&](const Member& member) { return member.node == *primary; });
      if (backups.empty()) return false;
      backup::OperatorChange change;
      change.kind = backup::ChangeKind::kPromote;
      change.member = backups[choices.Below(backups.size())];
      change.drain_us = choices.Below(2 * kSecond);
      change.force = choices.OneIn(2);
      world_.Ask(*primary, fault.group, change);
      return true;
    }
  }
  return false;
}

void Chaos::Heal() {
  healed_ = true;
  const std::vector<NodeId> nodes = NodesOf(calm_);
  WorldOptions& options = world_.options();
  options.loss = options.duplication = options.replay = options.stall = options.directory_trouble = 0;
  options.delay_us_max = calm_.delay_us_max;
  options.in_order = true;
  world_.StopClones();
  for (const NodeId node : nodes) {
    world_.CrashAtEffect(node, 0, false);  // disarmed
    world_.CutPowerInForce(node, false);
    for (const NodeId other : nodes) world_.Cut(node, other, false);
    world_.CutClients(node, false);
    world_.CutDirectory(node, false);
    world_.Resume(node);
    world_.CutAtProposal(node, 0, nullptr);
    for (const GroupSpec& spec : calm_.groups) {
      if (!world_.Has(node, spec.id)) continue;
      world_.MendDisk(node, spec.id);
      world_.LimitDisk(node, spec.id, std::nullopt);
      if (!world_.IsUp(node)) continue;
      world_.HoldLog(node, spec.id, false);
      world_.SlowLog(node, spec.id, 0);
    }
    if (world_.IsLeaving(node)) world_.Crash(node, false);
    Repair(node);
  }
}

}  // namespace assent::sim
