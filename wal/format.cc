#include "wal/format.h"

#include <xxhash.h>

#include <bit>
#include <cstring>

#include "common/check.h"
#include "common/mutant.h"

namespace assent::wal {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view kSegmentMagic = "ASSENTWL";
constexpr uint32_t kBatchMagic = 0x42545341;  // "ASTB"

// Offsets within the segment header's sector.
constexpr size_t kVersionAt = 8;
constexpr size_t kFlagsAt = 12;
constexpr size_t kNumberAt = 16;
constexpr size_t kSegmentBytesAt = 24;
constexpr size_t kSaltAt = 32;
constexpr size_t kPreviousEpochAt = 40;
constexpr size_t kPreviousLsnAt = 48;
constexpr size_t kGroupKindAt = 56;
constexpr size_t kGroupNumberAt = 58;
constexpr size_t kClusterSizeAt = 60;
constexpr size_t kClusterAt = 64;
constexpr size_t kHeaderChecksumAt = kSectorBytes - 8;
constexpr uint32_t kFlagStarts = 1;

// Offsets within a batch header and a frame header.
constexpr size_t kBodyBytesAt = 4;
constexpr size_t kFirstAt = 8;
constexpr size_t kLastAt = 16;
constexpr size_t kDurableAt = 24;
constexpr size_t kBatchChecksumAt = 32;
constexpr size_t kLsnAt = 8;
constexpr size_t kEpochAt = 16;
constexpr size_t kLengthAt = 24;

// Where what a frame's checksum covers begins (R9).
size_t CheckedFrom() {
  return Mutated(Mutant::kChecksumOmitsPosition) ? kLengthAt : kLsnAt;
}

template <typename Number>
Number Load(const char* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

template <typename Number>
void Store(char* at, Number number) {
  std::memcpy(at, &number, sizeof number);
}

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  ASSENT_CHECK(header.cluster.size() <= kClusterBytesMax);
  std::string sector(kSectorBytes, '\0');
  char* const at = sector.data();
  std::memcpy(at, kSegmentMagic.data(), kSegmentMagic.size());
  Store(at + kVersionAt, kFormatVersion);
  Store(at + kFlagsAt, header.starts ? kFlagStarts : uint32_t{0});
  Store(at + kNumberAt, header.number);
  Store(at + kSegmentBytesAt, header.segment_bytes);
  Store(at + kSaltAt, header.salt);
  Store(at + kPreviousEpochAt, Raw(header.previous.epoch));
  Store(at + kPreviousLsnAt, Raw(header.previous.lsn));
  Store(at + kGroupKindAt, static_cast<uint16_t>(header.group.kind));
  Store(at + kGroupNumberAt, header.group.number);
  Store(at + kClusterSizeAt, static_cast<uint32_t>(header.cluster.size()));
  std::memcpy(at + kClusterAt, header.cluster.data(), header.cluster.size());
  Store(at + kHeaderChecksumAt, uint64_t{XXH3_64bits(at, kHeaderChecksumAt)});
  return sector;
}

Result<SegmentHeader> DecodeSegmentHeader(std::span<const char> sector) {
  const Status damaged(StatusCode::kDamaged, "the segment header is damaged");
  if (sector.size() < kSectorBytes) return damaged;
  const char* const at = sector.data();
  if (std::string_view(at, kSegmentMagic.size()) != kSegmentMagic) return damaged;
  if (Load<uint64_t>(at + kHeaderChecksumAt) != XXH3_64bits(at, kHeaderChecksumAt)) return damaged;
  if (const auto version = Load<uint32_t>(at + kVersionAt); version != kFormatVersion) {
    return Status(StatusCode::kForeign, "the segment has format version " + std::to_string(version) +
                                            "; this program reads version " + std::to_string(kFormatVersion));
  }
  const auto cluster_size = Load<uint32_t>(at + kClusterSizeAt);
  if (cluster_size > kClusterBytesMax) return damaged;
  SegmentHeader header;
  header.cluster.assign(at + kClusterAt, cluster_size);
  header.group.kind = static_cast<GroupKind>(Load<uint16_t>(at + kGroupKindAt));
  header.group.number = Load<uint16_t>(at + kGroupNumberAt);
  header.number = Load<uint64_t>(at + kNumberAt);
  header.segment_bytes = Load<uint64_t>(at + kSegmentBytesAt);
  header.salt = Load<uint64_t>(at + kSaltAt);
  header.previous = {Epoch{Load<uint64_t>(at + kPreviousEpochAt)}, Lsn{Load<uint64_t>(at + kPreviousLsnAt)}};
  header.starts = (Load<uint32_t>(at + kFlagsAt) & kFlagStarts) != 0;
  return header;
}

uint64_t SegmentKey(const SegmentHeader& header) {
  const std::string sector = EncodeSegmentHeader(header);
  return XXH3_64bits_withSeed(sector.data(), sector.size(), header.salt);
}

void EncodeBatch(uint64_t key, uint64_t offset, std::span<const LogEntry> entries, Lsn durable,
                 std::string& out) {
  ASSENT_CHECK(!entries.empty());
  ASSENT_CHECK(offset >= kSectorBytes && offset % kSectorBytes == 0, offset);
  const LogPosition first = entries.front().position;
  const LogPosition last = entries.back().position;
  ASSENT_CHECK(Raw(last.lsn) - Raw(first.lsn) == entries.size() - 1, first.lsn, last.lsn, entries.size());
  ASSENT_CHECK(durable < first.lsn, durable, first.lsn);  // R8: a batch says nothing of its own records
  const size_t start = out.size();
  size_t body_bytes = 0;
  for (const LogEntry& entry : entries) body_bytes += kFrameHeaderBytes + entry.payload->size();
  ASSENT_CHECK(body_bytes <= UINT32_MAX, body_bytes);
  out.resize(start + BatchBytes(body_bytes), '\0');
  char* const batch = out.data() + start;

  Store(batch, kBatchMagic);
  Store(batch + kBodyBytesAt, static_cast<uint32_t>(body_bytes));
  Store(batch + kFirstAt, Raw(first.lsn));
  Store(batch + kLastAt, Raw(last.lsn));
  Store(batch + kDurableAt, Raw(durable));
  Store(batch + kBatchChecksumAt, uint64_t{XXH3_64bits_withSeed(batch, kBatchChecksumAt, key + offset)});

  char* frame = batch + kBatchHeaderBytes;
  for (const LogEntry& entry : entries) {
    const std::string& payload = *entry.payload;
    const size_t frame_bytes = kFrameHeaderBytes + payload.size();
    Store(frame + kLsnAt, Raw(entry.position.lsn));
    Store(frame + kEpochAt, Raw(entry.position.epoch));
    Store(frame + kLengthAt, static_cast<uint32_t>(payload.size()));
    std::memcpy(frame + kFrameHeaderBytes, payload.data(), payload.size());
    const uint64_t seed = key + offset + static_cast<uint64_t>(frame - batch);
    Store(frame, uint64_t{XXH3_64bits_withSeed(frame + CheckedFrom(), frame_bytes - CheckedFrom(), seed)});
    frame += frame_bytes;
  }
  ASSENT_CHECK(frame == batch + kBatchHeaderBytes + body_bytes, body_bytes);
}

std::optional<BatchHeader> DecodeBatchHeader(uint64_t key, uint64_t offset, std::span<const char> bytes) {
  if (bytes.size() < kBatchHeaderBytes) return std::nullopt;
  const char* const at = bytes.data();
  if (Load<uint32_t>(at) != kBatchMagic) return std::nullopt;
  if (Load<uint64_t>(at + kBatchChecksumAt) != XXH3_64bits_withSeed(at, kBatchChecksumAt, key + offset)) {
    return std::nullopt;
  }
  const BatchHeader header{Lsn{Load<uint64_t>(at + kFirstAt)}, Lsn{Load<uint64_t>(at + kLastAt)},
                           Lsn{Load<uint64_t>(at + kDurableAt)}, Load<uint32_t>(at + kBodyBytesAt)};
  // Sound bytes that no writer of this version produces.
  if (header.first > header.last || header.durable >= header.first) return std::nullopt;
  if (Raw(header.last) - Raw(header.first) >= header.body_bytes / kFrameHeaderBytes) return std::nullopt;
  return header;
}

std::optional<FrameView> DecodeFrame(uint64_t key, uint64_t offset, std::span<const char> bytes) {
  if (bytes.size() < kFrameHeaderBytes) return std::nullopt;
  const char* const at = bytes.data();
  const auto length = Load<uint32_t>(at + kLengthAt);
  if (length > bytes.size() - kFrameHeaderBytes) return std::nullopt;
  const size_t frame_bytes = kFrameHeaderBytes + length;
  if (Load<uint64_t>(at) !=
      XXH3_64bits_withSeed(at + CheckedFrom(), frame_bytes - CheckedFrom(), key + offset)) {
    return std::nullopt;
  }
  return FrameView{{Epoch{Load<uint64_t>(at + kEpochAt)}, Lsn{Load<uint64_t>(at + kLsnAt)}},
                   std::string_view(at + kFrameHeaderBytes, length),
                   frame_bytes};
}

}  // namespace assent::wal
