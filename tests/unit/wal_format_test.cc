// wal/format.h: what is encoded is decoded, and no other bytes, key or place pass for it.
#include "tests/unit/wal_testing.h"
#include "wal/format.h"

namespace assent::wal {
namespace {

SegmentHeader TestHeader() {
  return {"cluster", {GroupKind::kCoordinator, 7}, 42, 4096, 0x1122334455667788, {Epoch{3}, Lsn{99}}, true};
}

std::string Flip(std::string bytes, size_t offset, unsigned bit) {
  bytes[offset] = static_cast<char>(static_cast<unsigned char>(bytes[offset]) ^ (1U << bit));
  return bytes;
}

TEST(WalFormat, SegmentHeaderRoundTrip) {
  const std::string sector = EncodeSegmentHeader(TestHeader());
  ASSERT_EQ(sector.size(), kSectorBytes);
  const auto header = DecodeSegmentHeader(sector);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->cluster, "cluster");
  EXPECT_EQ(header->group, (GroupId{GroupKind::kCoordinator, 7}));
  EXPECT_EQ(header->number, 42U);
  EXPECT_EQ(header->segment_bytes, 4096U);
  EXPECT_EQ(header->salt, 0x1122334455667788U);
  EXPECT_EQ(header->previous, (LogPosition{Epoch{3}, Lsn{99}}));
  EXPECT_TRUE(header->starts);
}

TEST(WalFormat, EveryBitOfASegmentHeaderCounts) {
  const std::string sector = EncodeSegmentHeader(TestHeader());
  for (size_t offset = 0; offset < sector.size(); ++offset) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      EXPECT_EQ(DecodeSegmentHeader(Flip(sector, offset, bit)).status().code(), StatusCode::kDamaged);
    }
  }
  for (size_t size = 0; size < sector.size(); ++size) {
    EXPECT_EQ(DecodeSegmentHeader(std::span(sector).first(size)).status().code(), StatusCode::kDamaged);
  }
}

TEST(WalFormat, KeyFollowsFromEachFieldOfTheHeader) {  // R9
  const auto changed = [](auto change) {
    SegmentHeader header = TestHeader();
    change(header);
    return SegmentKey(header);
  };
  const uint64_t key = SegmentKey(TestHeader());
  EXPECT_EQ(changed([](SegmentHeader&) {}), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.cluster = "other"; }), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.group.number = 8; }), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.group.kind = GroupKind::kShard; }), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.number = 43; }), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.salt ^= 1; }), key);
  EXPECT_NE(changed([](SegmentHeader& h) { h.previous.lsn = Lsn{98}; }), key);
}

class WalBatch : public testing::Test {
 protected:
  void SetUp() override { EncodeBatch(kKey, kOffset, entries_, Lsn{4}, bytes_); }

  // The frames of `bytes`, as far as they pass.
  static std::vector<LogEntry> Decode(uint64_t key, uint64_t offset, const std::string& bytes) {
    std::vector<LogEntry> entries;
    const auto header = DecodeBatchHeader(key, offset, bytes);
    if (!header) return entries;
    size_t at = kBatchHeaderBytes;
    while (at < kBatchHeaderBytes + header->body_bytes) {
      const auto frame = DecodeFrame(
          key, offset + at, std::span(bytes).subspan(at, kBatchHeaderBytes + header->body_bytes - at));
      if (!frame) break;
      entries.push_back({frame->position, std::make_shared<const std::string>(frame->payload)});
      at += frame->frame_bytes;
    }
    return entries;
  }

  static constexpr uint64_t kKey = 0x123456789;
  static constexpr uint64_t kOffset = 3 * kSectorBytes;
  const std::vector<LogEntry> entries_ = {Entry(2, 7, 33), Entry(2, 8, 0), Entry(3, 9, 500)};
  std::string bytes_;
};

TEST_F(WalBatch, RoundTrip) {
  ASSERT_EQ(bytes_.size() % kSectorBytes, 0U);
  const auto header = DecodeBatchHeader(kKey, kOffset, bytes_);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->first, Lsn{7});
  EXPECT_EQ(header->last, Lsn{9});
  EXPECT_EQ(header->durable, Lsn{4});
  EXPECT_EQ(BatchBytes(header->body_bytes), bytes_.size());
  EXPECT_EQ(Texts(Decode(kKey, kOffset, bytes_)), Texts(entries_));
}

TEST_F(WalBatch, NoOtherKeyOrPlacePasses) {
  EXPECT_FALSE(DecodeBatchHeader(kKey + 1, kOffset, bytes_));
  EXPECT_FALSE(DecodeBatchHeader(kKey, kOffset + kSectorBytes, bytes_));
  const std::span<const char> frame = std::span<const char>(bytes_).subspan(kBatchHeaderBytes);
  EXPECT_TRUE(DecodeFrame(kKey, kOffset + kBatchHeaderBytes, frame));
  EXPECT_FALSE(DecodeFrame(kKey ^ 1, kOffset + kBatchHeaderBytes, frame));
  EXPECT_FALSE(DecodeFrame(kKey, kOffset + kBatchHeaderBytes + 1, frame));
}

TEST_F(WalBatch, EveryBitOfAFrameCounts) {  // R9: length, LSN, epoch and payload
  const size_t body_bytes = DecodeBatchHeader(kKey, kOffset, bytes_)->body_bytes;
  size_t bits = 0;
  for (size_t offset = 0; offset < kBatchHeaderBytes + body_bytes; ++offset) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const auto found = Decode(kKey, kOffset, Flip(bytes_, offset, bit));
      ASSERT_LT(found.size(), entries_.size()) << "offset " << offset;
      ASSERT_EQ(Texts(found), Prefix(Texts(entries_), found.size()));
      ++bits;
    }
  }
  EXPECT_GT(bits, 4000U);
}

TEST_F(WalBatch, EveryTruncationIsNoticed) {
  for (size_t size = 0; size < kBatchHeaderBytes; ++size) {
    EXPECT_FALSE(DecodeBatchHeader(kKey, kOffset, std::span(bytes_).first(size)));
  }
  const size_t frame_bytes = kFrameHeaderBytes + entries_[0].payload->size();
  for (size_t size = 0; size < frame_bytes; ++size) {
    EXPECT_FALSE(DecodeFrame(kKey, kOffset + kBatchHeaderBytes,
                             std::span<const char>(bytes_).subspan(kBatchHeaderBytes, size)));
  }
}

TEST(WalFileNames, RoundTripAndNothingElse) {
  for (const SegmentFileKind kind :
       {SegmentFileKind::kLive, SegmentFileKind::kSpare, SegmentFileKind::kNew}) {
    for (const uint64_t number : {uint64_t{0}, uint64_t{7}, uint64_t{9'999'999'999'999'999}}) {
      const auto name = ParseSegmentFileName(FormatSegmentFileName({kind, number}));
      ASSERT_TRUE(name);
      EXPECT_EQ(name->kind, kind);
      EXPECT_EQ(name->number, number);
    }
  }
  EXPECT_EQ(FormatSegmentFileName({SegmentFileKind::kLive, 7}), "log-0000000000000007");
  for (const std::string other :
       {"", "log-", "log-7", "log-000000000000000x", "log-0000000000000007.bak", "log-00000000000000070",
        "log-10000000000000000", "log-18446744073709551615", "log--000000000000007",
        "LOG-0000000000000007"}) {
    EXPECT_FALSE(ParseSegmentFileName(other)) << other;
  }
}

}  // namespace
}  // namespace assent::wal
