#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/status.h"
#include "wal/file.h"
#include "wal/format.h"

// Walks a log's directory and says what is in it, sound or not. Read-only: the log may belong to a stopped
// replica, to a copy, or to a damaged one. (Of a running replica it may see a batch half written, which
// then looks torn.)
namespace assent::wal {

enum class SegmentState : uint8_t {
  kSound,     // nothing but sound batches, then zeros or what an earlier life of the file left
  kTornTail,  // the last segment, with sound batch headers behind its end: Open would cut them
  kDamaged,   // something that was durable is bad or missing: Open refuses the log
  kVoid,      // left by an interrupted truncation, reset or trim: Open would recycle it
};

std::string_view ToString(SegmentState state);

struct InspectedSegment {
  std::string path;
  uint64_t number = 0;
  uint64_t file_bytes = 0;
  std::optional<SegmentHeader> header;  // nothing if it is not sound
  std::optional<Lsn> limit;             // records above it were truncated; nothing in the last segment
  bool is_void = false;
};

struct InspectedSegmentEnd {
  SegmentState state = SegmentState::kSound;
  LogPosition last;           // the last record that counts
  uint64_t end = 0;           // just behind its batch
  uint64_t torn_batches = 0;  // sound batch headers behind that
  Lsn durable{};              // the highest durable LSN that the segment itself proves
  Status status;              // of kDamaged: what is wrong, where, and what to do
};

class InspectVisitor {
 public:
  virtual ~InspectVisitor() = default;
  // In order for each segment, void ones included: OnSegment, then OnBatch and its OnFrames for each sound
  // batch, then OnSegmentEnd.
  virtual void OnSegment(const InspectedSegment& segment) = 0;
  virtual void OnBatch(uint64_t offset, const BatchHeader& header, uint64_t batch_bytes) = 0;
  // `text` is what the decoder made of the payload; empty without one.
  virtual void OnFrame(uint64_t offset, const FrameView& frame, const std::string& text) = 0;
  virtual void OnSegmentEnd(const InspectedSegment& segment, const InspectedSegmentEnd& end) = 0;
};

// For callers that want the report alone.
class SilentVisitor final : public InspectVisitor {
 public:
  void OnSegment(const InspectedSegment&) override {}
  void OnBatch(uint64_t, const BatchHeader&, uint64_t) override {}
  void OnFrame(uint64_t, const FrameView&, const std::string&) override {}
  void OnSegmentEnd(const InspectedSegment&, const InspectedSegmentEnd&) override {}
};

struct InspectOptions {
  Lsn known_acknowledged{};  // as in LogOptions: what is missing up to here is damage
  std::function<std::string(std::string_view payload)> decode_payload;
};

struct InspectSummary {
  LogPosition base;
  LogPosition last;
  uint64_t segments = 0;  // without void ones
  uint64_t void_segments = 0;
  uint64_t batches = 0;
  uint64_t records = 0;
  uint64_t payload_bytes = 0;
  uint64_t torn_batches = 0;
  Lsn durable{};  // the highest durable LSN that the log itself proves
  Status status;  // the first damage: what Open would say; kNotFound if there is no segment at all
};

// Visits everything, past damage too. The Result fails only if the files cannot be read.
Result<InspectSummary> Inspect(FileSystem& files, const std::string& directory, const InspectOptions& options,
                               InspectVisitor& visitor);

}  // namespace assent::wal
