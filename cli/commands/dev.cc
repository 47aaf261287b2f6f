#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "cli/commands/commands.h"
#include "cli/local_cluster.h"
#include "cli/program.h"

namespace assent::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// A node that ends is started again after a pause that doubles each time that it did not last.
constexpr milliseconds kRestartFirst{1'000};
constexpr milliseconds kRestartMax{30'000};
constexpr seconds kLasted{60};

// SIGINT, SIGTERM and the ends of children, taken by this thread when it wants, from its making on.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // Waits for one of them, until `until` at the most.
  void Await(steady_clock::time_point until) {
    const auto left =
        std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(until - steady_clock::now()));
    const timespec wait{left.count() / 1000, left.count() % 1000 * 1'000'000};
    const int signal = sigtimedwait(&set_, nullptr, &wait);
    stop_ = stop_ || signal == SIGINT || signal == SIGTERM;
  }
  bool StopIsWanted() {
    Await(steady_clock::now());
    return stop_;
  }
  // The next one ends this process at once, and with it the nodes.
  void LetGo() { pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }

 private:
  sigset_t set_{};
  bool stop_ = false;
};

void PrintBanner(const LocalCluster& cluster, const std::string& directory, const std::string& assent) {
  std::string addresses;
  for (const std::string& address : cluster.addresses())
    addresses += (addresses.empty() ? "" : ",") + address;
  std::cout << "cluster    " << cluster.cluster() << "\n"
            << "nodes      n1 n2 n3: coordinator c1, shards s1 and s2, each with a backup\n"
            << "data       " << directory << " (kept; nodes write n1.log, n2.log, n3.log there)\n"
            << "try        ";
  if (addresses != kDefaultConnect) std::cout << "export ASSENT_CONNECT=" << addresses << "\n           ";
  std::cout << assent << " exec 'put accounts/alice 100' 'put accounts/bob 0'\n"
            << "           " << assent << " exec 'add accounts/alice -10 min=0' 'add accounts/bob 10'\n"
            << "           " << assent << " status\n"
            << "For development, not for production: all replicas are on this machine. Stop with ^C."
            << std::endl;
}

// Keeps the nodes running until it is told to stop, and says what becomes of them.
void Watch(LocalCluster& cluster, Signals& signals) {
  struct Node {
    steady_clock::time_point started = steady_clock::now();
    std::optional<steady_clock::time_point> restart;  // it is down until then
    milliseconds pause = kRestartFirst;
  };
  std::map<int, Node> nodes;
  for (int node = 1; node <= cluster.node_count(); ++node) nodes[node] = {};
  while (!signals.StopIsWanted()) {
    auto next = steady_clock::now() + kLasted;
    for (auto& [number, node] : nodes) {
      const auto now = steady_clock::now();
      if (!node.restart && cluster.ExitStatus(number) >= 0) {
        if (now - node.started > kLasted) node.pause = kRestartFirst;
        node.restart = now + node.pause;
        Fail(kOk, cluster.DescribeEnd(number) + "\nIt is started again in " +
                      std::to_string(std::chrono::duration_cast<seconds>(node.pause).count()) + " s.");
        node.pause = std::min(2 * node.pause, kRestartMax);
      }
      if (node.restart && now >= *node.restart) {
        node.restart.reset();
        node.started = now;
        if (const Status started = cluster.Start(number); started.ok()) {
          Fail(kOk, "n" + std::to_string(number) + " is started again");
        } else {
          Fail(kOk, started.message());
          node.restart = now + node.pause;
        }
      }
      if (node.restart) next = std::min(next, *node.restart);
    }
    signals.Await(next);
  }
}

ExitCode RunDev(LocalClusterOptions options, const std::string& program) {
  Signals signals;
  options.interrupted = [&signals] { return signals.StopIsWanted(); };
  auto cluster = LocalCluster::Prepare(options);
  if (!cluster.ok()) return Fail(cluster.status());
  const Status started = (*cluster)->StartAll();
  if (started.ok()) {
    PrintBanner(**cluster, options.directory, program);
    Watch(**cluster, signals);
  }
  signals.LetGo();
  (*cluster)->StopAll();
  return started.ok() ? kOk : Fail(started);
}

}  // namespace

void AddDev(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<LocalClusterOptions>();
  options->directory = "assent-dev";
  options->base_port = 7401;
  CLI::App* dev = app.add_subcommand("dev", "start a local cluster of three nodes, and keep it up until ^C");
  dev->add_option("--dir", options->directory, "where configuration and data are kept")
      ->capture_default_str();
  const CLI::Option* port =
      dev->add_option("--port", options->base_port,
                      "of the first node of a new cluster; the others follow.\nA directory keeps its ports")
          ->check(CLI::Range(1, UINT16_MAX))
          ->capture_default_str();
  dev->add_flag("--allow-crash-points", options->crash_points, "let drills kill the nodes at named points");
  dev->footer(
      "A node that ends is told, and started again. A second ^C ends everything at once.\n"
      "Example:\n  assent dev --dir /tmp/assent");
  dev->callback([options, port, &globals] {
    options->port_must_match = port->count() > 0;
    globals.exit_code = RunDev(*options, ProgramWord());
  });
}

}  // namespace assent::cli
