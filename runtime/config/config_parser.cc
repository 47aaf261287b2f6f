#include "runtime/config/config_parser.h"

#include <toml++/toml.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/edit_distance.h"

namespace assent {
namespace {

// The keys of each table, those of the root first; "[]" = of each entry of a list.
const std::vector<std::pair<std::string, std::vector<std::string>>>& KnownKeys() {
  static const auto& keys = *new std::vector<std::pair<std::string, std::vector<std::string>>>{
      {"",
       {"cluster", "node", "directory", "nodes", "groups", "resource_managers", "limits", "log",
        "transactions"}},
      {"node", {"id", "listen", "data"}},
      {"directory", {"kind", "path"}},
      {"nodes[]", {"id", "address"}},
      {"groups[]", {"id", "replicas"}},
      {"resource_managers[]", {"name", "kind", "address", "dsn", "password_file"}},
      {"limits", {"connections_max", "replicas_min", "disk_reserve_bytes"}},
      {"log", {"segment_bytes", "checkpoint_bytes"}},
      {"transactions", {"vote_timeout_ms", "idle_timeout_ms", "life_max_ms", "token_retention_ms"}},
  };
  return keys;
}

const std::vector<std::string>& KnownKeysOf(std::string_view table) {
  const auto& all = KnownKeys();
  return std::find_if(all.begin(), all.end(), [&](const auto& keys) { return keys.first == table; })->second;
}

// Reads one file. The first error is kept, and readers give defaults from then on.
class Parser {
 public:
  explicit Parser(std::string name) : name_(std::move(name)) {}

  void Run(const toml::table& root) {
    CheckKeys(root, "", "");
    config_.cluster = Text(root, "", "cluster");
    if (const toml::table* node = Table(root, "node", true)) {
      CheckKeys(*node, "node", "node");
      config_.node = Node(*node, "node", "id");
      config_.listen = Address(*node, "node", "listen");
      config_.data = Text(*node, "node", "data");
    }
    if (const toml::table* directory = Table(root, "directory", true)) {
      CheckKeys(*directory, "directory", "directory");
      const std::string kind = Text(*directory, "directory", "kind");
      if (status_.ok() && kind != "embedded") {
        Fail(directory->get("kind"), "directory.kind is \"" + kind + "\"; this version knows \"embedded\"");
      }
      config_.directory_path = Text(*directory, "directory", "path");
    }
    ForEach(root, "nodes", true, [this](const toml::table& table, const std::string& where) {
      CheckKeys(table, where, "nodes[]");
      const NodeId id = Node(table, where, "id");
      config_.nodes.push_back({id, Address(table, where, "address")});
    });
    ForEach(root, "groups", true, [this](const toml::table& table, const std::string& where) {
      CheckKeys(table, where, "groups[]");
      config_.groups.push_back({Group(table, where), Replicas(table, where)});
    });
    ForEach(root, "resource_managers", false, [this](const toml::table& table, const std::string& where) {
      CheckKeys(table, where, "resource_managers[]");
      ResourceManagerEntry manager;
      manager.name = Text(table, where, "name");
      if (table.contains("kind")) manager.kind = Text(table, where, "kind");
      // A service of one's own has an address, a database what its own client takes. Which kinds there are is
      // not known here.
      const bool service = manager.kind == "thrift" || !table.contains("dsn");
      for (const std::string_view key : {"address", "dsn", "password_file"}) {
        if (const toml::node* node = table.get(key); node != nullptr && service != (key == "address")) {
          Fail(node, Join(where, key) + " is not for what is reached by " + (service ? "address" : "dsn"));
        }
      }
      if (manager.kind != "thrift" && !table.contains("dsn") && !table.contains("address")) {
        Fail(&table, where + " has no dsn");
      } else if (service) {
        manager.address = Address(table, where, "address");
      } else {
        manager.dsn = Text(table, where, "dsn");
        if (table.contains("password_file")) manager.password_file = Text(table, where, "password_file");
      }
      config_.resource_managers.push_back(std::move(manager));
    });
    if (const toml::table* limits = Table(root, "limits", false)) {
      CheckKeys(*limits, "limits", "limits");
      Number(*limits, "limits", "connections_max", config_.connections_max);
      Number(*limits, "limits", "replicas_min", config_.replicas_min);
      Number(*limits, "limits", "disk_reserve_bytes", config_.disk_reserve_bytes);
    }
    if (const toml::table* log = Table(root, "log", false)) {
      CheckKeys(*log, "log", "log");
      Number(*log, "log", "segment_bytes", config_.segment_bytes);
      Number(*log, "log", "checkpoint_bytes", config_.checkpoint_bytes);
    }
    if (const toml::table* transactions = Table(root, "transactions", false)) {
      CheckKeys(*transactions, "transactions", "transactions");
      Number(*transactions, "transactions", "vote_timeout_ms", config_.vote_timeout_ms);
      Number(*transactions, "transactions", "idle_timeout_ms", config_.idle_timeout_ms);
      Number(*transactions, "transactions", "life_max_ms", config_.life_max_ms);
      Number(*transactions, "transactions", "token_retention_ms", config_.token_retention_ms);
    }
  }

  Result<ParsedConfig> Take() {
    if (!status_.ok()) return status_;
    return ParsedConfig{std::move(config_), std::move(lines_)};
  }

 private:
  static std::string Join(const std::string& where, std::string_view key) {
    return where.empty() ? std::string(key) : where + "." + std::string(key);
  }

  void Fail(const toml::node* at, const std::string& what) {
    if (!status_.ok()) return;
    const std::string line = at == nullptr ? "" : std::to_string(at->source().begin.line) + ":";
    status_ = Status(StatusCode::kInvalid, name_ + ":" + line + " " + what);
  }

  void Note(const std::string& path, const toml::node& node) { lines_[path] = node.source().begin.line; }

  void CheckKeys(const toml::table& table, const std::string& where, std::string_view known_as) {
    const std::vector<std::string>& known = KnownKeysOf(known_as);
    for (const auto& [key, node] : table) {
      const std::string_view found = key.str();
      if (std::find(known.begin(), known.end(), found) != known.end()) continue;
      if (!status_.ok()) return;
      status_ = Status(StatusCode::kInvalid, name_ + ":" + std::to_string(key.source().begin.line) +
                                                 ": unknown key " + Join(where, found) + "; " +
                                                 Hint(where, found, known));
    }
  }

  // The known key that was meant, if one is near; else all.
  static std::string Hint(const std::string& where, std::string_view found,
                          const std::vector<std::string>& known) {
    const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
      return EditDistance(found, a) < EditDistance(found, b);
    });
    if (EditDistance(found, *nearest) <= std::max<size_t>(1, nearest->size() / 3)) {
      return "did you mean " + Join(where, *nearest) + "?";
    }
    std::string all;
    for (const std::string& key : known) all += (all.empty() ? "" : ", ") + key;
    return (where.empty() ? "the file" : where) + " may have " + all;
  }

  // nullptr, and an error if `required`, where it is missing.
  const toml::node* Find(const toml::table& table, const std::string& where, std::string_view key,
                         bool required) {
    const toml::node* node = table.get(key);
    if (node == nullptr) {
      if (required) Fail(where.empty() ? nullptr : &table, Join(where, key) + " is missing");
      return nullptr;
    }
    Note(Join(where, key), *node);
    return node;
  }

  const toml::table* Table(const toml::table& root, std::string_view key, bool required) {
    const toml::node* node = Find(root, "", key, required);
    if (node == nullptr) return nullptr;
    if (!node->is_table())
      Fail(node, std::string(key) + " must be a table: write [" + std::string(key) + "]");
    return node->as_table();
  }

  template <typename Take>
  void ForEach(const toml::table& root, std::string_view key, bool required, const Take& take) {
    const std::string name(key);
    const toml::node* node = Find(root, "", key, required);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) return Fail(node, name + " must be a list of tables: write [[" + name + "]]");
    for (size_t i = 0; i < array->size(); ++i) {
      const std::string where = name + "[" + std::to_string(i) + "]";
      const toml::table* table = array->get(i)->as_table();
      if (table == nullptr) return Fail(array->get(i), where + " must be a table: write [[" + name + "]]");
      Note(where, *table);
      take(*table, where);
    }
  }

  std::string Text(const toml::table& table, const std::string& where, std::string_view key) {
    const toml::node* node = Find(table, where, key, true);
    if (node == nullptr) return {};
    const auto text = node->value_exact<std::string>();
    if (!text) Fail(node, Join(where, key) + " must be text in quotes");
    return text.value_or("");
  }

  NodeId ToNode(const toml::node& at, const std::string& what, const std::string& text) {
    const auto node = ParseNodeId(text);
    if (!node || Raw(*node) == 0) {
      Fail(&at, what + " is \"" + text + "\"; a node is named n1, n2, ...");
      return {};
    }
    return *node;
  }

  NodeId Node(const toml::table& table, const std::string& where, std::string_view key) {
    const std::string text = Text(table, where, key);
    return status_.ok() ? ToNode(*table.get(key), Join(where, key), text) : NodeId{};
  }

  assent::Address Address(const toml::table& table, const std::string& where, std::string_view key) {
    const std::string text = Text(table, where, key);
    if (!status_.ok()) return {};
    const auto address = ParseAddress(text);
    if (!address.ok()) Fail(table.get(key), Join(where, key) + ": " + address.status().message());
    return address.ok() ? *address : assent::Address{};
  }

  GroupId Group(const toml::table& table, const std::string& where) {
    const std::string text = Text(table, where, "id");
    if (!status_.ok()) return {};
    const auto group = ParseGroupId(text);
    if (!group || group->number == 0) {
      Fail(table.get("id"), where + ".id is \"" + text +
                                "\"; a group is named c1, c2, ... (coordinators) or s1, s2, ... (shards)");
      return {};
    }
    return *group;
  }

  std::vector<NodeId> Replicas(const toml::table& table, const std::string& where) {
    const toml::node* node = Find(table, where, "replicas", true);
    if (node == nullptr) return {};
    std::vector<NodeId> replicas;
    const toml::array* array = node->as_array();
    if (array == nullptr) Fail(node, where + ".replicas must be a list such as [\"n1\", \"n2\"]");
    for (size_t i = 0; array != nullptr && i < array->size(); ++i) {
      const std::string what = where + ".replicas[" + std::to_string(i) + "]";
      const auto text = array->get(i)->value_exact<std::string>();
      if (!text) {
        Fail(array->get(i), what + " must be text in quotes");
      } else {
        replicas.push_back(ToNode(*array->get(i), what, *text));
      }
    }
    return replicas;
  }

  template <typename Unsigned>
  void Number(const toml::table& table, const std::string& where, std::string_view key, Unsigned& out) {
    const toml::node* node = Find(table, where, key, false);
    if (node == nullptr) return;
    const auto number = node->value_exact<int64_t>();
    if (!number || *number < 0 || static_cast<uint64_t>(*number) > std::numeric_limits<Unsigned>::max()) {
      return Fail(node, Join(where, key) + " must be a whole number that is not negative" +
                            (number && *number >= 0 ? " and not that large" : ""));
    }
    out = static_cast<Unsigned>(*number);
  }

  const std::string name_;
  Status status_;
  NodeConfig config_;
  ConfigLines lines_;
};

}  // namespace

std::vector<std::string> ConfigKeys() {
  std::vector<std::string> out;
  for (const auto& [table, keys] : KnownKeys()) {
    for (const std::string& key : keys) {
      // Those of the root that are tables have keys of their own.
      const bool is_table =
          table.empty() && std::any_of(KnownKeys().begin(), KnownKeys().end(), [&](const auto& t) {
            return t.first == key || t.first == key + "[]";
          });
      if (!is_table) out.push_back(table.empty() ? key : table + "." + key);
    }
  }
  return out;
}

Result<ParsedConfig> ParseConfigText(std::string_view text, const std::string& name) {
  if (text.size() > kConfigBytesMax) {
    return Status(StatusCode::kInvalid, name + ": a configuration of more than " +
                                            std::to_string(kConfigBytesMax) +
                                            " bytes; is it the right file?");
  }
  if (std::count(text.begin(), text.end(), '.') > static_cast<ptrdiff_t>(kConfigDotsMax)) {
    return Status(StatusCode::kInvalid, name + ": a configuration of more than " +
                                            std::to_string(kConfigDotsMax) + " dots; is it the right file?");
  }
  try {
    const toml::table root = toml::parse(text, name);
    Parser parser(name);
    parser.Run(root);
    return parser.Take();
  } catch (const toml::parse_error& error) {
    return Status(StatusCode::kInvalid, name + ":" + std::to_string(error.source().begin.line) +
                                            ": not valid TOML: " + std::string(error.description()));
  }
}

}  // namespace assent
