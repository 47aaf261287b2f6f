// The checks of a World: after each step, at each start of a replica, and at the end.
#include <algorithm>
#include <cstdio>

#include "common/check.h"
#include "sim/map_state.h"
#include "sim/node.h"
#include "wal/recovery.h"

namespace assent::sim {

// ---- The state that a log leads to ----

// A core that took in records one after the other from the first one on, and never went through a restart.
class World::Reference {
 public:
  Reference(const World& world, GroupId group) : role_(world.MakeRole(group, nothing_)) {}

  size_t taken() const { return agreed_ + beyond_.size(); }
  // Whether what it took in is how this log begins: so many entries of the history, and then the tail.
  bool Begins(const std::vector<LogEntry>& history, size_t common, const std::vector<LogEntry>& tail) {
    const auto same = [](const LogEntry& a, const LogEntry& b) {
      return a.position == b.position && *a.payload == *b.payload;
    };
    for (; !beyond_.empty() && agreed_ < common; ++agreed_, beyond_.pop_front()) {
      if (!same(beyond_.front(), history[agreed_])) return false;
    }
    return agreed_ <= common && beyond_.size() <= tail.size() &&
           std::equal(beyond_.begin(), beyond_.end(), tail.begin(), same);
  }
  // REQUIRES: Begins.
  Rows After(const std::vector<LogEntry>& history, size_t common, const std::vector<LogEntry>& tail) {
    for (; agreed_ < common; ++agreed_) Take(history[agreed_]);
    while (beyond_.size() < tail.size()) {
      Take(tail[beyond_.size()]);
      beyond_.push_back(tail[beyond_.size()]);
    }
    return AllRows(role_->overlay());
  }

 private:
  void Take(const LogEntry& entry) {
    const auto record = DecodeRecord(*entry.payload);
    ASSENT_CHECK(record.ok(), record.status().ToString());
    role_->Apply(entry.position.lsn, *record);
  }

  const MapState nothing_;
  const std::unique_ptr<RoleCore> role_;  // after its store
  size_t agreed_ = 0;                     // entries that it took in and that are the history's
  std::deque<LogEntry> beyond_;           // and those after them
};

// The rows that a log of `common` entries of the history, and then the `tail`, leads to. Two references go
// on from where they are: one follows the logs that are ahead, the other those that lag.
Rows World::Expected(GroupId group, size_t common, const std::vector<LogEntry>& tail) {
  History& history = histories_[group];
  auto& kept = history.references;
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a->taken() > b->taken(); });
  for (const auto& reference : kept) {
    if (reference->Begins(history.entries, common, tail))
      return reference->After(history.entries, common, tail);
  }
  if (kept.size() == 2) kept.pop_back();
  kept.push_back(std::make_shared<Reference>(*this, group));
  return kept.back()->After(history.entries, common, tail);
}

// ---- After each step ----

void World::ObservePrimary(Node& node, GroupId group, Hosted& hosted) {
  const Replica& replica = *hosted.replica;
  const backup::ReplicationCore& core = replica.replication();
  History& history = *hosted.history;
  const std::pair<NodeId, uint64_t> self{node.id_, node.process_life_};
  const auto reign = history.reigns.try_emplace(core.epoch(), History::Reign{self}).first;
  ASSENT_CHECK(reign->second.leader == self, "I-R2: seed", seed_, ToString(group), "epoch", core.epoch(),
               "is led by", ToString(node.id_), "and by", ToString(reign->second.leader.first));
  if (!core.serving()) return;
  auto& entries = history.entries;
  if (replica.serving() && core.LeaseHolds(node.Now().mono_us)) {
    ++counts_.lease_checks;
    for (auto& [id, other] : nodes_) {
      const auto theirs = other->hosted_.find(group);
      if (other.get() == &node || theirs == other->hosted_.end()) continue;
      const Replica& peer = *theirs->second.replica;
      ASSENT_CHECK(!peer.serving() || !peer.replication().LeaseHolds(other->Now().mono_us), "I-S2: seed",
                   seed_, ToString(group), "both", ToString(node.id_), "and", ToString(id), "have a lease");
    }
  }
  if (core.epoch() > hosted.served) {  // I-R3
    hosted.served = core.epoch();
    // All that was replicated before its time. It may be deposed already, and not know what came after it.
    Lsn before{};
    for (auto earlier = history.reigns.begin(); earlier != reign; ++earlier) {
      before = std::max(before, earlier->second.replicated);
    }
    ASSENT_CHECK(replica.log().last().lsn >= before &&
                     (before < std::max(replica.log().base().lsn, Lsn{1}) ||
                      replica.log().EpochAt(before) == entries[Raw(before) - 1].position.epoch),
                 "I-R3: seed", seed_, ToString(node.id_), ToString(group), "leads epoch", core.epoch(),
                 "without the record", before);
  }
  reign->second.replicated = core.replicated();
  reign->second.served = true;
  NoteReplicated(replica, group, history);
  ASSENT_CHECK(entries.size() >= Raw(core.replicated()), "I-R1: seed", seed_, ToString(group),
               entries.size() + 1);
}

void World::NoteReplicated(const Replica& replica, GroupId group, History& history) {
  const Lsn replicated = replica.replication().replicated();
  while (history.entries.size() < Raw(replicated)) {
    const auto more = replica.log().Read(Lsn{history.entries.size() + 1}, 1 << 16);
    if (more.empty()) return;
    for (const LogEntry& entry : more) {
      if (entry.position.lsn > replicated) break;
      history.entries.push_back(entry);
      const auto record = DecodeRecord(*entry.payload);
      ASSENT_CHECK(record.ok(), record.status().ToString());
      const std::string wrong = promises_.OnReplicated(group, *record);
      ASSENT_CHECK(wrong.empty(), wrong, "seed", seed_);
    }
  }
}

// Checks the messages that left a node in the event that is over.
void World::CheckClaims(Node& node) {
  for (const Claim& claim : std::exchange(node.claims_, {})) {
    const auto hosted = node.hosted_.find(claim.from);
    if (hosted == node.hosted_.end()) continue;
    const backup::ReplicationCore& core = hosted->second.replica->replication();
    if (core.role() != backup::Role::kPrimary || core.epoch() != claim.epoch || !core.serving()) continue;
    const auto& reigns = hosted->second.history->reigns;
    const auto later = std::find_if(reigns.upper_bound(claim.epoch), reigns.end(),
                                    [](const auto& reign) { return reign.second.served; });
    ASSENT_CHECK(later == reigns.end(), "I-S2: seed", seed_, ToString(node.id_), ToString(claim.from),
                 "answers in epoch", claim.epoch, "while epoch", later->first, "is served");
    const std::string wrong = promises_.Check(claim, Lsn{hosted->second.history->entries.size()});
    ASSENT_CHECK(wrong.empty(), wrong, "seed", seed_, ToString(node.id_));
  }
}

void World::Observe(Node& node) {
  if (node.doomed_) {  // what it did before its end was done
    for (auto& [group, hosted] : node.hosted_) {
      const backup::ReplicationCore& core = hosted.replica->replication();
      if (core.role() == backup::Role::kPrimary && core.serving()) {
        NoteReplicated(*hosted.replica, group, *hosted.history);
      }
    }
    return CheckClaims(node);
  }
  for (auto& [group, hosted] : node.hosted_) {
    const Replica& replica = *hosted.replica;
    if (replica.halted()) continue;
    replica.replication().CheckInvariants();
    Disk& disk = *hosted.disk;
    const Epoch epoch = replica.replication().epoch();
    ASSENT_CHECK(epoch >= disk.held || Raw(epoch) == 0, "I-R4: seed", seed_, ToString(node.id_),
                 ToString(group), "fell from epoch", disk.held, "to", epoch);
    disk.held = std::max(disk.held, epoch);
    if (replica.replication().role() == backup::Role::kPrimary) ObservePrimary(node, group, hosted);
    const bool acts = replica.replication().role() == backup::Role::kPrimary ||
                      replica.replication().role() == backup::Role::kBackup;
    ASSENT_CHECK(!acts || epoch <= disk.seen_epoch, "I-R4: seed", seed_, ToString(node.id_), ToString(group),
                 "acts in epoch", epoch, "and its files name", disk.seen_epoch);
    const auto& history = hosted.history->entries;
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
  CheckClaims(node);
}

// ---- Now and then, after a force ----

// Checks the log as a process would find it that started now: after a kill, after a power cut that keeps any
// part of what no sync made durable; or with a bit of its end turned over (R7, R8, R9).
void World::CheckLogFiles(NodeId node, GroupId group, const wal::Log& log) {
  Disk& disk = DiskOf(node, group);
  if (disk.log_bits_flipped != 0) return;
  const uint64_t how = Random(4);
  wal::MemoryFileSystem files = disk.files.Found(/*power=*/how == 0, [this] { return Chance(0.5); });
  if (how > 1) {
    const auto paths = files.Paths();
    const auto newest = std::find_if(paths.rbegin(), paths.rend(), [](const std::string& path) {
      return path.find("/log-") != std::string::npos;
    });
    wal::MemoryInode& inode = files.inode(*newest);
    const uint64_t end = inode.cached().find_last_not_of('\0') + 1;
    inode.FlipBit(end - 1 - Random(std::min<uint64_t>(end, wal::kSectorBytes)),
                  static_cast<unsigned>(Random(8)));
  }
  if (how == 1 && Random(4) == 0) return CheckTornWrite(group, disk.root + "/log", files);
  const auto found = wal::Examine(files, disk.root + "/log", {kCluster, group, Lsn{}});
  if (!found.ok() && how > 1) return;  // the damage shows
  ASSENT_CHECK(found.ok(), "I-D3: seed", seed_, ToString(node), ToString(group), found.status().ToString());
  // In the last batch nothing tells a bit that went bad from a write that was torn (R8).
  ASSENT_CHECK(found->last.lsn >= (how > 1 ? disk.recorded : disk.durable), "I-D2: seed", seed_,
               ToString(node), ToString(group), "durable up to", disk.durable, "and the files hold",
               found->last.lsn, how > 1 ? "a bit of them turned over" : "");
  const auto is_of_log = [&](LogPosition position) {
    return position.lsn <= log.base().lsn || log.EpochAt(position.lsn) == position.epoch;
  };
  ASSENT_CHECK(is_of_log(found->last) &&
                   std::all_of(found->epoch_starts.begin(), found->epoch_starts.end(), is_of_log),
               "I-D3: seed", seed_, ToString(node), ToString(group), "the files hold what was not written",
               ToString(found->last));
}

// A power cut leaves some sectors of a write; records written behind that restart are found again (R8).
void World::CheckTornWrite(GroupId group, const std::string& directory, wal::MemoryFileSystem& files) {
  const auto open = [&] {
    wal::LogOptions options;
    options.cluster = kCluster;
    options.group = group;
    options.segment_bytes = options_.segment_bytes;
    options.random = [this] { return next_random_++; };
    auto opened = wal::Log::Open(files, directory, std::move(options));
    ASSENT_CHECK(opened.ok(), "I-D3: seed", seed_, opened.status().ToString());
    return std::move(opened->log);
  };
  const auto one_more = [](const wal::Log& log) {
    const LogPosition next{log.last().epoch, Next(log.last().lsn)};
    return std::vector<LogEntry>{{next, std::make_shared<const std::string>(3 * wal::kSectorBytes, 'x')}};
  };
  auto log = open();
  (void)log->Append(one_more(*log));
  log.reset();
  files.Crash([this] { return Chance(0.5); });
  log = open();
  const Status forced = log->AppendAndForce(one_more(*log));
  ASSENT_CHECK(forced.ok(), "seed", seed_, forced.ToString());
  const auto found = wal::Examine(files, directory, {kCluster, group, Lsn{}});
  ASSENT_CHECK(found.ok() && found->last == log->last(), "I-D2: seed", seed_, ToString(group),
               "what was written behind a torn write is lost, up to", log->last().lsn);
}

// ---- At each start, and at the end ----

void World::CheckState(NodeId node, GroupId group) {
  Replica& replica = *Find(node, group);
  if (replica.state().find_role() == nullptr) return;  // between two states: a snapshot is being installed
  if (replica.serving()) {  // what it holds back goes to the log before any event of replication
    replica.OnReplicationEvent(backup::Tick{});
    nodes_.at(node)->Touch();
  }
  const auto& history = histories_[group].entries;
  const Lsn base = replica.log().base().lsn;
  ASSENT_CHECK(Raw(base) <= history.size(), "seed", seed_, "trimmed what was not replicated");
  std::vector<LogEntry> tail;  // of the log: from where it is not what was replicated
  for (Lsn next = Next(base); next <= replica.log().last().lsn;) {
    const auto entries = replica.log().Read(next, 1 << 20);
    ASSENT_CHECK(!entries.empty(), "seed", seed_, ToString(node), ToString(group), "LSN", next);
    for (const LogEntry& entry : entries) {
      const uint64_t at = Raw(entry.position.lsn);
      const bool is_history = at <= history.size() && history[at - 1].position == entry.position &&
                              *history[at - 1].payload == *entry.payload;
      ASSENT_CHECK(is_history || at > history.size() || at > Raw(replica.replication().replicated()),
                   "I-R1: seed", seed_, ToString(node), ToString(group), "another record at LSN", at);
      if (!is_history || !tail.empty()) tail.push_back(entry);
    }
    next = Next(entries.back().position.lsn);
  }
  const size_t common = Raw(replica.log().last().lsn) - tail.size();
  auto& overlay = const_cast<RoleCore*>(replica.state().find_role())->overlay();
  const auto live = AllRows(overlay);
  if (const Status& readable = replica.state().find_store()->status(); !readable.ok()) {
    // It will halt, and say so.
    ASSENT_CHECK(may_be_damaged_.contains({node, group}), "I-D2: seed", seed_, ToString(node),
                 ToString(group), readable.ToString());
    return;
  }
  const Rows expected = Expected(group, common, tail);
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

bool World::AreEqual(GroupId group) {
  std::optional<StoreDigest> first;
  for (const auto& [id, node] : nodes_) {
    const auto hosted = node->hosted_.find(group);
    if (hosted == node->hosted_.end() || views_.at(group).Find(id) == nullptr) continue;
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

}  // namespace assent::sim
