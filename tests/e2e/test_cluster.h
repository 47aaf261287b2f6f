#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/cluster_view.h"
#include "cli/local_cluster.h"
#include "common/placement.h"
#include "common/status.h"
#include "tests/e2e/faulty_network.h"

namespace assent::e2e {

// Ports of this machine that no other test of this user draws while the object lives. They lie below the
// range of ephemeral ports, so that no outgoing connection can take the port of a node that is down.
class PortBlock {
 public:
  static constexpr int kPorts = 8;

  PortBlock();
  ~PortBlock();
  PortBlock(const PortBlock&) = delete;
  PortBlock& operator=(const PortBlock&) = delete;

  uint16_t port(int index) const { return static_cast<uint16_t>(first_ + index); }

 private:
  int lock_ = -1;
  int first_ = 0;
};

// Three real node processes (cli/local_cluster.h) in a directory of their own, which is removed at the end if
// the test did not fail. Made in the main thread, since the nodes end with the thread that started them.
class TestCluster {
 public:
  // Generous: the machine may have few cores and much else to do.
  static constexpr int kStartMs = 120'000;
  // The first port of the block that no node uses, where there are three.
  static constexpr int kFreePort = cli::LocalCluster::kNodes;

  // `options`: directory, port and program are filled in. `directory`: empty = a new one in the build tree.
  explicit TestCluster(const std::string& name, cli::LocalClusterOptions options = {},
                       std::string directory = {});
  ~TestCluster();

  // Before Prepare(): nodes and clients reach each other by way of a network that can be cut.
  void UseNetwork();
  FaultyNetwork& network() { return *network_; }

  // Writes the configurations; resource managers may be given by now.
  Status Prepare();
  Status StartAll();  // Prepare() too, if it was not called
  // Until all groups serve, or a node ended by itself.
  Status AwaitServing() const { return nodes().AwaitServing(kStartMs); }
  // Start and AwaitServing.
  Status Restart(int node);

  cli::LocalCluster& nodes() const { return *nodes_; }
  cli::LocalClusterOptions& options() { return options_; }
  std::vector<std::string> addresses() const;  // for clients
  const std::string& directory() const { return options_.directory; }
  const PortBlock& ports() const { return ports_; }
  // The program as an operator runs it. `connects`: it is told where the cluster is.
  struct Ran {
    int exit_code = -1;
    std::string out;  // stdout and stderr
  };
  Ran Run(const std::vector<std::string>& arguments, bool connects = true) const;
  // The view of the cluster; one of the nodes has to be up.
  Result<cli::ClusterView> View() const { return cli::ClusterView::Find(addresses()); }
  // SIGSTOP, SIGCONT. A node that is stopped is not asked below.
  void Pause(int node, bool paused);
  // A group as the nodes that answer show it, in the latest epoch shown.
  struct Shown {
    int primary = 0;  // that serves; 0 = none
    int backups = 0;
  };
  Shown Show(GroupId group) const;
  // Failures are GoogleTest's, after kStartMs.
  void AwaitBackup(GroupId group) const;

  // As the nodes make it at the first start.
  Placement placement() const;

 private:
  PortBlock ports_;
  cli::LocalClusterOptions options_;
  std::unique_ptr<FaultyNetwork> network_;
  std::vector<std::string> client_routes_;  // with a network
  std::set<int> paused_;
  std::unique_ptr<cli::LocalCluster> nodes_;
};

// A new directory in the build tree.
std::string NewTestDirectory(const std::string& name);

double SecondsSince(std::chrono::steady_clock::time_point begun);

// ASSENT_E2E_SEED of the environment, or `otherwise`; printed.
uint64_t Seed(uint64_t otherwise);

}  // namespace assent::e2e
