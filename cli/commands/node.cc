#include <iostream>
#include <string>

#include "cli/commands/commands.h"
#include "server/node_process.h"

namespace assent::cli {

void AddNode(CLI::App& app, Globals& globals) {
  struct Options {
    std::string config;
    bool check = false;
    bool insecure = false;
    bool crash_points = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* node = app.add_subcommand("node", "run a node of a cluster until SIGTERM");
  node->add_option("--config,-c", options->config, "its configuration, a TOML file")->required();
  node->add_flag("--check-config", options->check,
                 "check the configuration, say what is wrong with it, and exit");
  node->add_flag("--insecure", options->insecure, "allow plaintext on addresses beyond this machine");
  node->add_flag("--allow-crash-points", options->crash_points,
                 "let drills kill this process at named points, or keep its directory from answering");
  node->footer("Example:\n  assent node --config n1.toml");
  node->callback([options, &globals] {
    const auto config = LoadConfig(options->config, {options->insecure});
    if (!config.ok()) {
      globals.exit_code =
          Fail(config.status().code() == StatusCode::kInvalid ? kUsage : kError, config.status().message());
      return;
    }
    if (const Status known = CheckResourceManagers(*config); !known.ok()) {
      globals.exit_code = Fail(kUsage, options->config + ": " + known.message());
      return;
    }
    if (options->check) {
      std::cout << options->config << ": ok, node " << ToString(config->node) << " with "
                << config->OwnGroups().size() << " replicas\n";
      return;
    }
    NodeProcessOptions process;
    process.config = *config;
    process.allow_crash_points = options->crash_points;
    const Status status = RunNode(process);
    if (!status.ok()) globals.exit_code = Fail(kError, status.message());
  });
}

}  // namespace assent::cli
