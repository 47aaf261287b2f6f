#include <algorithm>
#include <iostream>
#include <string>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "thrift/codec_fields.h"

namespace assent::cli {
namespace {

// A learner copies the whole state before the command ends, so this is only there to notice a dead primary.
constexpr int kChangeTimeoutMs = 610'000;

enum class Change : uint8_t { kAdd, kRemove };

std::string NodeName(wire::NodeId node) {
  return ToString(NodeId{static_cast<uint32_t>(node)});
}

// A view, and where its primary is.
struct Found {
  wire::View view;
  Address primary;
};

// The views of all groups, as the first node that answers reads them in the directory.
Result<std::vector<wire::View>> ReadViews(const ClusterView& cluster) {
  wire::AdminRequest request;
  request.__set_cluster(cluster.cluster());
  Status last(StatusCode::kUnavailable, "the cluster has no nodes");
  for (const Address& address : cluster.addresses()) {
    wire::GroupViewsReply reply;
    const CallStatus called =
        ConnectAdmin(address)->Call([&](wire::AdminClient& c) { c.group_views(reply, request); });
    last = called.ok() ? StatusOf(reply.result) : called.status;
    if (last.ok()) return reply.views;
  }
  return last;
}

void PrintViews(const std::vector<wire::View>& views, Format format) {
  Table table({"group", "epoch", "primary", "backups"});
  for (const wire::View& view : views) {
    std::string backups;
    for (const wire::NodeId node : view.backups) backups += (backups.empty() ? "" : " ") + NodeName(node);
    table.Add({Table::Text(GroupName(view.group)), Table::Number(int64_t{view.epoch}),
               Table::Text(NodeName(view.primary)), Table::Text(backups)});
  }
  table.Print(format);
}

Result<ClusterView> FindCluster(const Globals& globals) {
  return ClusterView::Find(AddressesOf(globals));
}

ExitCode Show(const Globals& globals) {
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  const auto views = ReadViews(*cluster);
  if (!views.ok()) return Fail(views.status());
  PrintViews(*views, globals.format);
  return kOk;
}

Result<Found> FindPrimary(const ClusterView& cluster, const std::string& group) {
  const auto views = ReadViews(cluster);
  if (!views.ok()) return views.status();
  const auto view = std::find_if(views->begin(), views->end(), [&](const wire::View& candidate) {
    return GroupName(candidate.group) == group;
  });
  if (view == views->end()) {
    return Status(StatusCode::kNotFound, "no group " + group + " with a view; see `assent group show`");
  }
  for (const NodeView& node : cluster.NodeStatuses()) {
    if (node.status.ok() && node.reply.node == view->primary) return Found{*view, node.address};
  }
  return Status(StatusCode::kUnavailable,
                NodeName(view->primary) + ", the primary of " + group + ", does not answer");
}

ExitCode ChangeMembers(const Globals& globals, const std::string& group, const std::string& node,
                       Change change) {
  const auto id = ParseNodeId(node);
  if (!ParseGroupId(group)) return Fail(kUsage, "not a group: " + group + " (they look like c1 and s1)");
  if (!id) return Fail(kUsage, "not a node: " + node + " (they look like n1)");
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  const auto found = FindPrimary(*cluster, group);
  if (!found.ok()) return Fail(found.status());

  wire::ChangeReplicaRequest request;
  request.__set_cluster(cluster->cluster());
  request.__set_group(found->view.group);
  request.__set_node(codec::SmallNumber(Raw(*id)));
  request.__set_epoch(found->view.epoch);
  wire::ChangeReplicaReply reply;
  Progress progress;
  progress.Show(change == Change::kAdd ? node + " is catching up with " + group
                                       : "removing " + node + " from " + group);
  const CallStatus called = ConnectAdmin(found->primary, kChangeTimeoutMs)->Call([&](wire::AdminClient& c) {
    if (change == Change::kAdd) {
      c.add_replica(reply, request);
    } else {
      c.remove_replica(reply, request);
    }
  });
  progress.Clear();
  if (!called.ok()) {
    return Fail(kUnknown, called.status.message() +
                              "\nWhether the view changed is not known; `assent group show` tells.");
  }
  if (const Status status = StatusOf(reply.result); !status.ok()) return Fail(status);
  if (reply.__isset.view) PrintViews({reply.view}, globals.format);
  return kOk;
}

}  // namespace

void AddGroup(CLI::App& app, Globals& globals) {
  struct Arguments {
    std::string group;
    std::string node;
  };
  CLI::App* group = app.add_subcommand("group", "look at the members of groups, and change them");
  group->require_subcommand(1);

  CLI::App* show = group->add_subcommand("show", "print the view of each group, as the directory has it");
  AddClusterOptions(*show, globals);
  AddOutputOption(*show, globals);
  show->footer("Example:\n  assent group show -o json");
  show->callback([&globals] { globals.exit_code = Show(globals); });

  const auto add_change = [&](const std::string& name, const std::string& description, Change change,
                              const std::string& footer) {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* command = group->add_subcommand(name, description);
    AddClusterOptions(*command, globals);
    AddOutputOption(*command, globals);
    command->add_option("GROUP", arguments->group, "such as s1")->required();
    command->add_option("NODE", arguments->node, "such as n3")->required();
    command->footer(footer);
    command->callback([arguments, change, &globals] {
      globals.exit_code = ChangeMembers(globals, arguments->group, arguments->node, change);
    });
  };
  add_change("remove-replica", "take a backup out of a group's view", Change::kRemove,
             "From then on the group does not wait for it. Needed where a backup is gone for long.\n"
             "Example:\n  assent group remove-replica s1 n3");
  add_change("add-replica", "let a running node catch up and join a group's view", Change::kAdd,
             "Returns when it is a member. Commits go on meanwhile.\n"
             "Example:\n  assent group add-replica s1 n3");
}

}  // namespace assent::cli
