#include <algorithm>
#include <cstdio>
#include <tuple>

#include "common/check.h"
#include "common/overloaded.h"
#include "tests/unit/backup_simulation_node.h"

namespace assent::backup {
namespace {

const GroupId kGroup{GroupKind::kShard, 1};

std::string Image(const Store& store) {
  std::string out;
  for (const std::string& record : store) out += record + "\n";
  return out;
}

Store FromImage(const std::string& image) {
  Store out;
  size_t begin = 0;
  for (size_t end = image.find('\n'); end != std::string::npos; end = image.find('\n', begin)) {
    out.push_back(image.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

SimulatedGroup::SimulatedGroup(uint64_t seed, const Options& options)
    : seed_(seed), options_(options), random_(seed) {
  for (int i = 1; i <= options_.nodes; ++i) {
    auto node = std::make_unique<Node>();
    node->id = NodeId{static_cast<uint32_t>(i)};
    node->incarnation = Incarnation{next_random_++};
    node->clock_rate = 1 + options_.drift * (static_cast<double>(Random(2001)) / 1000 - 1);
    node->clock_offset_us = Random(1'000'000'000);
    nodes_[node->id] = std::move(node);
  }
  for (auto& [id, node] : nodes_) Start(*node);
}

SimulatedGroup::~SimulatedGroup() = default;

void SimulatedGroup::After(uint64_t delay_us, std::function<void()> run) {
  events_.push({now_us_ + delay_us, orders_++, std::move(run)});
}

void SimulatedGroup::AfterOn(Node& node, uint64_t delay_us, std::function<void()> run) {
  After(delay_us, [&node, life = node.life, run = std::move(run)] {
    if (node.up && node.life == life) run();
  });
}

void SimulatedGroup::RunUntil(uint64_t until_us) {
  while (!events_.empty() && events_.top().at_us <= until_us) {
    const auto run = events_.top().run;
    now_us_ = events_.top().at_us;
    events_.pop();
    run();
  }
  now_us_ = until_us;
}

uint64_t SimulatedGroup::LocalTime(const Node& node) const {
  return node.clock_offset_us + static_cast<uint64_t>(node.clock_rate * static_cast<double>(now_us_));
}

// ---- A replica's life ----

void SimulatedGroup::Start(Node& node) {
  node.up = true;
  node.life = next_random_++;
  node.log = node.disk;
  node.store = node.synced;
  node.jobs.clear();
  node.jobs_scheduled = false;
  node.serving = false;
  node.tick_at_us = UINT64_MAX;
  node.snapshots_out.clear();
  node.snapshot_in.clear();
  node.halted.clear();
  ReplicationConfig config{kGroup, node.id, node.incarnation, node.life, {}, NodeId{1}};
  config.initial_members = {NodeId{1}, NodeId{2}};
  node.core = std::make_unique<ReplicationCore>(config, node.log);
  Feed(node, Started{node.log.last(), Lsn{node.store.size()}, node.seen, node.directory_incarnation});
}

void SimulatedGroup::Crash(Node& node) {
  counts_.crashes++;
  // Any prefix of what was not forced survives.
  const size_t kept = Random(node.jobs.size() + 1);
  if (kept < node.jobs.size()) counts_.lost_tails++;
  RunLogJobs(node, kept, false);
  // SQLite may have got any number of its unsynced transactions to the disk.
  if (node.store.size() > node.synced.size()) {
    const size_t applied = node.synced.size() + Random(node.store.size() - node.synced.size() + 1);
    node.synced.assign(node.store.begin(), node.store.begin() + static_cast<ptrdiff_t>(applied));
  }
  node.up = false;
  node.paused_until_us = 0;
  node.core.reset();
  node.jobs.clear();
  CheckAll();
}

void SimulatedGroup::Wipe(Node& node) {
  counts_.wipes++;
  node.incarnation = Incarnation{next_random_++};
  node.disk = {};
  node.synced.clear();
  node.seen = {};
  node.directory_incarnation = {};
}

void SimulatedGroup::Feed(Node& node, const Event& event) {
  if (node.paused_until_us > now_us_) {
    AfterOn(node, node.paused_until_us - now_us_, [this, &node, event] { Feed(node, event); });
    return;
  }
  Effects effects;
  const Epoch before = node.core->epoch();
  node.core->Step(LocalTime(node), event, effects);
  ASSENT_CHECK(node.core->epoch() >= before, "I-R4 seed", seed_);
  for (const Effect& effect : effects) Perform(node, effect);
  node.core->CheckInvariants();
  ASSENT_CHECK(node.core->last() == node.log.last(), "seed", seed_);
  CheckLeases();
  ScheduleTick(node);
}

void SimulatedGroup::ScheduleTick(Node& node) {
  const uint64_t local_us = LocalTime(node);
  const uint64_t wanted_us = node.core->NextDeadline();
  if (wanted_us == UINT64_MAX) return;
  const double wait_us =
      wanted_us > local_us ? static_cast<double>(wanted_us - local_us) / node.clock_rate : 0;
  const uint64_t deadline = now_us_ + static_cast<uint64_t>(wait_us) + 1;
  if (deadline >= node.tick_at_us) return;
  node.tick_at_us = deadline;
  AfterOn(node, deadline - now_us_, [this, &node, deadline] {
    if (node.tick_at_us != deadline) return;
    node.tick_at_us = UINT64_MAX;
    Feed(node, Tick{});
  });
}

void SimulatedGroup::Note(const LogEntry& entry) {
  const auto [at, fresh] = written_.emplace(entry.position, Text(entry));
  ASSENT_CHECK(fresh || at->second == Text(entry), "I-R1 seed", seed_, at->second, Text(entry));
}

void SimulatedGroup::Perform(Node& node, const Effect& effect) {
  std::visit(Overloaded{
                 [&](const AppendToLog& e) {
                   for (const LogEntry& entry : e.entries) {
                     Note(entry);
                     node.log.Append(entry);
                     node.jobs.push_back(Node::AppendJob{entry});
                   }
                   ScheduleLogJobs(node);
                 },
                 [&](const TruncateLog& e) {
                   counts_.truncations++;
                   ASSENT_CHECK(Raw(e.after.lsn) >= node.store.size(), "R4 seed", seed_);
                   node.log.Truncate(e.after);
                   node.jobs.push_back(Node::TruncateJob{e.after});
                   ScheduleLogJobs(node);
                 },
                 [&](const PersistView& e) {
                   AfterOn(node, Random(2000), [this, &node, e] {
                     ASSENT_CHECK(e.seen_epoch >= node.seen, "I-R4 seed", seed_);
                     node.seen = e.seen_epoch;
                     node.directory_incarnation = e.directory_incarnation;
                     Feed(node, ViewPersisted{e.seen_epoch});
                   });
                 },
                 [&](const SendTo& e) {
                   if (cut_.contains({node.id, e.to})) return;
                   const Received message{node.id, e.epoch, e.epoch, e.message};
                   for (int copies = Chance(options_.duplication) ? 2 : 1; copies > 0; --copies) {
                     if (!Chance(options_.loss)) Deliver(e.to, message);
                   }
                 },
                 [&](const AnswerStaleEpoch& e) {
                   if (!cut_.contains({node.id, e.to})) Deliver(e.to, PeerEpoch{node.id, e.epoch});
                 },
                 [&](const ReadDirectory&) { ReadAt(node); },
                 [&](const ProposeView& e) { ProposeAt(node, e.view); },
                 [&](const Register& e) { registered_[e.self.node] = e.self; },
                 [&](const ReplicatedUpTo& e) { ApplyUpTo(node, e.lsn); },
                 [&](const BecomePrimary& e) {
                   counts_.epochs++;
                   if (!led_.empty() && led_.rbegin()->first < e.view.epoch) {
                     counts_.takeovers += led_.rbegin()->second.first != node.id ? 1u : 0u;
                   }
                   const auto [at, fresh] = led_.emplace(e.view.epoch, std::pair(node.id, node.life));
                   ASSENT_CHECK(at->second == std::pair(node.id, node.life), "I-R2 seed", seed_);
                   ASSENT_CHECK(node.seen >= e.view.epoch, "I-R4 seed", seed_);
                 },
                 [&](const Serve&) { node.serving = true; },
                 [&](const BecomeFollower& e) {
                   ASSENT_CHECK(e.role == Role::kStarting || node.seen >= e.view.epoch, "I-R4 seed", seed_);
                   node.serving = false;
                 },
                 [&](const Halt& e) { node.halted = e.text; },
                 [&](const Drain& e) {
                   if (e.begun) AfterOn(node, Random(600'000), [this, &node] { Feed(node, Drained{}); });
                 },
                 [&](const StartSnapshot& e) {
                   counts_.snapshots++;
                   const Lsn applied{node.store.size()};
                   const auto epoch = node.log.EpochAt(applied);
                   ASSENT_CHECK(epoch.has_value(), "seed", seed_);
                   node.snapshots_out[e.to] = {LogPosition{*epoch, applied}, Image(node.store)};
                 },
                 [&](const ReadSnapshot& e) { SnapshotPieceFor(node, e); },
                 [&](const StopSnapshot& e) { node.snapshots_out.erase(e.to); },
                 [&](const WriteSnapshot& e) { TakePiece(node, e.piece); },
                 [&](const OperatorReply& e) {
                   if (e.status.ok()) counts_.changes++;
                 },
             },
             effect);
}

// ---- Disk ----

void SimulatedGroup::ScheduleLogJobs(Node& node) {
  if (node.jobs_scheduled) return;
  node.jobs_scheduled = true;
  AfterOn(node, 100 + Random(options_.force_us_max), [this, &node] {
    if (node.paused_until_us > now_us_) {  // its log thread, too
      AfterOn(node, node.paused_until_us - now_us_, [this, &node] {
        node.jobs_scheduled = false;
        if (!node.jobs.empty()) ScheduleLogJobs(node);
      });
      return;
    }
    node.jobs_scheduled = false;
    // One force takes what has gathered, or some of it.
    RunLogJobs(node, Chance(0.8) ? node.jobs.size() : Random(node.jobs.size() + 1), true);
    if (!node.jobs.empty()) ScheduleLogJobs(node);
  });
}

void SimulatedGroup::RunLogJobs(Node& node, size_t count, bool report) {
  std::vector<Event> events;
  for (; count > 0; --count) {
    const Node::Job job = node.jobs.front();
    node.jobs.pop_front();
    std::visit(Overloaded{
                   [&](const Node::AppendJob& j) {
                     node.disk.Append(j.entry);
                     if (!events.empty() && std::holds_alternative<ForceDone>(events.back()))
                       events.pop_back();
                     events.push_back(ForceDone{j.entry.position.lsn});
                   },
                   [&](const Node::TruncateJob& j) {
                     node.disk.Truncate(j.after);
                     events.push_back(TruncateDone{j.after});
                   },
                   [&](const Node::InstallJob& j) {
                     node.disk.Reset(j.at);
                     node.log.Reset(j.at);
                     node.synced = j.store;
                     node.store = j.store;
                     events.push_back(SnapshotInstalled{j.at});
                   },
               },
               job);
  }
  for (const Event& event : events) {
    if (report) Feed(node, event);
  }
}

void SimulatedGroup::ApplyUpTo(Node& node, Lsn lsn) {
  // R1, R13: what is replicated here is durable here.
  ASSENT_CHECK(node.disk.last().lsn >= lsn, "R1 seed", seed_);
  while (node.store.size() < Raw(lsn)) {
    const LogEntry* entry = node.log.Find(Lsn{node.store.size() + 1});
    ASSENT_CHECK(entry != nullptr, "seed", seed_);
    node.store.push_back(Text(*entry));
  }
  if (node.core->role() == Role::kPrimary) {
    for (size_t i = 0; i < node.store.size(); ++i) {
      if (i == answered_.size()) {
        answered_.push_back(node.store[i]);
        counts_.answered++;
      }
    }
    CheckHeld();
  }
  // I-D1, I-C1: nobody takes another record for replicated than was answered for.
  ASSENT_CHECK(node.store.size() <= answered_.size(), "replicated before it was answered: seed", seed_);
  ASSENT_CHECK(node.store.back() == answered_[node.store.size() - 1], "I-D1 seed", seed_, node.store.back());
  if (Chance(0.2)) node.synced = node.store;
  if (options_.trims && Chance(0.05)) Trim(node);
}

void SimulatedGroup::Trim(Node& node) {
  const Lsn limit = std::min(Lsn{node.synced.size()}, Chance(0.9) ? node.core->TrimLimit() : Lsn{UINT64_MAX});
  if (limit > node.disk.base().lsn && limit <= node.disk.last().lsn) {
    node.disk.Trim(limit);
    node.log.Trim(limit);
  }
}

// ---- Snapshots ----

void SimulatedGroup::SnapshotPieceFor(Node& node, const ReadSnapshot& want) {
  AfterOn(node, Random(3000), [this, &node, want] {
    const auto found = node.snapshots_out.find(want.to);
    if (found == node.snapshots_out.end()) return;
    const auto& [at, image] = found->second;
    // Small pieces, so that there are several.
    const size_t offset = std::min<size_t>(want.offset, image.size());
    const size_t size = std::min<size_t>({want.bytes_max, 100, image.size() - offset});
    Feed(node,
         SnapshotRead{want.to, {at, offset, image.substr(offset, size), offset + size == image.size()}});
  });
}

void SimulatedGroup::TakePiece(Node& node, const SnapshotPiece& piece) {
  if (piece.offset == 0) node.snapshot_in.clear();
  ASSENT_CHECK(piece.offset == node.snapshot_in.size(), "seed", seed_);
  node.snapshot_in += piece.bytes;
  if (piece.done) {
    node.jobs.push_back(Node::InstallJob{piece.at, FromImage(node.snapshot_in)});
    ScheduleLogJobs(node);
    return;
  }
  AfterOn(node, Random(1000), [this, &node, at = piece.at, size = node.snapshot_in.size()] {
    Feed(node, SnapshotWritten{at, size});
  });
}

// ---- Network and directory ----

void SimulatedGroup::Deliver(NodeId to, const Event& event) {
  // Mostly in order and quick; now and then very late, over restarts of both ends.
  const uint64_t delay = Chance(0.02) ? Random(3'000'000) : 50 + Random(options_.delay_us_max);
  After(delay, [this, to, event] {
    Node& node = *nodes_.at(to);
    if (node.up) Feed(node, event);
  });
}

bool SimulatedGroup::ApplyCas(const View& view) {
  if ((view_ ? Raw(view_->epoch) : 0) + 1 != Raw(view.epoch)) return false;
  view_ = view;
  CheckHeld();
  return true;
}

void SimulatedGroup::ProposeAt(Node& node, const View& view) {
  const bool trouble = Chance(options_.directory_trouble);
  if (!trouble) {
    AfterOn(node, Random(3000), [this, &node, view] {
      const bool ok = ApplyCas(view);
      Feed(node, CasDone{view, ok ? CasOutcome::kOk : CasOutcome::kLost});
    });
    return;
  }
  if (Chance(0.2)) {
    AfterOn(node, Random(3000), [this, &node, view] {
      Feed(node, CasDone{view, CasOutcome::kFailed, "no"});
    });
    return;
  }
  counts_.ambiguous++;
  // The request outlives its sender, arrives late or never; its answer is lost, or says kLost after a retry
  // of its own.
  if (Chance(0.6)) {
    ++proposals_on_the_way_;
    After(Random(Chance(0.5) ? 2000 : 2'000'000), [this, view] {
      --proposals_on_the_way_;
      ApplyCas(view);
    });
  }
  AfterOn(node, Random(5000), [this, &node, view] { Feed(node, CasDone{view, CasOutcome::kUnknown}); });
}

void SimulatedGroup::ReadAt(Node& node) {
  const bool trouble = Chance(options_.directory_trouble);
  AfterOn(node, Random(1000), [this, &node, trouble] {
    if (trouble) {
      Feed(node, ViewUnread{});
      return;
    }
    ViewRead read{view_, Incarnation{77}, {}};
    for (const auto& [id, member] : registered_) read.registered.push_back(member);
    AfterOn(node, Random(2000), [this, &node, read] { Feed(node, read); });
  });
}

}  // namespace assent::backup
