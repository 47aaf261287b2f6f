#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "wal/file.h"
#include "wal/format.h"
#include "wal/scan.h"
#include "wal/segment_files.h"

// Judges by R8, without changing anything, what a log's directory holds: which segments make up the log, how
// far each of them counts, and whether bad bytes are a torn tail or damage.
//
// The rules:
//   - The log begins at the highest-numbered segment that `starts` one; those below it are void.
//   - A segment's records count up to the lowest `previous` of all segments above it: a truncation makes a
//     new segment whose `previous` is the record truncated after (R4). If nothing of it counts it is void.
//   - A segment was forced before the next one was made. So in all but the last one, what counts is durable,
//     and anything bad in it is damage; only the last one can have a torn tail.
//   - In the last segment anything bad is damage if a record at or below the watermark is missing: the
//     highest durable LSN that any sound batch header of the segment carries, or the highest
//     acknowledgement known (R8).
namespace assent::wal {

struct SegmentPlan {
  SegmentHeader header;
  // The highest LSN that counts here; nothing in the last segment. Below header.previous.lsn + 1: void.
  std::optional<Lsn> limit;
  bool is_void = false;
};

// From headers sorted by number. Sets limits and voids.
std::vector<SegmentPlan> PlanSegments(std::vector<SegmentHeader> headers);

struct RecoveredSegment {
  SegmentHeader header;
  LogPosition last;  // of what counts; header.previous if the segment is empty
  std::vector<BatchSpot> batches;
};

struct Recovered {
  std::vector<RecoveredSegment> segments;  // not empty unless the directory holds no log
  std::vector<uint64_t> voids;             // numbers of segments to recycle
  std::vector<LogPosition> epoch_starts;
  LogPosition last;
  SegmentScan tail;        // the scan of the last segment, without what moved to segments.back()
  std::string tail_bytes;  // its contents as found
};

struct RecoveryQuery {
  std::string cluster;
  GroupId group;
  Lsn known_acknowledged{};
};

// kDamaged, kForeign, kIo. See log.h.
Result<Recovered> Examine(FileSystem& files, const std::string& directory, const RecoveryQuery& query);

// Numbers of the live segments, sorted.
Result<std::vector<uint64_t>> ListSegments(FileSystem& files, const std::string& directory);
Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path);
// The header of live segment `number`, checked against its name and the file's length. Errors: kDamaged, and
// kForeign for another format version.
Result<SegmentHeader> CheckSegmentHeader(std::span<const char> sector, uint64_t number, uint64_t file_bytes);
// R8, for a segment that is not void: kDamaged if anything that counts and was durable is missing or bad.
Status JudgeSegment(const std::string& path, const SegmentPlan& plan, const SegmentScan& scan,
                    Lsn known_acknowledged);
// kDamaged unless the segment of `header` continues a log that ends with `last`.
Status JudgeJoint(const std::string& path, const SegmentHeader& header, LogPosition last);
// kDamaged for a directory without a segment if something was acknowledged.
Status JudgeNoSegments(const std::string& directory, Lsn known_acknowledged);
// "<path>, offset 512, LSN 7: <what>; <what to do>"
Status DamagedAt(const std::string& path, const BadSpot& spot);

}  // namespace assent::wal
