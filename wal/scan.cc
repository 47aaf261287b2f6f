#include "wal/scan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check.h"

namespace assent::wal {
namespace {

// Just behind the last byte that is not zero.
size_t NonzeroEnd(std::span<const char> bytes) {
  static constexpr char kZeros[kSectorBytes] = {};
  size_t end = bytes.size();
  while (end > 0) {
    const size_t count = std::min<size_t>(end, kSectorBytes);
    if (std::memcmp(bytes.data() + end - count, kZeros, count) != 0) break;
    end -= count;
  }
  while (end > 0 && bytes[end - 1] == '\0') --end;
  return end;
}

// R8: past a bad frame the reader finds the next batches by their sectors.
void LookBehind(std::span<const char> bytes, uint64_t key, SegmentScan& scan) {
  const size_t nonzero_end = scan.end + NonzeroEnd(bytes.subspan(scan.end));
  scan.nonzero_end = nonzero_end;
  for (uint64_t offset = scan.end; offset < nonzero_end; offset += kSectorBytes) {
    const auto header = DecodeBatchHeader(key, offset, bytes.subspan(offset));
    if (!header) continue;
    ++scan.torn_batches;
    scan.durable = std::max(scan.durable, header->durable);
  }
}

}  // namespace

std::optional<BadSpot> CheckFrames(uint64_t key, uint64_t offset, std::span<const char> body,
                                   const BatchHeader& header, LogPosition previous, Lsn limit,
                                   const FrameVisitor& visit) {
  ASSENT_CHECK(body.size() == header.body_bytes, body.size(), header.body_bytes);
  size_t at = 0;
  Epoch epoch = previous.epoch;
  const Lsn last = std::min(header.last, limit);
  for (Lsn lsn = header.first; lsn <= last; lsn = Next(lsn)) {
    const auto frame = DecodeFrame(key, offset + at, body.subspan(at));
    if (!frame) return BadSpot{offset + at, lsn, "the frame's checksum does not match"};
    if (frame->position.lsn != lsn) {
      return BadSpot{offset + at, lsn, "the frame holds LSN " + std::to_string(Raw(frame->position.lsn))};
    }
    if (frame->position.epoch < epoch) {  // R9
      return BadSpot{offset + at, lsn,
                     "the epoch falls from " + std::to_string(Raw(epoch)) + " to " +
                         std::to_string(Raw(frame->position.epoch))};
    }
    if (visit) visit(offset + at, *frame);
    epoch = frame->position.epoch;
    at += frame->frame_bytes;
  }
  if (last == header.last && at != body.size()) {
    return BadSpot{offset + at, Next(last), "the batch goes on behind its last frame"};
  }
  return std::nullopt;
}

SegmentScan ScanSegment(std::span<const char> bytes, const SegmentHeader& header, std::optional<Lsn> limit,
                        const ScanVisitors& visitors) {
  const uint64_t key = SegmentKey(header);
  const Lsn last_wanted = limit.value_or(Lsn{UINT64_MAX});
  SegmentScan scan;
  scan.last = header.previous;
  scan.end = kSectorBytes;
  scan.durable = header.previous.lsn;  // the segment before was forced before this one was made

  while (scan.last.lsn < last_wanted && scan.end < bytes.size()) {
    const uint64_t offset = scan.end;
    const auto stop = [&](BadSpot bad) {
      scan.bad = std::move(bad);
      scan.stopped = true;
    };
    const auto batch = DecodeBatchHeader(key, offset, bytes.subspan(offset));
    const Lsn expected = Next(scan.last.lsn);
    if (!batch) {
      stop({offset, expected, "no batch header"});
      break;
    }
    if (batch->first != expected) {
      stop({offset, expected, "the batch begins with LSN " + std::to_string(Raw(batch->first))});
      break;
    }
    if (BatchBytes(batch->body_bytes) > bytes.size() - offset) {
      stop({offset, expected, "the batch is longer than the segment"});
      break;
    }
    // The batch is visited only if all of it is sound: a batch is cut whole, never in part.
    std::vector<std::pair<uint64_t, FrameView>> frames;
    const auto keep = [&frames](uint64_t at, const FrameView& frame) { frames.emplace_back(at, frame); };
    auto bad = CheckFrames(key, offset + kBatchHeaderBytes,
                           bytes.subspan(offset + kBatchHeaderBytes, batch->body_bytes), *batch, scan.last,
                           last_wanted, keep);
    if (bad) {
      stop(*std::move(bad));
      break;
    }
    if (visitors.batch) visitors.batch(offset, *batch);
    for (const auto& [at, frame] : frames) {
      if (frame.position.epoch != scan.last.epoch) scan.epoch_starts.push_back(frame.position);
      scan.last = frame.position;
      if (visitors.frame) visitors.frame(at, frame);
    }
    scan.batches.push_back({batch->first, offset});
    scan.durable = std::max(scan.durable, batch->durable);
    scan.end = offset + BatchBytes(batch->body_bytes);
  }
  scan.nonzero_end = scan.end;
  if (!limit || scan.stopped) LookBehind(bytes, key, scan);
  ASSENT_CHECK(scan.end % kSectorBytes == 0 && scan.end <= scan.nonzero_end, scan.end, scan.nonzero_end);
  ASSENT_CHECK(scan.batches.empty() == (scan.last.lsn == header.previous.lsn), scan.last.lsn);
  ASSENT_CHECK(scan.last.lsn <= std::max(last_wanted, header.previous.lsn), scan.last.lsn,
               last_wanted);                                                                       // R4
  ASSENT_CHECK(scan.last.epoch >= header.previous.epoch, scan.last.epoch, header.previous.epoch);  // R9
  return scan;
}

}  // namespace assent::wal
