// The part of the log that other threads call: catch-up reads and positions. Only mutex_ guards it; file
// handles are its own, since the log thread may recycle a segment in the middle of a read.
#include <algorithm>
#include <iterator>
#include <utility>

#include "common/check.h"
#include "wal/log.h"

namespace assent::wal {
namespace {

// Batches are read through a window so long, where the file is, so that small ones do not cost
// a system call each.
constexpr uint64_t kWindowBytes = uint64_t{128} << 10;

class Window {
 public:
  Window(const File& file, uint64_t file_bytes) : file_(file), file_bytes_(file_bytes) {}

  // The bytes from `offset` on: at least `count` unless the file ends before. Valid until the next call.
  Result<std::span<const char>> Get(uint64_t offset, uint64_t count) {
    if (offset < offset_ || offset + count > offset_ + bytes_.size()) {
      const uint64_t rest = file_bytes_ - std::min(offset, file_bytes_);
      bytes_.resize(std::min(rest, std::max(count, kWindowBytes)));
      const Result<size_t> got = file_.ReadAt(offset, bytes_);
      if (!got.ok()) return got.status();
      bytes_.resize(*got);
      offset_ = offset;
    }
    return std::span<const char>(bytes_).subspan(offset - offset_);
  }

 private:
  const File& file_;
  const uint64_t file_bytes_;
  uint64_t offset_ = 0;
  std::string bytes_;
};

}  // namespace

// Appends to `entries` what `extent` holds of it, until there are `bytes_max` of payload.
Status Log::ReadExtent(const Extent& extent, Lsn from, size_t bytes_max, std::vector<LogEntry>& entries,
                       size_t& payload_bytes) const {
  const std::string path = segment_files_.Path({SegmentFileKind::kLive, extent.number});
  Result<std::unique_ptr<File>> file = files_.Open(path, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  const Result<uint64_t> file_bytes = (*file)->Size();
  if (!file_bytes.ok()) return file_bytes.status();
  Window window(**file, *file_bytes);
  uint64_t offset = extent.offset;
  LogPosition previous;
  while (previous.lsn < extent.last && (entries.empty() || payload_bytes < bytes_max)) {
    const auto head = window.Get(offset, kBatchHeaderBytes);
    if (!head.ok()) return head.status();
    const auto batch = DecodeBatchHeader(extent.key, offset, *head);
    if (!batch) return DamagedAt(path, {offset, std::max(from, Next(previous.lsn)), "no batch header"});
    if (previous.lsn == Lsn{} ? batch->first > from : batch->first != Next(previous.lsn)) {
      return DamagedAt(path, {offset, std::max(from, Next(previous.lsn)),
                              "the batch begins with LSN " + std::to_string(Raw(batch->first))});
    }
    if (batch->last >= from) {
      const auto bytes = window.Get(offset, kBatchHeaderBytes + batch->body_bytes);
      if (!bytes.ok()) return bytes.status();
      if (bytes->size() < kBatchHeaderBytes + batch->body_bytes) {
        return DamagedAt(path, {offset, batch->first, "the file ends within the batch"});
      }
      const auto keep = [&](uint64_t, const FrameView& frame) {
        if (frame.position.lsn < from || (!entries.empty() && payload_bytes >= bytes_max)) return;
        entries.push_back({frame.position, std::make_shared<const std::string>(frame.payload)});
        payload_bytes += frame.payload.size();
      };
      const auto bad = CheckFrames(extent.key, offset + kBatchHeaderBytes,
                                   bytes->subspan(kBatchHeaderBytes, batch->body_bytes), *batch, previous,
                                   extent.last, keep);
      if (bad) return DamagedAt(path, *bad);
    }
    previous.lsn = batch->last;
    offset += BatchBytes(batch->body_bytes);
  }
  return Status();
}

Result<std::vector<LogEntry>> Log::Read(Lsn from, size_t bytes_max) const {
  std::vector<LogEntry> entries;
  size_t payload_bytes = 0;
  while (entries.empty() || payload_bytes < bytes_max) {
    Extent extent;
    {
      const std::lock_guard lock(mutex_);
      if (from > durable_.lsn) break;
      if (from <= base_.lsn) {
        if (!entries.empty()) break;
        return Status(StatusCode::kNotFound, "LSN " + std::to_string(Raw(from)) +
                                                 " is no longer in the log, which begins behind " +
                                                 ToString(base_));
      }
      const auto behind = std::upper_bound(segments_.begin(), segments_.end(), from,
                                           [](Lsn lsn, const Segment& s) { return lsn <= s.previous.lsn; });
      ASSENT_CHECK(behind != segments_.begin(), "the first segment begins at the base", from);
      const Segment& segment = *std::prev(behind);
      const auto next = std::upper_bound(segment.index.begin(), segment.index.end(), from,
                                         [](Lsn lsn, const BatchSpot& spot) { return lsn < spot.first; });
      ASSENT_CHECK(next != segment.index.begin(), "a segment's first batch is in its index", from);
      extent = {segment.number, segment.key, std::prev(next)->offset, std::min(segment.last, durable_.lsn)};
    }
    const size_t count_before = entries.size();
    Status status = ReadExtent(extent, from, bytes_max, entries, payload_bytes);
    if (!status.ok()) {
      // A segment that the log thread recycled meanwhile reads as anything; that is no damage.
      entries.resize(count_before);
      if (!entries.empty()) break;
      if (HoldsSegment(extent.number)) return status;
      return Status(StatusCode::kNotFound,
                    "LSN " + std::to_string(Raw(from)) + " left the log while it was read");
    }
    from = Next(entries.back().position.lsn);
  }
  return entries;
}

bool Log::HoldsSegment(uint64_t number) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(segments_.begin(), segments_.end(),
                     [&](const Segment& s) { return s.number == number; });
}

LogPosition Log::base() const {
  const std::lock_guard lock(mutex_);
  return base_;
}

LogPosition Log::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

LogPosition Log::durable() const {
  const std::lock_guard lock(mutex_);
  return durable_;
}

Status Log::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

uint64_t Log::segment_count() const {
  const std::lock_guard lock(mutex_);
  return segments_.size();
}

uint64_t Log::PayloadBytesMax() const {
  const uint64_t room = options_.segment_bytes - kSectorBytes - kBatchHeaderBytes - kFrameHeaderBytes;
  return std::min(kPayloadBytesMax, room);
}

std::optional<Epoch> Log::EpochAt(Lsn lsn) const {
  const std::lock_guard lock(mutex_);
  if (lsn < base_.lsn || lsn > last_.lsn) return std::nullopt;
  if (lsn == base_.lsn) return base_.epoch;
  const auto next = std::upper_bound(epoch_starts_.begin(), epoch_starts_.end(), lsn,
                                     [](Lsn l, const LogPosition& start) { return l < start.lsn; });
  return next == epoch_starts_.begin() ? base_.epoch : std::prev(next)->epoch;
}

}  // namespace assent::wal
