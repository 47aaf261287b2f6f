#include "sim/world.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "common/check.h"
#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "sim/describe.h"
#include "sim/node.h"

namespace assent::sim {
namespace {

// Shorter than in production, where people may think between two calls: what clients left open when the
// faults end must be over 10 s later.
constexpr uint64_t kIdleCoordinatorUs = 5'000'000;
constexpr uint64_t kLeaveMaxUs = 20'000'000;
// Where outcomes are kept for seconds only.
constexpr uint64_t kHorizonStepUs = 100'000;
constexpr uint64_t kMarkDelayUs = 20'000;
constexpr uint64_t kIdleShardUs = 8'000'000;

// Bounds that a handful of clients reach. Which ones differs from seed to seed, so that one that is reached
// early does not hide the others.
void Tighten(participant::ParticipantConfig& config) {
  if (config.seed % 2 == 0) {
    config.branches_max = 3;
    config.waiters_max = 1;
  } else {
    config.unreplicated_bytes_max = 1 << 10;
    config.overlay_bytes_max = 8 << 10;
  }
  config.inquiries_per_round = 1;
  config.step_work_max = 5;
  config.mark_rows = 4;
}

void Tighten(CoordinatorConfig& config) {
  switch (config.seed % 3) {
    case 0:
      config.limits.live_txns_max = 3;
      break;
    case 1:
      config.limits.unended_max = 3;
      break;
    default:
      config.limits.overlay_bytes_max = 8 << 10;
  }
  config.limits.live_tokens_per_client = 1;
  config.limits.waiters_per_token = 1;
  config.limits.aborting_max = 2;
  config.limits.recent_endings = 4;
  config.limits.known_floors = 4;
  config.limits.open_per_manager_max = 2;
  config.limits.recent_acknowledged = 2;
  config.times.resends_per_window = 1;
}

}  // namespace

World::World(uint64_t seed, WorldOptions options) : seed_(seed), options_(std::move(options)), random_(seed) {
  for (const std::string_view name : kForeignNames) {
    if (options_.foreign) foreign_.try_emplace(std::string(name), std::string(name));
  }
  if (options_.trace == nullptr) options_.trace = &no_trace_;
  // SQLite draws the salts of its -wal files from one generator for the whole process.
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed | 1), nullptr);
  std::vector<GroupId> shards;
  for (const GroupSpec& spec : options_.groups) {
    if (spec.id.kind == GroupKind::kShard) shards.push_back(spec.id);
    for (const auto* nodes : {&spec.replicas, &spec.others}) {
      for (const NodeId node : *nodes) {
        ResetDisk(node, spec.id);
        if (!nodes_.contains(node)) nodes_[node] = std::make_unique<Node>(*this, node, node);
      }
    }
  }
  placement_ = Placement::Even(shards);
}

World::~World() {
  for (auto& [id, node] : nodes_) {
    if (node->up_) node->Stop(false);
  }
  nodes_.clear();
}

std::unique_ptr<RoleCore> World::MakeRole(GroupId group, const StateReader& state) const {
  const uint64_t by = options_.times_divided_by;
  if (group.kind == GroupKind::kShard) {
    participant::ParticipantConfig config;
    config.group = group;
    config.seed = seed_;
    config.idle_timeout_us = kIdleShardUs;
    for (uint64_t* time : {&config.idle_timeout_us, &config.lock_timeout_us, &config.inquiry_first_us,
                           &config.inquiry_max_us, &config.mark_delay_us})
      *time /= by;
    if (options_.retention_us != 0) {
      config.horizon_step_us = kHorizonStepUs;
      config.mark_delay_us = kMarkDelayUs;
    }
    if (options_.ended_max) config.ended_max = *options_.ended_max;
    if (options_.inquiries_before_peers) config.inquiries_before_peers = *options_.inquiries_before_peers;
    if (options_.tight_shards) Tighten(config);
    return std::make_unique<participant::ParticipantCore>(config, state);
  }
  CoordinatorConfig config;
  config.group = group;
  config.seed = seed_;
  config.secret = {seed_, 1};
  config.times.idle_timeout_us = kIdleCoordinatorUs;
  for (uint64_t* time : {&config.times.vote_timeout_us, &config.times.idle_timeout_us,
                         &config.times.life_max_us, &config.times.resend_max_us, &config.times.mark_news_us,
                         &config.times.foreign_call_us, &config.times.foreign_scan_us}) {
    *time /= by;
  }
  if (options_.retention_us != 0) {
    config.times.retention_us = options_.retention_us;
    config.times.horizon_step_us = kHorizonStepUs;
  }
  for (const auto& [name, manager] : foreign_) config.resource_managers.push_back(name);
  if (options_.tight_coordinators) Tighten(config);
  return std::make_unique<CoordinatorCore>(config, placement_, state);
}

World::Disk& World::DiskOf(NodeId node, GroupId group) {
  return *disks_.at({node, group});
}

void World::After(uint64_t delay_us, std::function<void()> run) {
  if (runs_free_.empty()) {
    runs_free_.push_back(runs_.size());
    runs_.emplace_back();
  }
  const size_t place = runs_free_.back();
  runs_free_.pop_back();
  runs_[place] = std::move(run);
  events_.push({now_us_ + delay_us, orders_++, place});
}

bool World::Step() {
  if (events_.empty()) return false;
  const Event next = events_.top();
  events_.pop();
  now_us_ = std::max(now_us_, next.at_us);
  const auto run = std::exchange(runs_[next.run], nullptr);
  runs_free_.push_back(next.run);
  run();
  for (auto& [id, node] : nodes_) {
    const bool planned = node->planned_crash_at_ != 0 && node->effects_ >= node->planned_crash_at_;
    if (node->up_ && node->doomed_) {
      ++counts_.at_effect;
      Crash(id, planned ? node->planned_power_ : node->doom_power_);
    }
    if (planned) {
      node->planned_crash_at_ = 0;
      std::exchange(node->after_planned_crash_, nullptr)();
    }
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
void World::Leave(NodeId node) {
  Node& there = *nodes_.at(node);
  if (!there.takes_part_) return Crash(node, /*power=*/false);
  for (auto& [group, hosted] : there.hosted_) hosted.replica->OnReplicationEvent(backup::Leave{});
  there.leaving_ = true;
  there.StopOnceLeft(now_us_ + kLeaveMaxUs);
}
bool World::IsLeaving(NodeId node) const {
  const Node& there = *nodes_.at(node);
  return there.up_ && there.leaving_;
}
void World::CrashAtEffect(NodeId node, uint64_t count, bool power) {
  nodes_.at(node)->doom_in_ = count;
  nodes_.at(node)->doom_power_ = power;
}
void World::CutPowerInForce(NodeId node, bool cut) {
  nodes_.at(node)->doom_in_force_ = cut;
}
void World::PlanCrash(NodeId node, uint64_t effect, bool power, std::function<void()> then) {
  Node& there = *nodes_.at(node);
  there.planned_crash_at_ = effect;
  there.planned_power_ = power;
  there.after_planned_crash_ = std::move(then);
}
World::Counts& World::Counts::operator+=(const Counts& other) {
  lease_checks += other.lease_checks;
  wipes += other.wipes;
  repaired += other.repaired;
  tails_lost += other.tails_lost;
  halts += other.halts;
  crashes += other.crashes;
  at_effect += other.at_effect;
  messages += other.messages;
  slices += other.slices;
  log_commands += other.log_commands;
  epochs += other.epochs;
  trims += other.trims;
  truncations += other.truncations;
  resets += other.resets;
  stray_answers += other.stray_answers;
  return *this;
}

uint64_t World::EffectsOf(NodeId node) const {
  return nodes_.at(node)->effects_;
}
bool World::IsUp(NodeId node) const {
  return nodes_.at(node)->up_;
}
bool World::IsRegistered(NodeId node) const {
  return nodes_.at(node)->up_ && nodes_.at(node)->takes_part_;
}
bool World::TakesPart(NodeId node) const {
  const Node& there = *nodes_.at(node);
  return there.up_ && there.takes_part_ &&
         std::all_of(options_.groups.begin(), options_.groups.end(), [&](const GroupSpec& spec) {
           if (std::find(spec.replicas.begin(), spec.replicas.end(), node) == spec.replicas.end())
             return true;
           const Replica& replica = *there.hosted_.at(spec.id).replica;
           return replica.serving() || replica.replication().role() == backup::Role::kBackup;
         });
}

void World::HoldLog(NodeId node, GroupId group, bool hold) {
  nodes_.at(node)->hosted_.at(group).log->Hold(hold);
}
void World::SlowLog(NodeId node, GroupId group, uint64_t by_us) {
  nodes_.at(node)->hosted_.at(group).log->Slow(by_us);
}
void World::BreakDisk(NodeId node, GroupId group, uint64_t effect, wal::MemoryFileSystem::Fault fault,
                      bool of_log, std::function<void()> then) {
  Disk& disk = DiskOf(node, group);
  disk.is_faulty = true;
  if (fault != wal::MemoryFileSystem::Fault::kStop && !of_log) may_be_damaged_.insert({node, group});
  (of_log ? disk.files : disk.store_files).Inject(effect, fault, std::move(then));
}
void World::MendDisk(NodeId node, GroupId group) {
  DiskOf(node, group).files.ClearFaults();
  DiskOf(node, group).store_files.ClearFaults();
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
void World::ResetDisk(NodeId node, GroupId group) {
  auto& disk = disks_[{node, group}];
  disk.reset();  // unmounts
  disk = std::make_unique<Disk>("/" + ToString(node) + "/" + ToString(group));
  may_be_damaged_.erase({node, group});
}
void World::Wipe(NodeId node, GroupId group) {
  ASSENT_CHECK(!IsUp(node));
  ++counts_.wipes;
  ResetDisk(node, group);
}
void World::Rot(NodeId node, GroupId group, bool of_log) {
  ASSENT_CHECK(!IsUp(node));
  Disk& disk = DiskOf(node, group);
  wal::MemoryFileSystem& files = of_log ? disk.files : disk.store_files;
  std::vector<std::string> paths;
  for (const std::string& path : files.Paths()) {
    if (!files.inode(path).cached().empty()) paths.push_back(path);
  }
  if (paths.empty()) return;
  may_be_damaged_.insert({node, group});
  if (of_log) ++disk.log_bits_flipped;
  // The names of live segments rise, and come before those of spares.
  const auto newest = std::find_if(paths.rbegin(), paths.rend(), [](const std::string& path) {
    return path.find("/log-") != std::string::npos;
  });
  wal::MemoryInode& inode =
      files.inode(of_log && newest != paths.rend() && Random(4) != 0 ? *newest : paths[Random(paths.size())]);
  uint64_t at = 0;
  for (int tries = 0; tries < 16; ++tries) {
    at = Random(inode.cached().size());
    const uint64_t sector = at / wal::kSectorBytes * wal::kSectorBytes;
    if (inode.cached().find_first_not_of('\0', sector) < sector + wal::kSectorBytes) break;
  }
  inode.FlipBit(at, static_cast<unsigned>(Random(8)));
}
void World::Pause(NodeId node, uint64_t us) {
  Node& there = *nodes_.at(node);
  there.paused_until_us_ = std::max(there.paused_until_us_, now_us_ + us);
}
void World::Resume(NodeId node) {
  // Events due in the pause were put off until its end; none of them is put off again.
  nodes_.at(node)->paused_until_us_ = 0;
}
RequestId World::Ask(NodeId primary, GroupId group, backup::ChangeKind kind, NodeId member) {
  backup::OperatorChange change;
  change.kind = kind;
  change.member = registered_[group][member];
  change.member.node = member;
  return Ask(primary, group, change);
}
RequestId World::Ask(NodeId primary, GroupId group, backup::OperatorChange change) {
  change.id = RequestId{next_request_++};
  nodes_.at(primary)->hosted_.at(group).replica->OnReplicationEvent(change);
  nodes_.at(primary)->Touch();
  return change.id;
}
void World::JumpClock(NodeId node, int64_t us) {
  nodes_.at(node)->wall_off_us_ += static_cast<uint64_t>(us);
}
void World::CutAtProposal(NodeId node, uint64_t others, std::function<void(GroupId)> then) {
  if (then) {
    cut_at_proposal_[node] = {others, std::move(then)};
  } else {
    cut_at_proposal_.erase(node);
  }
}
void World::LimitDisk(NodeId node, GroupId group, std::optional<uint64_t> bytes, bool of_store) {
  Disk& disk = DiskOf(node, group);
  disk.is_limited = bytes.has_value();
  if (bytes) disk.is_faulty = true;
  const auto limit = [&](wal::MemoryFileSystem& files) {
    files.set_capacity(bytes ? std::optional(files.used() + *bytes) : std::nullopt);
  };
  limit(disk.files);
  if (of_store || !bytes) limit(disk.store_files);
}
void World::SendAgain() {
  if (said_.empty()) return;
  const auto& last = std::next(said_.begin(), static_cast<std::ptrdiff_t>(Random(said_.size())))->second;
  const auto& [to, envelope] = last[Random(last.size())];
  if (!cut_.contains({envelope.from_node, to})) Deliver(to, envelope);
}
void World::CutDirectory(NodeId node, bool cut) {
  if (cut) {
    directory_cut_.insert(node);
  } else {
    directory_cut_.erase(node);
  }
}
bool World::MayLoseDisk(NodeId node, GroupId group) const {
  const auto view = views_.find(group);
  if (view == views_.end()) return false;
  const auto open = proposals_open_.find(group);
  if (open != proposals_open_.end() && open->second != 0) return false;
  const auto is_there = [&](const Member& member) {
    const auto disk = disks_.find({member.node, group});
    return disk != disks_.end() && disk->second->incarnation == member.incarnation && !disk->second->is_old &&
           !may_be_damaged_.contains({member.node, group});
  };
  return std::any_of(view->second.members.begin(), view->second.members.end(),
                     [&](const Member& member) { return member.node != node && is_there(member); });
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
bool World::AllServe() {
  return std::all_of(options_.groups.begin(), options_.groups.end(),
                     [&](const GroupSpec& spec) { return Primary(spec.id) != nullptr; });
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

void World::TraceMessage(const char* what, NodeId from, NodeId to, const Envelope& envelope) {
  trace().Note(now_us_, uint64_t{Raw(from)} << 32 | Raw(to),
               uint64_t{envelope.message.index()} << 32 | Raw(envelope.to_epoch));
  if (trace().prints())
    trace().Line(now_us_, from, what[0] == 'r' ? envelope.to_group : envelope.from_group, what,
                 sim::Describe(to, envelope));
}

void World::Deliver(NodeId to, Envelope envelope) {
  const auto node = nodes_.find(to);
  if (node == nodes_.end() || !node->second->up_) return;
  Node& receiver = *node->second;
  if (receiver.paused_until_us_ > now_us_) {
    return After(receiver.paused_until_us_ - now_us_,
                 [this, to, envelope = std::move(envelope)]() mutable { Deliver(to, std::move(envelope)); });
  }
  TraceMessage("recv", to, envelope.from_node, envelope);
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
  if (there.paused_until_us_ > now_us_) {
    return After(there.paused_until_us_ - now_us_,
                 [this, node, group, request = std::move(request), reply = std::move(reply)] {
                   Call(node, group, request, reply);
                 });
  }
  const RequestId id{next_request_++};
  const auto hosted = there.hosted_.find(group);
  if (!there.up_ || hosted == there.hosted_.end()) {
    After(0, [reply = std::move(reply)] { reply(std::nullopt); });
    return;
  }
  there.last_call_ = id;
  there.calls_.emplace(id, Node::OpenCall{std::move(reply), group, promises_.AskedBy(request)});
  hosted->second.replica->OnClient(id, std::move(request));
  there.Touch();
}

void World::CutClients(NodeId node, bool cut) {
  if (cut) {
    clients_cut_.insert(node);
  } else {
    clients_cut_.erase(node);
  }
}

void World::CallOverNetwork(NodeId node, GroupId group, ClientRequest request, OnReply reply) {
  const auto is_lost = [this, node] { return clients_cut_.contains(node) || Chance(options_.loss); };
  After(Random(options_.delay_us_max + 1),
        [this, is_lost, node, group, request = std::move(request), reply = std::move(reply)] {
          if (is_lost()) return;
          Call(node, group, request, [this, is_lost, reply](std::optional<ClientReply> answer) {
            After(Random(options_.delay_us_max + 1), [is_lost, reply, answer = std::move(answer)] {
              if (!is_lost()) reply(answer);
            });
          });
        });
}

void World::AbandonLast(NodeId node, GroupId group) {
  Node& there = *nodes_.at(node);
  there.calls_.erase(there.last_call_);
  there.hosted_.at(group).replica->OnClientGone(there.last_call_);
  there.Touch();
}

std::optional<Status> World::Change(NodeId node, GroupId group, backup::ChangeKind kind, NodeId member,
                                    uint64_t patience_us) {
  const RequestId id = Ask(node, group, kind, member);
  const auto& answers = nodes_.at(node)->operator_answers_;
  if (!RunUntil([&] { return answers.contains(id); }, patience_us)) return std::nullopt;
  return answers.at(id);
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

}  // namespace assent::sim
