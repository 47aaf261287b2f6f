#include "tests/unit/driver_world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/check.h"
#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "tests/unit/map_state.h"

namespace assent::driver {
namespace {

constexpr const char* kCluster = "driver-world";
constexpr const char* kLogDirectory = "/log";
constexpr const char* kNoteDirectory = "/replica";
constexpr Incarnation kDirectoryIncarnation{77};
constexpr uint64_t kWallUs = 1'800'000'000'000'000;
constexpr uint64_t kRefreshUs = 500'000;
constexpr uint64_t kDirectoryUsMax = 2'000;
// A loop that wakes so often without the clock moving, and without a word from outside, would do so for ever.
// A snapshot's copying is the most that may come.
constexpr uint64_t kSpinsMax = 5'000;

}  // namespace

// What a replica finds again when its process comes back.
struct World::Disk {
  wal::MemoryFileSystem files;
  std::string store_path;
  Incarnation incarnation{};
  Epoch seen_epoch{};
  Incarnation directory{};
};

// The log's commands on a simulated disk: carried out, and answered, when the world says so.
class World::Log final : public LogPort {
 public:
  Log(World& world, Node& node, GroupId group, std::unique_ptr<wal::Log> log)
      : world_(world), node_(node), group_(group), log_(std::move(log)) {}

  void Submit(LogCommand command) override;
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return forces_; }
  void Hold(bool hold) {
    held_ = hold;
    if (!held_) Schedule();
  }

 private:
  void Schedule();
  void Work();
  void Answer(LogDone::What what, Status status);

  World& world_;
  Node& node_;
  const GroupId group_;
  const std::unique_ptr<wal::Log> log_;
  std::deque<LogCommand> queue_;
  std::deque<LogDone> done_;
  bool scheduled_ = false;
  bool held_ = false;
  uint64_t forces_ = 0;
};

class World::Node final : public ReplicaHost {
 public:
  struct Hosted {
    std::unique_ptr<Log> log;
    std::unique_ptr<Replica> replica;  // after its log
    LogPosition applied;
  };

  Node(World& world, NodeId id) : world_(world), id_(id) {}

  // Runs `run` later, unless this life of the node is over by then.
  void After(uint64_t delay_us, std::function<void()> run) {
    world_.After(delay_us, [this, life = life_, run = std::move(run)] {
      if (up_ && life == life_) run();
    });
  }
  // After anything that a replica was told: the slice that flushes is due.
  void Touch() {
    world_.Observe(*this);
    if (!up_ || slice_due_) return;
    slice_due_ = true;
    After(world_.Random(world_.options_.slice_us_max + 1), [this] {
      slice_due_ = false;
      Slice();
    });
  }
  void Slice();
  void Start();
  void Stop(bool power);
  // True: the process is dead from here on, though the call that it is in has yet to return.
  bool Effect() {
    if (doom_in_ > 0 && --doom_in_ == 0) doomed_ = true;
    return doomed_;
  }

  // ReplicaHost.
  Instant Now() override { return {world_.now_us_, kWallUs + world_.now_us_}; }
  void Transmit(NodeId to, Envelope envelope) override;
  std::optional<Leader> LeaderOf(GroupId group) override {
    const auto view = views_.find(group);
    if (view == views_.end()) return std::nullopt;
    return Leader{view->second.primary, view->second.epoch};
  }
  void LearnView(const View& view) override;
  void LearnEpoch(GroupId group, Epoch epoch) override {
    const auto known = views_.find(group);
    if (known == views_.end() || known->second.epoch < epoch) Refresh();
  }
  void ReadDirectory(GroupId group) override;
  void ProposeView(const View& view) override;
  void Register(GroupId group, const Member& self) override {
    if (!Effect()) world_.registered_[group][id_] = self;
  }
  Status PersistView(GroupId group, const backup::PersistView& seen) override {
    if (Effect()) return Status(StatusCode::kIo, "dead");
    Disk& disk = world_.DiskOf(id_, group);
    disk.seen_epoch = seen.seen_epoch;
    disk.directory = seen.directory_incarnation;
    return {};
  }
  void AnswerClient(RequestId id, ClientReply reply) override {
    if (Effect()) return;
    const auto call = calls_.find(id);
    if (call == calls_.end()) {
      ++world_.counts_.stray_answers;
      return;
    }
    auto answer = std::move(call->second);
    calls_.erase(call);
    world_.After(0, [answer = std::move(answer), reply = std::move(reply)] { answer(reply); });
  }
  void AnswerOperator(RequestId id, const Status& status) override { operator_answers_[id] = status; }
  void PerformForeign(GroupId, const CallForeign&) override {}
  void Report(GroupId group, const std::string& text, bool halted) override {
    if (!doomed_) reports_.push_back(ToString(group) + (halted ? " halted: " : ": ") + text);
  }
  void BeforeEffect(const RoleEffect&) override { Effect(); }
  void Refresh();

  World& world_;
  const NodeId id_;
  bool up_ = false;
  uint64_t life_ = 0;
  uint64_t process_life_ = 0;
  uint64_t doom_in_ = 0;
  bool doomed_ = false;
  bool doom_power_ = false;
  bool slice_due_ = false;
  uint64_t wake_us_ = UINT64_MAX;
  uint64_t spins_ = 0;
  uint64_t spun_at_us_ = 0;
  bool refreshing_ = false;
  std::map<GroupId, Hosted> hosted_;
  std::map<GroupId, View> views_;
  std::map<RequestId, OnReply> calls_;
  RequestId last_call_{};
  std::map<RequestId, Status> operator_answers_;
  std::vector<std::string> reports_;
};

// ---- The log ----

void World::Log::Submit(LogCommand command) {
  if (node_.Effect()) return;
  if (const auto* trim = std::get_if<TrimLog>(&command)) {  // R13, I-L2
    const Lsn synced = node_.hosted_.at(group_).replica->state().find_store()->synced().lsn;
    ASSENT_CHECK(Previous(trim->below) <= synced, "R13: seed", world_.seed_, "trims below", trim->below,
                 "but synced is", synced);
  }
  queue_.push_back(std::move(command));
  Schedule();
}

void World::Log::Schedule() {
  if (scheduled_ || held_ || queue_.empty()) return;
  scheduled_ = true;
  node_.After(world_.Random(world_.options_.force_us_max + 1), [this] {
    scheduled_ = false;
    if (!held_) Work();
    Schedule();
  });
}

// What the log thread does in one go: a command, or all appends that gathered (R10).
void World::Log::Work() {
  if (queue_.empty()) return;
  ++world_.counts_.log_commands;
  LogCommand command = std::move(queue_.front());
  queue_.pop_front();
  if (auto* append = std::get_if<AppendToLog>(&command)) {
    std::vector<LogEntry> entries = std::move(append->entries);
    while (!queue_.empty()) {
      auto* more = std::get_if<AppendToLog>(&queue_.front());
      if (more == nullptr) break;
      entries.insert(entries.end(), more->entries.begin(), more->entries.end());
      queue_.pop_front();
    }
    ++forces_;
    Answer(LogDone::What::kForced, log_->AppendAndForce(entries));
  } else if (const auto* truncate = std::get_if<TruncateLog>(&command)) {
    ++world_.counts_.truncations;
    Answer(LogDone::What::kTruncated, log_->Truncate(truncate->after));
  } else if (const auto* trim = std::get_if<TrimLog>(&command)) {
    ++world_.counts_.trims;
    Answer(LogDone::What::kTrimmed, log_->Trim(trim->below));
  } else if (const auto* reset = std::get_if<ResetLog>(&command)) {
    ++world_.counts_.resets;
    Answer(LogDone::What::kReset, log_->Reset(reset->base));
  }
}

void World::Log::Answer(LogDone::What what, Status status) {
  done_.push_back({what, std::move(status), log_->durable()});
  node_.After(world_.Random(20), [this] {
    const LogDone done = std::move(done_.front());
    done_.pop_front();
    node_.hosted_.at(group_).replica->OnLogDone(done);
    node_.Touch();
  });
}

// ---- A node ----

void World::Node::Slice() {
  uint64_t next_us = UINT64_MAX;
  for (auto& [group, hosted] : hosted_) {
    if (hosted.replica->NextDeadline() <= world_.now_us_) hosted.replica->OnTime();
    hosted.replica->Flush();
    next_us = std::min(next_us, hosted.replica->NextDeadline());
  }
  ++world_.counts_.slices;
  world_.Observe(*this);
  if (!up_ || next_us >= wake_us_) return;
  if (spun_at_us_ != world_.now_us_) spins_ = 0;
  spun_at_us_ = world_.now_us_;
  if (next_us <= world_.now_us_) {
    ASSENT_CHECK(++spins_ < kSpinsMax, "seed", world_.seed_, "a deadline in the past keeps spinning",
                 ToString(id_));
  }
  wake_us_ = next_us;
  After(next_us > world_.now_us_ ? next_us - world_.now_us_ : 0, [this, next_us] {
    if (wake_us_ != next_us) return;  // an earlier one came
    wake_us_ = UINT64_MAX;
    Slice();
  });
}

void World::Node::Start() {
  ASSENT_CHECK(!up_);
  up_ = true;
  doomed_ = false;
  doom_in_ = 0;
  slice_due_ = refreshing_ = false;
  wake_us_ = UINT64_MAX;
  ++life_;
  views_.clear();
  process_life_ = world_.next_random_++;
  for (const GroupSpec& spec : world_.options_.groups) {
    const bool member = std::find(spec.replicas.begin(), spec.replicas.end(), id_) != spec.replicas.end();
    const bool other = std::find(spec.others.begin(), spec.others.end(), id_) != spec.others.end();
    if (spec.replicas.empty() || (!member && !other)) continue;
    Disk& disk = world_.DiskOf(id_, spec.id);
    if (Raw(disk.incarnation) == 0) disk.incarnation = Incarnation{world_.next_random_++};

    ReplicaConfig config;
    config.replication.group = spec.id;
    config.replication.self = id_;
    config.replication.incarnation = disk.incarnation;
    config.replication.life = process_life_;
    config.replication.initial_members = spec.replicas;
    std::sort(config.replication.initial_members.begin(), config.replication.initial_members.end());
    config.replication.initial_primary = spec.replicas.front();
    config.started.seen_epoch = disk.seen_epoch;
    config.started.directory_incarnation = disk.directory;
    config.store_path = disk.store_path;
    config.snapshot_path = disk.store_path + ".snapshot";
    config.store_identity = {kCluster, spec.id};
    config.store_options.cache_bytes = 1 << 20;
    config.checkpoint_bytes = world_.options_.checkpoint_bytes;

    wal::LogOptions log_options;
    log_options.cluster = kCluster;
    log_options.group = spec.id;
    log_options.segment_bytes = world_.options_.segment_bytes;
    log_options.random = [this] { return world_.next_random_++; };
    auto opened = OpenReplicaFiles(disk.files, {kNoteDirectory, kLogDirectory, disk.store_path},
                                   config.store_identity, config.store_options, log_options);
    ASSENT_CHECK(opened.ok(), "seed", world_.seed_, ToString(id_), ToString(spec.id),
                 opened.status().ToString());
    Hosted& hosted = hosted_[spec.id];
    hosted.log = std::make_unique<Log>(world_, *this, spec.id, std::move(opened->log));
    hosted.replica = std::make_unique<Replica>(
        std::move(config), *this, *hosted.log, std::move(opened->store),
        [this](GroupId group, const StateReader& state) { return world_.MakeRole(group, state); },
        MakeInstallNote(disk.files, kNoteDirectory));
  }
  After(0, [this] {
    for (auto& [group, hosted] : hosted_) hosted.replica->Start();
    for (auto& [group, hosted] : hosted_) {
      if (!hosted.replica->halted()) world_.CheckState(id_, group);
    }
    Refresh();
    Touch();
  });
}

void World::Node::Stop(bool power) {
  ASSENT_CHECK(up_);
  up_ = false;
  for (auto& [group, hosted] : hosted_) {
    Disk& disk = world_.DiskOf(id_, group);
    // What SQLite has not synced is in its -wal file, which a power cut takes.
    const std::string kept = disk.store_path + ".kept";
    if (power) {
      std::filesystem::copy_file(disk.store_path, kept, std::filesystem::copy_options::overwrite_existing);
    }
    hosted.replica.reset();
    hosted.log.reset();
    disk.files.ClearFaults();
    if (power) {
      std::filesystem::rename(kept, disk.store_path);
      std::filesystem::remove(disk.store_path + "-wal");
      disk.files.Crash([this] { return world_.Chance(0.5); });
    }
  }
  hosted_.clear();
  for (auto& [id, reply] : std::exchange(calls_, {})) {
    world_.After(0, [reply = std::move(reply)] { reply(std::nullopt); });
  }
}

void World::Node::Transmit(NodeId to, Envelope envelope) {
  if (Effect()) return;
  ++world_.counts_.messages;
  if (world_.record_sent) world_.sent_.emplace_back(to, envelope);
  if (world_.cut_.contains({id_, to})) return;
  const WorldOptions& options = world_.options_;
  if (to != id_ && world_.Chance(options.loss)) return;
  const int copies = to != id_ && world_.Chance(options.duplication) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    world_.After(world_.Random(options.delay_us_max + 1),
                 [this, to, envelope] { world_.Deliver(to, envelope); });
  }
}

void World::Node::LearnView(const View& view) {
  const auto known = views_.find(view.group);
  if (known != views_.end() && known->second.epoch >= view.epoch) return;
  views_[view.group] = view;
  After(0, [this, group = view.group, epoch = view.epoch] {
    for (auto& [id, hosted] : hosted_) hosted.replica->OnGroupEpoch(group, epoch);
    Touch();
  });
}

void World::Node::Refresh() {
  if (refreshing_) return;
  refreshing_ = true;
  After(world_.Random(kDirectoryUsMax), [this] {
    refreshing_ = false;
    for (const auto& [group, view] : std::map(world_.views_)) LearnView(view);
  });
  After(kRefreshUs, [this] { Refresh(); });
}

void World::Node::ReadDirectory(GroupId group) {
  After(world_.Random(kDirectoryUsMax), [this, group] {
    backup::Event event = backup::ViewUnread{};
    if (!world_.Chance(world_.options_.directory_trouble)) {
      backup::ViewRead read;
      read.view = world_.ViewOf(group);
      read.directory_incarnation = kDirectoryIncarnation;
      for (const auto& [node, member] : world_.registered_[group]) read.registered.push_back(member);
      if (read.view) LearnView(*read.view);
      event = std::move(read);
    }
    After(world_.Random(kDirectoryUsMax), [this, group, event = std::move(event)] {
      hosted_.at(group).replica->OnReplicationEvent(event);
      Touch();
    });
  });
}

void World::Node::ProposeView(const View& view) {
  if (Effect()) return;
  const auto apply = [&world = world_, view] {
    const auto now = world.views_.find(view.group);
    const Epoch epoch = now == world.views_.end() ? Epoch{} : now->second.epoch;
    if (Next(epoch) != view.epoch) return false;
    world.views_[view.group] = view;
    ++world.counts_.epochs;
    return true;
  };
  const bool trouble = world_.Chance(world_.options_.directory_trouble);
  // Of unknown fate: now, later, or never; and no answer tells.
  if (trouble && world_.Chance(0.3)) {
    world_.After(world_.Random(20 * kDirectoryUsMax), [apply] { apply(); });
  } else if (!trouble || world_.Chance(0.5)) {
    world_.After(world_.Random(kDirectoryUsMax), [this, life = life_, apply, view, trouble] {
      const auto outcome = apply() ? backup::CasOutcome::kOk : backup::CasOutcome::kLost;
      if (trouble || !up_ || life != life_) return;
      After(world_.Random(kDirectoryUsMax), [this, view, outcome] {
        hosted_.at(view.group).replica->OnReplicationEvent(backup::CasDone{view, outcome});
        Touch();
      });
    });
  }
  if (!trouble) return;
  After(5 * kDirectoryUsMax, [this, view] {
    hosted_.at(view.group).replica->OnReplicationEvent(
        backup::CasDone{view, backup::CasOutcome::kUnknown});
    Touch();
  });
}

// ---- The world ----

World::World(uint64_t seed, WorldOptions options)
    : seed_(seed), options_(std::move(options)), random_(seed) {
  const std::string parent =
      std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
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
    if (Random(8) == 0 && replica.state().find_role() != nullptr) replica.state().find_role()->CheckInvariants();
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
