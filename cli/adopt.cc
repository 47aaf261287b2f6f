#include "cli/adopt.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "backup/timing.h"
#include "common/placement.h"
#include "common/state.h"
#include "directory/durable_files.h"
#include "directory/embedded.h"
#include "runtime/config/config.h"
#include "runtime/config/data_directory.h"
#include "runtime/loop.h"
#include "runtime/random_number.h"
#include "store/store.h"
#include "wal/inspect.h"
#include "wal/posix_file.h"

namespace assent::cli {
namespace {

struct HeardNode {
  NodeConfig config;
  std::unique_ptr<DataDirectory> data;  // its lock is held: the node does not run
};

struct HeardReplica {
  const HeardNode* node = nullptr;
  ReplicaIdentity identity;
  LogPosition last;
  bool leads_on = true;  // false: a snapshot was being installed, so its log is worth nothing
};

class Adopter {
 public:
  explicit Adopter(const AdoptOptions& options) : options_(options) {}

  Result<std::string> Run() {
    ASSENT_RETURN_IF_ERROR(HearNodes());
    for (const HeardNode& node : nodes_) ASSENT_RETURN_IF_ERROR(HearReplicas(node));
    auto known = KnownDirectory();
    if (!known.ok()) return known.status();
    const auto there = LookAtPlace(*known);
    if (!there.ok()) return there.status();
    if (!there->empty()) return *there;
    // R5: a node that is given up, and runs all the same, has its leases from nodes that answer
    // nothing any more.
    if (!options_.lost.empty()) {
      std::this_thread::sleep_for(std::chrono::microseconds(backup::kGraceUs + backup::kDriftMarginUs));
    }
    return Make(*known);
  }

 private:
  Status HearNodes() {
    if (options_.configs.empty()) return Status(StatusCode::kInvalid, "no node is heard: name its --config");
    for (const std::string& path : options_.configs) {
      auto config = LoadConfig(path, {/*insecure=*/true});
      if (!config.ok()) return config.status();
      const NodeConfig& first = nodes_.empty() ? *config : nodes_.front().config;
      if (config->cluster != first.cluster || config->directory_path != first.directory_path ||
          config->groups != first.groups) {
        return Status(StatusCode::kInvalid,
                      path + ": names another cluster, directory or groups than " + options_.configs.front());
      }
      if (const auto names = ListDirectory(config->data); !names.ok()) {
        return Status(names.status().code(), ToString(config->node) + ": " + names.status().message() +
                                                 ". If its data is lost, name it with --lost " +
                                                 ToString(config->node));
      }
      auto data = DataDirectory::Open(config->data, config->cluster, config->node);
      if (!data.ok()) return data.status();
      nodes_.push_back({std::move(*config), std::move(data).value()});
    }
    for (const GroupEntry& group : config().groups) {
      for (const NodeId node : group.replicas) {
        const bool is_heard = std::any_of(nodes_.begin(), nodes_.end(),
                                          [&](const HeardNode& heard) { return heard.config.node == node; });
        const bool is_lost =
            std::find(options_.lost.begin(), options_.lost.end(), node) != options_.lost.end();
        if (is_heard == is_lost) {
          return Status(StatusCode::kInvalid,
                        ToString(node) + (is_heard ? " is named as lost, and heard" : " is not heard") +
                            ": name its --config, or, if its data is lost for good, --lost " +
                            ToString(node) + ". What that node alone had acknowledged is lost then");
        }
      }
    }
    return {};
  }

  Status HearReplicas(const HeardNode& node) {
    const auto groups = node.data->Replicas();
    if (!groups.ok()) return groups.status();
    for (const GroupId group : *groups) {
      HeardReplica replica;
      replica.node = &node;
      auto identity = node.data->ReadReplica(group);
      if (!identity.ok()) return identity.status();
      replica.identity = *identity;
      if (!replica.identity.formed || Raw(replica.identity.directory) == 0) continue;
      wal::SilentVisitor silent;
      const auto log = wal::Inspect(files_, node.data->LogPath(group), {}, silent);
      if (!log.ok()) return log.status();
      ASSENT_RETURN_IF_ERROR(log->status);
      replica.last = log->last;
      const auto names = ListDirectory(node.data->ReplicaPath(group));
      if (!names.ok()) return names.status();
      replica.leads_on = std::find(names->begin(), names->end(), "installing") == names->end();
      replicas_[group].push_back(replica);
    }
    return {};
  }

  // The one that all replicas know.
  Result<DirectoryIncarnation> KnownDirectory() const {
    std::set<DirectoryIncarnation> known;
    for (const auto& [group, replicas] : replicas_) {
      for (const HeardReplica& replica : replicas) known.insert(replica.identity.directory);
    }
    if (known.size() == 1) return *known.begin();
    return Status(StatusCode::kConflict,
                  known.empty() ? "no replica here knows a directory: there is nothing to adopt"
                                : "the replicas here know " + std::to_string(known.size()) +
                                      " different directories: some are not of this cluster's last one");
  }

  // Looks at the directory's path. Text: it was adopted before; an error: it may not be replaced.
  Result<std::string> LookAtPlace(DirectoryIncarnation known) const {
    EmbeddedOptions options;
    options.path = config().directory_path;
    options.cluster = config().cluster;
    options.fresh = DirectoryIncarnation{RandomNumber()};
    options.may_create = false;
    const auto there = EmbeddedDirectory::Open(options);
    if (!there.ok() && there.status().code() == StatusCode::kNotFound) return std::string();
    if (!there.ok()) return there.status();
    const auto& adoption = (*there)->adoption();
    if (adoption && adoption->succeeds == known) {
      return options.path + " was made in the place of the lost one already, at " +
             UtcTime(adoption->wall_us) + ": start the nodes";
    }
    return Status(
        StatusCode::kConflict,
        options.path + ((*there)->incarnation() == known
                            ? " is the directory that the replicas know: it is not lost"
                            : " is another directory than the one that the replicas know: move it away"));
  }

  Result<std::string> Make(DirectoryIncarnation known) {
    const uint64_t wall_us = Loop::Now().wall_us;
    DirectoryIdentity identity{config().cluster, DirectoryIncarnation{RandomNumber()}, FirstEpoch(wall_us),
                               Adoption{known, wall_us, {}}};
    std::vector<GroupId> shards;
    std::vector<View> views;
    std::string told;
    for (const GroupEntry& group : config().groups) {
      if (group.id.kind == GroupKind::kShard) shards.push_back(group.id);
      const HeardReplica* best = Furthest(group.id);
      if (best == nullptr) {
        return Status(StatusCode::kNotFound,
                      "of " + ToString(group.id) + " no replica is heard that could lead it");
      }
      Epoch highest{};  // seen by a node that is heard; those that are not may have seen higher ones
      for (const HeardReplica& replica : replicas_[group.id]) {
        highest = std::max({highest, replica.identity.highest_epoch, replica.last.epoch});
        identity.adoption->replicas.push_back(
            {group.id, {replica.node->config.node, replica.identity.incarnation}});
      }
      const Epoch epoch = std::max(Next(highest), identity.first_epoch);
      const NodeId leader = best->node->config.node;
      views.push_back({group.id, epoch, leader, RandomNumber(), {{leader, best->identity.incarnation}}, {}});
      told += ToString(group.id) + " goes on from " + ToString(leader) + ", up to " + ToString(best->last) +
              ", in epoch " + std::to_string(Raw(epoch)) + "\n";
    }
    const Placement placement = Placement::Even(shards);
    for (const GroupId shard : shards) ASSENT_RETURN_IF_ERROR(CheckPlacement(placement, *Furthest(shard)));
    ASSENT_RETURN_IF_ERROR(
        EmbeddedDirectory::MakeSuccessor(config().directory_path, identity, placement, views));
    return told + "start the nodes: the other replicas join their groups again";
  }

  // R4: of the members of the last view the one whose last record is the highest, by (epoch, LSN), holds all
  // that was acknowledged.
  const HeardReplica* Furthest(GroupId group) const {
    const auto found = replicas_.find(group);
    if (found == replicas_.end()) return nullptr;
    const HeardReplica* best = nullptr;
    for (const HeardReplica& replica : found->second) {
      if (replica.leads_on && (best == nullptr || replica.last > best->last)) best = &replica;
    }
    return best;
  }

  // The placement was in the directory, too. It was made of the groups that were configured when the cluster
  // began: if others were added since, the rows would not be where it says.
  Status CheckPlacement(const Placement& placement, const HeardReplica& replica) {
    const GroupId shard = replica.identity.group;
    const auto store =
        Store::Open(replica.node->data->StorePath(shard), {config().cluster, shard}, StoreOptions{});
    if (!store.ok()) return store.status();
    std::optional<std::string> astray;
    (*store)->Scan(Table::kData, {}, {}, [&](std::string_view key, const Row&) {
      if (placement.ShardOf(key) != shard) astray = std::string(key);
      return !astray;
    });
    ASSENT_RETURN_IF_ERROR((*store)->status());
    if (!astray) return {};
    return Status(
        StatusCode::kConflict,
        "a key of " + ToString(shard) + " would be looked for on " + ToString(placement.ShardOf(*astray)) +
            ": the configured shards are not those that the cluster began with. Give all nodes the list "
            "that it began with");
  }

  const NodeConfig& config() const { return nodes_.front().config; }

  const AdoptOptions& options_;
  wal::PosixFileSystem files_;
  std::vector<HeardNode> nodes_;
  std::map<GroupId, std::vector<HeardReplica>> replicas_;
};

}  // namespace

Result<std::string> AdoptDirectory(const AdoptOptions& options) {
  return Adopter(options).Run();
}

}  // namespace assent::cli
