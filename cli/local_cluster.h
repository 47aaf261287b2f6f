#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "runtime/config/config.h"

namespace assent::cli {

struct LocalClusterOptions {
  std::string directory;  // holds everything: configurations, data, logs; kept
  // Node k listens on base_port + k - 1; 0 = free ports. Kept from the first start on ...
  uint16_t base_port = 0;
  bool port_must_match = false;  // ... and then another one is an error
  bool crash_points = false;
  std::string program = {};  // the assent program; empty = that of this process
  std::vector<ResourceManagerEntry> resource_managers = {};
  uint64_t segment_bytes = 0;     // 0 = the configuration's default; so is
  uint64_t checkpoint_bytes = 0;  // this
  // Six nodes, with a replica each: those of c1, of s1 and of s2, primaries first.
  bool one_replica_a_node = false;
  // The address at which node `from` reaches node `to`, and tells clients to, where it is another one than
  // that at which `to` listens: a test may put a network of its own in between. Asked once for each pair.
  std::function<Address(int from, int to, const Address& listen)> route = {};
  // Asked again and again while the cluster starts: true ends that, with kUnavailable.
  std::function<bool()> interrupted = {};
};

// Three nodes on this machine, as processes of this program: coordinator c1 and shards s1, s2, each with its
// primary on one node and its backup on another.
//
//        n1                n2                n3
//        c1 primary        c1 backup
//                          s1 primary        s1 backup
//        s2 backup                           s2 primary
//
// The processes end with the thread that started them, whatever ends it; the data stays. One thread uses it
// at a time, and one object a directory: DIRECTORY/lock, held with flock(2), names its process.
class LocalCluster {
 public:
  static constexpr int kNodes = 3;

  // Writes what is missing in the directory; an existing cluster there is taken up as it is. kConflict: the
  // directory or a port is in use; a new directory is then left unmade. kInvalid: not a directory of ours, or
  // ports that do not fit.
  static Result<std::unique_ptr<LocalCluster>> Prepare(const LocalClusterOptions& options);
  ~LocalCluster();  // stops all
  LocalCluster(const LocalCluster&) = delete;
  LocalCluster& operator=(const LocalCluster&) = delete;

  // And waits until every group is served by nodes started here. Ends at once if one of them ends.
  Status StartAll();
  Status Start(int node);             // 1..node_count(); returns once the process exists
  void Kill(int node);                // kill -9, and waits for its end
  void Pause(int node, bool paused);  // SIGSTOP, SIGCONT
  void StopAll();                     // SIGTERM, and waits; who does not end in 30 s is killed
  // -1: runs, or was never started. Else its exit status as the shell shows it (137 after kill -9).
  // Does not block.
  int ExitStatus(int node);
  // How a node ended, and the last lines that it wrote since it was started.
  std::string DescribeEnd(int node);
  // Until every group has a primary that serves; kUnavailable with what is missing after `timeout_ms`, or at
  // once where a node has ended by itself; kConflict where another process answers in a node's place.
  Status AwaitServing(int timeout_ms);
  // Until the process ends by itself.
  Status AwaitExit(int node, int timeout_ms);
  // Arms a crash point at the node: it kills itself at the `count`-th time.
  Status ArmCrash(int node, const std::string& point, int64_t count) const;

  int node_count() const;
  const std::string& cluster() const;
  std::vector<std::string> addresses() const;  // host:port of all nodes
  const NodeConfig& config(int node) const;
  std::string LogFile(int node) const;  // what the process says, on stderr

 private:
  // `by_itself`: a node that a signal ended does not count; the sender of the signal starts it again.
  Status AwaitServing(int timeout_ms, bool by_itself);
  struct Impl;
  explicit LocalCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent::cli
