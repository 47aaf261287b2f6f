#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "wal/format.h"

// Reads one segment's bytes in memory from its first batch on, and says how far they are sound. recovery.h
// judges what is found: here nothing is damage yet.
namespace assent::wal {

struct BatchSpot {
  Lsn first{};
  uint64_t offset = 0;
};

// Where a segment stops being readable: `offset` is of the bad batch header or frame, `lsn`
// the record expected there.
struct BadSpot {
  uint64_t offset = 0;
  Lsn lsn{};
  std::string what;
};

struct SegmentScan {
  std::vector<BatchSpot> batches;         // the sound ones, in order
  std::vector<LogPosition> epoch_starts;  // each first record of an epoch other than its predecessor's
  LogPosition last;  // the last record of a sound batch; the segment's `previous` if there is none
  uint64_t end = 0;  // just behind the last sound batch
  // Set unless the batches run up to `limit` or to the segment's end. An untouched, zeroed tail is a bad
  // spot as well.
  BadSpot bad;
  bool stopped = false;
  // The highest durable LSN of any sound batch header of the segment, those behind the bad
  // spot included (R8).
  Lsn durable{};
  uint64_t torn_batches = 0;  // sound batch headers at or behind the bad spot
  uint64_t nonzero_end = 0;   // just behind the last byte, at or behind `end`, that is not zero; else `end`
};

// Called for each frame of each sound batch, in order, as scanning goes. May be empty.
using FrameVisitor = std::function<void(uint64_t offset, const FrameView& frame)>;
// Called for each sound batch, before its frames.
using BatchVisitor = std::function<void(uint64_t offset, const BatchHeader& header)>;

struct ScanVisitors {
  BatchVisitor batch;
  FrameVisitor frame;
};

// `bytes` is the whole file, `header` its decoded first sector. Records above `limit` are not looked at: the
// batch that holds `limit` may go on beyond it, with records that were truncated (R4).
SegmentScan ScanSegment(std::span<const char> bytes, const SegmentHeader& header, std::optional<Lsn> limit,
                        const ScanVisitors& visitors = {});

// Checks a batch's frames: consecutive from `header.first`, epochs not below `previous.epoch` (R9), nothing
// left over. Stops behind `limit`. Returns the bad spot, or nothing if all is sound. `body` is the frames,
// which begin at `offset` of the file. `visit` is called for each sound frame.
std::optional<BadSpot> CheckFrames(uint64_t key, uint64_t offset, std::span<const char> body,
                                   const BatchHeader& header, LogPosition previous, Lsn limit,
                                   const FrameVisitor& visit);

}  // namespace assent::wal
