#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/log_entry.h"
#include "common/status.h"
#include "wal/file.h"

// The bytes of a segment file: docs/FORMAT.md, byte by byte. Pure functions over memory; nothing here knows a
// file. Every check is keyed: a segment's key comes from its whole header, salt included, so bytes of another
// segment, of an earlier life of the same file (R9), or of another place in the same file never pass.
namespace assent::wal {

inline constexpr uint64_t kSegmentBytesDefault = uint64_t{16} << 20;
// A header sector and one batch of one small record, with room to spare; only tests come near it.
inline constexpr uint64_t kSegmentBytesMin = 4096;
inline constexpr uint64_t kSegmentBytesMax = uint64_t{1}
                                             << 30;  // a segment is read whole when the log is opened
inline constexpr uint64_t kPayloadBytesMax = uint64_t{4} << 20;  // as large as a peer frame
inline constexpr size_t kClusterBytesMax = 64;
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr size_t kBatchHeaderBytes = 40;
inline constexpr size_t kFrameHeaderBytes = 28;

struct SegmentHeader {
  std::string cluster;
  GroupId group;
  uint64_t number = 0;
  uint64_t segment_bytes = 0;
  uint64_t salt = 0;
  LogPosition
      previous;  // the record before this segment's first: what the log held, durably, when it was made
  bool starts = false;  // the log begins here: lower-numbered segments are void (a new log, or a Reset)
};

struct BatchHeader {
  Lsn first{};
  Lsn last{};
  Lsn durable{};            // what was durable when the batch was written (R8)
  uint32_t body_bytes = 0;  // the frames, without the batch header and the padding behind them
};

struct FrameView {
  LogPosition position;
  std::string_view payload;
  size_t frame_bytes = 0;
};

constexpr uint64_t RoundUpToSector(uint64_t bytes) {
  return (bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes;
}
// The bytes that a batch takes of the file, padding included.
constexpr uint64_t BatchBytes(uint64_t body_bytes) {
  return RoundUpToSector(kBatchHeaderBytes + body_bytes);
}

// One sector.
std::string EncodeSegmentHeader(const SegmentHeader& header);
// kDamaged: not a sound header. kForeign: a sound one, of a version that this program does not know.
Result<SegmentHeader> DecodeSegmentHeader(std::span<const char> sector);
// The seed of every check within the segment.
uint64_t SegmentKey(const SegmentHeader& header);

// Appends to `out` one batch for `entries` (consecutive, not empty), to be written at `offset`, padded
// to a sector.
void EncodeBatch(uint64_t key, uint64_t offset, std::span<const LogEntry> entries, Lsn durable,
                 std::string& out);
// `bytes` begins at `offset` of the file. Nothing if no sound header stands there.
std::optional<BatchHeader> DecodeBatchHeader(uint64_t key, uint64_t offset, std::span<const char> bytes);
// `bytes` begins at the frame, which stands at `offset` of the file, and ends with its batch's body.
std::optional<FrameView> DecodeFrame(uint64_t key, uint64_t offset, std::span<const char> bytes);

}  // namespace assent::wal
