#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "thrift/codec_fields.h"

namespace assent::cli {
namespace {

// A learner copies the whole state before the command ends, so this is only there to notice a dead primary.
constexpr int kChangeTimeoutMs = 610'000;

enum class Change : uint8_t { kAdd, kRemove };

void PrintViews(const std::vector<wire::View>& views, Format format) {
  Table table({"group", "epoch", "primary", "backups"});
  for (const wire::View& view : views) {
    std::vector<std::string> backups;
    for (const wire::NodeId node : view.backups) backups.push_back(NodeName(node));
    table.Add({Table::Text(GroupName(view.group)), Table::Number(int64_t{view.epoch}),
               Table::Text(NodeName(view.primary)), Table::List(std::move(backups))});
  }
  table.Print(format);
}

ExitCode Show(const Globals& globals) {
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  const auto views = ReadViews(*cluster, cluster->addresses());
  if (!views.ok()) return Fail(views.status());
  PrintViews(*views, globals.format);
  return kOk;
}

Result<wire::NodeId> ParseNode(const std::string& node) {
  if (const auto id = ParseNodeId(node)) return codec::SmallNumber(Raw(*id));
  return Status(StatusCode::kInvalid, "not a node: " + node + " (they look like n1)");
}

// The nodes, as they answer and as their configurations name them.
class Nodes {
 public:
  explicit Nodes(const ClusterView& cluster) {
    std::vector<Address> addresses = cluster.addresses();
    addresses.insert(addresses.end(), cluster.others().begin(), cluster.others().end());
    for (NodeView& node : cluster.NodeStatuses(addresses)) {
      if (!node.status.ok()) continue;
      for (const wire::ConfiguredNode& configured : node.reply.nodes) names_.insert(configured.node);
      names_.insert(node.reply.node);
      answers_.emplace(node.reply.node, std::move(node));
    }
  }

  // nullptr: it does not answer.
  const NodeView* Find(wire::NodeId node) const {
    const auto found = answers_.find(node);
    return found == answers_.end() ? nullptr : &found->second;
  }

  // kInvalid for a node that there is not.
  Status CheckExists(wire::NodeId node) const {
    if (names_.contains(node)) return {};
    std::string all;
    for (const wire::NodeId name : names_) all += " " + NodeName(name);
    return Status(StatusCode::kInvalid,
                  "there is no " + NodeName(node) + " in this cluster, as its nodes are configured:" + all);
  }

  Status CheckAnswers(wire::NodeId node) const {
    if (Find(node) != nullptr) return {};
    return Status(StatusCode::kUnavailable, NodeName(node) + " does not answer: is it running?");
  }

 private:
  std::map<wire::NodeId, NodeView> answers_;
  std::set<wire::NodeId> names_;
};

Result<wire::View> FindView(const ClusterView& cluster, const std::string& group) {
  const auto views = ReadViews(cluster, cluster.addresses());
  if (!views.ok()) return views.status();
  const auto view = std::find_if(views->begin(), views->end(), [&](const wire::View& candidate) {
    return GroupName(candidate.group) == group;
  });
  if (view != views->end()) return *view;
  return Status(StatusCode::kNotFound, "no group " + group + " with a view; see `assent group show`");
}

// A request for a change of `view`, which is refused if another view holds by then.
template <typename Request>
Request RequestFor(const ClusterView& cluster, const wire::View& view, wire::NodeId node) {
  Request request;
  request.__set_cluster(cluster.cluster());
  request.__set_group(view.group);
  request.__set_node(node);
  request.__set_epoch(view.epoch);
  return request;
}

// Has the primary of `view` make a change, which `call` asks for, and returns the view after it.
Result<wire::View> MakeChange(
    const Nodes& nodes, const wire::View& view, const std::string& what,
    const std::function<void(wire::AdminClient&, wire::ChangeReplicaReply&)>& call) {
  const NodeView* primary = nodes.Find(view.primary);
  if (primary == nullptr) {
    return Status(StatusCode::kUnavailable,
                  NodeName(view.primary) + ", the primary of " + GroupName(view.group) + ", does not answer");
  }
  wire::ChangeReplicaReply reply;
  Progress progress;
  progress.Show(what);
  const CallStatus called =
      ConnectAdmin(primary->address, kChangeTimeoutMs)->Call([&](wire::AdminClient& c) { call(c, reply); });
  progress.Clear();
  if (!called.ok()) {
    return Status(StatusCode::kIo, called.status.message() +
                                       "\nWhether the view changed is not known; `assent group show` tells.");
  }
  ASSENT_RETURN_IF_ERROR(StatusOf(reply.result));
  return reply.__isset.view ? reply.view : view;
}

ExitCode FailChange(const Status& status) {
  return status.code() == StatusCode::kIo ? Fail(kUnknown, status.message()) : Fail(status);
}

// A command on one group and one node: finds both, makes the change, and shows the view after it.
ExitCode ChangeGroup(const Globals& globals, const std::string& group, const std::string& node,
                     const std::function<Result<wire::View>(const ClusterView&, const Nodes&,
                                                            const wire::View&, wire::NodeId)>& change) {
  if (!ParseGroupId(group)) return Fail(kUsage, "not a group: " + group + " (they look like c1 and s1)");
  const auto id = ParseNode(node);
  if (!id.ok()) return Fail(kUsage, id.status().message());
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  const auto view = FindView(*cluster, group);
  if (!view.ok()) return Fail(view.status());
  const Nodes nodes(*cluster);
  // One that is gone, and only in the view any more, can be taken out.
  const bool in_view = std::find(view->backups.begin(), view->backups.end(), *id) != view->backups.end();
  if (const Status exists = nodes.CheckExists(*id); !exists.ok() && !in_view) return Fail(exists);
  const auto after = change(*cluster, nodes, *view, *id);
  if (!after.ok()) return FailChange(after.status());
  PrintViews({*after}, globals.format);
  return kOk;
}

Result<wire::View> ChangeMembers(const ClusterView& cluster, const Nodes& nodes, const wire::View& view,
                                 wire::NodeId node, Change change) {
  const auto request = RequestFor<wire::ChangeReplicaRequest>(cluster, view, node);
  const bool adding = change == Change::kAdd;
  if (adding) ASSENT_RETURN_IF_ERROR(nodes.CheckAnswers(node));
  return MakeChange(nodes, view,
                    adding ? NodeName(node) + " is catching up with " + GroupName(view.group)
                           : "removing " + NodeName(node) + " from " + GroupName(view.group),
                    [&](wire::AdminClient& c, wire::ChangeReplicaReply& reply) {
                      adding ? c.add_replica(reply, request) : c.remove_replica(reply, request);
                    });
}

// How much of the open work a change of the primary may cost.
struct HandOverOptions {
  double wait_seconds = 5;
  bool force = false;
};

// That `to`, the primary already, does what it is for.
Result<wire::View> CheckLeads(const Nodes& nodes, const wire::View& view, wire::NodeId to) {
  for (const wire::ReplicaStatus& replica : nodes.Find(to)->reply.replicas) {
    if (!(replica.view.group == view.group) || replica.serving) continue;
    return Status(StatusCode::kUnavailable, NodeName(to) + " is the primary of " + GroupName(view.group) +
                                                " already, and does not serve" +
                                                (replica.detail.empty() ? "" : ": it " + replica.detail));
  }
  return view;
}

Result<wire::View> HandOver(const ClusterView& cluster, const Nodes& nodes, const wire::View& view,
                            wire::NodeId to, const HandOverOptions& options) {
  ASSENT_RETURN_IF_ERROR(nodes.CheckAnswers(to));
  if (view.primary == to) return CheckLeads(nodes, view, to);
  auto request = RequestFor<wire::PromoteRequest>(cluster, view, to);
  request.__set_drain_us(static_cast<int64_t>(options.wait_seconds * 1e6));
  request.__set_force(options.force);
  return MakeChange(
      nodes, view,
      "handing " + GroupName(view.group) + " over to " + NodeName(to) +
          ", once its open transactions have ended",
      [&](wire::AdminClient& c, wire::ChangeReplicaReply& reply) { c.promote(reply, request); });
}

// The backup, among those that answer, whose node leads the fewest groups.
std::optional<wire::NodeId> Successor(const Nodes& nodes, const wire::View& view,
                                      const std::vector<wire::View>& all) {
  std::optional<wire::NodeId> best;
  int64_t best_leads = 0;
  for (const wire::NodeId backup : view.backups) {
    if (nodes.Find(backup) == nullptr) continue;
    const auto leads =
        std::count_if(all.begin(), all.end(), [&](const wire::View& v) { return v.primary == backup; });
    if (!best || leads < best_leads) {
      best = backup;
      best_leads = leads;
    }
  }
  return best;
}

ExitCode Drain(const Globals& globals, const std::string& node, const HandOverOptions& options) {
  const auto id = ParseNode(node);
  if (!id.ok()) return Fail(kUsage, id.status().message());
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  const Nodes nodes(*cluster);
  if (const Status exists = nodes.CheckExists(*id); !exists.ok()) return Fail(exists);
  auto views = ReadViews(*cluster, cluster->addresses());
  if (!views.ok()) return Fail(views.status());
  Status failed;
  std::vector<wire::View> changed;
  for (wire::View& view : *views) {
    if (view.primary != *id) continue;
    const auto to = Successor(nodes, view, *views);
    auto after = to ? HandOver(*cluster, nodes, view, *to, options)
                    : Result<wire::View>(Status(StatusCode::kUnavailable,
                                                view.backups.empty()
                                                    ? "it has no backup; `assent group add-replica` adds one"
                                                    : "none of its backups answers"));
    if (after.ok()) {
      changed.push_back(view = *after);
    } else {
      failed =
          Status(after.status().code(), (failed.ok() ? "" : failed.message() + "\n") + GroupName(view.group) +
                                            " stays with " + node + ": " + after.status().message());
    }
  }
  if (changed.empty() && failed.ok()) std::cerr << node << " leads no group\n";
  if (!changed.empty() || failed.ok()) PrintViews(changed, globals.format);
  if (!failed.ok()) return FailChange(failed);
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
      globals.exit_code =
          ChangeGroup(globals, arguments->group, arguments->node,
                      [change](const ClusterView& cluster, const Nodes& nodes, const wire::View& view,
                               wire::NodeId id) { return ChangeMembers(cluster, nodes, view, id, change); });
    });
  };
  add_change("remove-replica", "take a backup out of a group's view", Change::kRemove,
             "From then on the group does not wait for it. Needed where a backup is gone for long.\n"
             "Example:\n  assent group remove-replica s1 n3");
  add_change("add-replica", "let a running node catch up and join a group's view", Change::kAdd,
             "Returns when it is a member. Commits go on meanwhile.\n"
             "Example:\n  assent group add-replica s1 n3");

  struct HandOverArguments : Arguments {
    HandOverOptions options;
  };
  const auto add_handover = [&](const std::string& name, const std::string& description,
                                const std::string& footer) {
    auto arguments = std::make_shared<HandOverArguments>();
    CLI::App* command = group->add_subcommand(name, description);
    AddClusterOptions(*command, globals);
    AddOutputOption(*command, globals);
    command
        ->add_option("--wait", arguments->options.wait_seconds,
                     "seconds that open transactions may take to end; new ones wait meanwhile,\n"
                     "and give up after 10")
        ->check(CLI::Range(0.0, 300.0))
        ->capture_default_str();
    command->add_flag("--force", arguments->options.force,
                      "then end them; otherwise nothing changes, and the command fails");
    command->footer(footer);
    return std::pair(command, arguments);
  };
  const auto [promote, promoted] =
      add_handover("promote", "make a backup the primary of its group",
                   "No transaction fails by it, unless --force ends one. New ones wait, for a moment.\n"
                   "Example:\n  assent group promote s1 n2");
  promote->add_option("GROUP", promoted->group, "such as s1")->required();
  promote->add_option("NODE", promoted->node, "such as n2")->required();
  promote->callback([arguments = promoted, &globals] {
    globals.exit_code =
        ChangeGroup(globals, arguments->group, arguments->node,
                    [&options = arguments->options](const ClusterView& cluster, const Nodes& nodes,
                                                    const wire::View& view, wire::NodeId id) {
                      return HandOver(cluster, nodes, view, id, options);
                    });
  });
  const auto [drain, drained] = add_handover(
      "drain", "hand all groups that a node leads over to their backups",
      "Before the node is stopped: no transaction fails by it, unless --force ends one. The node stays a\n"
      "backup, and leads again when it is promoted, or when another primary fails.\n"
      "Example:\n  assent group drain n1");
  drain->add_option("NODE", drained->node, "such as n1")->required();
  drain->callback([arguments = drained, &globals] {
    globals.exit_code = Drain(globals, arguments->node, arguments->options);
  });
}

}  // namespace assent::cli
