#include "driver/snapshot_transfer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "common/check.h"

namespace assent {
namespace {

constexpr int kPagesPerStep = 64;  // 256 KiB: well under a millisecond of the loop's time

}  // namespace

Result<std::unique_ptr<SnapshotSource>> SnapshotSource::Start(Store& store, wal::FileSystem& files,
                                                              const std::string& path) {
  auto writer = SnapshotWriter::Start(store, path);
  if (!writer.ok()) return writer.status();
  std::unique_ptr<SnapshotSource> source(new SnapshotSource(files, path));
  source->writer_ = std::move(writer).value();
  return source;
}

SnapshotSource::~SnapshotSource() {
  (void)Discard();
}

std::unique_ptr<wal::File> SnapshotSource::Discard() {
  if (writer_ == nullptr) return nullptr;
  if (file_ == nullptr) {
    if (auto file = files_.Open(path_, wal::OpenMode::kReadOnly); file.ok()) file_ = std::move(file).value();
  }
  writer_.reset();
  (void)files_.Remove(path_);  // what is left of it the next start removes
  return std::move(file_);
}

Result<bool> SnapshotSource::Step() {
  if (complete_) return true;
  const auto done = writer_->Step(kPagesPerStep);
  if (!done.ok()) return done.status();
  if (!*done) return false;
  auto file = files_.Open(path_, wal::OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  file_ = std::move(file).value();
  const auto size = file_->Size();
  if (!size.ok()) return size.status();
  size_ = *size;
  complete_ = true;
  return true;
}

Result<SnapshotPiece> SnapshotSource::Read(uint64_t offset, size_t bytes_max) const {
  ASSENT_CHECK(complete_);
  SnapshotPiece piece;
  piece.at = writer_->at();
  piece.offset = offset;
  if (offset > size_) return Status(StatusCode::kInvalid, "asked for bytes beyond the snapshot's end");
  piece.bytes.resize(std::min<uint64_t>(bytes_max, size_ - offset));
  const auto got = file_->ReadAt(offset, std::span(piece.bytes));
  if (!got.ok()) return got.status();
  if (*got < piece.bytes.size()) return Status(StatusCode::kIo, "read " + path_ + ": it has become shorter");
  piece.done = offset + *got == size_;
  return piece;
}

SnapshotSink::~SnapshotSink() {
  (void)Discard();
}

std::unique_ptr<wal::File> SnapshotSink::Discard() {
  if (file_ != nullptr) (void)files_.Remove(path_);  // it may be as large as the store
  return std::move(file_);
}

Result<uint64_t> SnapshotSink::Write(const SnapshotPiece& piece) {
  if (piece.offset == 0) {
    const Status removed = files_.Remove(path_);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
    auto file = files_.Create(path_);
    if (!file.ok()) return file.status();
    file_ = std::move(file).value();
    size_ = 0;
  }
  ASSENT_CHECK(file_ != nullptr && piece.offset == size_, "snapshot pieces out of order", piece.offset,
               size_);
  ASSENT_RETURN_IF_ERROR(file_->WriteAt(size_, piece.bytes));
  size_ += piece.bytes.size();
  return size_;
}

std::unique_ptr<wal::File> SnapshotSink::Finish() {
  ASSENT_CHECK(file_ != nullptr);
  return std::move(file_);
}

}  // namespace assent
