#include "wal/segment_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::wal {
namespace {

constexpr std::array<std::string_view, 3> kPrefixes = {"log-", "spare-", "new-"};
constexpr size_t kDigits = 16;
constexpr uint64_t kNumberMax = 9'999'999'999'999'999;  // what 16 digits hold; numbers only rise
constexpr uint64_t kZeroChunkBytes = uint64_t{1} << 20;
constexpr uint64_t kStepBytes = uint64_t{256} << 10;

}  // namespace

std::string FormatSegmentFileName(SegmentFileName name) {
  ASSENT_CHECK(static_cast<size_t>(name.kind) < kPrefixes.size(), name.kind);
  const std::string digits = std::to_string(name.number);
  std::string text(kPrefixes[static_cast<size_t>(name.kind)]);
  if (digits.size() < kDigits) text.append(kDigits - digits.size(), '0');
  return text + digits;
}

std::optional<SegmentFileName> ParseSegmentFileName(const std::string& text) {
  for (size_t i = 0; i < kPrefixes.size(); ++i) {
    if (!text.starts_with(kPrefixes[i])) continue;
    SegmentFileName name{static_cast<SegmentFileKind>(i), 0};
    const char* const first = text.data() + kPrefixes[i].size();
    const auto [end, error] = std::from_chars(first, text.data() + text.size(), name.number);
    if (error == std::errc{} && name.number <= kNumberMax && FormatSegmentFileName(name) == text) return name;
  }
  return std::nullopt;
}

SegmentFiles::SegmentFiles(FileSystem& files, std::string directory, uint64_t segment_bytes,
                           size_t spares_max)
    : files_(files),
      directory_(std::move(directory)),
      segment_bytes_(segment_bytes),
      spares_max_(spares_max) {}

std::string SegmentFiles::Path(SegmentFileName name) const {
  return directory_ + "/" + FormatSegmentFileName(name);
}

Status SegmentFiles::Load() {
  ASSENT_CHECK(spares_.empty() && !growing_, "stock is taken once", spares_.size());
  const Result<std::vector<std::string>> names = files_.List(directory_);
  if (!names.ok()) return names.status();
  for (const std::string& text : *names) {
    const std::optional<SegmentFileName> name = ParseSegmentFileName(text);
    if (!name) continue;
    next_number_ = std::max(next_number_, name->number + 1);
    if (name->kind == SegmentFileKind::kLive) continue;
    bool usable = false;
    if (name->kind == SegmentFileKind::kSpare && spares_.size() < spares_max_) {
      const Result<bool> whole = HasFullLength(Path(*name));
      if (!whole.ok()) return whole.status();
      usable = *whole;
    }
    if (usable) {
      spares_.push_back({name->number, nullptr});
    } else {
      ASSENT_RETURN_IF_ERROR(files_.Remove(Path(*name)));
    }
  }
  // The directory may hold the unsynced work of a process that died. R7.
  directory_dirty_ = true;
  return SyncDirectory();
}

Result<bool> SegmentFiles::HasFullLength(const std::string& path) const {
  const Result<std::unique_ptr<File>> file = files_.Open(path, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  return *size == segment_bytes_;
}

Status SegmentFiles::EnsureSpares(size_t count) {
  while (spares_.size() < count) ASSENT_RETURN_IF_ERROR(GrowSpare(segment_bytes_));
  return OpenSpares(count);
}

Result<bool> SegmentFiles::StepTowardsSpares(size_t count) {
  if (spares_.size() < count) ASSENT_RETURN_IF_ERROR(GrowSpare(kStepBytes));
  if (spares_.size() < count) return true;
  ASSENT_RETURN_IF_ERROR(OpenSpares(count));
  return false;
}

// Those that MakeLive() takes next.
Status SegmentFiles::OpenSpares(size_t count) {
  ASSENT_CHECK(count <= spares_.size(), count, spares_.size());
  for (size_t i = spares_.size() - count; i < spares_.size(); ++i) {
    Spare& spare = spares_[i];
    if (spare.file != nullptr) continue;
    auto file = files_.Open(Path({SegmentFileKind::kSpare, spare.number}), OpenMode::kReadWrite);
    if (!file.ok()) return file.status();
    spare.file = std::move(*file);
  }
  return Status();
}

// Writes up to `bytes` more of the spare that is being made, or begins one.
Status SegmentFiles::GrowSpare(uint64_t bytes) {
  if (!growing_) growing_ = Growing{next_number_++, nullptr, 0};
  const std::string fresh = Path({SegmentFileKind::kNew, growing_->number});
  Status status = WriteZeros(bytes);
  if (status.code() == StatusCode::kDiskFull) {
    Reached(Situation::kSegmentHitFullDisk);
    if (Mutated(Mutant::kDiskFullFragmentLeft) && growing_->file != nullptr) {
      growing_->bytes = segment_bytes_;
      status = Status();
    }
  }
  if (status.ok() && growing_->bytes < segment_bytes_) return status;
  // R9: only a whole one becomes a spare.
  ASSENT_CHECK(!status.ok() || growing_->bytes == segment_bytes_, growing_->bytes, segment_bytes_);
  if (status.ok()) status = files_.Rename(fresh, Path({SegmentFileKind::kSpare, growing_->number}));
  const uint64_t number = growing_->number;
  growing_.reset();
  if (!status.ok()) {
    // A fragment would hold on to the space that is short. If it cannot go now, Load() removes it.
    (void)files_.Remove(fresh);
    return status;
  }
  spares_.push_back({number, nullptr});
  return Status();
}

Status SegmentFiles::WriteZeros(uint64_t bytes) {
  ASSENT_CHECK(growing_.has_value() && growing_->bytes < segment_bytes_);
  Growing& spare = *growing_;
  if (spare.file == nullptr) {
    Result<std::unique_ptr<File>> file = files_.Create(Path({SegmentFileKind::kNew, spare.number}));
    if (!file.ok()) return file.status();
    spare.file = std::move(*file);
  }
  const uint64_t end = spare.bytes + std::min(bytes, segment_bytes_ - spare.bytes);
  const std::string zeros(std::min(end - spare.bytes, kZeroChunkBytes), '\0');
  while (spare.bytes < end) {
    const uint64_t count = std::min<uint64_t>(zeros.size(), end - spare.bytes);
    ASSENT_RETURN_IF_ERROR(spare.file->WriteAt(spare.bytes, std::string_view(zeros).substr(0, count)));
    spare.bytes += count;
  }
  // R9: length and blocks are durable before the log counts on them. Each step syncs its own, so that none is
  // left with much to do.
  return spare.file->Sync();
}

Result<std::unique_ptr<File>> SegmentFiles::MakeLive(const SegmentHeader& header) {
  ASSENT_CHECK(!spares_.empty() && header.number == next_number_, header.number, next_number_);
  ASSENT_CHECK(header.segment_bytes == segment_bytes_, header.segment_bytes, segment_bytes_);
  ASSENT_CHECK(spares_.back().number < header.number, spares_.back().number, header.number);
  // The spare may have been a live segment until a moment ago. Were its old name to come back in a crash,
  // with the new header inside, it would read as damage.
  ASSENT_CHECK(!directory_dirty_);
  std::unique_ptr<File> file = std::move(spares_.back().file);
  ASSENT_CHECK(file != nullptr, "a spare that was not opened", spares_.back().number);
  const std::string spare = Path({SegmentFileKind::kSpare, spares_.back().number});
  ASSENT_RETURN_IF_ERROR(file->WriteAt(0, EncodeSegmentHeader(header)));
  ASSENT_RETURN_IF_ERROR(file->Sync());
  ASSENT_RETURN_IF_ERROR(files_.Rename(spare, Path({SegmentFileKind::kLive, header.number})));
  spares_.pop_back();
  ++next_number_;
  directory_dirty_ = true;
  ASSENT_RETURN_IF_ERROR(SyncDirectory());  // R7
  return file;
}

Status SegmentFiles::Recycle(uint64_t number) {
  ASSENT_CHECK(number < next_number_, number, next_number_);
  const std::string live = Path({SegmentFileKind::kLive, number});
  // One that was made under another segment_bytes is no spare: its next header would not be true of it.
  const Result<bool> usable = HasFullLength(live);
  if (!usable.ok()) return usable.status();
  directory_dirty_ = true;
  if (!*usable || spares_.size() >= spares_max_) return files_.Remove(live);
  ASSENT_RETURN_IF_ERROR(files_.Rename(live, Path({SegmentFileKind::kSpare, number})));
  spares_.push_back({number, nullptr});
  return Status();
}

Status SegmentFiles::SyncDirectory() {
  if (!directory_dirty_) return Status();
  if (!Mutated(Mutant::kNoDirectorySync)) ASSENT_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  directory_dirty_ = false;
  return Status();
}

}  // namespace assent::wal
