// A replica's snapshots: out to a learner, a few pages a slice, and in from a primary (R6).

#include <memory>
#include <utility>

#include "runtime/replica.h"

namespace assent {

void Replica::Perform(backup::StartSnapshot& effect) {
  ApplyToStore(/*force=*/true);
  if (halted_) return;
  snapshot_reads_.clear();
  snapshot_out_.reset();
  snapshot_to_ = effect.to;
  auto source = SnapshotSource::Start(state_.store(), *config_.snapshot_files, config_.snapshot_path);
  if (!source.ok())
    return Enqueue(backup::Event(backup::SnapshotFailed{effect.to, source.status().ToString()}));
  snapshot_out_ = std::move(source).value();
}

void Replica::Perform(backup::ReadSnapshot& effect) {
  snapshot_reads_.push_back(effect);
}

void Replica::Perform(backup::StopSnapshot&) {
  snapshot_reads_.clear();
  snapshot_out_.reset();
}

bool Replica::HasSnapshotWork() const {
  return snapshot_out_ != nullptr && (!snapshot_out_->complete() || !snapshot_reads_.empty());
}

void Replica::StepSnapshotSource() {
  if (!HasSnapshotWork()) return;
  const auto complete = snapshot_out_->Step();
  if (!complete.ok()) {
    Enqueue(backup::Event(backup::SnapshotFailed{snapshot_to_, complete.status().ToString()}));
    snapshot_reads_.clear();
    snapshot_out_.reset();
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

void Replica::Perform(backup::WriteSnapshot& effect) {
  if (snapshot_in_ == nullptr || effect.piece.offset == 0) {
    snapshot_in_ = std::make_unique<SnapshotSink>(*config_.snapshot_files, config_.snapshot_path);
  }
  const auto received = snapshot_in_->Write(effect.piece);
  if (!received.ok()) return HaltUnless(received.status());
  if (effect.piece.done) return HaltUnless(InstallSnapshot(effect.piece));
  Enqueue(backup::Event(backup::SnapshotWritten{effect.piece.at, *received}));
}

Status Replica::InstallSnapshot(const SnapshotPiece& last) {
  ASSENT_RETURN_IF_ERROR(snapshot_in_->Finish());
  snapshot_in_.reset();
  // From here to the log's reset a crash leaves a store that the log does not lead to: the note says so.
  ASSENT_RETURN_IF_ERROR(install_note_.make());
  state_.CloseStore();
  const auto at = Store::InstallSnapshot(config_.snapshot_path, config_.store_path, config_.store_identity,
                                         config_.store_options);
  if (!at.ok()) return at.status();
  if (*at != last.at) {
    return Status(StatusCode::kDamaged, "the snapshot is the state at " + ToString(*at) + ", not at " +
                                            ToString(last.at) + " as its sender said");
  }
  auto store = Store::Open(config_.store_path, config_.store_identity, config_.store_options);
  if (!store.ok()) return store.status();
  state_.OpenStore(std::move(store).value());
  installing_ = *at;
  port_.Submit(ResetLog{*at});
  return {};
}

}  // namespace assent
