#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/ids.h"

// The entry that the process which runs as a node keeps in the directory (R3), so that older files of that
// node, and a second process on a copy of them, do not pass for it.
namespace assent {

// How another process can tell whether this one is gone. 0 or empty: not known.
struct ProcessTrace {
  std::string boot;   // drawn by the machine's kernel when it started
  uint64_t pids = 0;  // the name space that `pid` is of
  uint64_t pid = 0;
  uint64_t started = 0;  // in the kernel's ticks since it started: pids are used again
  // The lock file of its data directory, which a copy is another one than: where it lies, and when
  // it was made.
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t born_ns = 0;
  bool operator==(const ProcessTrace&) const = default;
};

// About one replica: all up to `position` is durable in its files, and known to be replicated, so that no
// truncation takes it back (R4).
struct Confirmed {
  GroupId group;
  Incarnation incarnation{};
  LogPosition position;
  bool operator==(const Confirmed&) const = default;
};

struct NodeRegister {
  NodeId node{};
  uint64_t version = 0;  // rises by one with each change, and so shows that the process lives; 0 = none
  uint64_t files = 0;    // drawn when the data directory was made
  uint64_t starts = 0;   // of processes on that data directory, this one included
  uint64_t life = 0;     // of the process, drawn when it started
  std::string address;
  ProcessTrace process;
  bool stopped = false;              // it ended in order, or an operator vouches that it is gone
  uint64_t wall_us = 0;              // when this version was made, for people
  std::vector<Confirmed> confirmed;  // of incarnations that the node held once, too: the last few of a group
  bool operator==(const NodeRegister&) const = default;
};

// "2026-11-26 17:20:01 UTC".
std::string UtcTime(uint64_t wall_us);

}  // namespace assent
