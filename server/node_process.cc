#include "server/node_process.h"

#include <glog/logging.h>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <thrift/processor/TMultiplexedProcessor.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "Admin.h"
#include "Peer.h"
#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "rm/resource_manager.h"
#include "runtime/log_lines.h"
#include "runtime/node.h"
#include "runtime/random_number.h"
#include "runtime/transport/server.h"
#include "server/admin_service.h"
#include "server/descriptors.h"
#include "server/foreign_caller.h"
#include "server/peer_service.h"
#include "server/transaction_manager.h"

namespace assent {
namespace {

// Calls that may wait in a node at once; each has a connection's thread anyway.
constexpr size_t kWaitersMax = 4096;
// A reader of the log that stands still holds a stop up for no longer.
constexpr std::chrono::milliseconds kLastLines{1'000};

class Gateway final : public ClientGateway {
 public:
  explicit Gateway(Node& node) : node_(node) {}

  bool Submit(GroupId group, RequestId id, ClientRequest request, ReplyTo<ClientReply> reply) override {
    return node_.Submit(group, id, std::move(request), std::move(reply));
  }
  void Abandon(GroupId group, RequestId id) override { node_.Abandon(group, id); }
  ClusterPlaces Places() override {
    ClusterPlaces places;
    for (const NodeEntry& node : node_.config().nodes) places.addresses.push_back(ToString(node.address));
    for (const View& view : node_.Views()) {
      if (view.group.kind != GroupKind::kCoordinator) continue;
      if (const NodeEntry* node = node_.config().FindNode(view.primary)) {
        places.leaders.push_back({view.group, view.epoch, view.primary, ToString(node->address)});
      }
    }
    return places;
  }

 private:
  Node& node_;
};

std::unique_ptr<RoleCore> MakeRole(const NodeConfig& config, GroupId group, const Placement& placement,
                                   const StateReader& state) {
  const uint64_t seed = uint64_t{Raw(config.node)} << 32 | group.number;
  if (group.kind == GroupKind::kShard) {
    participant::ParticipantConfig shard;
    shard.group = group;
    shard.seed = seed;
    return std::make_unique<participant::ParticipantCore>(shard, state);
  }
  CoordinatorConfig coordinator;
  coordinator.group = group;
  coordinator.seed = seed;
  coordinator.times.vote_timeout_us = config.vote_timeout_ms * 1'000;
  coordinator.times.idle_timeout_us = config.idle_timeout_ms * 1'000;
  coordinator.times.life_max_us = config.life_max_ms * 1'000;
  coordinator.times.retention_us = config.token_retention_ms * 1'000;
  coordinator.times.foreign_call_us =
      std::max(coordinator.times.foreign_call_us, 2 * coordinator.times.vote_timeout_us);
  for (uint64_t& word : coordinator.secret) word = RandomNumber();
  for (const ResourceManagerEntry& rm : config.resource_managers)
    coordinator.resource_managers.push_back(rm.name);
  return std::make_unique<coordinator::CoordinatorCore>(coordinator, placement, state);
}

// Waits for the signals that end a node, on a thread of its own, which logs nothing before the node was told.
// The first one has the node leave its groups and stop. A second one ends the process at once, and so does a
// stop that does not come to its end in kStopMaxMs: after a crash nothing is lost either.
class StopSignals {
 public:
  // Blocks the signals in this thread and those that it starts from now on.
  explicit StopSignals(Node& node) : node_(node) {}
  Status Start() {
    sigset_t signals = Signals();
    signal_fd_ = OwnedFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    done_ = MakeEventFd();
    if (!signal_fd_.valid() || !done_.valid()) return NoDescriptors();
    thread_ = std::thread([this] { Run(); });
    return {};
  }
  ~StopSignals() {
    SignalEventFd(done_.get());
    if (thread_.joinable()) thread_.join();
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static sigset_t Signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    return signals;
  }

 private:
  void Run() {
    pollfd waits[2] = {{done_.get(), POLLIN, 0}, {signal_fd_.get(), POLLIN, 0}};
    int timeout_ms = -1;
    while (true) {
      const int ready = poll(waits, 2, timeout_ms);
      if (waits[0].revents != 0) return;
      if (ready < 0) continue;
      if (timeout_ms >= 0) break;  // the second, or too late
      signalfd_siginfo info{};
      if (read(signal_fd_.get(), &info, sizeof(info)) != sizeof(info)) continue;
      node_.Leave();
      LOG(INFO) << "stopping: what this node leads is handed over first; another signal ends it at once";
      timeout_ms = kStopMaxMs;
    }
    LOG(WARNING) << "stopped short of its end; the next start recovers";
    LogLines::FlushTaken(kLastLines);
    _exit(kStoppedShort);
  }

  static constexpr int kStopMaxMs = 30'000;
  static constexpr int kStoppedShort = 128 + SIGTERM;

  Node& node_;
  OwnedFd signal_fd_;
  OwnedFd done_;
  std::thread thread_;
};

Result<std::vector<ForeignTarget>> TargetsOf(const NodeConfig& config) {
  std::vector<ForeignTarget> targets;
  for (const ResourceManagerEntry& manager : config.resource_managers) {
    const auto kind = rm::FindKind(manager.kind);
    if (!kind.ok()) {
      return Status(kind.status().code(),
                    "[[resource_managers]] " + manager.name + ": kind " + kind.status().message());
    }
    const Status settings = (*kind)->check({.dsn = manager.dsn});
    if (!settings.ok()) {
      return Status(settings.code(), "[[resource_managers]] " + manager.name + ": " + settings.message());
    }
    targets.push_back({.name = manager.name,
                       .kind = *kind,
                       .address = manager.address,
                       .dsn = manager.dsn,
                       .password_file = manager.password_file});
  }
  return targets;
}

Status Serve(const NodeProcessOptions& options, const DescriptorPlan& descriptors) {
  const NodeConfig& config = options.config;
  const auto targets = TargetsOf(config);
  if (!targets.ok()) return targets.status();
  if (descriptors.connections_max < config.connections_max) {
    LOG(WARNING) << "limits.connections_max is " << config.connections_max
                 << ", but this process may have only " << descriptors.limit
                 << " files open (ulimit -n): it serves " << descriptors.connections_max
                 << " clients at once";
  }
  std::unique_ptr<ForeignCaller> foreign;  // set below, before the loop runs
  NodeOptions node_options;
  node_options.config = config;
  node_options.allow_crash_points = options.allow_crash_points;
  node_options.make_role = [&config](GroupId group, const Placement& placement, const StateReader& state) {
    return MakeRole(config, group, placement, state);
  };
  node_options.call_foreign = [&foreign](GroupId group, const CallForeign& call) {
    foreign->Call(group, call);
  };
  auto opened = Node::Open(std::move(node_options));
  if (!opened.ok()) return opened.status();
  Node& node = **opened;

  foreign = std::make_unique<ForeignCaller>(
      ForeignCallerOptions{.cluster = config.cluster}, *targets,
      [&node](GroupId group, ForeignReply reply) { node.OnForeignReply(group, std::move(reply)); });

  CallGate gate(kWaitersMax);
  Gateway gateway(node);
  auto processor = std::make_shared<apache::thrift::TMultiplexedProcessor>();
  TransactionManagerOptions manager_options{.cluster = config.cluster};
  for (const ResourceManagerEntry& rm : config.resource_managers) manager_options.kinds[rm.name] = rm.kind;
  processor->registerProcessor("TransactionManager", MakeTransactionManager(manager_options, gateway, gate));
  processor->registerProcessor("Peer",
                               std::make_shared<wire::PeerProcessor>(std::make_shared<PeerService>(node)));
  processor->registerProcessor(
      "Admin", std::make_shared<wire::AdminProcessor>(std::make_shared<AdminService>(node, gate)));
  ServerOptions server_options;
  server_options.listen = config.listen;
  server_options.connections_max = descriptors.connections_max;
  server_options.operators_max = descriptors.operators_max;
  server_options.peers_max = descriptors.peers_max;
  server_options.unclaimed_max = descriptors.unclaimed_max;
  server_options.services = {{"TransactionManager", {Seat::kClient, kRequestLimits}},
                             {"Admin", {Seat::kOperator, kRequestLimits}},
                             {"Peer", {Seat::kPeer, kPeerLimits}}};
  auto server = Server::Start(server_options, processor);
  if (!server.ok()) return server.status();

  Status closed;
  {
    StopSignals stop_signals(node);
    ASSENT_RETURN_IF_ERROR(stop_signals.Start());
    if (options.ready) options.ready(ToString((*server)->address()));
    LOG(INFO) << ToString(config.node) << " of cluster " << config.cluster << " listens on "
              << ToString((*server)->address());
    closed = node.Run();
    gate.Close();
    (*server)->Stop();
    foreign.reset();
  }  // and only now the node goes, to which the other thread spoke
  return closed;
}

}  // namespace

Status CheckResourceManagers(const NodeConfig& config) {
  const auto targets = TargetsOf(config);
  return targets.ok() ? Status() : targets.status();
}

Status RunNode(const NodeProcessOptions& options) {
  const sigset_t signals = StopSignals::Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);  // the terminal that it was started from may go

  // Before anything is opened: a want of descriptors is told now, and not by the opening of the last file.
  auto descriptors = PlanDescriptors(options.config, RaiseDescriptorLimit());
  if (!descriptors.ok()) return descriptors.status();
  LogLines::TakeOver(STDERR_FILENO);
  const Status status = Serve(options, *descriptors);
  LogLines::FlushTaken(kLastLines);
  return status;
}

}  // namespace assent
