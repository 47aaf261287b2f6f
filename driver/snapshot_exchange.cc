#include "driver/snapshot_exchange.h"

#include <utility>

#include "common/check.h"

namespace assent {

namespace {

// Tried again, later each time (R6), so these are few lines.
backup::Event NoSnapshot(ReplicaHost& host, GroupId group, NodeId to, const Status& status) {
  host.Report(group, "no snapshot for " + ToString(to) + ": " + status.ToString(), /*halted=*/false);
  return backup::SnapshotFailed{to, status.ToString()};
}

}  // namespace

SnapshotExchange::SnapshotExchange(const SnapshotConfig& config, GroupId group, Owner& owner,
                                   ReplicaHost& host, LogPort& log, StateMachine& state,
                                   InstallNote install_note)
    : config_(config),
      group_(group),
      owner_(owner),
      host_(host),
      log_(log),
      state_(state),
      install_note_(std::move(install_note)) {}

Status SnapshotExchange::RoomFor(uint64_t bytes) const {
  return assent::RoomFor(config_.disk_space, bytes, config_.disk_reserve_bytes);
}

// Its name is gone; what it takes on the disk goes with the last handle.
void SnapshotExchange::EndOffLoop(std::unique_ptr<wal::File> file) {
  if (file == nullptr) return;
  auto shared = std::make_shared<std::unique_ptr<wal::File>>(std::move(file));
  host_.RunOffLoop(
      group_, [shared] { shared->reset(); }, [] {});
}

// ---- Out ----

void SnapshotExchange::Start(NodeId to) {
  StopSource();
  to_ = to;
  const auto bytes = state_.store().CopyBytes();
  const Status room = bytes.ok() ? RoomFor(*bytes) : bytes.status();
  auto source = room.ok() ? SnapshotSource::Start(state_.store(), *config_.files, config_.snapshot_path)
                          : Result<std::unique_ptr<SnapshotSource>>(room);
  if (!source.ok()) return owner_.Enqueue(NoSnapshot(host_, group_, to_, source.status()));
  out_ = std::move(source).value();
}

void SnapshotExchange::StopSource() {
  reads_.clear();
  if (out_ == nullptr) return;
  EndOffLoop(out_->Discard());
  out_.reset();
}

bool SnapshotExchange::HasWork() const {
  return out_ != nullptr && (!out_->complete() || !reads_.empty());
}

void SnapshotExchange::Step() {
  if (!HasWork()) return;
  // The store and the log grow meanwhile, and so may what else lies on the disk.
  const Status room = out_->complete() ? Status() : RoomFor(0);
  const auto complete = room.ok() ? out_->Step() : Result<bool>(room);
  if (!complete.ok()) {
    StopSource();
    owner_.Enqueue(NoSnapshot(host_, group_, to_, complete.status()));
  } else if (*complete) {
    for (const backup::ReadSnapshot& read : std::exchange(reads_, {})) {
      auto piece = out_->Read(read.offset, read.bytes_max);
      if (piece.ok()) {
        owner_.Enqueue(backup::SnapshotRead{read.to, std::move(piece).value()});
      } else {
        owner_.Enqueue(backup::SnapshotFailed{read.to, piece.status().ToString()});
      }
    }
  }
  owner_.Run();
}

// ---- In ----

void SnapshotExchange::Write(const SnapshotPiece& piece) {
  if (const Status taken = TakePiece(piece); !taken.ok()) {
    Refuse(piece.at, taken);
  } else if (piece.done) {
    Check(piece.at);
  }
}

Status SnapshotExchange::TakePiece(const SnapshotPiece& piece) {
  const bool begins = piece.offset == 0;
  if (begins) StopSink();
  if (in_ == nullptr) {
    in_ = std::make_unique<SnapshotSink>(*config_.files, config_.snapshot_path);
  }
  ASSENT_RETURN_IF_ERROR(RoomFor(piece.bytes.size()));
  const auto received = in_->Write(piece);
  if (!received.ok()) return received.status();
  if (!piece.done) owner_.Enqueue(backup::SnapshotWritten{piece.at, *received});
  return {};
}

void SnapshotExchange::StopSink() {
  if (in_ == nullptr) return;
  EndOffLoop(in_->Discard());
  in_.reset();
}

void SnapshotExchange::Refuse(LogPosition at, const Status& status) {
  StopSink();
  host_.Report(group_, "takes no snapshot in: " + status.ToString(), /*halted=*/false);
  owner_.Enqueue(backup::SnapshotRefused{at, status.ToString()});
}

void SnapshotExchange::Check(LogPosition at) {
  struct Job {
    std::unique_ptr<wal::File> file;
    Status status;
  };
  auto job = std::make_shared<Job>();
  job->file = in_->Finish();
  in_.reset();
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
  host_.RunOffLoop(group_, check, [this, job, at] {
    if (owner_.halted()) return;
    if (job->status.ok()) {
      Install(at);
    } else {
      RemoveFile();
      Refuse(at, job->status);
    }
    owner_.Run();
  });
}

// From the note to the log's reset a crash leaves a store that the log does not lead to: the note says so.
void SnapshotExchange::Install(LogPosition at) {
  if (const Status noted = install_note_.make(); !noted.ok()) {
    // Were it left, the next start would throw a good log away.
    const Status removed = install_note_.remove();
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return owner_.HaltUnless(removed);
    RemoveFile();
    return Refuse(at, noted);
  }
  state_.CloseStore();
  auto store = std::make_shared<std::optional<Result<std::unique_ptr<Store>>>>();
  const auto install = [store, files = config_.files, from = config_.snapshot_path, to = config_.store_path,
                        identity = config_.store_identity, options = config_.store_options] {
    const Status installed = Store::InstallSnapshot(from, to, options);
    *store = installed.ok() ? Store::Open(to, identity, options) : Result<std::unique_ptr<Store>>(installed);
  };
  host_.RunOffLoop(group_, install, [this, store, at] {
    if (owner_.halted()) return;
    OpenInstalled(at, std::move(**store));
    owner_.Run();
  });
}

void SnapshotExchange::OpenInstalled(LogPosition at, Result<std::unique_ptr<Store>> store) {
  if (!store.ok()) return owner_.HaltUnless(store.status());
  state_.OpenStore(std::move(store).value());
  installing_ = at;
  log_.Submit(ResetLog{at});
}

LogPosition SnapshotExchange::FinishInstallation() {
  owner_.HaltUnless(install_note_.remove());
  host_.Report(group_, "installed a snapshot, the state at " + ToString(installing_), /*halted=*/false);
  return installing_;
}

}  // namespace assent
