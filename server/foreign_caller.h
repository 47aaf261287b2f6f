#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/role.h"
#include "rm/resource_manager.h"

// Performs a coordinator core's CallForeign effects against the configured resource managers (rm/), and hands
// back a ForeignReply for each. It repeats nothing and
// decides nothing: a call that brought no usable answer is reported as not reached, and the core's timers do
// the rest (C7).
//
// Each resource manager has its own threads and connections, in three lanes: prepares, commits and rollbacks,
// and recover. So a prepare which waits for a lock never holds up the commit that would free it, and neither
// the list of what is in doubt. As many connections finish as prepare: a manager that votes faster than it
// commits would fall ever further behind.
//
//   Call() --queue of the lane--> a thread of the lane: connect if need be, call, validate --> done(reply)
//
// Guarantees: Call() never blocks. Exactly one reply for each call, unless the caller is destroyed first; and
// before the core's `foreign_call_us`, so that no call is made twice because it waited here. Memory is
// bounded: past `queue_max` a call is answered at once as unsent (G8), and so is one that found no connection
// free within `wait_max_ms`. After a failed connect, calls of that lane fail at once for `pause_ms`, so a
// dead resource manager costs a connect a pause, not one a call. Who has no calls to make holds no
// connections: a node that leads no coordinator group any more leaves the resource managers to the one that
// does.
namespace assent {

inline constexpr int kForeignWaitMaxMs = 5'000;
inline constexpr int kForeignConnectMs = 1'000;
inline constexpr int kForeignCallMs = 5'000;

struct ForeignTarget {
  std::string name;  // as transactions name it
  const rm::Kind* kind = nullptr;
  Address address{};  // these three as rm::Target has them
  std::string dsn{};
  std::string password_file{};
  // Until an answer begins; of the order of the core's vote timeout, since a later vote is of no use.
  int prepare_timeout_ms = kForeignCallMs;
  int finish_timeout_ms = kForeignCallMs;
};

struct ForeignCallerOptions {
  std::string cluster;
  size_t connections = 4;         // of one resource manager, to prepare; and as many to commit and roll back
  size_t queue_max = 4'096;       // of each lane
  size_t recovered_max = 65'536;  // branches that one kRecover reports; a later one sees the rest
  int wait_max_ms = kForeignWaitMaxMs;
  int connect_timeout_ms = kForeignConnectMs;
  int pause_ms = 200;
  int rest_ms = 10'000;  // without a call: then a connection is given up
};

class ForeignCaller {
 public:
  // Called once for each Call, from a thread of this object, or from within Call() itself if that is refused
  // at once. Must not block. `group` is the one given to Call().
  using Done = std::function<void(GroupId group, ForeignReply reply)>;

  ForeignCaller(const ForeignCallerOptions& options, const std::vector<ForeignTarget>& targets, Done done);
  ~ForeignCaller();  // interrupts calls that are under way, and joins the threads; what is left gets no reply
  ForeignCaller(const ForeignCaller&) = delete;
  ForeignCaller& operator=(const ForeignCaller&) = delete;

  // Any thread. `group`: the coordinator group on whose behalf. A name that is not configured is answered as
  // unsent, with a detail.
  void Call(GroupId group, const CallForeign& call);

 private:
  class Lane;
  struct Lanes {
    std::unique_ptr<Lane> prepare;
    std::unique_ptr<Lane> finish;
    std::unique_ptr<Lane> recover;
    Lane& For(ForeignVerb verb) const;
  };

  const Done done_;
  std::map<std::string, Lanes> lanes_;  // by resource manager
};

}  // namespace assent
