// Configuration files: what is read, errors that name line and key, the reference in docs/CONFIGURATION.md,
// plaintext, paths.
#include "runtime/config/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "temp_directory.h"

namespace assent {
namespace {

constexpr const char* kGood = R"(cluster = "7b0c2d7e-1111-4222-8333-0123456789ab"
[node]
id = "n1"
listen = "127.0.0.1:7401"
data = "data/n1"
[directory]
kind = "embedded"
path = "data/directory"
[[nodes]]
id = "n1"
address = "127.0.0.1:7401"
[[nodes]]
id = "n2"
address = "127.0.0.1:7402"
[[groups]]
id = "c1"
replicas = ["n1", "n2"]
[[groups]]
id = "s1"
replicas = ["n2", "n1"]
[[resource_managers]]
name = "ledger"
address = "[::1]:9090"
[limits]
connections_max = 64
replicas_min = 2
disk_reserve_bytes = 2097152
[log]
segment_bytes = 4194304
checkpoint_bytes = 1048576
[transactions]
vote_timeout_ms = 5000
idle_timeout_ms = 120000
life_max_ms = 300000
token_retention_ms = 600000
)";

// kGood with one piece of text replaced by another.
std::string With(const std::string& old_text, const std::string& new_text) {
  std::string text = kGood;
  const size_t at = text.find(old_text);
  EXPECT_NE(at, std::string::npos) << old_text;
  return text.replace(at, old_text.size(), new_text);
}

std::string ErrorOf(const std::string& text, ConfigFlags flags = {}) {
  const auto config = ParseConfig(text, "config.toml", flags);
  EXPECT_FALSE(config.ok());
  if (config.ok()) return "(none)";
  EXPECT_EQ(config.status().code(), StatusCode::kInvalid);
  return config.status().message();
}

TEST(Config, ReadsEverything) {
  const auto config = ParseConfig(kGood, "config.toml", {});
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->cluster, "7b0c2d7e-1111-4222-8333-0123456789ab");
  EXPECT_EQ(config->node, NodeId{1});
  EXPECT_EQ(config->listen, (Address{"127.0.0.1", 7401}));
  EXPECT_EQ(config->data, "data/n1");
  EXPECT_EQ(config->directory_path, "data/directory");
  ASSERT_EQ(config->nodes.size(), 2u);
  EXPECT_EQ(config->FindNode(NodeId{2})->address, (Address{"127.0.0.1", 7402}));
  EXPECT_EQ(config->FindNode(NodeId{3}), nullptr);
  const GroupId shard{GroupKind::kShard, 1};
  EXPECT_EQ(config->FindGroup(shard)->replicas, (std::vector<NodeId>{NodeId{2}, NodeId{1}}));
  EXPECT_EQ(config->OwnGroups().size(), 2u);
  ASSERT_EQ(config->resource_managers.size(), 1u);
  EXPECT_EQ(config->resource_managers[0], (ResourceManagerEntry{"ledger", {"::1", 9090}}));
  EXPECT_EQ(config->connections_max, 64u);
  EXPECT_EQ(config->replicas_min, 2u);
  EXPECT_EQ(config->segment_bytes, 4194304u);
  EXPECT_EQ(config->checkpoint_bytes, 1048576u);
  EXPECT_EQ(config->vote_timeout_ms, 5'000u);
  EXPECT_EQ(config->idle_timeout_ms, 120'000u);
  EXPECT_EQ(config->life_max_ms, 300'000u);
  EXPECT_EQ(config->token_retention_ms, 600'000u);
}

TEST(Config, LimitsAndLogHaveDefaults) {
  std::string text = kGood;
  text.resize(text.find("[limits]"));
  const auto config = ParseConfig(text, "config.toml", {});
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->replicas_min, 1u);
  EXPECT_EQ(config->connections_max, NodeConfig{}.connections_max);
  EXPECT_EQ(config->life_max_ms, NodeConfig{}.life_max_ms);
}

TEST(Config, WritingRoundTrips) {
  auto config = ParseConfig(kGood, "config.toml", {});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->resource_managers[0].kind, "thrift") << "where none is said";
  config->resource_managers.push_back(
      {.name = "orders", .kind = "postgresql", .dsn = "dbname=orders user='a b'"});
  config->resource_managers.push_back(
      {.name = "stock", .kind = "mariadb", .dsn = "host=db2", .password_file = "/secrets/stock"});
  config->data = "odd \"path\" with \\, \t and \x01\x7f, \xc3\xa9";
  const auto again = ParseConfig(WriteToml(*config), "again.toml", {});
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ(*again, *config);
  EXPECT_TRUE(ValidateConfig(*config, {}).ok());
}

TEST(ConfigError, NamesLineAndPartInPlainWords) {
  const struct {
    std::string text;
    std::string error;
  } kCases[] = {
      {With("\"n2\", \"n1\"", "\"n2\", \"n4\""),
       "config.toml:20: groups[1].replicas names n4, which is not in [[nodes]]"},
      {With("replicas = [\"n2\"", "replica = [\"n2\""),
       "config.toml:20: unknown key groups[1].replica; did you mean groups[1].replicas?"},
      {With("[limits]", "[limit]"), "config.toml:24: unknown key limit; did you mean limits?"},
      {With("connections_max", "conections_max"),
       "config.toml:25: unknown key limits.conections_max; did you mean limits.connections_max?"},
      {With("id = \"n1\"\nlisten", "id = \"n7\"\nlisten"),
       "config.toml:3: node.id names n7, which is not in [[nodes]]"},
      {With("id = \"n1\"\nlisten", "id = \"first\"\nlisten"),
       "config.toml:3: node.id is \"first\"; a node is named n1, n2, ..."},
      {With("listen = \"127.0.0.1:7401\"\n", ""), "config.toml:2: node.listen is missing"},
      {With("listen = \"127.0.0.1:7401\"", "listen = 7401"),
       "config.toml:4: node.listen must be text in quotes"},
      {With("listen = \"127.0.0.1:7401\"", "listen = \"127.0.0.1\""),
       "config.toml:4: node.listen: \"127.0.0.1\" is no address; write host:port, such as 127.0.0.1:7401 or "
       "[::1]:7401"},
      {With("\"7b0c2d7e-1111-4222-8333-0123456789ab\"", "\"mine\""),
       "config.toml:1: cluster is \"mine\"; it must be a uuid, as uuidgen prints one"},
      {With("\"embedded\"", "\"etcd\""),
       "config.toml:7: directory.kind is \"etcd\"; this version knows \"embedded\""},
      {With("id = \"n2\"", "id = \"n1\""), "config.toml:13: nodes[1].id names n1 again"},
      {With("127.0.0.1:7402", "127.0.0.1:7401"),
       "config.toml:14: nodes[1].address is 127.0.0.1:7401, which is the address of n1 already"},
      {With("id = \"s1\"", "id = \"c1\""), "config.toml:19: groups[1].id names c1 again"},
      {With("id = \"s1\"", "id = \"shard\""),
       "config.toml:19: groups[1].id is \"shard\"; a group is named c1, c2, ... (coordinators) or s1, s2, "
       "... (shards)"},
      {With("id = \"s1\"", "id = \"c2\""),
       "config.toml:15: groups has no shard: write a [[groups]] with id = \"s1\""},
      {With("id = \"c1\"", "id = \"s2\""),
       "config.toml:15: groups has no coordinator group: write a [[groups]] with id = \"c1\""},
      {With("[\"n1\", \"n2\"]", "[\"n1\", \"n1\"]"), "config.toml:17: groups[0].replicas names n1 twice"},
      {With("[\"n1\", \"n2\"]", "[]"),
       "config.toml:17: groups[0].replicas is empty; name at least one node, the first primary first"},
      {With("[\"n1\", \"n2\"]", "[\"n1\"]"),
       "config.toml:17: groups[0].replicas names 1 nodes, fewer than limits.replicas_min, 2: the group could "
       "never serve"},
      {With("[\"n1\", \"n2\"]", "\"n1\""),
       "config.toml:17: groups[0].replicas must be a list such as [\"n1\", \"n2\"]"},
      {With("\"ledger\"", "\"a b\""),
       "config.toml:22: resource_managers[0].name is \"a b\"; use 1 to 48 letters, digits, '-', '_' and '.'"},
      {With("= 64", "= 2"), "config.toml:25: limits.connections_max is 2; it must be from 8 to 10000"},
      {With("= 64", "= -1"),
       "config.toml:25: limits.connections_max must be a whole number that is not negative"},
      {With("replicas_min = 2", "replicas_min = 0"),
       "config.toml:26: limits.replicas_min is 0; it must be from 1 to 16"},
      {With("4194304", "1000"),
       "config.toml:29: log.segment_bytes is 1000; it must be from 4194304 to 1073741824"},
      {With("4194304", "4194305"),
       "config.toml:29: log.segment_bytes is 4194305; it must be a multiple of 4096"},
      {With("1048576", "1000"),
       "config.toml:30: log.checkpoint_bytes is 1000; it must be from 65536 to 67108864"},
      {With("data = \"data/n1\"", "data = \"\""),
       "config.toml:5: node.data is empty; name the directory for this node's data"},
      {With("vote_timeout_ms = 5000", "vote_timeout_ms = 10001"),
       "config.toml:32: transactions.vote_timeout_ms is 10001; it must be from 100 to 10000"},
      {With("idle_timeout_ms = 120000", "idle_timeout_ms = 300001"),
       "config.toml:33: transactions.idle_timeout_ms is 300001, more than transactions.life_max_ms, 300000: "
       "the transaction would have ended by then"},
      {With("token_retention_ms = 600000", "token_retention_ms = 599999"),
       "config.toml:35: transactions.token_retention_ms is 599999, less than twice transactions.life_max_ms, "
       "300000: a token must outlive its transaction, and the time in which a client asks again"},
      {With("segment_bytes = 4194304", "level = 3"),
       "config.toml:29: unknown key log.level; log may have segment_bytes, checkpoint_bytes"},
      {With("cluster =", "id = \"n1\"\ncluster ="),
       "config.toml:1: unknown key id; the file may have cluster, node, directory, nodes, groups, "
       "resource_managers, limits, log, transactions"},
      {With("127.0.0.1:7402", "0.0.0.0:7402"),
       "config.toml:14: nodes[1].address is 0.0.0.0:7402, on which one can listen, but which leads nobody "
       "anywhere; write the address at which the others reach it"},
      {With("[::1]:9090", "[::]:9090"),
       "config.toml:23: resource_managers[0].address is [::]:9090, on which one can listen, but which leads "
       "nobody anywhere; write the address at which the others reach it"},
      {With("address = \"[::1]:9090\"", "address = \"[::1]:9090\"\ndsn = \"a\""),
       "config.toml:24: resource_managers[0].dsn is not for what is reached by address"},
      {With("address = \"[::1]:9090\"", "kind = \"postgresql\""),
       "config.toml:21: resource_managers[0] has no dsn"},
      {With("[[nodes]]", "[nodes]"), ""},
      {"", "config.toml: cluster is missing"},
  };
  for (const auto& test : kCases) {
    const std::string error = ErrorOf(test.text);
    if (test.error.empty()) {
      EXPECT_TRUE(error.starts_with("config.toml:")) << error;
    } else {
      EXPECT_EQ(error, test.error);
    }
  }
}

TEST(ConfigError, BrokenTomlNamesTheLine) {
  const std::string error = ErrorOf(With("id = \"s1\"", "id = "));
  EXPECT_TRUE(error.starts_with("config.toml:19: not valid TOML: ") ||
              error.starts_with("config.toml:20: not valid"))
      << error;
}

TEST(ConfigError, EveryTruncationAndManyFlipsEndInAMessage) {
  const std::string good = kGood;
  for (size_t length = 0; length < good.size(); ++length) {
    const auto config = ParseConfig(good.substr(0, length), "c", {});
    if (!config.ok()) {
      EXPECT_TRUE(config.status().message().starts_with("c:")) << config.status().message();
    }
  }
  for (size_t bit = 0; bit < good.size() * 8; bit += 3) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    static_cast<void>(ParseConfig(bad, "c", {}));
  }
}

// A parser that recurses would end the process.
TEST(ConfigError, DeepKeysEndInAMessage) {
  const auto dotted = [](size_t dots) {
    std::string key = "x";
    for (size_t i = 0; i < dots; ++i) key += ".x";
    return key;
  };
  EXPECT_NE(ErrorOf(dotted(kConfigDotsMax) + " = 1\n").find("unknown key x"), std::string::npos);
  const std::string too_many = "config.toml: a configuration of more than 10000 dots; is it the right file?";
  EXPECT_EQ(ErrorOf(dotted(kConfigDotsMax + 1) + " = 1\n"), too_many);
  // Deep by many keys, none of which is.
  std::string nested = "x = 1";
  while (nested.size() < kConfigBytesMax - 8'000)
    nested = "x = [{" + dotted(1'000) + " = [{" + nested + "}]}]";
  EXPECT_EQ(ErrorOf(nested), too_many);
  EXPECT_EQ(ErrorOf(std::string(kConfigBytesMax + 1, '\n')),
            "config.toml: a configuration of more than 65536 bytes; is it the right file?");
}

TEST(ConfigReference, NamesEachKeyWithItsDefaultAndBounds) {
  // The rows of the table: key, unit, default, bounds.
  std::map<std::string, std::vector<std::string>> rows;
  std::istringstream page(ReadFile(std::string(ASSENT_DOCS) + "/CONFIGURATION.md"));
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      std::erase(cell, ',');
      cells.push_back(cell.size() < 2 ? "" : cell.substr(1, cell.size() - 2));
    }
    rows[cells.at(0).substr(1, cells.at(0).size() - 2)] = cells;
  }
  std::set<std::string> documented;
  for (const auto& [key, cells] : rows) documented.insert(key);
  const std::vector<std::string> known = ConfigKeys();
  EXPECT_EQ(documented, std::set<std::string>(known.begin(), known.end()));

  const std::string defaults = WriteToml(NodeConfig{});
  for (const auto& [key, cells] : rows) {
    const std::string name = key.substr(key.rfind('.') + 1);
    const size_t at = defaults.find("\n" + name + " = ");
    if (at == std::string::npos || defaults[at + name.size() + 4] == '"') continue;
    const size_t begin = at + name.size() + 4;
    EXPECT_EQ(cells.at(2), defaults.substr(begin, defaults.find('\n', begin) - begin)) << key;
    // A value out of bounds is told with them.
    std::string text = kGood;
    const size_t value = text.find(name + " = ") + name.size() + 3;
    text.replace(value, text.find('\n', value) - value, "0");
    const std::string error = ErrorOf(text);
    const size_t from = error.find("from ");
    ASSERT_NE(from, std::string::npos) << error;
    EXPECT_EQ(cells.at(3), error.substr(from + 5)) << key;
  }
}

TEST(ConfigPlaintext, BeyondLoopbackMustBeAskedFor) {
  for (const auto& [old_text, part] :
       {std::pair("listen = \"127.0.0.1:7401\"", "node.listen"),
        std::pair("address = \"127.0.0.1:7402\"", "nodes[1].address"),
        std::pair("address = \"[::1]:9090\"", "resource_managers[0].address")}) {
    const std::string key = std::string(old_text).substr(0, std::string(old_text).find(' '));
    for (const std::string address : {"0.0.0.0:7409", "[::]:7409", "10.1.2.3:7409", "db.example.com:7409"}) {
      const bool unspecified = address.starts_with("0.0.0.0") || address.starts_with("[::]");
      if (key != "listen" && unspecified) continue;
      const std::string text = With(old_text, key + " = \"" + address + "\"");
      const std::string error = ErrorOf(text);
      EXPECT_NE(error.find(std::string(part) + " is " + address), std::string::npos) << error;
      EXPECT_NE(error.find("--insecure"), std::string::npos) << error;
      EXPECT_TRUE(ParseConfig(text, "config.toml", {.insecure = true}).ok());
    }
  }
  EXPECT_TRUE(ParseConfig(With("listen = \"127.0.0.1:7401\"", "listen = \"localhost:7401\""), "c", {}).ok());
  EXPECT_TRUE(ParseConfig(With("listen = \"127.0.0.1:7401\"", "listen = \"[::1]:7401\""), "c", {}).ok());
}

TEST(ConfigLoad, ResolvesPathsAgainstTheFile) {
  const TempDirectory temp;
  WriteFile(temp / "config.toml", kGood);
  const auto config = LoadConfig(temp / "config.toml", {});
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->data, temp / "data/n1");
  EXPECT_EQ(config->directory_path, temp / "data/directory");
  WriteFile(temp / "config.toml", With("data/n1", "/var/lib/assent"));
  EXPECT_EQ(LoadConfig(temp / "config.toml", {})->data, "/var/lib/assent");
}

TEST(ConfigLoad, UnreadableFilesAreErrors) {
  const TempDirectory temp;
  const auto missing = LoadConfig(temp / "config.toml", {});
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(temp / "config.toml"), std::string::npos);
  EXPECT_FALSE(LoadConfig(temp.path(), {}).ok());
  WriteFile(temp / "config.toml", std::string(2 * 1024 * 1024, '#'));
  EXPECT_EQ(LoadConfig(temp / "config.toml", {}).status().code(), StatusCode::kInvalid);
}

}  // namespace
}  // namespace assent
