#include "cli/cluster_view.h"
#include "cli/commands/commands.h"

namespace assent::cli {

void AddClusterOptions(CLI::App& command, Globals& globals) {
  command.add_option("--connect", globals.connect, "nodes of the cluster, host:port[,host:port...]")
      ->delimiter(',')
      ->envname("ASSENT_CONNECT")
      ->default_str(kDefaultConnect);
}

void AddOutputOption(CLI::App& command, Globals& globals) {
  static const std::map<std::string, Format> formats = {
      {"table", Format::kTable}, {"json", Format::kJson}, {"csv", Format::kCsv}};
  command.add_option("-o,--output", globals.format, "table, json or csv")
      ->transform(CLI::CheckedTransformer(formats, CLI::ignore_case).description(""))
      ->default_str("table");
}

std::vector<std::string> AddressesOf(const Globals& globals) {
  return globals.connect.empty() ? CLI::detail::split(kDefaultConnect, ',') : globals.connect;
}

Result<Client> ConnectClient(const Globals& globals, ClientOptions options) {
  const std::vector<std::string> addresses = AddressesOf(globals);
  // Where no node answers, say so at once. A cluster that is up, but has no leader yet, is waited for.
  if (const auto found = ClusterView::Find(addresses); !found.ok()) return found.status();
  auto client = Client::Connect(addresses, std::move(options));
  if (client.ok() || client.status().code() != StatusCode::kUnavailable) return client;
  return Status(StatusCode::kUnavailable,
                client.status().message() + "\nThe nodes answer; `assent status` says what they wait for.");
}

}  // namespace assent::cli
