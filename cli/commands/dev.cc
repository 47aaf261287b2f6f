#include <pthread.h>

#include <csignal>
#include <iostream>
#include <string>

#include "cli/commands/commands.h"
#include "cli/local_cluster.h"

namespace assent::cli {
namespace {

ExitCode RunDev(const LocalClusterOptions& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto cluster = LocalCluster::Prepare(options);
  if (!cluster.ok()) return Fail(cluster.status());
  if (const Status started = (*cluster)->StartAll(); !started.ok()) return Fail(started);
  std::string addresses;
  for (const std::string& address : (*cluster)->addresses())
    addresses += (addresses.empty() ? "" : ",") + address;
  std::cout << "cluster    " << (*cluster)->cluster() << "\n"
            << "nodes      n1 n2 n3: coordinator c1, shards s1 and s2, each with a backup\n"
            << "data       " << options.directory << " (kept; nodes write n1.log, n2.log, n3.log there)\n"
            << "try        export ASSENT_CONNECT=" << addresses << "\n"
            << "           assent exec 'put accounts/alice 100' 'put accounts/bob 0'\n"
            << "           assent exec 'add accounts/alice -10 min=0' 'add accounts/bob 10'\n"
            << "For development, not for production: all replicas are on this machine. Stop with ^C."
            << std::endl;
  int signal = 0;
  sigwait(&signals, &signal);
  (*cluster)->StopAll();
  return kOk;
}

}  // namespace

void AddDev(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<LocalClusterOptions>();
  options->directory = "assent-dev";
  options->base_port = 7401;
  CLI::App* dev = app.add_subcommand("dev", "start a local cluster of three nodes, and keep it up until ^C");
  dev->add_option("--dir", options->directory, "where configuration and data are kept")
      ->capture_default_str();
  dev->add_option("--port", options->base_port, "of the first node; the others follow")
      ->capture_default_str();
  dev->add_flag("--allow-crash-points", options->crash_points, "let drills kill the nodes at named points");
  dev->footer("Example:\n  assent dev --dir /tmp/assent");
  dev->callback([options, &globals] { globals.exit_code = RunDev(*options); });
}

}  // namespace assent::cli
