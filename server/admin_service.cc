#include "server/admin_service.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "server/inspect.h"
#include "server/version.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

constexpr uint64_t kAnswerUs = 5'000'000;
constexpr uint64_t kDigestBytesAStep = 1 << 20;  // of a store: about a millisecond of the loop's time
constexpr int kDigestTriesMax = 100;
constexpr uint64_t kChangeUs = 600'000'000;   // a learner's catching up takes its time
constexpr int64_t kDrainMaxUs = 300'000'000;  // new work waits meanwhile
constexpr size_t kTransactionsMax = 1'000;

void Set(wire::AdminResult& result, wire::AdminStatus::type status, std::string detail = {}) {
  result.__set_status(status);
  result.__set_detail(codec::CutDetail(std::move(detail)));
}

void Set(wire::AdminResult& result, const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return Set(result, wire::AdminStatus::OK);
    case StatusCode::kInvalid:
    case StatusCode::kForeign:
      return Set(result, wire::AdminStatus::INVALID, status.message());
    case StatusCode::kNotFound:
      return Set(result, wire::AdminStatus::NOT_FOUND, status.message());
    case StatusCode::kConflict:
      return Set(result, wire::AdminStatus::CONFLICT, status.message());
    case StatusCode::kUnavailable:
    case StatusCode::kOverloaded:
    case StatusCode::kDamaged:
    case StatusCode::kIo:
    case StatusCode::kDiskFull:
      return Set(result, wire::AdminStatus::UNAVAILABLE, status.message());
  }
}

// The reason, of whatever kind, is no answer to what was asked.
Status Unread(const Status& status) {
  return {StatusCode::kUnavailable, "the directory cannot be read: " + status.message()};
}

backup::OperatorChange ChangeOf(backup::ChangeKind kind, wire::NodeId node) {
  backup::OperatorChange change;
  change.kind = kind;
  change.member.node = NodeId{static_cast<uint32_t>(node)};
  return change;
}

wire::View ViewOf(const View& view) {
  wire::View out;
  out.__set_group(codec::Encode(view.group));
  out.__set_epoch(codec::Number(Raw(view.epoch)));
  out.__set_primary(codec::SmallNumber(Raw(view.primary)));
  std::vector<wire::NodeId> backups;
  for (const Member& member : view.members) {
    if (member.node != view.primary) backups.push_back(codec::SmallNumber(Raw(member.node)));
  }
  out.__set_backups(backups);
  return out;
}

wire::ReplicaRole::type RoleOf(const Replica& replica) {
  if (replica.halted()) return wire::ReplicaRole::HALTED;
  switch (replica.replication().role()) {
    case backup::Role::kPrimary:
      return wire::ReplicaRole::PRIMARY;
    case backup::Role::kBackup:
      return wire::ReplicaRole::BACKUP;
    case backup::Role::kLearner:
      return wire::ReplicaRole::LEARNER;
    case backup::Role::kHalted:
      return wire::ReplicaRole::HALTED;
    case backup::Role::kStarting:
      return wire::ReplicaRole::UNSPECIFIED;
  }
  return wire::ReplicaRole::UNSPECIFIED;
}

wire::ReplicaStatus StatusOf(const Node& node, const Replica& replica, const Instant& now) {
  const backup::ReplicationStatus status = replica.replication().Describe(now.mono_us);
  wire::ReplicaStatus out;
  if (status.view) {
    out.__set_view(ViewOf(*status.view));
  } else {
    wire::View none;
    none.__set_group(codec::Encode(replica.group()));
    out.__set_view(none);
  }
  out.__set_role(RoleOf(replica));
  out.__set_serving(Node::Serves(replica, now.mono_us));
  out.__set_serving_age_us(codec::Number(node.ServingAge(replica.group(), now.mono_us)));
  out.__set_last(codec::Encode(status.last));
  out.__set_durable(codec::Number(Raw(status.durable)));
  out.__set_replicated(codec::Number(Raw(status.replicated)));
  if (const Store* store = replica.state().find_store())
    out.__set_applied(codec::Number(Raw(store->applied().lsn)));
  uint64_t lag = Raw(status.last.lsn) - std::min(Raw(status.last.lsn), Raw(status.replicated));
  for (const backup::PeerStatus& peer : status.peers) lag = std::max(lag, peer.lag_records);
  out.__set_lag_records(codec::Number(lag));
  const RoleGauges gauges = GaugesOf(replica, now);
  out.__set_live(codec::SmallNumber(gauges.live));
  out.__set_in_doubt(codec::SmallNumber(gauges.in_doubt));
  out.__set_oldest_in_doubt_us(codec::Number(gauges.oldest_in_doubt_us));
  out.__set_log_bytes(
      codec::Number(replica.log().port().log().segment_count() * node.config().segment_bytes));
  out.__set_forces(codec::Number(replica.log().port().forces()));
  const bool does_wait = !status.serving && !status.waiting_for.empty();
  const std::string waits = (does_wait ? "waits for " : "") + status.waiting_for;
  out.__set_detail(codec::CutDetail(replica.halted() ? replica.halt_reason() : waits));
  return out;
}

void ShowConfig(const NodeConfig& config, wire::NodeStatusReply& reply) {
  for (const NodeEntry& entry : config.nodes) {
    wire::ConfiguredNode node;
    node.__set_node(codec::SmallNumber(Raw(entry.id)));
    node.__set_address(ToString(entry.address));
    reply.nodes.push_back(std::move(node));
  }
  for (const GroupEntry& entry : config.groups) {
    wire::ConfiguredGroup group;
    group.__set_group(codec::Encode(entry.id));
    for (const NodeId id : entry.replicas) group.replicas.push_back(codec::SmallNumber(Raw(id)));
    group.__isset.replicas = true;
    reply.groups.push_back(std::move(group));
  }
  for (const ResourceManagerEntry& entry : config.resource_managers) {
    reply.resource_managers.push_back(entry.name);
  }
  reply.__isset.nodes = reply.__isset.groups = reply.__isset.resource_managers = true;
}

}  // namespace

bool AdminService::IsForUs(const std::string& cluster, wire::AdminResult& result) const {
  if (cluster.empty() || cluster == node_.config().cluster) {
    Set(result, wire::AdminStatus::OK);
    return true;
  }
  Set(result, wire::AdminStatus::WRONG_CLUSTER, "this node belongs to cluster " + node_.config().cluster);
  return false;
}

template <typename Reply, typename Fn>
void AdminService::Answer(Reply& reply, const std::string& cluster, Fn fill) {
  wire::AdminResult result;
  if (IsForUs(cluster, result)) {
    if (const Status filled = fill(); !filled.ok()) Set(result, filled);
  }
  reply.__set_result(result);
}

template <typename Shown, typename Fn>
Status AdminService::OnLoop(Shown& shown, Fn fn) {
  auto answer = gate_.Call<Shown>(kAnswerUs, [this, fn = std::move(fn)](ReplyTo<Shown> reply) mutable {
    return node_.Inspect([fn = std::move(fn), reply = std::move(reply)]() mutable { reply(fn()); });
  });
  if (!answer.ok()) return answer.status();
  shown = std::move(answer).value();
  return {};
}

void AdminService::node_status(wire::NodeStatusReply& reply, const wire::AdminRequest& request) {
  Answer(reply, request.cluster, [&] {
    return OnLoop(reply, [this] {
      wire::NodeStatusReply out;
      const Instant now = Loop::Now();
      for (const Replica* replica : node_.replicas()) {
        out.replicas.push_back(StatusOf(node_, *replica, now));
      }
      for (const auto& [group, why] : node_.failures()) {
        wire::ReplicaStatus failed;
        wire::View none;
        none.__set_group(codec::Encode(group));
        failed.__set_view(none);
        failed.__set_role(wire::ReplicaRole::HALTED);
        failed.__set_detail(codec::CutDetail(why));
        out.replicas.push_back(std::move(failed));
      }
      out.__isset.replicas = true;
      out.__set_uptime_ms(codec::Number((now.mono_us - node_.started_us()) / 1000));
      return out;
    });
  });
  reply.__set_cluster(node_.config().cluster);
  reply.__set_node(codec::SmallNumber(Raw(node_.config().node)));
  reply.__set_address(ToString(node_.config().listen));
  reply.__set_version(kVersion);
  reply.__set_pid(::getpid());
  ShowConfig(node_.config(), reply);
}

void AdminService::transactions(wire::TransactionsReply& reply, const wire::TransactionsRequest& request) {
  Answer(reply, request.cluster, [&] {
    const size_t asked = request.limit <= 0 ? kTransactionsMax : static_cast<size_t>(request.limit);
    const size_t count_max = std::min(asked, kTransactionsMax);
    return OnLoop(reply, [this, count_max, filter = request.filter] {
      wire::TransactionsReply out;
      const Instant now = Loop::Now();
      for (const Replica* replica : node_.replicas()) {
        for (auto& summary : SummariesOf(*replica, now, filter, count_max + 1)) {
          out.transactions.push_back(std::move(summary));
        }
      }
      out.truncated = out.transactions.size() > count_max;
      if (out.truncated) out.transactions.resize(count_max);
      out.__isset.transactions = out.__isset.truncated = true;
      return out;
    });
  });
}

void AdminService::transaction(wire::TransactionReply& reply, const wire::TransactionRequest& request) {
  Answer(reply, request.cluster, [&]() -> Status {
    TxnId txn;
    codec::Fault fault;
    if (!codec::Decode(request.txn, txn, fault)) return Status(StatusCode::kInvalid, fault.what);
    return OnLoop(reply, [this, txn] {
      wire::TransactionReply out;
      const Instant now = Loop::Now();
      for (const Replica* replica : node_.replicas()) {
        if (auto detail = DetailOf(*replica, now, txn)) out.at.push_back(std::move(*detail));
      }
      out.__isset.at = true;
      return out;
    });
  });
}

void AdminService::group_views(wire::GroupViewsReply& reply, const wire::AdminRequest& request) {
  Answer(reply, request.cluster, [&]() -> Status {
    for (const GroupEntry& group : node_.config().groups) {
      const auto read = node_.directory().Read(group.id);
      if (!read.ok()) return Unread(read.status());
      if (read->view) reply.views.push_back(ViewOf(*read->view));
    }
    reply.__isset.views = true;
    return {};
  });
}

void AdminService::Change(wire::ChangeReplicaReply& reply, const std::string& cluster,
                          const wire::GroupId& wire_group, wire::Epoch epoch, backup::OperatorChange change) {
  Answer(reply, cluster, [&]() -> Status {
    GroupId group;
    codec::Fault fault;
    if (!codec::Decode(wire_group, group, fault)) return Status(StatusCode::kInvalid, fault.what);
    const auto read = node_.directory().Read(group);
    if (!read.ok()) return Unread(read.status());
    if (!read->view) return Status(StatusCode::kNotFound, ToString(group) + " has no view yet");
    if (read->view->epoch != Epoch{static_cast<uint64_t>(epoch)}) {
      return Status(StatusCode::kConflict,
                    "the view is of epoch " + std::to_string(Raw(read->view->epoch)) + " by now; look again");
    }
    // One that is gone for good may be taken out all the same.
    if (change.kind != backup::ChangeKind::kRemoveReplica &&
        node_.config().FindNode(change.member.node) == nullptr) {
      const std::string self = ToString(node_.config().node);
      return Status(StatusCode::kInvalid,
                    self + "'s configuration does not name " + ToString(change.member.node) + ", so " + self +
                        " cannot reach it: add it to [[nodes]] there, and restart " + self);
    }
    if (change.kind == backup::ChangeKind::kAddReplica) {
      const auto& all = read->registrations;
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const Member& m) { return m.node == change.member.node; });
      if (found == all.end()) {
        return Status(StatusCode::kNotFound, ToString(change.member.node) +
                                                 " has not announced a replica of " + ToString(group) +
                                                 ": add it to the group's replicas in its "
                                                 "configuration, and start it");
      }
      change.member = *found;
    }
    struct Changed {
      Status status;
    };
    const auto changed = gate_.Call<Changed>(kChangeUs, [&](ReplyTo<Changed> done_to) {
      auto shared = std::make_shared<ReplyTo<Changed>>(std::move(done_to));
      node_.Change(group, change, [shared](const Status& status) { (*shared)({status}); });
      return true;
    });
    if (!changed.ok()) return changed.status();
    ASSENT_RETURN_IF_ERROR(changed->status);
    if (const auto after = node_.directory().Read(group); after.ok() && after->view) {
      reply.__set_view(ViewOf(*after->view));
    }
    return {};
  });
}

void AdminService::add_replica(wire::ChangeReplicaReply& reply, const wire::ChangeReplicaRequest& request) {
  Change(reply, request.cluster, request.group, request.epoch,
         ChangeOf(backup::ChangeKind::kAddReplica, request.node));
}

void AdminService::remove_replica(wire::ChangeReplicaReply& reply,
                                  const wire::ChangeReplicaRequest& request) {
  Change(reply, request.cluster, request.group, request.epoch,
         ChangeOf(backup::ChangeKind::kRemoveReplica, request.node));
}

void AdminService::promote(wire::ChangeReplicaReply& reply, const wire::PromoteRequest& request) {
  backup::OperatorChange change = ChangeOf(backup::ChangeKind::kPromote, request.node);
  change.drain_us = static_cast<uint64_t>(std::clamp<int64_t>(request.drain_us, 0, kDrainMaxUs));
  change.force = request.force;
  Change(reply, request.cluster, request.group, request.epoch, change);
}

// In steps, since the loop has beacons to send while a large store is read (R11).
Result<StoreDigest> AdminService::DigestOf(GroupId group) {
  for (int tries = 0; tries < kDigestTriesMax; ++tries) {
    auto digester = std::make_shared<StoreDigester>(kTables);
    for (;;) {
      std::optional<Result<bool>> stepped;
      ASSENT_RETURN_IF_ERROR(OnLoop(stepped, [this, group, digester]() -> std::optional<Result<bool>> {
        const Replica* replica = node_.FindReplica(group);
        const Store* store = replica == nullptr ? nullptr : replica->state().find_store();
        if (store == nullptr) return Status(StatusCode::kNotFound, node_.WhyNoReplica(group));
        return digester->Step(*store, kDigestBytesAStep);
      }));
      if (!stepped->ok() && stepped->status().code() == StatusCode::kConflict) break;
      if (!stepped->ok()) return stepped->status();
      if (stepped->value()) return digester->digest();
    }
  }
  return Status(StatusCode::kUnavailable,
                ToString(group) + " is written faster than it can be read; try again when it is at rest");
}

void AdminService::digest(wire::DigestReply& reply, const wire::DigestRequest& request) {
  Answer(reply, request.cluster, [&]() -> Status {
    GroupId group;
    codec::Fault fault;
    if (!codec::Decode(request.group, group, fault)) return Status(StatusCode::kInvalid, fault.what);
    const auto digest = DigestOf(group);
    if (!digest.ok()) return digest.status();
    const StoreDigest& shown = *digest;
    reply.__set_applied(codec::Encode(shown.at));
    reply.__set_hash(codec::Number(shown.hash_low ^ shown.hash_high));
    reply.__set_rows(codec::Number(shown.rows));
    return {};
  });
}

void AdminService::placement(wire::PlacementReply& reply, const wire::AdminRequest& request) {
  Answer(reply, request.cluster, [&]() -> Status {
    const auto& slots = node_.placement().slots();
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      const auto shard = codec::Encode(slots[slot]);
      if (!reply.ranges.empty() && reply.ranges.back().shard == shard) {
        reply.ranges.back().__set_last(codec::SmallNumber(slot));
        continue;
      }
      wire::SlotRange range;
      range.__set_first(codec::SmallNumber(slot));
      range.__set_last(codec::SmallNumber(slot));
      range.__set_shard(shard);
      reply.ranges.push_back(range);
    }
    reply.__isset.ranges = true;
    return {};
  });
}

void AdminService::arm_crash(wire::ArmCrashReply& reply, const wire::ArmCrashRequest& request) {
  Answer(reply, request.cluster, [&]() -> Status {
    if (request.count <= 0) return Status(StatusCode::kInvalid, "count counts from 1");
    return node_.Arm(request.point, static_cast<uint64_t>(request.count));
  });
}

}  // namespace assent
