#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backup/replication.h"
#include "backup/timing.h"
#include "common/records.h"
#include "tests/unit/backup_memory_log.h"

// One ReplicationCore with a log in memory, its events fed and its effects looked at by hand.
namespace assent::backup {

inline const GroupId kGroup{GroupKind::kShard, 1};
inline const Incarnation kDirectory{77};
inline constexpr uint64_t kLife = 500;
// Node n has incarnation 10 * n.
inline Member Node(uint32_t n) {
  return {NodeId{n}, Incarnation{10ULL * n}};
}
inline View ViewOf(uint64_t epoch, uint32_t primary, uint64_t life, const std::vector<uint32_t>& nodes) {
  View view{kGroup, Epoch{epoch}, NodeId{primary}, life, {}};
  for (const uint32_t node : nodes) view.members.push_back(Node(node));
  return view;
}

class Replica {
 public:
  explicit Replica(uint32_t node, size_t replicas_min = 1)
      : self(node), core(Config(node, replicas_min), log) {}

  static ReplicationConfig Config(uint32_t node, size_t replicas_min = 1) {
    return {kGroup,    NodeId{node}, Node(node).incarnation, kLife, {NodeId{1}, NodeId{2}},
            NodeId{1}, replicas_min};
  }

  // One Step. Log effects are performed; all are kept until Take or Clear.
  Replica& Step(const Event& event) {
    Effects out;
    core.Step(now_us, event, out);
    for (Effect& effect : out) {
      if (const auto* append = std::get_if<AppendToLog>(&effect)) {
        for (const LogEntry& entry : append->entries) log.Append(entry);
      } else if (const auto* truncate = std::get_if<TruncateLog>(&effect)) {
        log.Truncate(truncate->after);
      }
      effects.push_back(std::move(effect));
    }
    core.CheckInvariants();
    AnswerBeacons();
    return *this;
  }

  // The other nodes do so at once, but for those that are silent.
  void AnswerBeacons() {
    Effects rest;
    std::vector<std::pair<uint32_t, Beacon>> beacons;
    for (Effect& effect : effects) {
      auto* send = std::get_if<SendTo>(&effect);
      const auto* beacon = send == nullptr ? nullptr : std::get_if<Beacon>(&send->message);
      if (beacon != nullptr && !silent.contains(Raw(send->to))) {
        beacons.emplace_back(Raw(send->to), *beacon);
      } else {
        rest.push_back(std::move(effect));
      }
    }
    effects = std::move(rest);
    for (const auto& [node, beacon] : beacons) {
      const BeaconAck ack{beacon.sent_us, 0, Node(node).incarnation};
      Receive(node, Raw(core.epoch()), ack);
    }
  }

  // All effects of this type so far, taken off the list.
  template <typename T>
  std::vector<T> Take() {
    std::vector<T> out;
    Effects rest;
    for (Effect& effect : effects) {
      if (auto* wanted = std::get_if<T>(&effect)) {
        out.push_back(std::move(*wanted));
      } else {
        rest.push_back(std::move(effect));
      }
    }
    effects = std::move(rest);
    return out;
  }
  // All messages of this type sent to `node`, taken off the list.
  template <typename M>
  std::vector<M> Sent(uint32_t node) {
    std::vector<M> out;
    Effects rest;
    for (Effect& effect : effects) {
      auto* send = std::get_if<SendTo>(&effect);
      if (send != nullptr && send->to == NodeId{node} && std::holds_alternative<M>(send->message)) {
        out.push_back(std::get<M>(send->message));
      } else {
        rest.push_back(std::move(effect));
      }
    }
    effects = std::move(rest);
    return out;
  }
  template <typename T>
  bool Has() const {
    for (const Effect& effect : effects) {
      if (std::holds_alternative<T>(effect)) return true;
    }
    return false;
  }
  void Clear() { effects.clear(); }

  Replica& Start(const std::vector<LogEntry>& entries, uint64_t applied, uint64_t seen) {
    for (const LogEntry& entry : entries) log.Append(entry);
    return Step(Started{log.last(), Lsn{applied}, Epoch{seen}, seen == 0 ? Incarnation{} : kDirectory,
                        confirmed, "n1 confirmed before"});
  }
  Replica& Read(const std::optional<View>& view) {
    std::vector<Member> registered;
    for (const uint32_t n : {1U, 2U, 3U}) registered.push_back(Node(n));
    return Step(ViewRead{view, kDirectory, registered});
  }
  // Reads `view` and enters it, persisting its epoch if asked to.
  Replica& Enter(const View& view) {
    Read(view);
    for (const PersistView& persist : Take<PersistView>()) Step(ViewPersisted{persist.seen_epoch});
    return *this;
  }
  Replica& Receive(uint32_t from, uint64_t epoch, const ReplicaMessage& message) {
    return Step(Received{NodeId{from}, Epoch{epoch}, Epoch{epoch}, message});
  }
  Replica& Ack(uint32_t from, uint64_t epoch, LogPosition durable) {
    return Receive(from, epoch, ShipAck{durable, Node(from).incarnation, false, {}});
  }
  Replica& Mismatch(uint32_t from, uint64_t epoch, LogPosition durable, LogPosition hint) {
    return Receive(from, epoch, ShipAck{durable, Node(from).incarnation, true, hint});
  }
  Replica& Forced(uint64_t lsn) { return Step(ForceDone{Lsn{lsn}}); }
  // The role core appends one record.
  Replica& Append(std::string payload) {
    LogEntry entry{{core.epoch(), Next(log.last().lsn)},
                   std::make_shared<const std::string>(std::move(payload))};
    log.Append(entry);
    return Step(LocalAppend{{entry}});
  }
  // Time passes, and a Tick comes.
  Replica& Wait(uint64_t us) {
    now_us += us;
    return Step(Tick{});
  }

  // A serving primary of `view` (whose life is ours) over `entries`, all of it acknowledged.
  Replica& Lead(const View& view, const std::vector<LogEntry>& entries) {
    Start(entries, 0, Raw(view.epoch) - 1);
    Enter(view);
    Forced(Raw(log.last().lsn));
    for (const Member& member : view.members) {
      if (Raw(member.node) != self) Ack(Raw(member.node), Raw(view.epoch), log.last());
    }
    Clear();
    return *this;
  }

  const uint32_t self;
  uint64_t now_us = 1;
  std::set<uint32_t> silent;  // nodes that answer no beacon
  MemoryLog log;
  ReplicationCore core;
  Effects effects;
  LogPosition confirmed;  // of this incarnation, before the start (R3)
};

}  // namespace assent::backup
