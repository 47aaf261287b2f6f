#include <algorithm>
#include <iostream>
#include <string>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"

namespace assent::cli {
namespace {

std::string NameOf(wire::ReplicaRole::type role) {
  switch (role) {
    case wire::ReplicaRole::PRIMARY:
      return "primary";
    case wire::ReplicaRole::BACKUP:
      return "backup";
    case wire::ReplicaRole::LEARNER:
      return "learner";
    case wire::ReplicaRole::HALTED:
      return "halted";
    case wire::ReplicaRole::UNSPECIFIED:
      return "starting";
  }
  return "?";
}

ExitCode ShowStatus(const Globals& globals) {
  const auto cluster = ClusterView::Find(AddressesOf(globals));
  if (!cluster.ok()) return Fail(cluster.status());
  Table table({"group", "node", "role", "epoch", "last", "replicated", "applied", "lag", "live", "in doubt",
               "state"});
  struct Line {
    std::string group;
    std::vector<Table::Cell> cells;
  };
  std::vector<Line> lines;
  bool all_well = true;
  for (const NodeView& node : cluster->NodeStatuses()) {
    if (!node.status.ok()) {
      all_well = false;
      Fail(kOk, ToString(node.address) + ": " + node.status.message());
      continue;
    }
    const std::string name = ToString(NodeId{static_cast<uint32_t>(node.reply.node)});
    for (const wire::ReplicaStatus& r : node.reply.replicas) {
      const bool well =
          r.role == wire::ReplicaRole::BACKUP || r.role == wire::ReplicaRole::LEARNER || r.serving;
      all_well = all_well && well;
      const std::string state = r.serving           ? "serving"
                                : !r.detail.empty() ? r.detail
                                : well              ? "following"
                                                    : "not serving";
      const std::string group = GroupName(r.view.group);
      lines.push_back({group,
                       {Table::Text(group), Table::Text(name), Table::Text(NameOf(r.role)),
                        Table::Number(int64_t{r.view.epoch}), Table::Number(int64_t{r.last.lsn}),
                        Table::Number(int64_t{r.replicated}), Table::Number(int64_t{r.applied}),
                        Table::Number(int64_t{r.lag_records}), Table::Number(int64_t{r.live}),
                        Table::Number(int64_t{r.in_doubt}), Table::Text(state)}});
    }
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.group < b.group; });
  for (Line& line : lines) table.Add(std::move(line.cells));
  table.Print(globals.format);
  return all_well ? kOk : kUnavailable;
}

}  // namespace

void AddStatus(CLI::App& app, Globals& globals) {
  CLI::App* status = app.add_subcommand("status", "show groups, replicas and how far each is");
  AddClusterOptions(*status, globals);
  AddOutputOption(*status, globals);
  status->footer(
      "Exit code 6 if a node does not answer or a group does not serve.\nExample:\n  assent status -o json");
  status->callback([&globals] { globals.exit_code = ShowStatus(globals); });
}

}  // namespace assent::cli
