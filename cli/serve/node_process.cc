#include "cli/serve/node_process.h"

#include <glog/logging.h>
#include <pthread.h>
#include <sys/random.h>
#include <thrift/processor/TMultiplexedProcessor.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "Admin.h"
#include "Peer.h"
#include "cli/serve/admin_service.h"
#include "common/check.h"
#include "coordinator/coordinator.h"
#include "coordinator/foreign_caller.h"
#include "coordinator/server.h"
#include "participant/participant.h"
#include "runtime/node.h"
#include "runtime/peer_service.h"
#include "runtime/transport/server.h"

namespace assent::cli {
namespace {

// Calls that may wait in a node at once; each has a connection's thread anyway.
constexpr size_t kWaitersMax = 4096;

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
    // Not before its coordinator gives the transaction up.
    shard.idle_timeout_us =
        std::max({shard.idle_timeout_us, config.idle_timeout_ms * 1'000, config.vote_timeout_ms * 1'000});
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
  ASSENT_CHECK(getrandom(&coordinator.secret, sizeof coordinator.secret, 0) == sizeof coordinator.secret);
  for (const ResourceManagerEntry& rm : config.resource_managers)
    coordinator.resource_managers.push_back(rm.name);
  return std::make_unique<coordinator::CoordinatorCore>(coordinator, placement, state);
}

}  // namespace

Status RunNode(const NodeProcessOptions& options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const NodeConfig& config = options.config;
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

  std::vector<ForeignTarget> targets;
  for (const ResourceManagerEntry& rm : config.resource_managers) {
    targets.push_back({.name = rm.name, .address = rm.address});
  }
  foreign = std::make_unique<ForeignCaller>(
      ForeignCallerOptions{.cluster = config.cluster}, targets,
      [&node](GroupId group, ForeignReply reply) { node.OnForeignReply(group, std::move(reply)); });

  CallGate gate(kWaitersMax);
  Gateway gateway(node);
  auto processor = std::make_shared<apache::thrift::TMultiplexedProcessor>();
  processor->registerProcessor("TransactionManager",
                               LimitFrames(MakeTransactionManager({.cluster = config.cluster}, gateway, gate),
                                           kClientLimits.frame_bytes_max));
  processor->registerProcessor("Peer",
                               std::make_shared<wire::PeerProcessor>(std::make_shared<PeerService>(node)));
  processor->registerProcessor(
      "Admin", LimitFrames(std::make_shared<wire::AdminProcessor>(std::make_shared<AdminService>(node, gate)),
                           kClientLimits.frame_bytes_max));
  ServerOptions server_options;
  server_options.listen = config.listen;
  server_options.connections_max = config.connections_max;
  auto server = Server::Start(server_options, processor);
  if (!server.ok()) return server.status();

  // The first signal stops the node, a second one ends the process at once.
  std::thread signal_thread([&node, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    LOG(INFO) << "stopping";
    node.Stop();
    sigset_t again = signals;
    pthread_sigmask(SIG_UNBLOCK, &again, nullptr);
  });
  signal_thread.detach();

  if (options.ready) options.ready(ToString((*server)->address()));
  LOG(INFO) << ToString(config.node) << " of cluster " << config.cluster << " listens on "
            << ToString((*server)->address());
  const Status closed = node.Run();
  gate.Close();
  (*server)->Stop();
  foreign.reset();
  return closed;
}

}  // namespace assent::cli
