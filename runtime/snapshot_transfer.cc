#include "runtime/snapshot_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/check.h"

namespace assent {
namespace {

constexpr int kPagesPerStep = 64;  // 256 KiB: well under a millisecond of the loop's time

Status SystemError(const std::string& doing, const std::string& path) {
  const StatusCode code = errno == ENOSPC || errno == EDQUOT ? StatusCode::kDiskFull : StatusCode::kIo;
  return Status(code, doing + " " + path + ": " + std::strerror(errno));
}

}  // namespace

Result<std::unique_ptr<SnapshotSource>> SnapshotSource::Start(Store& store, const std::string& path) {
  auto writer = SnapshotWriter::Start(store, path);
  if (!writer.ok()) return writer.status();
  std::unique_ptr<SnapshotSource> source(new SnapshotSource(path));
  source->writer_ = std::move(writer).value();
  return source;
}

SnapshotSource::~SnapshotSource() {
  if (file_ >= 0) {
    close(file_);
    unlink(path_.c_str());
  }
}

Result<bool> SnapshotSource::Step() {
  if (complete_) return true;
  const auto done = writer_->Step(kPagesPerStep);
  if (!done.ok()) return done.status();
  if (!*done) return false;
  file_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) return SystemError("open", path_);
  struct stat info {};
  if (fstat(file_, &info) != 0) return SystemError("stat", path_);
  size_ = static_cast<uint64_t>(info.st_size);
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
  size_t got = 0;
  while (got < piece.bytes.size()) {
    const ssize_t n =
        pread(file_, piece.bytes.data() + got, piece.bytes.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("read", path_);
    if (n == 0) return Status(StatusCode::kIo, "read " + path_ + ": it has become shorter");
    got += static_cast<size_t>(n);
  }
  piece.done = offset + got == size_;
  return piece;
}

SnapshotSink::~SnapshotSink() {
  if (file_ < 0) return;
  close(file_);
  unlink(path_.c_str());  // it may be as large as the store
}

Result<uint64_t> SnapshotSink::Write(const SnapshotPiece& piece) {
  if (piece.offset == 0) {
    if (file_ >= 0) close(file_);
    file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file_ < 0) return SystemError("create", path_);
    size_ = 0;
  }
  ASSENT_CHECK(file_ >= 0 && piece.offset == size_, "snapshot pieces out of order", piece.offset, size_);
  size_t put = 0;
  while (put < piece.bytes.size()) {
    const ssize_t n = write(file_, piece.bytes.data() + put, piece.bytes.size() - put);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError("write", path_);
    put += static_cast<size_t>(n);
  }
  size_ += put;
  return size_;
}

Status SnapshotSink::Finish() {
  ASSENT_CHECK(file_ >= 0);
  if (fsync(file_) != 0) return SystemError("sync", path_);
  close(std::exchange(file_, -1));
  return {};
}

}  // namespace assent
