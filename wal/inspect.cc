#include "wal/inspect.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "wal/recovery.h"
#include "wal/scan.h"
#include "wal/segment_files.h"

namespace assent::wal {
namespace {

// A segment with its bytes left out: files are read one at a time.
struct Candidate {
  InspectedSegment segment;
  Status status;  // of the header
};

class Inspector {
 public:
  Inspector(FileSystem& files, const InspectOptions& options, InspectVisitor& visitor)
      : files_(files), options_(options), visitor_(visitor) {}

  Result<InspectSummary> Run(const std::string& directory) {
    ASSENT_RETURN_IF_ERROR(ReadHeaders(directory));
    Plan();
    for (const Candidate& candidate : candidates_) ASSENT_RETURN_IF_ERROR(Walk(candidate));
    if (candidates_.empty()) {
      summary_.status = JudgeNoSegments(directory, options_.known_acknowledged);
      // Unlike a replica that is new, whoever looks at a log expects one.
      if (summary_.status.ok()) summary_.status = {StatusCode::kNotFound, "no log segment in " + directory};
    }
    return std::move(summary_);
  }

 private:
  Status ReadHeaders(const std::string& directory) {
    const Result<std::vector<uint64_t>> numbers = ListSegments(files_, directory);
    if (!numbers.ok()) return numbers.status();
    for (const uint64_t number : *numbers) {
      Candidate candidate;
      InspectedSegment& segment = candidate.segment;
      segment.path = directory + "/" + FormatSegmentFileName({SegmentFileKind::kLive, number});
      segment.number = number;
      const Result<std::unique_ptr<File>> file = files_.Open(segment.path, OpenMode::kReadOnly);
      if (!file.ok()) return file.status();
      const Result<uint64_t> size = file.value()->Size();
      if (!size.ok()) return size.status();
      segment.file_bytes = size.value();
      std::string sector(kSectorBytes, '\0');
      const Result<size_t> count = file.value()->ReadAt(0, sector);
      if (!count.ok()) return count.status();
      sector.resize(count.value());
      Result<SegmentHeader> header = CheckSegmentHeader(sector, number, segment.file_bytes);
      if (header.ok()) {
        segment.header = std::move(*header);
      } else {
        candidate.status = DamagedAt(segment.path, {0, Lsn{}, header.status().message()});
      }
      candidates_.push_back(std::move(candidate));
    }
    return Status();
  }

  // The plan of the segments whose headers are sound; the others take no part in it.
  void Plan() {
    std::vector<SegmentHeader> headers;
    for (const Candidate& candidate : candidates_) {
      if (candidate.segment.header) headers.push_back(*candidate.segment.header);
    }
    std::vector<SegmentPlan> plans = PlanSegments(std::move(headers));
    auto plan = plans.begin();
    for (Candidate& candidate : candidates_) {
      if (!candidate.segment.header) continue;
      candidate.segment.limit = plan->limit;
      candidate.segment.is_void = plan->is_void;
      ++plan;
    }
    ASSENT_CHECK(plan == plans.end());
  }

  Status Walk(const Candidate& candidate) {
    const InspectedSegment& segment = candidate.segment;
    visitor_.OnSegment(segment);
    InspectedSegmentEnd end;
    if (!segment.header) {
      end.state = SegmentState::kDamaged;
      end.status = candidate.status;
    } else if (segment.is_void) {
      end.state = SegmentState::kVoid;
      ++summary_.void_segments;
    } else {
      const Result<std::string> bytes = ReadWholeFile(files_, segment.path);
      if (!bytes.ok()) return bytes.status();
      end = WalkSound(segment, bytes.value());
    }
    if (summary_.status.ok()) summary_.status = end.status;
    visitor_.OnSegmentEnd(segment, end);
    return Status();
  }

  InspectedSegmentEnd WalkSound(const InspectedSegment& segment, std::span<const char> bytes) {
    const ScanVisitors visitors{
        [this](uint64_t offset, const BatchHeader& header) {
          ++summary_.batches;
          visitor_.OnBatch(offset, header, BatchBytes(header.body_bytes));
        },
        [this](uint64_t offset, const FrameView& frame) {
          ++summary_.records;
          summary_.payload_bytes += frame.payload.size();
          visitor_.OnFrame(offset, frame,
                           options_.decode_payload ? options_.decode_payload(frame.payload) : std::string());
        }};
    const SegmentHeader& header = *segment.header;
    const SegmentScan scan = ScanSegment(bytes, header, segment.limit, visitors);
    InspectedSegmentEnd end{SegmentState::kSound, scan.last,    scan.end,
                            scan.torn_batches,    scan.durable, Status()};
    if (summary_.segments++ == 0) {
      summary_.base = header.previous;
    } else {
      end.status = JudgeJoint(segment.path, header, summary_.last);
    }
    if (end.status.ok()) {
      end.status =
          JudgeSegment(segment.path, {header, segment.limit, false}, scan, options_.known_acknowledged);
    }
    if (!end.status.ok()) {
      end.state = SegmentState::kDamaged;
    } else if (!segment.limit && scan.torn_batches > 0) {
      end.state = SegmentState::kTornTail;
      summary_.torn_batches = scan.torn_batches;
    }
    summary_.last = scan.last;
    summary_.durable = std::max(summary_.durable, segment.limit.value_or(scan.durable));
    return end;
  }

  FileSystem& files_;
  const InspectOptions& options_;
  InspectVisitor& visitor_;
  std::vector<Candidate> candidates_;
  InspectSummary summary_;
};

}  // namespace

std::string_view ToString(SegmentState state) {
  switch (state) {
    case SegmentState::kSound:
      return "sound";
    case SegmentState::kTornTail:
      return "torn tail";
    case SegmentState::kDamaged:
      return "damaged";
    case SegmentState::kVoid:
      return "void";
  }
  return "?";
}

Result<InspectSummary> Inspect(FileSystem& files, const std::string& directory, const InspectOptions& options,
                               InspectVisitor& visitor) {
  return Inspector(files, options, visitor).Run(directory);
}

}  // namespace assent::wal
