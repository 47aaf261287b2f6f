#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "cli/waiting.h"
#include "thrift/codec_fields.h"

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

// A group as far as it is known: as it should be, by configurations, views and placement; and as it is, by
// the nodes that answered.
struct Group {
  std::set<wire::NodeId> configured;
  std::optional<wire::View> view;  // of the highest epoch
  bool serves = false;
  std::map<wire::NodeId, std::vector<Table::Cell>> rows;

  void Learn(const wire::View& seen) {
    if (seen.epoch > 0 && (!view || view->epoch < seen.epoch)) view = seen;
  }
  std::set<wire::NodeId> Expected() const {
    std::set<wire::NodeId> nodes = configured;
    if (view) {
      nodes.insert(view->primary);
      nodes.insert(view->backups.begin(), view->backups.end());
    }
    return nodes;
  }
  bool InView(wire::NodeId node) const {
    return view && (view->primary == node ||
                    std::find(view->backups.begin(), view->backups.end(), node) != view->backups.end());
  }
};

std::string Joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : " ") + name;
  return out.empty() ? "none" : out;
}

class Picture {
 public:
  explicit Picture(const ClusterView& cluster) : cluster_(cluster) {}

  void Read() {
    for (NodeView& node : cluster_.NodeStatuses()) TakeNode(std::move(node));
    for (NodeView& node : cluster_.NodeStatuses(cluster_.others())) TakeOther(std::move(node));
    ReadWhatShouldBe();
    for (const auto& [id, reply] : nodes_) {
      for (const wire::ReplicaStatus& replica : reply.replicas) AddRow(id, replica);
    }
    for (auto& [name, group] : groups_) AddMissing(name, group);
    CompareConfigurations();
  }

  ExitCode Print(Format format) const {
    Table table({"group", "node", "role", "epoch", "last", "replicated", "applied", "lag", "live", "in doubt",
                 "state"});
    for (const auto& [name, group] : groups_) {
      for (const auto& [node, cells] : group.rows) table.Add(cells);
    }
    table.Print(format);
    for (const std::string& note : notes_) Fail(kOk, note);
    return all_well_ ? kOk : kUnavailable;
  }

 private:
  void TakeNode(NodeView node) {
    if (!node.status.ok()) return Trouble(ToString(node.address) + ": " + node.status.message());
    answering_.push_back(node.address);
    nodes_.emplace(node.reply.node, std::move(node.reply));
  }

  // One that --connect names, and the node that was asked first does not.
  void TakeOther(NodeView node) {
    if (!node.status.ok()) return TakeNode(std::move(node));
    const wire::NodeId id = node.reply.node;
    const bool is_named = std::any_of(nodes_.begin(), nodes_.end(), [&](const auto& known) {
      const auto& names = known.second.nodes;
      return std::any_of(names.begin(), names.end(), [&](const auto& name) { return name.node == id; });
    });
    if (!is_named) {
      notes_.push_back(NodeName(id) + " at " + ToString(node.address) +
                       " is of this cluster, but in the configuration of no other node: add it to their "
                       "[[nodes]], and restart them");
    }
    nodes_.emplace(id, std::move(node.reply));
  }

  void ReadWhatShouldBe() {
    for (const auto& [id, reply] : nodes_) {
      for (const wire::ConfiguredGroup& configured : reply.groups) {
        groups_[GroupName(configured.group)].configured.insert(configured.replicas.begin(),
                                                               configured.replicas.end());
      }
      for (const wire::ReplicaStatus& replica : reply.replicas) {
        groups_[GroupName(replica.view.group)].Learn(replica.view);
      }
    }
    if (const auto views = ReadViews(cluster_, answering_); views.ok()) {
      for (const wire::View& view : *views) groups_[GroupName(view.group)].Learn(view);
    } else {
      notes_.push_back("the views in the directory are not known: " + views.status().message());
    }
    const auto ranges = ReadSlotRanges(cluster_, answering_);
    if (!ranges.ok()) return notes_.push_back("the placement is not known: " + ranges.status().message());
    holders_.emplace();
    for (const wire::SlotRange& range : *ranges) {
      holders_->insert(GroupName(range.shard));
      groups_[GroupName(range.shard)];
    }
  }

  void AddRow(wire::NodeId node, const wire::ReplicaStatus& r) {
    const std::string name = GroupName(r.view.group);
    Group& group = groups_[name];
    group.serves = group.serves || r.serving;
    group.rows[node] = {Table::Text(name),
                        Table::Text(NodeName(node)),
                        Table::Text(NameOf(r.role)),
                        Table::Number(int64_t{r.view.epoch}),
                        Table::Number(int64_t{r.last.lsn}),
                        Table::Number(int64_t{r.replicated}),
                        Table::Number(int64_t{r.applied}),
                        Table::Number(int64_t{r.lag_records}),
                        Table::Number(int64_t{r.live}),
                        Table::Number(int64_t{r.in_doubt}),
                        Table::Text(StateOf(name, r))};
    const bool follows = r.role == wire::ReplicaRole::BACKUP || r.role == wire::ReplicaRole::LEARNER;
    all_well_ = all_well_ && (follows || r.serving);
  }

  std::string StateOf(const std::string& group, const wire::ReplicaStatus& r) const {
    if (r.serving) {
      const bool empty = group.front() == 's' && holders_ && !holders_->contains(group);
      if (empty) return "serving, but holds no slots: keys are not moved to a new shard yet";
      return r.detail.empty() ? "serving" : "serving; " + r.detail;
    }
    if (r.role == wire::ReplicaRole::PRIMARY) {
      return "not serving for " +
             ShortDuration(static_cast<uint64_t>(std::max<int64_t>(0, r.serving_age_us))) +
             (r.detail.empty() ? "" : ": " + r.detail);
    }
    const bool starts = r.role == wire::ReplicaRole::UNSPECIFIED;
    return !r.detail.empty() ? r.detail : starts ? "starting" : "following";
  }

  // Replicas that there should be, and groups that nobody serves.
  void AddMissing(const std::string& name, Group& group) {
    for (const wire::NodeId node : group.Expected()) {
      if (group.rows.contains(node)) continue;
      const bool answers = nodes_.contains(node);
      std::string state = answers ? "missing: the node answers, and has no replica" : "unreachable";
      if (group.InView(node)) {
        state += ", in the view of epoch " + std::to_string(group.view->epoch);
      } else if (group.view) {
        state += ", not in the view since epoch " + std::to_string(group.view->epoch) + " at the latest";
      }
      if (answers) all_well_ = false;
      AddBareRow(name, group, node, NodeName(node), state);
    }
    if (group.serves) return;
    if (group.rows.empty())
      AddBareRow(name, group, 0, "-", "no node is configured for it, and it holds keys");
    Trouble(name + ": nobody leads it" +
            (group.view ? "; " + NodeName(group.view->primary) + " did, or should, in epoch " +
                              std::to_string(group.view->epoch)
                        : std::string()));
  }

  void AddBareRow(const std::string& name, Group& group, wire::NodeId node, const std::string& node_name,
                  const std::string& state) {
    std::vector<Table::Cell> cells = {Table::Text(name), Table::Text(node_name), Table::None()};
    while (cells.size() < 10) cells.push_back(Table::None());
    cells.push_back(Table::Text(state));
    group.rows[node] = std::move(cells);
  }

  // Where the files of nodes differ, a change of the primary can change what the cluster knows.
  void CompareConfigurations() {
    if (nodes_.empty()) return;
    const auto& [first_id, first] = *nodes_.begin();
    for (const auto& [id, reply] : nodes_) {
      if (reply.groups != first.groups) {
        notes_.push_back("the [[groups]] of " + NodeName(first_id) + " and " + NodeName(id) +
                         " differ: give both the same, and restart them");
      }
      if (reply.resource_managers != first.resource_managers) {
        notes_.push_back(
            "the [[resource_managers]] of " + NodeName(first_id) + " (" + Joined(first.resource_managers) +
            ") and " + NodeName(id) + " (" + Joined(reply.resource_managers) +
            ") differ: a coordinator on one cannot finish what one on the other began with them. "
            "Give both the same, and restart them");
      }
    }
  }

  void Trouble(const std::string& what) {
    all_well_ = false;
    notes_.push_back(what);
  }

  const ClusterView& cluster_;
  std::vector<Address> answering_;
  std::map<wire::NodeId, wire::NodeStatusReply> nodes_;  // that answered
  std::map<std::string, Group> groups_;
  std::optional<std::set<std::string>> holders_;  // groups with slots
  std::vector<std::string> notes_;
  bool all_well_ = true;
};

ExitCode ShowStatus(const Globals& globals) {
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  Picture picture(*cluster);
  {
    const Waiting waiting("asking the nodes");
    picture.Read();
  }
  return picture.Print(globals.format);
}

}  // namespace

void AddStatus(CLI::App& app, Globals& globals) {
  CLI::App* status = app.add_subcommand("status", "show groups, replicas and how far each is");
  AddClusterOptions(*status, globals);
  AddOutputOption(*status, globals);
  status->footer(
      "A group serves while its primary holds its lease. Replicas that are configured, or in a view, and "
      "not\n"
      "found are shown, too. Exit code 6 if a node does not answer, a replica is missing or has stopped, or "
      "a\n"
      "group is served by nobody.\nExample:\n  assent status -o json");
  status->callback([&globals] { globals.exit_code = ShowStatus(globals); });
}

}  // namespace assent::cli
