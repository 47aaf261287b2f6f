#include "wal/log.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::wal {
namespace {

// Each batch of a larger list has its own header, so that one batch never needs more memory than this to
// read, unless it is a single record.
constexpr uint64_t kBatchBytesMax = uint64_t{4} << 20;
constexpr uint64_t kIndexStrideBytes = uint64_t{64} << 10;
constexpr uint64_t kRewriteChunkBytes = uint64_t{1} << 20;

Status CheckOptions(const LogOptions& options) {
  const auto invalid = [](std::string what) {
    return Status(StatusCode::kInvalid, "log: " + std::move(what));
  };
  if (options.segment_bytes % kSectorBytes != 0 || options.segment_bytes < kSegmentBytesMin ||
      options.segment_bytes > kSegmentBytesMax) {
    return invalid("segment_bytes is " + std::to_string(options.segment_bytes) +
                   "; it must be a multiple of " + std::to_string(kSectorBytes) + " from " +
                   std::to_string(kSegmentBytesMin) + " to " + std::to_string(kSegmentBytesMax));
  }
  if (options.cluster.size() > kClusterBytesMax) {
    return invalid("the cluster id is longer than " + std::to_string(kClusterBytesMax) + " bytes");
  }
  if (!options.random) return invalid("no random source");
  return Status();
}

bool LeavesTornTail(const Recovered& recovered) {
  return Mutated(Mutant::kAppendAfterTornTail) && recovered.tail.torn_batches > 0;
}

}  // namespace

Log::Log(FileSystem& files, std::string directory, LogOptions options)
    : files_(files),
      directory_(std::move(directory)),
      options_(std::move(options)),
      segment_files_(files_, directory_, options_.segment_bytes, options_.spare_segments_max) {}

// R7: the call that failed was no write and no sync, and left nothing behind: it may succeed later.
bool Log::MayRepeat(const Status& failed) {
  return failed.code() == StatusCode::kDiskFull || failed.code() == StatusCode::kUnavailable;
}

Result<Log::Opened> Log::Open(FileSystem& files, const std::string& directory, LogOptions options) {
  ASSENT_RETURN_IF_ERROR(CheckOptions(options));
  Opened opened{std::unique_ptr<Log>(new Log(files, directory, std::move(options))), {}};
  ASSENT_RETURN_IF_ERROR(opened.log->Recover(opened.facts));
  return opened;
}

Status Log::Recover(RecoveryFacts& facts) {
  Result<Recovered> examined =
      Examine(files_, directory_, {options_.cluster, options_.group, options_.known_acknowledged});
  if (!examined.ok()) return examined.status();
  Recovered& recovered = *examined;

  ASSENT_RETURN_IF_ERROR(segment_files_.Load());
  if (recovered.segments.empty()) {
    facts.created = true;
    ASSENT_RETURN_IF_ERROR(segment_files_.EnsureSpares(1));
    return Roll(LogPosition{}, /*starts=*/true);
  }

  for (RecoveredSegment& found : recovered.segments) {
    Segment segment{found.header.number, SegmentKey(found.header), found.header.previous, found.last.lsn, {}};
    for (const BatchSpot& spot : found.batches) IndexBatch(segment, spot);
    segments_.push_back(std::move(segment));
  }
  base_ = segments_.front().previous;
  last_ = recovered.last;
  epoch_starts_ = std::move(recovered.epoch_starts);
  tail_offset_ = recovered.tail.end;
  if (LeavesTornTail(recovered)) tail_offset_ += kSectorBytes;
  tail_bytes_ = recovered.tail_bytes.size();

  facts.durable_watermark = recovered.tail.durable;
  facts.torn_batches = recovered.tail.torn_batches;
  facts.cut_bytes = recovered.tail.nonzero_end - recovered.tail.end;
  facts.cut_offset = recovered.tail.end;
  facts.last_segment = segments_.back().number;
  facts.voided_segments = recovered.voids.size();
  if (facts.cut_bytes > 0) Reached(Situation::kTornTailCut);
  if (facts.voided_segments > 0) Reached(Situation::kTruncationFinishedOnOpen);

  ASSENT_RETURN_IF_ERROR(RewriteTail(recovered));
  ASSENT_RETURN_IF_ERROR(RecycleSegments(recovered.voids, /*one_by_one=*/false));  // R4: finished on open
  durable_ = last_;
  CheckInvariants();
  return Status();
}

void Log::CheckInvariants() const {
  ASSENT_CHECK(!segments_.empty() && tail_file_ != nullptr);
  ASSENT_CHECK(base_ == segments_.front().previous, base_.lsn, segments_.front().previous.lsn);
  ASSENT_CHECK(last_.lsn == segments_.back().last, last_.lsn, segments_.back().last);
  ASSENT_CHECK(segments_.back().previous.lsn <= last_.lsn, segments_.back().previous.lsn, last_.lsn);
  ASSENT_CHECK(base_.lsn <= durable_.lsn && durable_.lsn <= last_.lsn, base_.lsn, durable_.lsn, last_.lsn);
  ASSENT_CHECK(segments_.back().previous.lsn <= durable_.lsn, segments_.back().previous.lsn, durable_.lsn);
  ASSENT_CHECK(base_.epoch <= last_.epoch, base_.epoch, last_.epoch);  // R9
  const Epoch newest = epoch_starts_.empty() ? base_.epoch : epoch_starts_.back().epoch;
  ASSENT_CHECK(newest == last_.epoch, newest, last_.epoch);
  ASSENT_CHECK(tail_offset_ >= kSectorBytes && tail_offset_ % kSectorBytes == 0, tail_offset_);
  ASSENT_CHECK(tail_offset_ <= tail_bytes_, tail_offset_, tail_bytes_);
}

// R8: cut, zero to the end, force, only then append. Records that are kept but not proven durable are written
// again: they may have been read from a cache whose write-back failed before the restart, and a later force
// would not write them. For the same reason the zeros are written even where zeros are read.
Status Log::RewriteTail(Recovered& recovered) {
  uint64_t from = recovered.tail.end;
  const RecoveredSegment& tail = recovered.segments.back();
  for (size_t i = tail.batches.size(); i-- > 0;) {
    const Lsn batch_last = i + 1 < tail.batches.size() ? Previous(tail.batches[i + 1].first) : tail.last.lsn;
    if (batch_last <= recovered.tail.durable) break;
    from = tail.batches[i].offset;
  }
  std::string& bytes = recovered.tail_bytes;
  ASSENT_CHECK(from >= kSectorBytes, from);  // the header is never written again
  ASSENT_CHECK(from <= tail_offset_ && tail_offset_ <= bytes.size(), from, tail_offset_, bytes.size());
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(tail_offset_), bytes.end(), '\0');

  Result<std::unique_ptr<File>> file =
      files_.Open(segment_files_.Path({SegmentFileKind::kLive, tail.header.number}), OpenMode::kReadWrite);
  if (!file.ok()) return file.status();
  tail_file_ = std::move(*file);
  for (uint64_t at = from; at < bytes.size(); at += kRewriteChunkBytes) {
    ASSENT_RETURN_IF_ERROR(tail_file_->WriteAt(at, std::string_view(bytes).substr(at, kRewriteChunkBytes)));
  }
  return tail_file_->Sync();
}

void Log::IndexBatch(Segment& segment, BatchSpot spot) {
  ASSENT_CHECK(segment.index.empty() || segment.index.back().first < spot.first, segment.number, spot.first);
  if (segment.index.empty() || spot.offset >= segment.index.back().offset + kIndexStrideBytes) {
    segment.index.push_back(spot);
  }
}

Status Log::Poison(Status status) {
  const std::lock_guard lock(mutex_);
  if (status_.ok()) Reached(Situation::kLogPoisoned);
  if (status_.ok()) status_ = std::move(status);
  return status_;
}

Status Log::CheckAppend(std::span<const LogEntry> entries) const {
  const auto invalid = [](const LogEntry& entry, std::string what) {
    return Status(StatusCode::kInvalid, "append of " + ToString(entry.position) + ": " + std::move(what));
  };
  LogPosition previous = last_;
  for (const LogEntry& entry : entries) {
    if (entry.position.lsn != Next(previous.lsn)) {
      return invalid(entry, "the log's last record is " + ToString(previous));
    }
    if (entry.position.epoch < previous.epoch) {  // R9
      return invalid(entry, "the epoch falls; the record before is " + ToString(previous));
    }
    if (entry.payload->size() > PayloadBytesMax()) {
      return invalid(entry, "the payload has " + std::to_string(entry.payload->size()) + " bytes, at most " +
                                std::to_string(PayloadBytesMax()) + " are allowed");
    }
    previous = entry.position;
  }
  return Status();
}

size_t Log::FitBatch(std::span<const LogEntry> entries, uint64_t room) {
  uint64_t body_bytes = 0;
  size_t count = 0;
  for (const LogEntry& entry : entries) {
    body_bytes += kFrameHeaderBytes + entry.payload->size();
    if (BatchBytes(body_bytes) > room || (count > 0 && BatchBytes(body_bytes) > kBatchBytesMax)) break;
    ++count;
  }
  return count;
}

size_t Log::CountRolls(std::span<const LogEntry> entries) const {
  uint64_t room = tail_bytes_ - tail_offset_;
  size_t rolls = 0;
  while (!entries.empty()) {
    const size_t count = FitBatch(entries, room);
    if (count == 0) {
      ++rolls;
      room = options_.segment_bytes - kSectorBytes;
      continue;
    }
    uint64_t body_bytes = 0;
    for (const LogEntry& entry : entries.first(count))
      body_bytes += kFrameHeaderBytes + entry.payload->size();
    room -= BatchBytes(body_bytes);
    entries = entries.subspan(count);
  }
  return rolls;
}

Status Log::Append(std::span<const LogEntry> entries) {
  if (!status_.ok()) return status_;
  if (entries.empty()) return Status();
  ASSENT_RETURN_IF_ERROR(CheckAppend(entries));
  // All the room is found before anything is written, so that a full disk leaves nothing of this call
  // in the log.
  if (Status status = segment_files_.EnsureSpares(CountRolls(entries)); !status.ok()) {
    return MayRepeat(status) ? status : Poison(std::move(status));
  }
  while (!entries.empty()) {
    const size_t count = FitBatch(entries, tail_bytes_ - tail_offset_);
    if (count == 0) {
      // A whole segment holds any record, unless it was made under smaller ones.
      ASSENT_CHECK(tail_offset_ > kSectorBytes || tail_bytes_ < options_.segment_bytes, tail_bytes_);
      // The old segment is durable before the new one says that it is.
      ASSENT_RETURN_IF_ERROR(Force());
      ASSENT_RETURN_IF_ERROR(Roll(last_, /*starts=*/false));
      continue;
    }
    ASSENT_RETURN_IF_ERROR(AppendBatch(entries.first(count)));
    entries = entries.subspan(count);
  }
  return Status();
}

Status Log::AppendBatch(std::span<const LogEntry> batch) {
  ASSENT_CHECK(batch.front().position.lsn == Next(last_.lsn), batch.front().position.lsn, last_.lsn);
  buffer_.clear();
  EncodeBatch(segments_.back().key, tail_offset_, batch, durable_.lsn, buffer_);  // R8
  ASSENT_CHECK(buffer_.size() <= tail_bytes_ - tail_offset_, buffer_.size(), tail_offset_, tail_bytes_);
  if (Status status = tail_file_->WriteAt(tail_offset_, buffer_); !status.ok())
    return Poison(std::move(status));
  const std::lock_guard lock(mutex_);
  Segment& segment = segments_.back();
  IndexBatch(segment, {batch.front().position.lsn, tail_offset_});
  for (const LogEntry& entry : batch) {
    if (entry.position.epoch != last_.epoch) epoch_starts_.push_back(entry.position);
    last_ = entry.position;
  }
  segment.last = last_.lsn;
  tail_offset_ += buffer_.size();
  return Status();
}

Status Log::Force() {
  if (!status_.ok()) return status_;
  if (durable_ == last_) return Status();
  Status status = tail_file_->Sync();
  if (Mutated(Mutant::kSyncRetried) && !status.ok()) status = tail_file_->Sync();
  if (!status.ok()) return Poison(std::move(status));  // R7: never again
  ASSENT_CHECK(durable_.lsn < last_.lsn && durable_.epoch <= last_.epoch, durable_.lsn, last_.lsn);
  const std::lock_guard lock(mutex_);
  durable_ = last_;  // R10
  return Status();
}

Status Log::AppendAndForce(std::span<const LogEntry> entries) {
  ASSENT_RETURN_IF_ERROR(Append(entries));
  return Force();
}

Status Log::PrepareNextSegment() {
  for (;;) {
    const Result<bool> more = StepNextSegment();
    if (!more.ok()) return more.status();
    if (!*more) return Status();
  }
}

Result<bool> Log::StepNextSegment() {
  if (!status_.ok()) return status_;
  if (tail_offset_ < tail_bytes_ / 2 || options_.spare_segments_max == 0) return false;
  Result<bool> more = segment_files_.StepTowardsSpares(1);
  if (more.ok() || MayRepeat(more.status())) return more;
  return Poison(more.status());
}

Status Log::Roll(LogPosition previous, bool starts) {
  ASSENT_CHECK(starts || previous.lsn <= durable_.lsn, previous.lsn, durable_.lsn);
  ASSENT_CHECK(segments_.empty() || segments_.back().number < segment_files_.next_number(),
               segment_files_.next_number());
  const SegmentHeader header{options_.cluster,
                             options_.group,
                             segment_files_.next_number(),
                             options_.segment_bytes,
                             options_.random(),
                             previous,
                             starts};
  Result<std::unique_ptr<File>> file = segment_files_.MakeLive(header);
  if (!file.ok()) return Poison(file.status());
  tail_file_ = std::move(*file);
  tail_offset_ = kSectorBytes;

  tail_bytes_ = options_.segment_bytes;

  std::vector<uint64_t> voids;
  {
    const std::lock_guard lock(mutex_);
    if (starts) base_ = previous;
    // R4: segments of which nothing counts any more go, and so does the end of the last one that counts.
    while (!segments_.empty() && (starts || segments_.back().previous.lsn >= previous.lsn)) {
      voids.push_back(segments_.back().number);
      segments_.pop_back();
    }
    if (!segments_.empty()) segments_.back().last = previous.lsn;
    while (!epoch_starts_.empty() && (starts || epoch_starts_.back().lsn > previous.lsn))
      epoch_starts_.pop_back();
    segments_.push_back({header.number, SegmentKey(header), previous, previous.lsn, {}});
    last_ = previous;
    durable_ = previous;
  }
  CheckInvariants();
  return RecycleSegments(voids, /*one_by_one=*/false);
}

Status Log::Truncate(Lsn after) {
  if (!status_.ok()) return status_;
  if (after < base_.lsn) {
    return Status(StatusCode::kInvalid, "truncation after LSN " + std::to_string(Raw(after)) +
                                            ", but the log begins behind " + ToString(base_));
  }
  if (after >= last_.lsn) return Status();
  if (Status status = segment_files_.EnsureSpares(1); !status.ok()) {
    return MayRepeat(status) ? status : Poison(std::move(status));
  }
  // The records that stay are durable before the new segment says that they are.
  ASSENT_RETURN_IF_ERROR(Force());
  const std::optional<Epoch> epoch = EpochAt(after);
  ASSENT_CHECK(epoch.has_value(), after, base_.lsn, last_.lsn);
  return Roll({*epoch, after}, /*starts=*/false);
}

Status Log::Reset(LogPosition base) {
  if (!status_.ok()) return status_;
  if (Status status = segment_files_.EnsureSpares(1); !status.ok()) {
    return MayRepeat(status) ? status : Poison(std::move(status));
  }
  return Roll(base, /*starts=*/true);
}

Status Log::Trim(Lsn below) {
  if (!status_.ok()) return status_;
  std::vector<uint64_t> numbers;
  for (size_t i = 0; i + 1 < segments_.size() && segments_[i].last < below; ++i)
    numbers.push_back(segments_[i].number);
  if (numbers.empty()) return Status();
  {
    const std::lock_guard lock(mutex_);
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(numbers.size()));
    base_ = segments_.front().previous;
    // The run that holds the base stays: EpochAt(base) answers from base_, records behind it from their run.
    while (epoch_starts_.size() > 1 && epoch_starts_[1].lsn <= Next(base_.lsn))
      epoch_starts_.erase(epoch_starts_.begin());
  }
  ASSENT_CHECK(base_.lsn < below, base_.lsn, below);  // what was to stay is there
  CheckInvariants();
  // Oldest first, each durably: were a later one gone and an earlier one not, the gap between would
  // read as damage.
  return RecycleSegments(numbers, /*one_by_one=*/true);
}

Status Log::RecycleSegments(const std::vector<uint64_t>& numbers, bool one_by_one) {
  for (const uint64_t number : numbers) {
    if (Status status = segment_files_.Recycle(number); !status.ok()) return Poison(std::move(status));
    if (!one_by_one) continue;
    if (Status status = segment_files_.SyncDirectory(); !status.ok()) return Poison(std::move(status));
  }
  Status status = segment_files_.SyncDirectory();  // R7
  return status.ok() ? status : Poison(std::move(status));
}

}  // namespace assent::wal
