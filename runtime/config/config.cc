#include "runtime/config/config.h"

#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "common/answer_timeout.h"
#include "common/view.h"
#include "common/xid.h"
#include "directory/durable_files.h"
#include "runtime/config/config_parser.h"

namespace assent {
namespace {

constexpr size_t kNodesMax = 256;                          // far above what the directory is meant for (G8)
constexpr size_t kGroupsMax = 1024;                        // a shard without a slot would be of no use
constexpr uint32_t kConnectionsMin = 8;                    // peers, an operator and a client
constexpr uint32_t kConnectionsMax = 10'000;               // each costs a thread
constexpr uint64_t kSegmentBytesLow = 4ull * 1024 * 1024;  // holds the largest record: P3's, of some 2 MiB
constexpr uint64_t kSegmentBytesHigh = 1ull * 1024 * 1024 * 1024;
constexpr uint64_t kVoteMsLow = 100;  // below it, a busy machine would abort what only waits for a force
constexpr uint64_t kVoteMsHigh = kVoteTimeoutMaxUs / 1'000;
constexpr uint64_t kIdleMsLow = 100;
constexpr uint64_t kLifeMsLow = 1'000;
constexpr uint64_t kLifeMsHigh = 3'600'000;  // its locks, and the marks of all shards, wait for it (C8)
constexpr uint64_t kRetentionMsLow = 60'000;
constexpr uint64_t kRetentionMsHigh =
    7 * 86'400'000ull;                                  // a row of 100 bytes or so for each commit meanwhile
constexpr uint64_t kCheckpointBytesLow = 64ull * 1024;  // below it, most of the work would be checkpoints
// The loop stands still for a checkpoint: 5 s for 1 GiB were measured, and 3 s cost a primary its lead.
constexpr uint64_t kCheckpointBytesHigh = 64ull * 1024 * 1024;
constexpr uint64_t kDiskReserveBytesHigh = 1ull << 40;

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
  }
  return true;
}

// Checks what the parts say about each other. `locate` turns a part's path into the beginning of a message.
class Validator {
 public:
  using Locate = std::function<std::string(const std::string& path)>;
  Validator(const NodeConfig& config, ConfigFlags flags, Locate locate)
      : config_(config), flags_(flags), locate_(std::move(locate)) {}

  Status Run() const {
    if (!IsUuid(config_.cluster)) {
      return Bad("cluster", "is \"" + config_.cluster + "\"; it must be a uuid, as uuidgen prints one");
    }
    ASSENT_RETURN_IF_ERROR(CheckNodes());
    ASSENT_RETURN_IF_ERROR(CheckThisNode());
    ASSENT_RETURN_IF_ERROR(CheckGroups());
    ASSENT_RETURN_IF_ERROR(CheckResourceManagers());
    return CheckNumbers();
  }

 private:
  Status Bad(const std::string& path, const std::string& what) const {
    return Status(StatusCode::kInvalid, locate_(path) + path + " " + what);
  }

  static std::string Indexed(const char* list, size_t index, const char* field = "") {
    return std::string(list) + "[" + std::to_string(index) + "]" + field;
  }

  // Nothing is encrypted or authenticated, so it has to be asked for.
  Status CheckPlaintext(const std::string& path, const Address& endpoint) const {
    if (flags_.insecure || IsLoopback(endpoint)) return {};
    return Bad(path,
               "is " + ToString(endpoint) +
                   ", beyond this machine, and traffic is plaintext. Use a loopback address, or start with "
                   "--insecure if the network is trusted");
  }

  // Others would connect to themselves.
  Status CheckReachable(const std::string& path, const Address& endpoint) const {
    if (!IsUnspecified(endpoint)) return {};
    return Bad(path, "is " + ToString(endpoint) +
                         ", on which one can listen, but which leads nobody anywhere; write the address at "
                         "which the others reach it");
  }

  Status CheckNodes() const {
    if (config_.nodes.empty()) return Bad("nodes", "names no node: write a [[nodes]] for each");
    if (config_.nodes.size() > kNodesMax)
      return Bad("nodes", "has more than " + std::to_string(kNodesMax) + " entries");
    std::set<NodeId> ids;
    std::map<Address, NodeId> addresses;
    for (size_t i = 0; i < config_.nodes.size(); ++i) {
      const NodeEntry& node = config_.nodes[i];
      if (!ids.insert(node.id).second)
        return Bad(Indexed("nodes", i, ".id"), "names " + ToString(node.id) + " again");
      const auto [other, is_new] = addresses.emplace(node.address, node.id);
      if (!is_new) {
        return Bad(Indexed("nodes", i, ".address"), "is " + ToString(node.address) +
                                                        ", which is the address of " +
                                                        ToString(other->second) + " already");
      }
      ASSENT_RETURN_IF_ERROR(CheckReachable(Indexed("nodes", i, ".address"), node.address));
      ASSENT_RETURN_IF_ERROR(CheckPlaintext(Indexed("nodes", i, ".address"), node.address));
    }
    return {};
  }

  Status CheckThisNode() const {
    if (config_.FindNode(config_.node) == nullptr) {
      return Bad("node.id", "names " + ToString(config_.node) + ", which is not in [[nodes]]");
    }
    ASSENT_RETURN_IF_ERROR(CheckPlaintext("node.listen", config_.listen));
    if (config_.data.empty()) return Bad("node.data", "is empty; name the directory for this node's data");
    if (config_.directory_path.empty()) {
      return Bad("directory.path", "is empty; name the directory that all nodes of the cluster share");
    }
    return {};
  }

  Status CheckGroups() const {
    std::set<GroupId> ids;
    std::set<GroupKind> kinds;
    if (config_.groups.size() > kGroupsMax) {
      return Bad("groups", "has more than " + std::to_string(kGroupsMax) + " entries");
    }
    for (size_t i = 0; i < config_.groups.size(); ++i) {
      const GroupEntry& group = config_.groups[i];
      if (!ids.insert(group.id).second) {
        return Bad(Indexed("groups", i, ".id"), "names " + ToString(group.id) + " again");
      }
      kinds.insert(group.id.kind);
      const std::string path = Indexed("groups", i, ".replicas");
      if (group.replicas.empty())
        return Bad(path, "is empty; name at least one node, the first primary first");
      if (group.replicas.size() > kMembersMax) {
        return Bad(path, "names more than " + std::to_string(kMembersMax) + " nodes");
      }
      std::set<NodeId> replicas;
      for (const NodeId node : group.replicas) {
        if (config_.FindNode(node) == nullptr) {
          return Bad(path, "names " + ToString(node) + ", which is not in [[nodes]]");
        }
        if (!replicas.insert(node).second) return Bad(path, "names " + ToString(node) + " twice");
      }
      if (group.replicas.size() < config_.replicas_min) {
        return Bad(path, "names " + std::to_string(group.replicas.size()) +
                             " nodes, fewer than limits.replicas_min, " +
                             std::to_string(config_.replicas_min) + ": the group could never serve");
      }
    }
    if (!kinds.contains(GroupKind::kCoordinator)) {
      return Bad("groups", "has no coordinator group: write a [[groups]] with id = \"c1\"");
    }
    if (!kinds.contains(GroupKind::kShard)) {
      return Bad("groups", "has no shard: write a [[groups]] with id = \"s1\"");
    }
    return {};
  }

  Status CheckResourceManagers() const {
    std::set<std::string> names;
    for (size_t i = 0; i < config_.resource_managers.size(); ++i) {
      const ResourceManagerEntry& manager = config_.resource_managers[i];
      const std::string path = Indexed("resource_managers", i, ".name");
      if (!IsManagerName(manager.name)) {
        return Bad(path, "is \"" + manager.name + "\"; use 1 to " + std::to_string(kManagerNameBytesMax) +
                             " letters, digits, '-', '_' and '.'");
      }
      if (!names.insert(manager.name).second) return Bad(path, "names " + manager.name + " again");
      const std::string address = Indexed("resource_managers", i, ".address");
      if (manager.kind != "thrift") continue;
      ASSENT_RETURN_IF_ERROR(CheckReachable(address, manager.address));
      ASSENT_RETURN_IF_ERROR(CheckPlaintext(address, manager.address));
    }
    return {};
  }

  Status CheckNumbers() const {
    ASSENT_RETURN_IF_ERROR(
        CheckRange("limits.connections_max", config_.connections_max, kConnectionsMin, kConnectionsMax));
    ASSENT_RETURN_IF_ERROR(CheckRange("limits.replicas_min", config_.replicas_min, 1, kMembersMax));
    ASSENT_RETURN_IF_ERROR(
        CheckRange("limits.disk_reserve_bytes", config_.disk_reserve_bytes, 1, kDiskReserveBytesHigh));
    ASSENT_RETURN_IF_ERROR(
        CheckRange("log.segment_bytes", config_.segment_bytes, kSegmentBytesLow, kSegmentBytesHigh));
    if (config_.segment_bytes % 4096 != 0) {
      return Bad("log.segment_bytes",
                 "is " + std::to_string(config_.segment_bytes) + "; it must be a multiple of 4096");
    }
    ASSENT_RETURN_IF_ERROR(CheckRange("log.checkpoint_bytes", config_.checkpoint_bytes, kCheckpointBytesLow,
                                      kCheckpointBytesHigh));
    return CheckTimes();
  }

  Status CheckTimes() const {
    ASSENT_RETURN_IF_ERROR(
        CheckRange("transactions.vote_timeout_ms", config_.vote_timeout_ms, kVoteMsLow, kVoteMsHigh));
    ASSENT_RETURN_IF_ERROR(
        CheckRange("transactions.idle_timeout_ms", config_.idle_timeout_ms, kIdleMsLow, kLifeMsHigh));
    ASSENT_RETURN_IF_ERROR(
        CheckRange("transactions.life_max_ms", config_.life_max_ms, kLifeMsLow, kLifeMsHigh));
    ASSENT_RETURN_IF_ERROR(CheckRange("transactions.token_retention_ms", config_.token_retention_ms,
                                      kRetentionMsLow, kRetentionMsHigh));
    const std::string life = std::to_string(config_.life_max_ms);
    if (config_.vote_timeout_ms > config_.life_max_ms) {
      return Bad("transactions.vote_timeout_ms", "is " + std::to_string(config_.vote_timeout_ms) +
                                                     ", more than transactions.life_max_ms, " + life +
                                                     ": the transaction would have ended by then");
    }
    if (config_.idle_timeout_ms > config_.life_max_ms) {
      return Bad("transactions.idle_timeout_ms", "is " + std::to_string(config_.idle_timeout_ms) +
                                                     ", more than transactions.life_max_ms, " + life +
                                                     ": the transaction would have ended by then");
    }
    if (config_.token_retention_ms < 2 * config_.life_max_ms) {
      return Bad("transactions.token_retention_ms",
                 "is " + std::to_string(config_.token_retention_ms) +
                     ", less than twice transactions.life_max_ms, " + life +
                     ": a token must outlive its transaction, and the time in which a client asks again");
    }
    return {};
  }

  Status CheckRange(const char* path, uint64_t number, uint64_t low, uint64_t high) const {
    if (low <= number && number <= high) return {};
    return Bad(path, "is " + std::to_string(number) + "; it must be from " + std::to_string(low) + " to " +
                         std::to_string(high));
  }

  const NodeConfig& config_;
  const ConfigFlags flags_;
  const Locate locate_;
};

// A TOML basic string.
std::string Quoted(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string Resolved(const std::string& base, const std::string& path) {
  if (path.empty()) return path;
  return (std::filesystem::path(base).parent_path() / path).lexically_normal().string();
}

}  // namespace

const NodeEntry* NodeConfig::FindNode(NodeId id) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [id](const NodeEntry& entry) { return entry.id == id; });
  return found == nodes.end() ? nullptr : &*found;
}

const GroupEntry* NodeConfig::FindGroup(GroupId id) const {
  const auto found =
      std::find_if(groups.begin(), groups.end(), [id](const GroupEntry& entry) { return entry.id == id; });
  return found == groups.end() ? nullptr : &*found;
}

std::vector<GroupEntry> NodeConfig::OwnGroups() const {
  std::vector<GroupEntry> own;
  for (const GroupEntry& group : groups) {
    if (std::find(group.replicas.begin(), group.replicas.end(), node) != group.replicas.end())
      own.push_back(group);
  }
  return own;
}

Result<NodeConfig> LoadConfig(const std::string& path, ConfigFlags flags) {
  const auto text = ReadSmallFile(path, kConfigBytesMax);
  if (!text.ok() && text.status().code() == StatusCode::kDamaged) {
    return ParseConfig(std::string(kConfigBytesMax + 1, ' '), path, flags);  // says that it is too large
  }
  if (!text.ok()) return text.status();
  auto config = ParseConfig(*text, path, flags);
  if (!config.ok()) return config;
  config->data = Resolved(path, config->data);
  config->directory_path = Resolved(path, config->directory_path);
  for (ResourceManagerEntry& manager : config->resource_managers) {
    if (!manager.password_file.empty()) manager.password_file = Resolved(path, manager.password_file);
  }
  return config;
}

Result<NodeConfig> ParseConfig(std::string_view text, const std::string& name, ConfigFlags flags) {
  auto parsed = ParseConfigText(text, name);
  if (!parsed.ok()) return parsed.status();
  const ConfigLines& lines = parsed->lines;
  const auto locate = [&](const std::string& path) {
    const auto line = lines.find(path);
    return name + ":" + (line == lines.end() ? "" : std::to_string(line->second) + ":") + " ";
  };
  ASSENT_RETURN_IF_ERROR(Validator(parsed->config, flags, locate).Run());
  return std::move(parsed->config);
}

Status ValidateConfig(const NodeConfig& config, ConfigFlags flags) {
  return Validator(config, flags, [](const std::string&) { return std::string(); }).Run();
}

// Not by toml++, which sorts by name: [node], which says whose file it is, would come below [limits].
std::string WriteToml(const NodeConfig& config) {
  std::string out = "cluster = " + Quoted(config.cluster) +
                    "\n\n[node]\nid = " + Quoted(ToString(config.node)) +
                    "\nlisten = " + Quoted(ToString(config.listen)) + "\ndata = " + Quoted(config.data) +
                    "\n\n[directory]\nkind = \"embedded\"\npath = " + Quoted(config.directory_path) + "\n";
  for (const NodeEntry& node : config.nodes) {
    out += "\n[[nodes]]\nid = " + Quoted(ToString(node.id)) +
           "\naddress = " + Quoted(ToString(node.address)) + "\n";
  }
  for (const GroupEntry& group : config.groups) {
    out += "\n[[groups]]\nid = " + Quoted(ToString(group.id)) + "\nreplicas = [";
    for (size_t i = 0; i < group.replicas.size(); ++i)
      out += (i == 0 ? "" : ", ") + Quoted(ToString(group.replicas[i]));
    out += "]\n";
  }
  for (const ResourceManagerEntry& manager : config.resource_managers) {
    out += "\n[[resource_managers]]\nname = " + Quoted(manager.name) + "\nkind = " + Quoted(manager.kind);
    out += manager.kind == "thrift" ? "\naddress = " + Quoted(ToString(manager.address))
                                    : "\ndsn = " + Quoted(manager.dsn);
    if (!manager.password_file.empty()) out += "\npassword_file = " + Quoted(manager.password_file);
    out += "\n";
  }
  out += "\n[limits]\nconnections_max = " + std::to_string(config.connections_max) +
         "\nreplicas_min = " + std::to_string(config.replicas_min) +
         "\ndisk_reserve_bytes = " + std::to_string(config.disk_reserve_bytes) +
         "\n\n[log]\nsegment_bytes = " + std::to_string(config.segment_bytes) +
         "\ncheckpoint_bytes = " + std::to_string(config.checkpoint_bytes) +
         "\n\n[transactions]\nvote_timeout_ms = " + std::to_string(config.vote_timeout_ms) +
         "\nidle_timeout_ms = " + std::to_string(config.idle_timeout_ms) +
         "\nlife_max_ms = " + std::to_string(config.life_max_ms) +
         "\ntoken_retention_ms = " + std::to_string(config.token_retention_ms) + "\n";
  return out;
}

}  // namespace assent
