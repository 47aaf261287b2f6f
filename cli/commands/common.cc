#include <cstdlib>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "cli/waiting.h"

namespace assent::cli {

void AddClusterOptions(CLI::App& command, Globals& globals) {
  command
      .add_option("--connect", globals.connect,
                  "nodes of the cluster, host:port[,host:port...]; $ASSENT_CONNECT unless given")
      ->delimiter(',')
      ->default_str(kDefaultConnect);
}

void AddOutputOption(CLI::App& command, Globals& globals) {
  command
      .add_option_function<std::string>(
          "-o,--output",
          [&globals](const std::string& name) {
            if (name == "table") {
              globals.format = Format::kTable;
            } else if (name == "json") {
              globals.format = Format::kJson;
            } else if (name == "csv") {
              globals.format = Format::kCsv;
            } else {
              throw CLI::ValidationError("--output", "table, json or csv, not '" + name + "'");
            }
          },
          "table, json or csv; with json errors on stderr are {\"error\": ...}, too")
      ->default_str("table");
}

std::vector<std::string> AddressesOf(const Globals& globals) {
  // Not left to CLI11, which reads the variable for every command after the line was parsed: all commands
  // share this one list, so that it took what was said by --connect away.
  if (!globals.connect.empty()) return globals.connect;
  const char* const set = std::getenv("ASSENT_CONNECT");
  return CLI::detail::split(set != nullptr && set[0] != '\0' ? set : kDefaultConnect, ',');
}

Result<ClusterView> FindCluster(const Globals& globals) {
  const Waiting waiting("looking for a node that answers");
  return ClusterView::Find(AddressesOf(globals));
}

Result<Client> ConnectClient(const Globals& globals, const ClientOptions& options) {
  const std::vector<std::string> addresses = AddressesOf(globals);
  const Waiting waiting("looking for the cluster's leader");
  // Where no node answers, say so at once. A cluster that is up, but has no leader yet, is waited for.
  if (const auto found = ClusterView::Find(addresses); !found.ok()) return found.status();
  auto client = Client::Connect(addresses, options);
  if (client.ok() || client.status().code() != StatusCode::kUnavailable) return client;
  return Status(StatusCode::kUnavailable,
                client.status().message() + "\nThe nodes answer; `assent status` says what they wait for.");
}

}  // namespace assent::cli
