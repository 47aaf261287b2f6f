#include "cli/local_cluster.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

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
#include "runtime/random_number.h"
#include "runtime/transport/socket.h"

namespace assent::cli {
namespace {

namespace bp = boost::process;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kStartMs = 60'000;  // generous: recovery of a large log on a busy machine
constexpr milliseconds kPoll{20};
constexpr int kAskMs = 1'000;  // a node, while all are waited for
constexpr milliseconds kStopPatience{30'000};
constexpr size_t kLastWords = 5;  // lines
constexpr const char* kLockName = "lock";

std::string NewClusterId() {
  const uint64_t numbers[] = {RandomNumber(), RandomNumber()};
  uint8_t bytes[16];
  static_assert(sizeof bytes == sizeof numbers);
  std::memcpy(bytes, numbers, sizeof bytes);
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
// Linux): there an outgoing connection could take the port of a node that was killed, before it
// is started again.
Result<std::vector<uint16_t>> FreePorts(int count) {
  constexpr uint16_t kFirst = 10'000, kPorts = 10'000;
  const auto at = static_cast<int>(RandomNumber() % kPorts);
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

// This process's own file, under its own name: /proc/self/exe would be what ps shows.
std::string OwnProgram() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  const bool there = !error && std::filesystem::exists(path, error);  // it may have been replaced since
  return there ? path.string() : "/proc/self/exe";
}

Status CheckFree(const Address& listen) {
  const auto listening = ListenTcp(listen);
  if (listening.ok() || listening.status().code() != StatusCode::kUnavailable) return listening.status();
  return Status(StatusCode::kConflict,
                "port " + std::to_string(listen.port) +
                    " is in use: stop the process that holds it (ss -ltnp shows it), or "
                    "start another cluster with another --dir and --port");
}

// The last lines of what was written behind `offset`, indented.
std::string LastLines(const std::string& file, uintmax_t offset) {
  std::ifstream in(file);
  in.seekg(static_cast<std::streamoff>(offset));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (lines.size() == kLastWords) lines.erase(lines.begin());
    lines.push_back(std::move(line));
  }
  std::string out;
  for (const std::string& line : lines) out += "\n  " + line;
  return out;
}

}  // namespace

struct LocalCluster::Impl {
  LocalClusterOptions options;
  std::string cluster;
  OwnedFd lock;
  std::map<int, NodeConfig> configs;
  std::map<int, bp::child> children;
  std::map<int, uintmax_t> log_begins;  // of the node's present life, in its log file

  int NodesWanted() const { return options.one_replica_a_node ? 2 * kNodes : kNodes; }
  std::string ConfigFile(int node) const { return options.directory + "/n" + std::to_string(node) + ".toml"; }
  bool HoldsCluster() const { return std::filesystem::exists(ConfigFile(NodesWanted())); }
  Status CheckDirectory() const;
  Result<std::vector<uint16_t>> NewPorts() const;
  Status TakeLock();
  Status WriteConfigs(const std::vector<uint16_t>& ports);
  Status LoadConfigs();
};

Status LocalCluster::Impl::CheckDirectory() const {
  std::error_code error;
  if (!std::filesystem::exists(options.directory, error) || std::filesystem::exists(ConfigFile(1), error)) {
    return {};
  }
  for (const auto& entry : std::filesystem::directory_iterator(options.directory, error)) {
    if (entry.path().filename() == kLockName) continue;
    return Status(StatusCode::kInvalid, options.directory +
                                            " is not empty, and holds no local cluster: name another "
                                            "directory with --dir");
  }
  return error ? Status(StatusCode::kIo, "cannot look into " + options.directory + ": " + error.message())
               : Status();
}

Result<std::vector<uint16_t>> LocalCluster::Impl::NewPorts() const {
  const int count = NodesWanted();
  if (options.base_port == 0) return FreePorts(count);
  const int last = options.base_port + count - 1;
  if (last > UINT16_MAX) {
    return Status(StatusCode::kInvalid, "--port " + std::to_string(options.base_port) + ": the " +
                                            std::to_string(count) + " nodes need ports up to " +
                                            std::to_string(last) + ", and the highest is 65535");
  }
  std::vector<uint16_t> ports;
  for (int i = 0; i < count; ++i) {
    ports.push_back(static_cast<uint16_t>(options.base_port + i));
    ASSENT_RETURN_IF_ERROR(CheckFree({"127.0.0.1", ports.back()}));
  }
  return ports;
}

Status LocalCluster::Impl::TakeLock() {
  const std::string path = options.directory + "/" + kLockName;
  lock = OwnedFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return Status(StatusCode::kIo, "cannot open " + path + ": " + std::strerror(errno));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return Status(StatusCode::kIo, "cannot lock " + path + ": " + std::strerror(errno));
    std::string holder;
    std::ifstream(path) >> holder;
    return Status(StatusCode::kConflict, options.directory + " is in use by process " +
                                             (holder.empty() ? "(unknown)" : holder) +
                                             ": stop that first, or name another directory with --dir");
  }
  // For people and the message above; the lock is what counts.
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock.get(), 0) != 0 || pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) {
    return Status(StatusCode::kIo, "cannot write " + path + ": " + std::strerror(errno));
  }
  return {};
}

Status LocalCluster::Impl::WriteConfigs(const std::vector<uint16_t>& ports) {
  const int count = NodesWanted();
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
  if (impl->options.program.empty()) impl->options.program = OwnProgram();
  ASSENT_RETURN_IF_ERROR(impl->CheckDirectory());
  std::vector<uint16_t> ports;
  if (!impl->HoldsCluster()) {
    auto found = impl->NewPorts();  // before anything is written
    if (!found.ok()) return found.status();
    ports = std::move(found).value();
  }
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) return Status(StatusCode::kIo, "cannot make " + options.directory + ": " + error.message());
  ASSENT_RETURN_IF_ERROR(impl->TakeLock());
  if (!impl->HoldsCluster()) ASSENT_RETURN_IF_ERROR(impl->WriteConfigs(ports));
  ASSENT_RETURN_IF_ERROR(impl->LoadConfigs());
  const uint16_t kept = impl->configs.at(1).listen.port;
  if (options.port_must_match && kept != options.base_port) {
    return Status(StatusCode::kInvalid,
                  options.directory + " holds a cluster whose first node listens on port " +
                      std::to_string(kept) + ", not " + std::to_string(options.base_port) +
                      ": leave --port out, or name another directory with --dir");
  }
  return std::unique_ptr<LocalCluster>(new LocalCluster(std::move(impl)));
}

LocalCluster::LocalCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

LocalCluster::~LocalCluster() {
  StopAll();
}

Status LocalCluster::StartAll() {
  for (const auto& [node, config] : impl_->configs) ASSENT_RETURN_IF_ERROR(CheckFree(config.listen));
  for (int node = 1; node <= node_count(); ++node) ASSENT_RETURN_IF_ERROR(Start(node));
  return AwaitServing(kStartMs, /*by_itself=*/false);
}

Status LocalCluster::Start(int node) {
  std::vector<std::string> arguments = {"node", "--config", impl_->ConfigFile(node)};
  if (impl_->options.crash_points) arguments.push_back("--allow-crash-points");
  std::FILE* log = std::fopen(LogFile(node).c_str(), "ae");
  if (log == nullptr)
    return Status(StatusCode::kIo, "cannot write " + LogFile(node) + ": " + std::strerror(errno));
  std::error_code error;
  const uintmax_t log_begins = std::filesystem::file_size(LogFile(node), error);
  impl_->log_begins[node] = error ? 0 : log_begins;
  bp::child child(
      bp::exe = impl_->options.program, bp::args = arguments, bp::std_in<bp::null, bp::std_out> log,
      bp::std_err > log, error, bp::extend::on_exec_setup = [](auto&) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // no orphans, whatever ends this process
        setpgid(0, 0);                     // ^C is for this process, which then stops the nodes in order
        sigset_t none;                     // what this process blocks, to wait for it, is nothing to the node
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
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
  std::error_code ignored;
  for (auto& [node, child] : impl_->children) {
    if (child.running(ignored)) kill(child.id(), SIGTERM);
  }
  const auto deadline = steady_clock::now() + kStopPatience;
  for (auto& [node, child] : impl_->children) {
    while (child.running(ignored) && steady_clock::now() < deadline)
      std::this_thread::sleep_for(milliseconds(5));
    if (child.running(ignored)) kill(child.id(), SIGKILL);
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

std::string LocalCluster::DescribeEnd(int node) {
  const int status = ExitStatus(node);
  const std::string how = status > 128 ? "was killed by signal " + std::to_string(status - 128)
                                       : "has ended, with exit code " + std::to_string(status);
  const std::string words = LastLines(LogFile(node), impl_->log_begins[node]);
  return "n" + std::to_string(node) + " " + how +
         (words.empty() ? ", without a word" : "; its last words, in " + LogFile(node) + ":" + words);
}

Status LocalCluster::AwaitServing(int timeout_ms) {
  return AwaitServing(timeout_ms, /*by_itself=*/true);
}

Status LocalCluster::AwaitServing(int timeout_ms, bool by_itself) {
  const auto deadline = steady_clock::now() + milliseconds(timeout_ms);
  std::string missing;
  for (;;) {
    missing.clear();
    size_t serving = 0;
    for (auto& [node, config] : impl_->configs) {
      if (impl_->options.interrupted && impl_->options.interrupted()) {
        return Status(StatusCode::kUnavailable, "stopped before the cluster was up");
      }
      const std::string name = "n" + std::to_string(node);
      const int ended = ExitStatus(node);
      if (ended >= 0 && (ended <= 128 || !by_itself))
        return Status(StatusCode::kUnavailable, DescribeEnd(node));
      wire::NodeStatusReply reply;
      const CallStatus called = ConnectAdmin(config.listen, kAskMs)->Call([&](wire::AdminClient& c) {
        c.node_status(reply, wire::AdminRequest());
      });
      if (!called.ok()) {
        missing += "\n  " + name + ": " + called.status.message();
        continue;
      }
      // Somebody else's nodes may listen there, and say that they serve.
      const auto child = impl_->children.find(node);
      if (reply.cluster != impl_->cluster ||
          (child != impl_->children.end() && reply.pid != child->second.id())) {
        if (ExitStatus(node) >= 0) continue;  // it ended meanwhile, and is looked at above
        return Status(StatusCode::kConflict, ToString(config.listen) + " is answered by process " +
                                                 std::to_string(reply.pid) + " of cluster " + reply.cluster +
                                                 ", not by " + name + " of " + impl_->options.directory);
      }
      for (const wire::ReplicaStatus& replica : reply.replicas) {
        if (replica.serving) {
          ++serving;
        } else if (!replica.detail.empty()) {
          missing += "\n  " + name + ": " + GroupName(replica.view.group) + " " + replica.detail;
        }
      }
    }
    if (serving == impl_->configs.begin()->second.groups.size()) return {};
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
