#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tests/unit/backup_simulation.h"

// One replica of a SimulatedGroup: what its disk holds, and what its process knows.
namespace assent::backup {

// A store: all records applied, in order. Its image as a snapshot is their text.
using Store = std::vector<std::string>;

// EpochBegan's encoding is binary; the others are our own.
inline std::string Text(const LogEntry& entry) {
  return entry.payload->starts_with("value") ? *entry.payload : "began " + ToString(entry.position);
}

struct SimulatedGroup::Node {
  struct AppendJob {
    LogEntry entry;
  };
  struct TruncateJob {
    LogPosition after;
  };
  struct InstallJob {
    LogPosition at;
    Store store;
  };
  using Job = std::variant<AppendJob, TruncateJob, InstallJob>;

  NodeId id{};
  // Durable.
  Incarnation incarnation{};
  MemoryLog disk;
  Store synced;  // the store as of its last checkpoint
  Epoch seen{};
  Incarnation directory_incarnation{};
  // Volatile.
  bool up = false;
  uint64_t down_until_us = 0;  // not started again before
  uint64_t paused_until_us = 0;
  double clock_rate = 1;  // its clock shows clock_offset_us + clock_rate * now
  uint64_t clock_offset_us = 0;
  uint64_t life = 0;
  MemoryLog log;  // disk, and what waits for it
  Store store;
  std::deque<Job> jobs;
  bool jobs_scheduled = false;
  std::unique_ptr<ReplicationCore> core;
  uint64_t tick_at_us = UINT64_MAX;
  bool serving = false;
  std::map<NodeId, std::pair<LogPosition, std::string>> snapshots_out;
  std::string snapshot_in;
  std::vector<Status> replies;
  std::string halted;

  Member member() const { return {id, incarnation}; }
};

}  // namespace assent::backup
