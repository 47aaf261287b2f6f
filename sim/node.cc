#include "sim/node.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/mutant.h"
#include "common/overloaded.h"
#include "sim/describe.h"

namespace assent::sim {
namespace {

constexpr Incarnation kDirectoryIncarnation{77};
constexpr uint64_t kRefreshUs = 500'000;
// A loop that wakes so often without the clock moving, and without a word from outside, would do so for ever.
// A snapshot's copying is the most that may come.
constexpr uint64_t kMessagesASecondMax = 4'000;
constexpr uint64_t kSpinsMax = 5'000;
// Calls of a resource manager that come to nothing, even while the network works, and when that is seen.
constexpr double kForeignLoss = 0.01;
constexpr uint64_t kForeignPatienceUs = 300'000;
constexpr uint64_t kForeignListUs = 200'000;       // so long the list of what is prepared may take
constexpr uint64_t kForeignPrepareUs = 5'000'000;  // it may have to wait for a row
constexpr double kUnknownBoot = 0.2;

constexpr uint64_t kLeavePollUs = 10'000;
constexpr size_t kSaidMax = 16;  // of a kind of message, for World::SendAgain

// Not replication's.
bool IsOfTransactions(const Message& message) {
  return std::visit(Overloaded{[](const OneOf<ToShard> auto&) { return true; },
                               [](const OneOf<ToCoordinator> auto&) { return true; },
                               [](const OneOf<ReplicaMessage> auto&) { return false; },
                               [](const OneOf<ToDriver> auto&) { return false; }},
                    message);
}

}  // namespace

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
  node_.After(slow_us_ + world_.Random(world_.options_.force_us_max + 1), [this] {
    scheduled_ = false;
    if (!held_) Work();
    Schedule();
  });
}

// One go of the log thread: a command, or all appends that gathered (R10).
void World::Log::Work() {
  if (queue_.empty()) return;
  ++world_.counts_.log_commands;
  Disk& disk = world_.DiskOf(node_.slot_, group_);
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
    disk.durable = disk.recorded = {};  // it may be finished at the next start
    Answer(LogDone::What::kTruncated, log_->Truncate(truncate->after));
  } else if (const auto* trim = std::get_if<TrimLog>(&command)) {
    ++world_.counts_.trims;
    Answer(LogDone::What::kTrimmed, log_->Trim(trim->below));
  } else if (const auto* reset = std::get_if<ResetLog>(&command)) {
    ++world_.counts_.resets;
    disk.durable = disk.recorded = {};
    Answer(LogDone::What::kReset, log_->Reset(reset->base));
  }
}

void World::Log::Answer(LogDone::What what, Status status) {
  if (!status.ok()) world_.trace().Line(world_.now_us_, node_.id_, group_, "log fails", status.ToString());
  Disk& disk = world_.DiskOf(node_.slot_, group_);
  if (status.ok()) {
    if (what == LogDone::What::kForced) disk.recorded = disk.durable;
    disk.durable = log_->durable().lsn;
    if (what == LogDone::What::kForced && world_.Random(disk.is_faulty ? 2 : 32) == 0) {
      world_.CheckLogFiles(node_.slot_, group_, *log_);
    }
  }
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
    if (hosted.replica->NextDeadline() <= Now().mono_us) hosted.replica->OnTime();
    hosted.replica->Flush();
    next_us = std::min(next_us, hosted.replica->NextDeadline());
  }
  ++world_.counts_.slices;
  world_.Observe(*this);
  if (!up_ || next_us >= wake_us_) return;
  if (spun_at_us_ != world_.now_us_) spins_ = 0;
  spun_at_us_ = world_.now_us_;
  if (next_us <= Now().mono_us) {
    ASSENT_CHECK(++spins_ < kSpinsMax, "seed", world_.seed_, "a deadline in the past keeps spinning",
                 ToString(id_));
  }
  wake_us_ = next_us;
  if (next_us == UINT64_MAX) return;
  After(DelayUntil(next_us), [this, next_us] {
    if (wake_us_ != next_us) return;  // an earlier one came
    wake_us_ = UINT64_MAX;
    Slice();
  });
}

void World::Node::Start() {
  ASSENT_CHECK(!up_);
  up_ = true;
  doomed_ = false;  // doom_in_ stays: a crash in this recovery may be due
  slice_due_ = refreshing_ = false;
  wake_us_ = UINT64_MAX;
  paused_until_us_ = 0;
  registered_ = takes_part_ = leaving_ = false;
  refusal_.clear();
  if (!clock_runs_) {  // the machine came up
    clock_runs_ = true;
    // Seldom, what its last life was is not known for certain: each time costs a watch, in which nothing of
    // the recovery happens.
    if (boot_ == 0 || world_.Chance(kUnknownBoot)) boot_ = world_.next_random_++;
    clock_us_ = 1'000'000 + world_.Random(100'000'000);
    clock_from_us_ = world_.now_us_;
    clock_ppm_ = 1'000'000 - world_.options_.drift_ppm + world_.Random(2 * world_.options_.drift_ppm + 1);
  }
  ++life_;
  views_.clear();
  process_life_ = world_.next_random_++;
  for (const GroupSpec& spec : world_.options_.groups) {
    const bool member = std::find(spec.replicas.begin(), spec.replicas.end(), id_) != spec.replicas.end();
    const bool other = std::find(spec.others.begin(), spec.others.end(), id_) != spec.others.end();
    if (spec.replicas.empty() || (!member && !other)) continue;
    Disk& disk = world_.DiskOf(slot_, spec.id);
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
    config.replication.replicas_min = world_.options_.replicas_min;
    config.replication.snapshot_piece_bytes = world_.options_.snapshot_piece_bytes;
    config.snapshots.store_path = disk.store_path();
    config.snapshots.snapshot_path = disk.root + "/snapshot";
    config.snapshots.files = &disk.store_files;
    config.snapshots.store_identity = {kCluster, spec.id};
    config.snapshots.store_options.cache_bytes = 1 << 20;
    config.snapshots.store_options.vfs = SimulatedVfs();
    config.snapshots.store_options.files = &disk.mount;
    config.checkpoint_bytes = world_.options_.checkpoint_bytes;

    wal::LogOptions log_options;
    log_options.cluster = kCluster;
    log_options.group = spec.id;
    log_options.segment_bytes = world_.options_.segment_bytes;
    log_options.spare_segments_max = world_.options_.spare_segments_max;
    log_options.random = [this] { return world_.next_random_++; };
    disk.is_faulty = disk.is_limited;
    config.snapshots.store_options.verify = world_.may_be_damaged_.contains({slot_, spec.id});
    disk.files.set_before_effect([this](bool is_sync) {
      if (is_sync && std::exchange(doom_in_force_, false)) {
        doom_in_ = 1;
        doom_power_ = true;
      }
      return Effect();
    });
    disk.store_files.set_before_effect([this](bool) { return Effect(); });
    auto opened =
        OpenReplicaFiles(disk.files, {disk.root, disk.root + "/log", disk.store_path()},
                         config.snapshots.store_identity, config.snapshots.store_options, log_options);
    // R7, R8: what was durable is there; and rot below the last batch is damage, which a sound batch behind
    // it tells. (An empty log is that of a snapshot, whose installation was finished just now.)
    const Lsn expected = disk.log_bits_flipped == 0   ? disk.durable
                         : disk.log_bits_flipped == 1 ? disk.recorded
                                                      : Lsn{};
    ASSENT_CHECK(
        !opened.ok() || opened->log->last().lsn >= expected || opened->log->last() == opened->log->base(),
        "I-D3: records are gone from the log: seed", world_.seed_, ToString(id_), ToString(spec.id),
        opened->log->last().lsn, expected);
    // Rot in the last batch of a log looks like a torn tail to who has this disk alone (R8; docs/BUGS.md has
    // it among what is open). A scrub against the peers would find it: the simulator does as that would.
    if (opened.ok() && config.snapshots.store_options.verify && opened->log->last().lsn < disk.durable) {
      ++world_.counts_.tails_lost;
      opened = Status(StatusCode::kDamaged, "the log ends below what was durable");
    }
    if (!opened.ok()) {
      if (doomed_) return;
      if (disk.is_limited && opened.status().code() == StatusCode::kDiskFull) {
        doomed_ = true;  // it ends with a message
        return;
      }
      ASSENT_CHECK(world_.may_be_damaged_.contains({slot_, spec.id}), "I-D3: seed", world_.seed_,
                   ToString(id_), ToString(spec.id), opened.status().ToString());
      // The message tells the operator to do this.
      world_.trace().Line(world_.now_us_, id_, spec.id, "replaced", opened.status().ToString());
      ++world_.counts_.repaired;
      world_.ResetDisk(slot_, spec.id);
      return StartAgain();
    }
    Hosted& hosted = hosted_[spec.id];
    hosted.disk = &disk;
    hosted.history = &world_.histories_[spec.id];
    hosted.log = std::make_unique<Log>(world_, *this, spec.id, std::move(opened->log));
    hosted.replica = std::make_unique<Replica>(
        std::move(config), *this, *hosted.log, std::move(opened->store),
        [this](GroupId group, const StateReader& state) { return world_.MakeRole(group, state); },
        MakeInstallNote(disk.files, disk.root));
  }
  BeginRegistration();
}

void World::Node::StartAgain() {
  up_ = false;
  hosted_.clear();
  Start();
}

void World::Node::Stop(bool power) {
  ASSENT_CHECK(up_);
  // A copy of a running node's files that takes its place within a second of its last renewal is what no
  // register shows (docs/PROTOCOL.md, R3).
  if (!is_copy()) world_.StopClones(id_);
  up_ = false;
  doomed_ = true;  // what closing would still write does not happen
  doom_in_ = 0;
  doom_in_force_ = false;
  hosted_.clear();
  for (auto& [name, manager] : world_.foreign_) manager.Disconnect(process_life_);
  for (auto& [place, disk] : world_.disks_) {
    if (place.first != slot_) continue;
    for (wal::MemoryFileSystem* files : {&disk->files, &disk->store_files}) {
      files->ClearFaults();
      if (power) files->Crash([this] { return world_.Chance(0.5); });
    }
  }
  if (power) clock_runs_ = false;
  for (auto& [id, call] : std::exchange(calls_, {})) {
    world_.After(0, [reply = std::move(call.reply)] { reply(std::nullopt); });
  }
}

// As the product does (runtime/node.cc).
void World::Node::StopOnceLeft(uint64_t until_us) {
  bool waits = false;
  bool hands_over = false;
  for (auto& [group, hosted] : hosted_) {
    if (hosted.replica->MayStop()) continue;
    waits = true;
    const bool leads = hosted.replica->replication().role() == backup::Role::kPrimary;
    if (!leads || std::exchange(hands_over, true)) continue;
    hosted.replica->OnReplicationEvent(backup::Leave{.hands_over = true});
  }
  Touch();
  if (waits && world_.now_us_ < until_us) {
    return After(kLeavePollUs, [this, until_us] { StopOnceLeft(until_us); });
  }
  for (auto& [group, hosted] : hosted_) (void)hosted.replica->Close();
  world_.Crash(id_, /*power=*/false);
}

void World::Node::Transmit(NodeId to, Envelope envelope) {
  if (Effect()) return;
  ++world_.counts_.messages;
  if (world_.now_us_ / 1'000'000 != sent_in_second_) {
    sent_in_second_ = world_.now_us_ / 1'000'000;
    sent_ = 0;
  }
  ASSENT_CHECK(++sent_ < kMessagesASecondMax, "I-Q1: seed", world_.seed_, ToString(id_),
               "floods the network");
  world_.TraceMessage("send", id_, to, envelope);
  if (const auto claim = Promises::ClaimOf(envelope)) claims_.push_back(*claim);
  if (IsOfTransactions(envelope.message)) {
    auto& last = world_.said_[envelope.message.index()];
    last.emplace_back(to, envelope);
    if (last.size() > kSaidMax) last.pop_front();
  }
  if (world_.record_sent) world_.sent_.emplace_back(to, envelope);
  if (world_.cut_.contains({slot_, to})) return;
  const WorldOptions& options = world_.options_;
  if (to != id_ && world_.Chance(options.loss)) return;
  // Most of what is sent is replication's: what is not is late, or comes again, as often as that.
  const double rarity = IsOfTransactions(envelope.message) ? 4 : 1;
  const auto late_us = [&] { return world_.Random(options.replay_us_max >> world_.Random(8)); };
  if (to != id_ && world_.Chance(options.stall * rarity / 2)) {
    return world_.After(late_us(), [this, to, envelope = std::move(envelope)]() mutable {
      world_.Deliver(to, std::move(envelope));
    });
  }
  const auto deliver = [this, to](uint64_t delay_us, Envelope copy) {
    if (world_.options_.in_order) {
      uint64_t& last_us = last_arrival_us_[to];
      last_us = std::max(last_us, world_.now_us_ + delay_us);
      delay_us = last_us - world_.now_us_;
    }
    world_.After(delay_us,
                 [this, to, copy = std::move(copy)]() mutable { world_.Deliver(to, std::move(copy)); });
  };
  if (to != id_ && world_.Chance(options.duplication)) {
    deliver(world_.Random(options.delay_us_max + 1), envelope);
  }
  if (to != id_ && world_.Chance(options.replay * rarity)) deliver(late_us(), envelope);
  const auto slow = world_.slow_.find({slot_, to});
  const uint64_t slow_us = slow == world_.slow_.end() ? 0 : slow->second;
  deliver(world_.Random(std::max(options.delay_us_max, slow_us) + 1), std::move(envelope));
}

void World::Node::PerformForeign(GroupId group, const CallForeign& call) {
  if (Effect()) return;
  if (world_.trace().prints()) world_.trace().Line(world_.now_us_, id_, group, "calls", sim::Describe(call));
  const auto answer = [this, life = life_, group, epoch = call.epoch](ForeignReply reply) {
    if (!up_ || life != life_) return;
    reply.epoch = epoch;
    const uint64_t list_us = reply.verb == ForeignVerb::kRecover ? world_.Random(kForeignListUs) : 0;
    After(list_us + world_.Random(world_.options_.delay_us_max + 1), [this, group, reply = std::move(reply)] {
      hosted_.at(group).replica->OnForeign(reply);
      Touch();
    });
  };
  const auto is_lost = [this] { return world_.Chance(world_.options_.loss + kForeignLoss); };
  ForeignReply nothing;
  nothing.resource_manager = call.resource_manager;
  nothing.verb = call.verb;
  nothing.txn = call.txn;
  if (world_.clients_cut_.contains(slot_)) {  // cannot connect
    nothing.unsent = true;
    return answer(nothing);
  }
  const bool request_lost = is_lost();
  const bool reply_lost = is_lost();
  if (!request_lost) {  // it gets there even if this process does not live to see it
    world_.After(world_.Random(world_.options_.delay_us_max + 1), [this, call, caller = process_life_,
                                                                   reply_lost, answer] {
      world_.foreign_.at(call.resource_manager)
          .Call(call, caller, reply_lost ? [](const ForeignReply&) {} : ForeignManager::Answer(answer));
    });
  }
  if (request_lost || reply_lost) After(kForeignPatienceUs, [answer, nothing] { answer(nothing); });
  if (request_lost || call.verb != ForeignVerb::kPrepare) return;
  world_.After(kForeignPrepareUs / world_.options_.times_divided_by, [this, answer, nothing] {
    if (world_.foreign_.at(nothing.resource_manager).GiveUp(nothing.txn)) answer(nothing);
  });
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
    if (world_.directory_cut_.contains(slot_)) return;
    for (const auto& [group, view] : std::map(world_.views_)) LearnView(view);
  });
  After(kRefreshUs, [this] { Refresh(); });
}

void World::Node::ReadDirectory(GroupId group) {
  After(world_.Random(kDirectoryUsMax), [this, group] {
    backup::Event event = backup::ViewUnread{};
    if (!world_.directory_cut_.contains(slot_) && !world_.Chance(world_.options_.directory_trouble)) {
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
  const auto apply = [&world = world_, view, process = process_life_] {
    const auto now = world.views_.find(view.group);
    const Epoch epoch = now == world.views_.end() ? Epoch{} : now->second.epoch;
    if (Next(epoch) != view.epoch) return false;
    // R3: only the registered process of a node proposes.
    const auto held = world.registers_.find(view.primary);
    if (held != world.registers_.end() && held->second.life != process &&
        !Mutated(Mutant::kRegistrationIgnored)) {
      return false;
    }
    world.views_[view.group] = view;
    ++world.counts_.epochs;
    world.trace().Line(world.now_us_, view.primary, view.group, "view", ToString(view));
    return true;
  };
  const auto armed = world_.cut_at_proposal_.find(slot_);
  if (armed != world_.cut_at_proposal_.end() && armed->second.first-- == 0) {
    const auto then = std::move(armed->second.second);
    world_.cut_at_proposal_.erase(armed);
    ++world_.proposals_open_[view.group];
    world_.After(world_.Random(kDirectoryUsMax), [&world = world_, group = view.group, apply] {
      --world.proposals_open_[group];
      apply();
    });
    After(5 * kDirectoryUsMax, [this, view] {
      hosted_.at(view.group).replica->OnReplicationEvent(backup::CasDone{view, backup::CasOutcome::kUnknown});
      Touch();
    });
    return world_.After(0, [then, group = view.group] { then(group); });
  }
  const bool cut = world_.directory_cut_.contains(slot_);
  const bool trouble = cut || world_.Chance(world_.options_.directory_trouble);
  if (trouble && world_.Chance(0.2)) {  // it cannot be written, and says so
    return After(world_.Random(kDirectoryUsMax), [this, view] {
      hosted_.at(view.group)
          .replica->OnReplicationEvent(backup::CasDone{view, backup::CasOutcome::kFailed, "no room"});
      Touch();
    });
  }
  // The proposal's fate is unknown: now, later, or never; and no answer tells.
  if (cut) {
  } else if (trouble && world_.Chance(0.3)) {
    ++world_.proposals_open_[view.group];
    world_.After(world_.Random(20 * kDirectoryUsMax), [&world = world_, group = view.group, apply] {
      --world.proposals_open_[group];
      apply();
    });
  } else if (!trouble || world_.Chance(0.5)) {
    ++world_.proposals_open_[view.group];
    world_.After(world_.Random(kDirectoryUsMax), [this, life = life_, apply, view, trouble] {
      --world_.proposals_open_[view.group];
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
    hosted_.at(view.group).replica->OnReplicationEvent(backup::CasDone{view, backup::CasOutcome::kUnknown});
    Touch();
  });
}

}  // namespace assent::sim
