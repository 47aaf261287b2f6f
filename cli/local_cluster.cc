#include "cli/local_cluster.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>
#include <utility>

#include "cli/cluster_view.h"
#include "runtime/transport/socket.h"

namespace assent::cli {
namespace {

namespace bp = boost::process;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kStartMs = 60'000;  // generous: recovery of a large log on a busy machine
constexpr milliseconds kPoll{20};

std::string NewClusterId() {
  uint8_t bytes[16] = {};
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return {};
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);  // a version 4 uuid
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (size_t i = 0; i < sizeof bytes; ++i) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += pair;
  }
  return text;
}

NodeId Id(int node) {
  return NodeId{static_cast<uint32_t>(node)};
}

// Ports that were free a moment ago, from below the range of which the system serves itself (32768 and up on
// Linux): there an outgoing connection could take the port of a node that was killed, before it is started
// again.
Result<std::vector<uint16_t>> FreePorts(int count) {
  constexpr uint16_t kFirst = 10'000, kPorts = 10'000;
  uint16_t at = 0;
  if (getrandom(&at, sizeof at, 0) != sizeof at) return Status(StatusCode::kIo, "no random numbers");
  std::vector<OwnedFd> held;  // all until the last is drawn, so that they differ
  std::vector<uint16_t> ports;
  Status last;
  for (int tried = 0; tried < kPorts && std::ssize(ports) < count; ++tried) {
    const auto port = static_cast<uint16_t>(kFirst + (at + tried) % kPorts);
    auto listening = ListenTcp({"127.0.0.1", port});
    if (!listening.ok()) {
      last = listening.status();
      continue;
    }
    ports.push_back(port);
    held.push_back(std::move(listening->first));
  }
  if (std::ssize(ports) < count) return last;
  return ports;
}

}  // namespace

struct LocalCluster::Impl {
  LocalClusterOptions options;
  std::string cluster;
  std::map<int, NodeConfig> configs;
  std::map<int, bp::child> children;

  int NodesWanted() const { return options.one_replica_a_node ? 2 * kNodes : kNodes; }
  std::string ConfigFile(int node) const { return options.directory + "/n" + std::to_string(node) + ".toml"; }
  Status WriteConfigs();
  Status LoadConfigs();
};

Status LocalCluster::Impl::WriteConfigs() {
  const int count = NodesWanted();
  std::vector<uint16_t> ports;
  if (options.base_port != 0) {
    for (int i = 0; i < count; ++i) ports.push_back(static_cast<uint16_t>(options.base_port + i));
  } else {
    auto free_ports = FreePorts(count);
    if (!free_ports.ok()) return free_ports.status();
    ports = *free_ports;
  }
  NodeConfig config;
  config.cluster = NewClusterId();
  config.directory_path = "directory";
  config.connections_max = 1024;  // a bench with its clients, and room for whoever looks on
  for (int node = 1; node <= count; ++node) {
    config.nodes.push_back({Id(node), {"127.0.0.1", ports[static_cast<size_t>(node - 1)]}});
  }
  const bool spread = options.one_replica_a_node;
  config.groups = {{{GroupKind::kCoordinator, 1}, {Id(1), Id(2)}},
                   {{GroupKind::kShard, 1}, {Id(spread ? 3 : 2), Id(spread ? 4 : 3)}},
                   {{GroupKind::kShard, 2}, {Id(spread ? 5 : 3), Id(spread ? 6 : 1)}}};
  config.resource_managers = options.resource_managers;
  if (options.segment_bytes != 0) config.segment_bytes = options.segment_bytes;
  if (options.checkpoint_bytes != 0) config.checkpoint_bytes = options.checkpoint_bytes;
  for (int node = 1; node <= count; ++node) {
    config.node = Id(node);
    config.listen = {"127.0.0.1", ports[static_cast<size_t>(node - 1)]};
    if (options.route) {
      for (int to = 1; to <= count; ++to) {
        config.nodes[static_cast<size_t>(to - 1)].address =
            options.route(node, to, {"127.0.0.1", ports[static_cast<size_t>(to - 1)]});
      }
    }
    config.data = "n" + std::to_string(node);
    std::ofstream out(ConfigFile(node));
    out << WriteToml(config);
    if (!out.flush()) return Status(StatusCode::kIo, "cannot write " + ConfigFile(node));
  }
  return {};
}

Status LocalCluster::Impl::LoadConfigs() {
  for (int node = 1; node <= NodesWanted(); ++node) {
    auto config = LoadConfig(ConfigFile(node), {});
    if (!config.ok()) return config.status();
    configs[node] = std::move(config).value();
  }
  cluster = configs[1].cluster;
  return {};
}

Result<std::unique_ptr<LocalCluster>> LocalCluster::Prepare(const LocalClusterOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) return Status(StatusCode::kIo, "cannot make " + options.directory + ": " + error.message());
  if (!std::filesystem::exists(impl->ConfigFile(impl->NodesWanted()))) {
    if (!std::filesystem::is_empty(options.directory, error) &&
        !std::filesystem::exists(impl->ConfigFile(1))) {
      return Status(StatusCode::kInvalid, options.directory +
                                              " is not empty, and holds no local cluster: name another "
                                              "directory with --dir");
    }
    ASSENT_RETURN_IF_ERROR(impl->WriteConfigs());
  }
  ASSENT_RETURN_IF_ERROR(impl->LoadConfigs());
  return std::unique_ptr<LocalCluster>(new LocalCluster(std::move(impl)));
}

LocalCluster::LocalCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LocalCluster::~LocalCluster() {
  StopAll();
}

Status LocalCluster::StartAll() {
  for (int node = 1; node <= node_count(); ++node) ASSENT_RETURN_IF_ERROR(Start(node));
  return AwaitServing(kStartMs);
}

Status LocalCluster::Start(int node) {
  std::vector<std::string> arguments = {"node", "--config", impl_->ConfigFile(node)};
  if (impl_->options.crash_points) arguments.push_back("--allow-crash-points");
  std::FILE* log = std::fopen(LogFile(node).c_str(), "ae");
  if (log == nullptr)
    return Status(StatusCode::kIo, "cannot write " + LogFile(node) + ": " + std::strerror(errno));
  std::error_code error;
  bp::child child(
      bp::exe = impl_->options.program, bp::args = arguments, bp::std_in<bp::null, bp::std_out> log,
      bp::std_err > log, error, bp::extend::on_exec_setup = [](auto&) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // no orphans, whatever ends this process
        setpgid(0, 0);                     // ^C is for this process, which then stops the nodes in order
      });
  std::fclose(log);
  if (error) return Status(StatusCode::kIo, "cannot start n" + std::to_string(node) + ": " + error.message());
  impl_->children[node] = std::move(child);
  return {};
}

void LocalCluster::Kill(int node) {
  const auto child = impl_->children.find(node);
  if (child == impl_->children.end()) return;
  kill(child->second.id(), SIGKILL);
  std::error_code ignored;
  child->second.wait(ignored);
}

void LocalCluster::Pause(int node, bool paused) {
  const auto child = impl_->children.find(node);
  if (child != impl_->children.end()) kill(child->second.id(), paused ? SIGSTOP : SIGCONT);
}

void LocalCluster::StopAll() {
  for (auto& [node, child] : impl_->children) {
    std::error_code ignored;
    if (child.running(ignored)) kill(child.id(), SIGTERM);
  }
  for (auto& [node, child] : impl_->children) {
    std::error_code ignored;
    child.wait(ignored);
  }
  impl_->children.clear();
}

int LocalCluster::ExitStatus(int node) {
  const auto child = impl_->children.find(node);
  if (child == impl_->children.end()) return -1;
  std::error_code ignored;
  if (child->second.running(ignored)) return -1;
  const int native = child->second.native_exit_code();
  return WIFSIGNALED(native) ? 128 + WTERMSIG(native) : WEXITSTATUS(native);
}

Status LocalCluster::AwaitServing(int timeout_ms) const {
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  std::string missing;
  for (;;) {
    missing.clear();
    size_t serving = 0;
    for (const auto& [node, config] : impl_->configs) {
      wire::NodeStatusReply reply;
      wire::AdminRequest request;
      const auto admin = ConnectAdmin(config.listen);
      const CallStatus called = admin->Call([&](wire::AdminClient& c) { c.node_status(reply, request); });
      if (!called.ok()) {
        missing += "\n  n" + std::to_string(node) + ": " + called.status.message();
        continue;
      }
      for (const wire::ReplicaStatus& replica : reply.replicas) {
        if (replica.serving) {
          ++serving;
        } else if (!replica.detail.empty()) {
          missing += "\n  n" + std::to_string(node) + ": " + replica.detail;
        }
      }
    }
    if (serving == impl_->configs.begin()->second.groups.size()) return {};
    for (const auto& [node, child] : impl_->children) {
      std::error_code ignored;
      // A node that ended by itself will not serve; one that was killed on purpose is started again by who
      // did it.
      if (!const_cast<bp::child&>(child).running(ignored) && WIFEXITED(child.native_exit_code())) {
        return Status(StatusCode::kUnavailable,
                      "n" + std::to_string(node) + " has ended; its last words are in " + LogFile(node));
      }
    }
    if (steady_clock::now() >= deadline) {
      return Status(StatusCode::kUnavailable, "the cluster does not serve yet:" + missing);
    }
    std::this_thread::sleep_for(kPoll);
  }
}

Status LocalCluster::AwaitExit(int node, int timeout_ms) {
  std::error_code error;
  bp::child& child = impl_->children.at(node);
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  while (child.running(error)) {
    if (steady_clock::now() >= deadline) {
      return Status(StatusCode::kUnavailable, "n" + std::to_string(node) + " still runs");
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  return {};
}

Status LocalCluster::ArmCrash(int node, const std::string& point, int64_t count) const {
  const NodeConfig& config = impl_->configs.at(node);
  wire::ArmCrashReply reply;
  wire::ArmCrashRequest request;
  request.__set_point(point);
  request.__set_count(count);
  const auto admin = ConnectAdmin(config.listen);
  const CallStatus called = admin->Call([&](wire::AdminClient& c) { c.arm_crash(reply, request); });
  return called.ok() ? StatusOf(reply.result) : called.status;
}

int LocalCluster::node_count() const {
  return impl_->NodesWanted();
}

const std::string& LocalCluster::cluster() const {
  return impl_->cluster;
}

std::vector<std::string> LocalCluster::addresses() const {
  std::vector<std::string> addresses;
  for (const auto& [node, config] : impl_->configs) addresses.push_back(ToString(config.listen));
  return addresses;
}

const NodeConfig& LocalCluster::config(int node) const {
  return impl_->configs.at(node);
}

std::string LocalCluster::LogFile(int node) const {
  return impl_->options.directory + "/n" + std::to_string(node) + ".log";
}

}  // namespace assent::cli
