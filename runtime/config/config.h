#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "runtime/transport/address.h"

// The configuration of one node, as a TOML file. It says who is who; the directory holds what was agreed at
// run time (views, placement), and wins. All nodes of a cluster have the same file but for [node].
//
//   cluster = "7b0c..."                 # any uuid; the same on all nodes
//   [node]
//   id = "n1"
//   listen = "127.0.0.1:7401"
//   data = "data/n1"                    # relative paths start at the file's own directory
//   [directory]
//   kind = "embedded"
//   path = "data/directory"
//   [[nodes]]
//   id = "n1"
//   address = "127.0.0.1:7401"
//   [[groups]]
//   id = "s1"
//   replicas = ["n1", "n2"]             # the first is the primary of the first view
//   [[resource_managers]]
//   name = "ledger"
//   kind = "thrift"
//   address = "127.0.0.1:9090"
//   [limits]
//   connections_max = 256
//   replicas_min = 1
//   disk_reserve_bytes = 134217728
//   [log]
//   segment_bytes = 16777216
//   checkpoint_bytes = 33554432
//   [transactions]
//   vote_timeout_ms = 10000
//   idle_timeout_ms = 10000
//   life_max_ms = 60000
//   token_retention_ms = 3600000
//
// docs/CONFIGURATION.md says what each key is for. Errors name file and line, and say what to write:
// "config.toml:12: groups[1].replicas names n4, which is not in [[nodes]]". Unknown keys are errors. Arrays
// count from 0, as in TOML tools.
namespace assent {

enum class DirectoryKind : uint8_t { kEmbedded = 1 };

struct NodeEntry {
  NodeId id{};
  Address address;
  bool operator==(const NodeEntry&) const = default;
};
struct GroupEntry {
  GroupId id;
  std::vector<NodeId> replicas;
  bool operator==(const GroupEntry&) const = default;
};
struct ResourceManagerEntry {
  std::string name;
  Address address{};            // of a service of one's own, kind "thrift"
  std::string kind = "thrift";  // one that rm::FindKind knows
  std::string dsn{};            // how to connect to a database, in the words of its kind
  std::string password_file{};  // for the database; empty: none
  bool operator==(const ResourceManagerEntry&) const = default;
};

struct NodeConfig {
  std::string cluster;
  NodeId node{};
  Address listen;
  std::string data;
  DirectoryKind directory_kind = DirectoryKind::kEmbedded;
  std::string directory_path;
  std::vector<NodeEntry> nodes;    // in the file's order, as all lists here
  std::vector<GroupEntry> groups;  // of the whole cluster
  std::vector<ResourceManagerEntry> resource_managers;
  uint32_t connections_max = 256;  // of clients; peers and operators have their own (G8)
  uint32_t replicas_min = 1;       // a view smaller than this does not serve (R3)
  // So much of the disk with the data, or a twentieth of it if that is less, is left to what is open already,
  // and to trimming the logs: below it no new work is taken (G8), and no snapshot is made or taken in.
  uint64_t disk_reserve_bytes = 128ull * 1024 * 1024;
  uint64_t segment_bytes = 16ull * 1024 * 1024;  // of each log file
  // SQLite's -wal file, and the log that a restart replays, grow to about this between two checkpoints.
  uint64_t checkpoint_bytes = 32ull * 1024 * 1024;
  // For transactions (coordinator/config.h says more).
  uint64_t vote_timeout_ms = 10'000;        // a vote that is not in by then is a no (C7)
  uint64_t idle_timeout_ms = 10'000;        // an interactive transaction without a call ends
  uint64_t life_max_ms = 60'000;            // an undecided transaction ends (C7)
  uint64_t token_retention_ms = 3'600'000;  // a token is refused, and its outcome forgotten (C5)

  bool operator==(const NodeConfig&) const = default;
  const NodeEntry* FindNode(NodeId id) const;
  const GroupEntry* FindGroup(GroupId id) const;
  // Groups with a replica on this node, in the file's order.
  std::vector<GroupEntry> OwnGroups() const;
};

// The size of a file: room for as many nodes and groups as there may be.
inline constexpr size_t kConfigBytesMax = 64 * 1024;
// The parser's recursion is as deep as keys are dotted, here or there in a file, all in all; with some 25,000
// a stack of 8 MiB is full. Addresses and paths of the largest file have fewer than this.
inline constexpr size_t kConfigDotsMax = 10'000;

struct ConfigFlags {
  bool insecure = false;  // --insecure: plaintext on addresses beyond loopback is wanted
};

// kNotFound or kIo where the file cannot be read; kInvalid otherwise. Relative paths are resolved.
Result<NodeConfig> LoadConfig(const std::string& path, ConfigFlags flags);
// `name` stands for the file in messages. Paths are left as they are.
Result<NodeConfig> ParseConfig(std::string_view text, const std::string& name, ConfigFlags flags);
// Checks a config that was put together in memory. Without line numbers.
Status ValidateConfig(const NodeConfig& config, ConfigFlags flags);
// ParseConfig(WriteToml(c)) == c for every valid c.
std::string WriteToml(const NodeConfig& config);
// All keys: "cluster", "limits.replicas_min", "nodes[].id".
std::vector<std::string> ConfigKeys();

}  // namespace assent
