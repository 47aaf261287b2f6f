#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backup/registration.h"
#include "cli/adopt.h"
#include "cli/commands/commands.h"
#include "directory/embedded.h"
#include "runtime/config/config.h"

namespace assent::cli {
namespace {

// An operator's word that the process is gone (R3). Only where its register stands still: one that is renewed
// would be contradicted by it.
Status Release(const NodeConfig& config, NodeId node) {
  EmbeddedOptions options;
  options.path = config.directory_path;
  options.cluster = config.cluster;
  options.fresh = DirectoryIncarnation{1};  // none is made
  options.may_create = false;
  const auto directory = EmbeddedDirectory::Open(options);
  if (!directory.ok()) return directory.status();
  const auto first = (*directory)->ReadRegister(node);
  if (!first.ok()) return first.status();
  if (!*first) return Status(StatusCode::kNotFound, "no process of " + ToString(node) + " ever registered");
  if ((*first)->stopped) {
    std::cout << "the last process of " << ToString(node) << ", at " << (*first)->address
              << ", is known to be gone: nothing to do\n";
    return {};
  }
  std::this_thread::sleep_for(std::chrono::microseconds(backup::kWatchUs));
  const auto seen = (*directory)->ReadRegister(node);
  if (!seen.ok()) return seen.status();
  if (*seen != *first) {
    return Status(StatusCode::kConflict,
                  ToString(node) + " runs at " + (*seen)->address + ": stop it first. Nothing was changed");
  }
  NodeRegister next = **seen;
  ++next.version;
  next.stopped = true;
  ASSENT_RETURN_IF_ERROR((*directory)->SwapRegister(next));
  std::cout << "the process of " << ToString(node) << " at " << next.address << ", last heard of at "
            << UtcTime(next.wall_us)
            << ", counts as gone: the node may be started from the files that it left\n";
  return {};
}

}  // namespace

void AddDirectory(CLI::App& app, Globals& globals) {
  CLI::App* directory =
      app.add_subcommand("directory", "what only an operator can say to the directory of views");
  directory->require_subcommand(1);

  struct ReleaseArguments {
    std::string node;
    std::string config;
  };
  auto released = std::make_shared<ReleaseArguments>();
  CLI::App* release =
      directory->add_subcommand("release", "vouch that the last process of a node is gone for good");
  release->add_option("NODE", released->node, "such as n3")->required();
  release->add_option("--config,-c", released->config, "the configuration of any node of the cluster")
      ->required();
  release->footer(
      "Needed where a node's files were moved to another machine after a crash: a node that starts from a\n"
      "copy of them must not run beside the original. If that process is not gone, writes may be lost.\n"
      "Refused while it is seen to run.\n"
      "Example:\n  assent directory release n3 --config n3.toml");
  release->callback([released, &globals] {
    const auto node = ParseNodeId(released->node);
    if (!node) {
      globals.exit_code = Fail(kUsage, "not a node: " + released->node + " (they look like n1)");
      return;
    }
    const auto config = LoadConfig(released->config, {/*insecure=*/true});
    const Status status = config.ok() ? Release(*config, *node) : config.status();
    if (!status.ok()) globals.exit_code = Fail(kError, status.message());
  });

  struct AdoptArguments {
    std::vector<std::string> configs;
    std::vector<std::string> lost;
  };
  auto adopted = std::make_shared<AdoptArguments>();
  CLI::App* adopt =
      directory->add_subcommand("adopt", "make a new directory in the place of one that is lost");
  adopt->add_option("--config,-c", adopted->configs, "of each node that is heard; none of them may run")
      ->required();
  adopt->add_option("--lost", adopted->lost, "a node whose data is lost for good, such as n3");
  adopt->footer(
      "Each group goes on from the replica whose log reaches furthest; what only a node named with --lost "
      "had\n"
      "acknowledged is lost. Refused while the directory that the replicas know is there, and where a node "
      "is\n"
      "neither heard nor named as lost. Should the lost directory turn up again, no node follows it any "
      "more.\n"
      "Example:\n  assent directory adopt -c n1.toml -c n2.toml --lost n3");
  adopt->callback([adopted, &globals] {
    AdoptOptions options{adopted->configs, {}};
    for (const std::string& name : adopted->lost) {
      const auto node = ParseNodeId(name);
      if (!node) {
        globals.exit_code = Fail(kUsage, "not a node: " + name + " (they look like n1)");
        return;
      }
      options.lost.push_back(*node);
    }
    const auto done = AdoptDirectory(options);
    if (!done.ok()) {
      globals.exit_code = Fail(kError, done.status().message());
      return;
    }
    std::cout << *done << '\n';
  });
}

}  // namespace assent::cli
