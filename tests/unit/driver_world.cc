#include "tests/unit/driver_world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/check.h"
#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "tests/unit/driver_node.h"
#include "tests/unit/map_state.h"

namespace assent::driver {

World::World(uint64_t seed, WorldOptions options) : seed_(seed), options_(std::move(options)), random_(seed) {
  const std::string parent = std::filesystem::is_directory("/dev/shm")
                                 ? "/dev/shm"
                                 : std::filesystem::temp_directory_path().string();
  root_ = parent + "/assent-driver-XXXXXX";
  ASSENT_CHECK(::mkdtemp(root_.data()) != nullptr, root_);
  std::vector<GroupId> shards;
  for (const GroupSpec& spec : options_.groups) {
    if (spec.id.kind == GroupKind::kShard) shards.push_back(spec.id);
    for (const auto* nodes : {&spec.replicas, &spec.others}) {
      for (const NodeId node : *nodes) {
        auto& disk = disks_[{node, spec.id}] = std::make_unique<Disk>();
        disk->store_path = root_ + "/" + ToString(node) + "-" + ToString(spec.id) + ".sqlite";
        if (!nodes_.contains(node)) nodes_[node] = std::make_unique<Node>(*this, node);
      }
    }
  }
  placement_ = Placement::Even(shards);
}

World::~World() {
  nodes_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(root_, ignored);
}

std::unique_ptr<RoleCore> World::MakeRole(GroupId group, const StateReader& state) const {
  if (group.kind == GroupKind::kShard) {
    participant::ParticipantConfig config;
    config.group = group;
    config.seed = seed_;
    return std::make_unique<participant::ParticipantCore>(config, state);
  }
  CoordinatorConfig config;
  config.group = group;
  config.seed = seed_;
  return std::make_unique<CoordinatorCore>(config, placement_, state);
}

World::Disk& World::DiskOf(NodeId node, GroupId group) {
  return *disks_.at({node, group});
}

void World::After(uint64_t delay_us, std::function<void()> run) {
  events_.push({now_us_ + delay_us, orders_++, std::move(run)});
}

bool World::Step() {
  if (events_.empty()) return false;
  auto run = std::move(const_cast<Event&>(events_.top()).run);  // it goes next
  now_us_ = std::max(now_us_, events_.top().at_us);
  events_.pop();
  run();
  for (auto& [id, node] : nodes_) {
    if (!node->up_ || !node->doomed_) continue;
    ++counts_.at_effect;
    Crash(id, node->doom_power_);
  }
  return true;
}

void World::RunFor(uint64_t us) {
  const uint64_t until_us = now_us_ + us;
  while (!events_.empty() && events_.top().at_us <= until_us) Step();
  now_us_ = until_us;
}

bool World::RunUntil(const std::function<bool()>& done, uint64_t patience_us) {
  const uint64_t until_us = now_us_ + patience_us;
  while (!done()) {
    if (events_.empty() || events_.top().at_us > until_us) return false;
    Step();
  }
  return true;
}

void World::StartAll() {
  for (auto& [id, node] : nodes_) {
    if (!node->up_) node->Start();
  }
}
void World::Start(NodeId node) {
  nodes_.at(node)->Start();
}
void World::Crash(NodeId node, bool power) {
  ++counts_.crashes;
  Observe(*nodes_.at(node));
  nodes_.at(node)->Stop(power);
}
void World::CrashAtEffect(NodeId node, uint64_t count, bool power) {
  nodes_.at(node)->doom_in_ = count;
  nodes_.at(node)->doom_power_ = power;
}
bool World::IsUp(NodeId node) const {
  return nodes_.at(node)->up_;
}

void World::HoldLog(NodeId node, GroupId group, bool hold) {
  nodes_.at(node)->hosted_.at(group).log->Hold(hold);
}
void World::BreakDisk(NodeId node, GroupId group, uint64_t effect, wal::MemoryFileSystem::Fault fault) {
  DiskOf(node, group).files.Inject(effect, fault);
}
uint64_t World::DiskEffects(NodeId node, GroupId group) {
  return DiskOf(node, group).files.effects();
}
void World::Cut(NodeId from, NodeId to, bool cut) {
  if (cut) {
    cut_.insert({from, to});
  } else {
    cut_.erase({from, to});
  }
}
void World::Wipe(NodeId node, GroupId group) {
  ASSENT_CHECK(!IsUp(node));
  auto& disk = disks_.at({node, group});
  const std::string path = disk->store_path;
  for (const char* suffix : {"", "-wal", ".snapshot"}) std::filesystem::remove(path + suffix);
  disk = std::make_unique<Disk>();
  disk->store_path = path;
}

void World::Promote(GroupId group, NodeId node) {
  View& view = views_.at(group);
  view.epoch = Next(view.epoch);
  view.primary = node;
  view.primary_life = nodes_.at(node)->process_life_;
}

Replica* World::Find(NodeId node, GroupId group) {
  const auto& hosted = nodes_.at(node)->hosted_;
  const auto found = hosted.find(group);
  return found == hosted.end() ? nullptr : found->second.replica.get();
}
std::optional<NodeId> World::PrimaryNode(GroupId group) {
  for (const auto& [id, node] : nodes_) {
    const auto hosted = node->hosted_.find(group);
    if (hosted == node->hosted_.end() || !hosted->second.replica->serving()) continue;
    const auto view = ViewOf(group);
    if (view && view->epoch == hosted->second.replica->replication().epoch()) return id;
  }
  return std::nullopt;
}
Replica* World::Primary(GroupId group) {
  const auto node = PrimaryNode(group);
  return node ? Find(*node, group) : nullptr;
}
std::optional<View> World::ViewOf(GroupId group) const {
  const auto view = views_.find(group);
  return view == views_.end() ? std::nullopt : std::optional(view->second);
}
std::string World::KeyOn(GroupId shard, int n) const {
  for (int i = 0;; ++i) {
    std::string key = "k" + std::to_string(i);
    if (placement_.ShardOf(key) == shard && n-- == 0) return key;
  }
}
std::optional<std::string> World::Value(const Replica& replica, const std::string& key) const {
  const auto row = const_cast<RoleCore*>(replica.state().find_role())->overlay().Get(Table::kData, key);
  if (!row) return std::nullopt;
  return row->value;
}
size_t World::forces(NodeId node, GroupId group) const {
  return nodes_.at(node)->hosted_.at(group).log->forces();
}
const std::vector<std::string>& World::reports(NodeId node) const {
  return nodes_.at(node)->reports_;
}

void World::Deliver(NodeId to, Envelope envelope) {
  const auto node = nodes_.find(to);
  if (node == nodes_.end() || !node->second->up_) return;
  Node& receiver = *node->second;
  const auto hosted = receiver.hosted_.find(envelope.to_group);
  if (hosted == receiver.hosted_.end()) return;
  hosted->second.replica->OnMessage(std::move(envelope));
  receiver.Touch();
}

void World::Inject(NodeId to, Envelope envelope) {
  Deliver(to, std::move(envelope));
}

void World::AddOutside(const View& view) {
  views_[view.group] = view;
  for (auto& [id, node] : nodes_) {
    if (node->up_) node->LearnView(view);
  }
}

void World::Call(NodeId node, GroupId group, ClientRequest request, OnReply reply) {
  Node& there = *nodes_.at(node);
  const RequestId id{next_request_++};
  const auto hosted = there.hosted_.find(group);
  if (!there.up_ || hosted == there.hosted_.end()) {
    After(0, [reply = std::move(reply)] { reply(std::nullopt); });
    return;
  }
  there.last_call_ = id;
  there.calls_.emplace(id, std::move(reply));
  hosted->second.replica->OnClient(id, std::move(request));
  there.Touch();
}

void World::AbandonLast(NodeId node, GroupId group) {
  Node& there = *nodes_.at(node);
  there.calls_.erase(there.last_call_);
  there.hosted_.at(group).replica->OnClientGone(there.last_call_);
  there.Touch();
}

std::optional<Status> World::Change(NodeId node, GroupId group, backup::ChangeKind kind, NodeId member,
                                    uint64_t patience_us) {
  Node& there = *nodes_.at(node);
  backup::OperatorChange change{RequestId{next_request_++}, kind, registered_[group][member]};
  change.member.node = member;
  there.hosted_.at(group).replica->OnReplicationEvent(change);
  there.Touch();
  auto& answers = there.operator_answers_;
  if (!RunUntil([&] { return answers.contains(change.id); }, patience_us)) return std::nullopt;
  return answers.at(change.id);
}

void World::Observe(Node& node) {
  for (auto& [group, hosted] : node.hosted_) {
    const Replica& replica = *hosted.replica;
    if (replica.halted()) continue;
    replica.replication().CheckInvariants();
    auto& history = histories_[group].entries;
    if (replica.replication().role() == backup::Role::kPrimary && replica.replication().serving()) {
      while (history.size() < Raw(replica.replication().replicated())) {
        const auto entries = replica.log().Read(Lsn{history.size() + 1}, 1 << 16);
        ASSENT_CHECK(!entries.empty(), "seed", seed_, ToString(group), history.size() + 1);
        for (const LogEntry& entry : entries) {
          if (entry.position.lsn <= replica.replication().replicated()) history.push_back(entry);
        }
      }
    }
    const Store* store = replica.state().find_store();
    if (store == nullptr || store->applied() == hosted.applied) continue;
    hosted.applied = store->applied();
    const uint64_t applied = Raw(hosted.applied.lsn);
    ASSENT_CHECK(applied <= history.size(), "R13: seed", seed_, ToString(node.id_), ToString(group),
                 "applied", applied, "replicated", history.size());
    ASSENT_CHECK(applied == 0 || history[applied - 1].position == hosted.applied, "I-R1: seed", seed_,
                 ToString(node.id_), ToString(hosted.applied));
    if (Random(8) == 0 && replica.state().find_role() != nullptr)
      replica.state().find_role()->CheckInvariants();
  }
}

void World::CheckState(NodeId node, GroupId group) {
  Replica& replica = *Find(node, group);
  if (replica.serving()) {  // what it holds back goes to the log before any event of replication
    replica.OnReplicationEvent(backup::Tick{});
    nodes_.at(node)->Touch();
  }
  const auto& history = histories_[group].entries;
  const MapState nothing;
  const auto reference = MakeRole(group, nothing);
  const auto take = [&](const LogEntry& entry) {
    const auto record = DecodeRecord(*entry.payload);
    ASSENT_CHECK(record.ok(), "seed", seed_, record.status().ToString());
    reference->Apply(entry.position.lsn, *record);
  };
  const Lsn base = replica.log().base().lsn;
  ASSENT_CHECK(Raw(base) <= history.size(), "seed", seed_, "trimmed what was not replicated");
  for (uint64_t i = 0; i < Raw(base); ++i) take(history[i]);
  for (Lsn next = Next(base); next <= replica.log().last().lsn;) {
    const auto entries = replica.log().Read(next, 1 << 20);
    ASSENT_CHECK(!entries.empty(), "seed", seed_, ToString(node), ToString(group), "LSN", next);
    for (const LogEntry& entry : entries) take(entry);
    next = Next(entries.back().position.lsn);
  }
  auto& overlay = const_cast<RoleCore*>(replica.state().find_role())->overlay();
  const auto live = AllRows(overlay);
  const auto expected = AllRows(reference->overlay());
  if (live == expected) return;
  const auto print = [&](const char* what, const auto& rows, const auto& others) {
    for (const auto& [place, row] : rows) {
      const auto other = others.find(place);
      if (other != others.end() && other->second == row) continue;
      std::fprintf(stderr, "%s: table %d, %zu bytes of key, LSN %llu\n", what, static_cast<int>(place.first),
                   place.second.size(), static_cast<unsigned long long>(Raw(row.lsn)));
    }
  };
  print("shows", live, expected);
  print("should show", expected, live);
  ASSENT_CHECK(false, "seed", seed_, ToString(node), ToString(group),
               "the state is not what the log says, up to", replica.log().last().lsn);
}

std::string World::Describe() const {
  std::string text = "at " + std::to_string(now_us_) + " us";
  for (const auto& [group, view] : views_) text += "\n" + ToString(view);
  for (const auto& [id, node] : nodes_) {
    if (!node->up_) text += "\n" + ToString(id) + " is down";
    for (const auto& [group, hosted] : node->hosted_) {
      const Replica& replica = *hosted.replica;
      const auto status = replica.replication().Describe(now_us_);
      text += "\n" + ToString(id) + " " + ToString(group) + " " + std::string(ToString(status.role)) +
              (replica.serving() ? " serving" : "") + " epoch " +
              std::to_string(Raw(replica.replication().epoch())) + " last " + ToString(status.last) +
              " durable " + std::to_string(Raw(status.durable)) + " replicated " +
              std::to_string(Raw(status.replicated)) + " " + status.waiting_for;
      if (replica.halted()) text += " HALTED " + replica.halt_reason();
      if (const Store* store = replica.state().find_store()) text += " applied " + ToString(store->applied());
      if (replica.replication().role() == backup::Role::kPrimary && group.kind == GroupKind::kShard) {
        const auto* core = static_cast<const participant::ParticipantCore*>(replica.state().find_role());
        for (const auto& branch : core->InDoubt({now_us_, 0})) text += " in doubt " + ToString(branch.txn);
      }
    }
    for (const std::string& report : node->reports_) text += "\n" + ToString(id) + " reports " + report;
  }
  return text;
}

bool World::AreEqual(GroupId group) {
  std::optional<StoreDigest> first;
  for (const auto& [id, node] : nodes_) {
    const auto hosted = node->hosted_.find(group);
    if (hosted == node->hosted_.end()) continue;
    const Replica& replica = *hosted->second.replica;
    if (replica.halted() || replica.state().find_store() == nullptr) return false;
    const Store& store = *replica.state().find_store();
    if (store.applied() != replica.log().last()) return false;
    const auto digest = store.Digest(kTables);
    if (!digest.ok() || (first && *first != *digest)) return false;
    first = *digest;
  }
  return first.has_value();
}

}  // namespace assent::driver
