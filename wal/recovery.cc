#include "wal/recovery.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutant.h"

namespace assent::wal {
namespace {

constexpr std::string_view kWhatToDo =
    "; the log is left as it was: set the replica's data directory aside and let it rejoin from a peer, or "
    "restore it";

std::string LivePath(const std::string& directory, uint64_t number) {
  return directory + "/" + FormatSegmentFileName({SegmentFileKind::kLive, number});
}

Result<SegmentHeader> ReadHeader(FileSystem& files, const std::string& path, uint64_t number,
                                 const RecoveryQuery& query) {
  Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string sector(kSectorBytes, '\0');
  const Result<size_t> count = (*file)->ReadAt(0, sector);
  if (!count.ok()) return count.status();
  sector.resize(*count);
  Result<SegmentHeader> header = CheckSegmentHeader(sector, number, *size);
  if (!header.ok()) {
    std::string message = path + ", offset 0: " + header.status().message();
    if (header.status().code() == StatusCode::kDamaged) message += kWhatToDo;
    return Status(header.status().code(), std::move(message));
  }
  if (header->cluster != query.cluster || header->group != query.group) {
    return Status(StatusCode::kForeign, path + " belongs to cluster '" + header->cluster + "', group " +
                                            ToString(header->group) + ", not to cluster '" + query.cluster +
                                            "', group " + ToString(query.group));
  }
  return header;
}

}  // namespace

Status DamagedAt(const std::string& path, const BadSpot& spot) {
  return Status(StatusCode::kDamaged, path + ", offset " + std::to_string(spot.offset) + ", LSN " +
                                          std::to_string(Raw(spot.lsn)) + ": " + spot.what +
                                          std::string(kWhatToDo));
}

Status JudgeSegment(const std::string& path, const SegmentPlan& plan, const SegmentScan& scan,
                    Lsn known_acknowledged) {
  ASSENT_CHECK(!plan.is_void, "a void segment holds nothing that counts", plan.header.number);
  const bool is_tail = !plan.limit.has_value();
  const Lsn watermark = is_tail ? std::max(scan.durable, known_acknowledged) : *plan.limit;
  const bool torn_is_damage =
      Mutated(Mutant::kTornTailReadAsDamage) && is_tail && scan.nonzero_end > scan.end;
  if (scan.last.lsn >= watermark && !torn_is_damage) return Status();
  if (Mutated(Mutant::kCutAtFirstBadChecksum) && is_tail) return Status();
  BadSpot spot = scan.stopped ? scan.bad : BadSpot{scan.end, Next(scan.last.lsn), "the segment ends"};
  spot.what += ", but records up to LSN " + std::to_string(Raw(watermark)) + " are known to have been " +
               (watermark > scan.durable && is_tail ? "acknowledged" : "durable");
  if (!is_tail && scan.torn_batches == 0) spot.what += ", here or in a segment file that is gone";
  return DamagedAt(path, spot);
}

Status JudgeJoint(const std::string& path, const SegmentHeader& header, LogPosition last) {
  if (header.previous == last) return Status();
  return DamagedAt(path, {0, header.previous.lsn,
                          "the segment follows " + ToString(header.previous) +
                              ", but what is before it ends with " + ToString(last)});
}

Status JudgeNoSegments(const std::string& directory, Lsn known_acknowledged) {
  if (known_acknowledged == Lsn{}) return Status();
  return Status(StatusCode::kDamaged, directory + " holds no log segment, but records up to LSN " +
                                          std::to_string(Raw(known_acknowledged)) +
                                          " are known to have been acknowledged" + std::string(kWhatToDo));
}

Result<std::vector<uint64_t>> ListSegments(FileSystem& files, const std::string& directory) {
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names.ok()) return names.status();
  std::vector<uint64_t> numbers;
  for (const std::string& text : *names) {
    const auto name = ParseSegmentFileName(text);
    if (name && name->kind == SegmentFileKind::kLive) numbers.push_back(name->number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path) {
  Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (*size > kSegmentBytesMax) {
    return Status(StatusCode::kDamaged,
                  path + " has " + std::to_string(*size) + " bytes: no segment is so long");
  }
  std::string bytes(*size, '\0');
  const Result<size_t> count = (*file)->ReadAt(0, bytes);
  if (!count.ok()) return count.status();
  bytes.resize(*count);
  return bytes;
}

Result<SegmentHeader> CheckSegmentHeader(std::span<const char> sector, uint64_t number, uint64_t file_bytes) {
  Result<SegmentHeader> header = DecodeSegmentHeader(sector);
  if (!header.ok()) return header;
  if (header->number != number) {
    return Status(StatusCode::kDamaged, "the header is of segment " + std::to_string(header->number));
  }
  // A segment has its full length, durably, before it becomes one: a short file has lost bytes.
  if (header->segment_bytes != file_bytes) {
    return Status(StatusCode::kDamaged, "the file has " + std::to_string(file_bytes) + " bytes, not the " +
                                            std::to_string(header->segment_bytes) + " of its header");
  }
  return header;
}

std::vector<SegmentPlan> PlanSegments(std::vector<SegmentHeader> headers) {
  std::vector<SegmentPlan> plans;
  for (SegmentHeader& header : headers) plans.push_back({std::move(header), std::nullopt, false});
  for (size_t i = 1; i < plans.size(); ++i) {
    ASSENT_CHECK(plans[i - 1].header.number < plans[i].header.number, plans[i].header.number);
  }
  std::optional<Lsn> limit;
  bool started = false;
  for (size_t i = plans.size(); i-- > 0;) {
    SegmentPlan& plan = plans[i];
    const Lsn previous = plan.header.previous.lsn;
    plan.limit = limit;
    plan.is_void = started || (limit && previous >= *limit);  // R4
    started = started || plan.header.starts;
    limit = limit ? std::min(*limit, previous) : previous;
  }
  ASSENT_CHECK(plans.empty() || (!plans.back().is_void && !plans.back().limit), "the last segment counts");
  return plans;
}

Result<Recovered> Examine(FileSystem& files, const std::string& directory, const RecoveryQuery& query) {
  const Result<std::vector<uint64_t>> numbers = ListSegments(files, directory);
  if (!numbers.ok()) return numbers.status();
  std::vector<SegmentHeader> headers;
  for (const uint64_t number : *numbers) {
    Result<SegmentHeader> header = ReadHeader(files, LivePath(directory, number), number, query);
    if (!header.ok()) return header.status();
    headers.push_back(std::move(*header));
  }

  Recovered log;
  for (SegmentPlan& plan : PlanSegments(std::move(headers))) {
    if (plan.is_void) {
      log.voids.push_back(plan.header.number);
      continue;
    }
    const std::string path = LivePath(directory, plan.header.number);
    if (!log.segments.empty()) ASSENT_RETURN_IF_ERROR(JudgeJoint(path, plan.header, log.last));
    Result<std::string> bytes = ReadWholeFile(files, path);
    if (!bytes.ok()) return bytes.status();
    SegmentScan scan = ScanSegment(*bytes, plan.header, plan.limit);
    ASSENT_RETURN_IF_ERROR(JudgeSegment(path, plan, scan, query.known_acknowledged));
    log.last = scan.last;
    log.epoch_starts.insert(log.epoch_starts.end(), scan.epoch_starts.begin(), scan.epoch_starts.end());
    log.segments.push_back({std::move(plan.header), scan.last, std::move(scan.batches)});
    log.tail = std::move(scan);
    log.tail_bytes = std::move(*bytes);
  }
  ASSENT_CHECK(log.segments.size() + log.voids.size() == numbers->size(), numbers->size());
  if (log.segments.empty()) ASSENT_RETURN_IF_ERROR(JudgeNoSegments(directory, query.known_acknowledged));
  return log;
}

}  // namespace assent::wal
