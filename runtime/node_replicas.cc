// A node's replicas: how they are opened, what becomes of one that cannot be, and the disk that they lie on.

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "driver/disk_reserve.h"
#include "runtime/node.h"
#include "runtime/process_trace.h"
#include "runtime/random_number.h"

namespace assent {
namespace {

// Before a replica that had no room is opened again: twice as long each time, unless it lasted.
constexpr uint64_t kReopenPauseMinUs = 1'000'000;
constexpr uint64_t kReopenPauseMaxUs = 60'000'000;

}  // namespace

// A replica that is damaged, or has no room, keeps no other down. An error in the configuration does.
Status Node::OpenReplicas() {
  for (const GroupEntry& group : options_.config.OwnGroups()) {
    auto opened = OpenGroup(group.id);
    if (opened.ok()) {
      Host(group, std::move(opened).value(), life_);
      continue;
    }
    if (opened.status().code() == StatusCode::kInvalid) return opened.status();
    hosted_[group.id].failed = opened.status();
    Report(group.id, WhyNoReplica(group.id), /*halted=*/true);
  }
  return {};
}

Result<Node::OpenedGroup> Node::OpenGroup(GroupId group) {
  const NodeConfig& config = options_.config;
  OpenedGroup out;
  auto identity = data_->OpenReplica(group, Incarnation{RandomNumber()});
  if (!identity.ok()) return identity.status();
  out.identity = *identity;
  wal::LogOptions log_options;
  log_options.cluster = config.cluster;
  log_options.group = group;
  log_options.segment_bytes = config.segment_bytes;
  log_options.random = RandomNumber;
  StoreOptions store_options;
  store_options.created_wall_us = Loop::Now().wall_us;
  auto opened =
      OpenReplicaFiles(files_, {data_->ReplicaPath(group), data_->LogPath(group), data_->StorePath(group)},
                       {config.cluster, group}, store_options, std::move(log_options));
  if (!opened.ok()) return opened.status();
  out.files = std::move(opened).value();
  if (out.files.facts.cut_bytes > 0) {
    LOG(INFO) << ToString(group) << ": cut a torn tail of " << out.files.facts.cut_bytes
              << " bytes behind LSN " << Raw(out.files.log->last().lsn);
  }
  if (!out.identity.formed) {
    out.identity.formed = true;
    ASSENT_RETURN_IF_ERROR(data_->UpdateReplica(out.identity));
  }
  return out;
}

// Loop thread, or before it runs. R3: each opening is a life of its own.
void Node::Host(const GroupEntry& group, OpenedGroup opened, uint64_t life) {
  const NodeConfig& config = options_.config;
  Hosted& hosted = hosted_[group.id];
  hosted.failed = {};
  hosted.opening = ++openings_;
  hosted.identity = opened.identity;
  hosted.log = std::make_unique<LogWriter>(std::move(opened.files.log),
                                           [this, id = group.id, opening = hosted.opening](LogDone done) {
                                             loop_.Post([this, id, opening, done = std::move(done)] {
                                               if (Replica* replica = Find(id, opening))
                                                 replica->OnLogDone(done);
                                             });
                                           });

  ReplicaConfig replica;
  replica.replication.group = group.id;
  replica.replication.self = config.node;
  replica.replication.incarnation = opened.identity.incarnation;
  replica.replication.life = life;
  replica.replication.initial_members = group.replicas;
  std::sort(replica.replication.initial_members.begin(), replica.replication.initial_members.end());
  replica.replication.initial_primary = group.replicas.front();
  replica.replication.replicas_min = config.replicas_min;
  replica.started.seen_epoch = opened.identity.highest_epoch;
  replica.started.directory_incarnation = Incarnation{Raw(opened.identity.directory)};
  replica.snapshots.store_path = data_->StorePath(group.id);
  replica.snapshots.snapshot_path = data_->SnapshotPath(group.id);
  replica.snapshots.store_identity = {config.cluster, group.id};
  replica.snapshots.store_options.created_wall_us = Loop::Now().wall_us;
  replica.snapshots.files = &files_;
  replica.checkpoint_bytes = config.checkpoint_bytes;
  replica.snapshots.disk_space = [this] { return SpaceOn(options_.config.data); };
  replica.snapshots.disk_reserve_bytes = config.disk_reserve_bytes;
  hosted.replica = std::make_unique<Replica>(
      std::move(replica), *this, *hosted.log, std::move(opened.files.store),
      [this](GroupId id, const StateReader& state) { return options_.make_role(id, placement_, state); },
      MakeInstallNote(files_, data_->ReplicaPath(group.id)));
}

// R3: nothing here takes part before the node is this process's, nor a replica whose files are older ones.
Status Node::ClaimRegister() {
  const NodeConfig& config = options_.config;
  const auto files = data_->ReadStarts(RandomNumber());
  if (!files.ok()) return files.status();
  NodeRegister own;
  own.node = config.node;
  own.files = files->files;
  own.starts = files->starts + 1;
  own.life = life_;
  own.address = ToString(config.listen);
  own.process = TraceThisProcess(data_->LockPath());
  std::vector<backup::OwnReplica> replicas;  // those that could not be opened, too: they may be, later
  for (const GroupEntry& group : config.OwnGroups()) {
    if (const auto identity = data_->ReadReplica(group.id); identity.ok()) {
      replicas.push_back({group.id, identity->incarnation});
    }
  }
  registrar_ = std::make_unique<Registrar>(*directory_, std::move(own), std::move(replicas));
  const Status claimed = registrar_->Claim([&] { return data_->CountStart(*files); });
  if (claimed.code() == StatusCode::kConflict) {
    return Status(StatusCode::kConflict, config.data + ": " + claimed.message());
  }
  return claimed;
}

std::vector<Confirmed> Node::ConfirmedPositions() const {
  std::vector<Confirmed> positions;
  for (const auto& [id, hosted] : hosted_) {
    if (!hosted.replica) continue;
    positions.push_back({id, hosted.identity.incarnation, hosted.replica->confirmed()});
  }
  return positions;
}

void Node::StartReplica(GroupId id, Hosted& hosted) {
  const backup::Registration& registration = registrar_->registration();
  if (registration.state() == backup::Registration::State::kLost) {
    return hosted.replica->Halt(registration.text());
  }
  hosted.replica->Start(registration.ConfirmedOf(id, hosted.identity.incarnation),
                        registration.ConfirmedBy());
}

std::map<GroupId, std::string> Node::failures() const {
  std::map<GroupId, std::string> failures;
  for (const auto& [group, hosted] : hosted_) {
    if (hosted.replica == nullptr) failures.emplace(group, WhyNoReplica(group));
  }
  return failures;
}

std::string Node::WhyNoReplica(GroupId group) const {
  const auto hosted = hosted_.find(group);
  if (hosted == hosted_.end()) return ToString(group) + " has no replica on this node";
  if (hosted->second.failed.ok()) return ToString(group) + " is being opened on this node";
  const std::string why = hosted->second.failed.ToString();
  if (hosted->second.failed.code() == StatusCode::kDiskFull) {
    return "the replica cannot be opened: " + why + ". Make room, and it goes on by itself";
  }
  return "the replica cannot be opened: " + why + ". If the group serves elsewhere: stop this node, move " +
         data_->ReplicaPath(group) + " away and start it; the replica is then made anew from the others";
}

void Node::RunOffLoop(GroupId group, std::function<void()> work, std::function<void()> then) {
  disk_worker_.Post([this, group, opening = hosted_.at(group).opening, work = std::move(work),
                     then = std::move(then)]() mutable {
    work();
    work = nullptr;
    loop_.Post([this, group, opening, then = std::move(then)] {
      if (Find(group, opening) != nullptr) then();
    });
  });
}

// ---- The disk (G8) ----

void Node::LookAtDisk() {
  if (std::exchange(is_looking_at_disk_, true)) return;
  disk_worker_.Post([this] {
    loop_.Post([this, space = SpaceOn(options_.config.data)] {
      is_looking_at_disk_ = false;
      OnDiskSpace(space);
    });
  });
}

void Node::OnDiskSpace(const Result<DiskSpace>& space) {
  if (!space.ok()) return;  // the disk says more when it is needed
  const uint64_t reserve = ReserveOf(*space, options_.config.disk_reserve_bytes);
  const bool is_low = space->free_bytes < reserve;
  if (is_low != !disk_low_.empty()) {
    LOG(WARNING) << (is_low ? "the disk is nearly full: " : "the disk has room again: ")
                 << Megabytes(space->free_bytes) << " left in " << options_.config.data << ", "
                 << Megabytes(reserve) << " are the reserve";
  }
  disk_low_ = !is_low ? ""
                      : "the disk of " + ToString(options_.config.node) + " has " +
                            Megabytes(space->free_bytes) + " left, below the reserve of " +
                            Megabytes(reserve) + " (limits.disk_reserve_bytes); try again when there is room";
  for (auto& [group, hosted] : hosted_) {
    if (hosted.replica) hosted.replica->OnDiskLow(disk_low_);
  }
  // Not to be full again at once: the next segments of a log fit, too.
  if (space->free_bytes >= reserve + 2 * options_.config.segment_bytes) ReopenWhatHadNoRoom();
}

// Nothing was lost by a full disk (R7: what it holds decides, as after any restart), so it heals by itself.
void Node::ReopenWhatHadNoRoom() {
  const uint64_t now_us = Now().mono_us;
  for (const GroupEntry& group : options_.config.OwnGroups()) {
    Hosted& hosted = hosted_[group.id];
    const bool had_no_room =
        hosted.replica ? hosted.replica->halted_for_room() : hosted.failed.code() == StatusCode::kDiskFull;
    if (!had_no_room || hosted.is_reopening || now_us < hosted.reopened_us + hosted.reopen_pause_us) continue;
    const bool lasted = now_us - hosted.reopened_us > 2 * kReopenPauseMaxUs;
    hosted.reopen_pause_us =
        lasted ? kReopenPauseMinUs
               : std::clamp(2 * hosted.reopen_pause_us, kReopenPauseMinUs, kReopenPauseMaxUs);
    hosted.reopened_us = now_us;
    Reopen(group, hosted);
  }
}

void Node::Reopen(const GroupEntry& group, Hosted& hosted) {
  struct Job {
    std::unique_ptr<LogWriter> log;
    std::unique_ptr<Replica> replica;  // before its log
    Result<OpenedGroup> opened = Status(StatusCode::kUnavailable, "not opened yet");
  };
  hosted.is_reopening = true;
  hosted.opening = ++openings_;
  hosted.failed = {};
  auto job = std::make_shared<Job>();
  job->log = std::move(hosted.log);
  job->replica = std::move(hosted.replica);
  disk_worker_.Post([this, job, group] {
    job->replica.reset();
    job->log.reset();
    job->opened = OpenGroup(group.id);
    loop_.Post([this, job, group] {
      Hosted& place = hosted_[group.id];
      place.is_reopening = false;
      if (!job->opened.ok()) {
        place.failed = job->opened.status();
        return Report(group.id, WhyNoReplica(group.id), /*halted=*/true);
      }
      LOG(WARNING) << ToString(group.id) << ": there is room again, and its replica goes on";
      Host(group, std::move(job->opened).value(), RandomNumber());
      StartReplica(group.id, place);
    });
  });
}

}  // namespace assent
