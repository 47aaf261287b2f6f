#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/ids.h"
#include "common/messages.h"
#include "common/status.h"
#include "store/snapshot_writer.h"
#include "store/store.h"
#include "wal/file.h"

// The two ends of a snapshot on its way to a learner (R6), as files beside the stores. Loop thread; each call
// does a bounded amount of work.
namespace assent {

// Primary: copies the store into a file a few pages a step, then serves pieces of that file.
class SnapshotSource {
 public:
  // `files`: where `path` lies; outlives this, and so does `store`.
  static Result<std::unique_ptr<SnapshotSource>> Start(Store& store, wal::FileSystem& files,
                                                       const std::string& path);
  ~SnapshotSource();  // Discard()
  SnapshotSource(const SnapshotSource&) = delete;
  SnapshotSource& operator=(const SnapshotSource&) = delete;

  // Copies on; true once the copy is complete.
  Result<bool> Step();
  bool complete() const { return complete_; }
  // Takes the file's name away, and returns the file, if there is one: to end it may take a second for each
  // few gigabytes, so not on the loop. Nothing else is called any more.
  std::unique_ptr<wal::File> Discard();
  // REQUIRES: complete().
  Result<SnapshotPiece> Read(uint64_t offset, size_t bytes_max) const;

 private:
  SnapshotSource(wal::FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  wal::FileSystem& files_;
  const std::string path_;
  std::unique_ptr<SnapshotWriter> writer_;
  bool complete_ = false;
  std::unique_ptr<wal::File> file_;
  uint64_t size_ = 0;
};

// Learner: gathers the pieces in a file. Pieces come in order; offset 0 begins anew.
class SnapshotSink {
 public:
  // `files`: where `path` lies; outlives this.
  SnapshotSink(wal::FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~SnapshotSink();  // Discard()
  SnapshotSink(const SnapshotSink&) = delete;
  SnapshotSink& operator=(const SnapshotSink&) = delete;

  // Returns the bytes held so far.
  Result<uint64_t> Write(const SnapshotPiece& piece);
  // The last piece was written. The file stays; to sync it may take long, so not on the loop. Nothing else is
  // called any more.
  std::unique_ptr<wal::File> Finish();
  // As SnapshotSource's, of a file that is not finished.
  std::unique_ptr<wal::File> Discard();

 private:
  wal::FileSystem& files_;
  const std::string path_;
  std::unique_ptr<wal::File> file_;
  uint64_t size_ = 0;
};

}  // namespace assent
