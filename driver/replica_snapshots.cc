// A replica's snapshots: out to a learner, a few pages a slice, and in from a primary (R6). Both are scratch
// files: it is no failure of the replica if one cannot be written, and the long parts (to sync, check, put in
// place or end a large file) are done off the loop, which has beacons to answer (R11).

#include <memory>
#include <utility>

#include "driver/replica.h"

namespace assent {

namespace {

// Tried again, later each time (R6), so these are few lines.
backup::Event NoSnapshot(ReplicaHost& host, GroupId group, NodeId to, const Status& status) {
  host.Report(group, "no snapshot for " + ToString(to) + ": " + status.ToString(), /*halted=*/false);
  return backup::SnapshotFailed{to, status.ToString()};
}

}  // namespace

Status Replica::RoomForSnapshot(uint64_t bytes) const {
  return RoomFor(config_.disk_space, bytes, config_.disk_reserve_bytes);
}

// Its name is gone; what it takes on the disk goes with the last handle.
void Replica::EndOffLoop(std::unique_ptr<wal::File> file) {
  if (file == nullptr) return;
  auto shared = std::make_shared<std::unique_ptr<wal::File>>(std::move(file));
  host_.RunOffLoop(
      group(), [shared] { shared->reset(); }, [] {});
}

// ---- Out ----

void Replica::Perform(backup::StartSnapshot& effect) {
  ApplyToStore(/*force=*/true);
  if (halted_) return;
  StopSnapshotSource();
  snapshot_to_ = effect.to;
  const auto bytes = state_.store().CopyBytes();
  const Status room = bytes.ok() ? RoomForSnapshot(*bytes) : bytes.status();
  auto source = room.ok()
                    ? SnapshotSource::Start(state_.store(), *config_.snapshot_files, config_.snapshot_path)
                    : Result<std::unique_ptr<SnapshotSource>>(room);
  if (!source.ok()) return Enqueue(NoSnapshot(host_, group(), snapshot_to_, source.status()));
  snapshot_out_ = std::move(source).value();
}

void Replica::Perform(backup::ReadSnapshot& effect) {
  snapshot_reads_.push_back(effect);
}

void Replica::Perform(backup::StopSnapshot&) {
  StopSnapshotSource();
}

void Replica::StopSnapshotSource() {
  snapshot_reads_.clear();
  if (snapshot_out_ == nullptr) return;
  EndOffLoop(snapshot_out_->Discard());
  snapshot_out_.reset();
}

bool Replica::HasSnapshotWork() const {
  return snapshot_out_ != nullptr && (!snapshot_out_->complete() || !snapshot_reads_.empty());
}

void Replica::StepSnapshotSource() {
  if (!HasSnapshotWork()) return;
  // The store and the log grow meanwhile, and so may what else lies on the disk.
  const Status room = snapshot_out_->complete() ? Status() : RoomForSnapshot(0);
  const auto complete = room.ok() ? snapshot_out_->Step() : Result<bool>(room);
  if (!complete.ok()) {
    StopSnapshotSource();
    Enqueue(NoSnapshot(host_, group(), snapshot_to_, complete.status()));
  } else if (*complete) {
    for (const backup::ReadSnapshot& read : std::exchange(snapshot_reads_, {})) {
      auto piece = snapshot_out_->Read(read.offset, read.bytes_max);
      if (piece.ok()) {
        Enqueue(backup::Event(backup::SnapshotRead{read.to, std::move(piece).value()}));
      } else {
        Enqueue(backup::Event(backup::SnapshotFailed{read.to, piece.status().ToString()}));
      }
    }
  }
  Run();
}

// ---- In ----

void Replica::Perform(backup::WriteSnapshot& effect) {
  if (const Status taken = TakePiece(effect.piece); !taken.ok()) {
    RefuseSnapshot(effect.piece.at, taken);
  } else if (effect.piece.done) {
    CheckSnapshot(effect.piece.at);
  }
}

Status Replica::TakePiece(const SnapshotPiece& piece) {
  const bool begins = piece.offset == 0;
  if (begins) StopSnapshotSink();
  if (snapshot_in_ == nullptr) {
    snapshot_in_ = std::make_unique<SnapshotSink>(*config_.snapshot_files, config_.snapshot_path);
  }
  ASSENT_RETURN_IF_ERROR(RoomForSnapshot(piece.bytes.size()));
  const auto received = snapshot_in_->Write(piece);
  if (!received.ok()) return received.status();
  if (!piece.done) Enqueue(backup::Event(backup::SnapshotWritten{piece.at, *received}));
  return {};
}

void Replica::StopSnapshotSink() {
  if (snapshot_in_ == nullptr) return;
  EndOffLoop(snapshot_in_->Discard());
  snapshot_in_.reset();
}

void Replica::RefuseSnapshot(LogPosition at, const Status& status) {
  StopSnapshotSink();
  host_.Report(group(), "takes no snapshot in: " + status.ToString(), /*halted=*/false);
  Enqueue(backup::Event(backup::SnapshotRefused{at, status.ToString()}));
}

void Replica::CheckSnapshot(LogPosition at) {
  struct Job {
    std::unique_ptr<wal::File> file;
    Status status;
  };
  auto job = std::make_shared<Job>();
  job->file = snapshot_in_->Finish();
  snapshot_in_.reset();
  const auto check = [job, at, path = config_.snapshot_path, identity = config_.store_identity,
                      options = config_.store_options] {
    job->status = job->file->Sync();
    job->file.reset();
    if (!job->status.ok()) return;
    const auto applied = Store::CheckSnapshot(path, identity, options);
    if (!applied.ok()) {
      job->status = applied.status();
    } else if (*applied != at) {
      job->status = Status(StatusCode::kDamaged, "the snapshot is the state at " + ToString(*applied) +
                                                     ", not at " + ToString(at) + " as its sender said");
    }
  };
  host_.RunOffLoop(group(), check, [this, job, at] {
    if (halted_) return;
    if (job->status.ok()) {
      InstallSnapshot(at);
    } else {
      (void)config_.snapshot_files->Remove(config_.snapshot_path);
      RefuseSnapshot(at, job->status);
    }
    Run();
  });
}

// From the note to the log's reset a crash leaves a store that the log does not lead to: the note says so.
void Replica::InstallSnapshot(LogPosition at) {
  if (const Status noted = install_note_.make(); !noted.ok()) {
    // Were it left, the next start would throw a good log away.
    const Status removed = install_note_.remove();
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return HaltUnless(removed);
    (void)config_.snapshot_files->Remove(config_.snapshot_path);
    return RefuseSnapshot(at, noted);
  }
  state_.CloseStore();
  auto store = std::make_shared<std::optional<Result<std::unique_ptr<Store>>>>();
  const auto install = [store, files = config_.snapshot_files, from = config_.snapshot_path,
                        to = config_.store_path, identity = config_.store_identity,
                        options = config_.store_options] {
    const Status installed = Store::InstallSnapshot(from, to, options);
    *store = installed.ok() ? Store::Open(to, identity, options) : Result<std::unique_ptr<Store>>(installed);
  };
  host_.RunOffLoop(group(), install, [this, store, at] {
    if (halted_) return;
    FinishInstallation(at, std::move(**store));
    Run();
  });
}

void Replica::FinishInstallation(LogPosition at, Result<std::unique_ptr<Store>> store) {
  if (!store.ok()) return HaltUnless(store.status());
  state_.OpenStore(std::move(store).value());
  installing_ = at;
  port_.Submit(ResetLog{at});
}

}  // namespace assent
