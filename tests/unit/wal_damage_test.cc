// R8 and R9 over every byte: each bit flip and each truncation of a log of more than 64 KiB. Damage at or
// below the durable watermark is reported and changes nothing on disk; what lies above it is cut; bytes that
// mean nothing have no effect; nothing else ever happens.
#include <array>

#include "tests/unit/wal_testing.h"
#include "wal/inspect.h"

namespace assent::wal {
namespace {

constexpr uint64_t kSegmentBytes = uint64_t{16} << 10;

struct Batch {
  uint64_t offset;
  uint64_t body_end;
  Lsn first;
  Lsn last;
};

struct SegmentLayout {
  std::string path;
  std::vector<Batch> batches;
};

class LayoutCollector final : public InspectVisitor {
 public:
  void OnSegment(const InspectedSegment& segment) override { segments.push_back({segment.path, {}}); }
  void OnBatch(uint64_t offset, const BatchHeader& header, uint64_t) override {
    segments.back().batches.push_back(
        {offset, offset + kBatchHeaderBytes + header.body_bytes, header.first, header.last});
  }
  void OnFrame(uint64_t, const FrameView&, const std::string&) override {}
  void OnSegmentEnd(const InspectedSegment&, const InspectedSegmentEnd&) override {}

  std::vector<SegmentLayout> segments;
};

// A log of six segments with batches of one to nine records, each of them forced, two epochs.
class WalDamage : public testing::Test {
 protected:
  void SetUp() override {
    {
      const auto log = MustOpen(files_, TestOptions(kSegmentBytes));
      uint64_t lsn = 0;
      for (uint64_t round = 0; log->segment_count() < 6 || lsn % 7 != 0; ++round) {
        const uint64_t count = 1 + round % 9;
        const auto more = Entries(1 + round / 60, lsn + 1, lsn + count, 60 + (round * 37) % 300);
        ExpectOk(log->AppendAndForce(more));
        all_.insert(all_.end(), more.begin(), more.end());
        lsn += count;
      }
    }
    LayoutCollector layout;
    const auto summary = Inspect(files_, kDirectory, {}, layout);
    ASSERT_TRUE(summary.ok());
    ExpectOk(summary->status);
    EXPECT_EQ(summary->last, all_.back().position);
    segments_ = std::move(layout.segments);
    texts_ = Texts(all_);
    ASSERT_EQ(segments_.size(), 6U);
    uint64_t bytes = 0;
    for (const SegmentLayout& segment : segments_) bytes += segment.batches.back().body_end;
    ASSERT_GE(bytes, uint64_t{64} << 10);
    ASSERT_GE(segments_.back().batches.size(), 2U);
  }

  const Batch& LastBatch() const { return segments_.back().batches.back(); }
  // The durable watermark that the log itself proves: all but the last batch.
  uint64_t Watermark() const { return Raw(LastBatch().first) - 1; }

  // Opens a copy and expects records 1..last, no more and no less, also after another append and restart.
  void ExpectRecovered(const MemoryFileSystem& damaged, uint64_t last, bool append = false) {
    MemoryFileSystem copy(damaged);
    auto log = MustOpen(copy, TestOptions(kSegmentBytes));
    ASSERT_NE(log, nullptr);
    ASSERT_EQ(log->last().lsn, Lsn{last});
    ASSERT_EQ(log->base(), LogPosition{});
    // Records of the last segment; those before it are read in the runs that append.
    const Lsn from = append ? Lsn{1} : segments_.back().batches.front().first;
    if (from <= Lsn{last}) {
      const auto entries = log->Read(from, SIZE_MAX);
      ASSERT_TRUE(entries.ok());
      ASSERT_EQ(entries->size(), last + 1 - Raw(from));
      for (const LogEntry& entry : *entries) {
        const LogEntry& expected = all_[Raw(entry.position.lsn) - 1];
        ASSERT_EQ(entry.position, expected.position);
        ASSERT_EQ(*entry.payload, *expected.payload);
      }
    }
    if (!append) return;
    ExpectOk(log->AppendAndForce(Entries(9, last + 1, last + 2)));
    copy.Crash([] { return false; });
    EXPECT_EQ(MustOpen(copy, TestOptions(kSegmentBytes))->last(), (LogPosition{Epoch{9}, Lsn{last + 2}}));
  }

  void ExpectDamaged(const std::string& path, Lsn known_acknowledged = Lsn{}) {
    const uint64_t effects = files_.effects();
    const auto opened = Log::Open(files_, kDirectory, TestOptions(kSegmentBytes, known_acknowledged));
    ASSERT_FALSE(opened.ok());
    ASSERT_EQ(opened.status().code(), StatusCode::kDamaged) << opened.status().ToString();
    ASSERT_NE(opened.status().message().find(path + ", offset "), std::string::npos)
        << opened.status().ToString();
    ASSERT_EQ(files_.effects(), effects) << "a damaged log is left as it was";
  }

  MemoryFileSystem files_;
  std::vector<LogEntry> all_;
  std::vector<std::string> texts_;
  std::vector<SegmentLayout> segments_;
};

TEST_F(WalDamage, EveryBitFlip) {
  uint64_t damaged = 0;
  uint64_t cut = 0;
  uint64_t without_effect = 0;
  for (const SegmentLayout& segment : segments_) {
    const bool is_tail = &segment == &segments_.back();
    auto batch = segment.batches.begin();
    for (uint64_t offset = 0; offset < kSegmentBytes; ++offset) {
      while (batch != segment.batches.end() && offset >= batch->body_end) ++batch;
      const bool in_batch = batch != segment.batches.end() && offset >= batch->offset;
      for (unsigned bit = kSanitized ? offset % 8 : 0; bit < 8; bit += kSanitized ? 8 : 1) {
        MemoryInode& inode = files_.inode(segment.path);
        inode.FlipBit(offset, bit);
        if (offset < kSectorBytes || (in_batch && (!is_tail || batch->last <= Lsn{Watermark()}))) {
          ExpectDamaged(segment.path);
          ++damaged;
        } else if (in_batch) {
          ExpectRecovered(files_, Watermark(), bit == offset % 8);
          ++cut;
        } else {
          // Padding, and what no batch reached: one bit of a byte stands for all where nothing can
          // be read anyway.
          if (bit == offset % 8) ExpectRecovered(files_, all_.size(), is_tail && bit == 0);
          ++without_effect;
        }
        inode.FlipBit(offset, bit);
        ASSERT_FALSE(HasFailure()) << segment.path << " offset " << offset << " bit " << bit;
      }
    }
  }
  std::printf("bit flips: %lu reported, %lu cut, %lu without effect\n", damaged, cut, without_effect);
  EXPECT_GT(damaged, (uint64_t{64} << 10) * (kSanitized ? 1 : 8));
  EXPECT_GT(cut, 0U);
}

TEST_F(WalDamage, EveryFileTruncation) {
  // A segment has its whole length, durably, before it holds anything: a shorter file has lost bytes.
  for (const SegmentLayout& segment : segments_) {
    const MemoryInode saved = files_.inode(segment.path);
    for (uint64_t size = kSegmentBytes; size-- > 0;) {
      files_.inode(segment.path).Resize(size);
      ExpectDamaged(segment.path);
      ASSERT_FALSE(HasFailure()) << segment.path << " size " << size;
    }
    files_.inode(segment.path) = saved;
  }
  ExpectRecovered(files_, all_.size());
}

TEST_F(WalDamage, EveryPointAtWhichWritingMayHaveStopped) {
  // As if nothing from some byte of the last segment on had ever been written. The rest of the log cannot
  // know of what is gone; the holder of an acknowledgement does.
  const SegmentLayout& segment = segments_.back();
  const MemoryInode saved = files_.inode(segment.path);
  for (uint64_t stop = kSegmentBytes; stop-- > 0;) {
    MemoryInode& inode = files_.inode(segment.path);
    inode.Resize(stop);
    inode.Resize(kSegmentBytes);
    uint64_t left = Raw(segment.batches.front().first) - 1;
    for (const Batch& batch : segment.batches) {
      if (batch.body_end <= stop) left = Raw(batch.last);
    }
    if (stop < kSectorBytes) {
      ExpectDamaged(segment.path);
    } else {
      ExpectRecovered(files_, left, stop % 7 == 0);
      const bool lost = left < Watermark();
      if (lost) ExpectDamaged(segment.path, Lsn{Watermark()});
    }
    ASSERT_FALSE(HasFailure()) << "stop " << stop;
  }
}

TEST_F(WalDamage, AnAcknowledgementMakesDamageOfATornTail) {
  files_.inode(segments_.back().path).FlipBit(LastBatch().body_end - 1, 0);
  ExpectRecovered(files_, Watermark());
  ExpectDamaged(segments_.back().path, LastBatch().last);
  ExpectDamaged(segments_.back().path, LastBatch().first);
  MemoryFileSystem copy(files_);
  EXPECT_EQ(OpenCode(copy, TestOptions(kSegmentBytes, Lsn{Watermark()})), StatusCode::kOk);
}

TEST_F(WalDamage, MessageSaysWhereAndWhatToDo) {
  const Batch& batch = segments_[2].batches[1];
  files_.inode(segments_[2].path).FlipBit(batch.offset + kBatchHeaderBytes + kFrameHeaderBytes, 3);
  const auto opened = Log::Open(files_, kDirectory, TestOptions(kSegmentBytes));
  const std::string& message = opened.status().message();
  EXPECT_NE(message.find(segments_[2].path + ", offset " + std::to_string(batch.offset + kBatchHeaderBytes) +
                         ", LSN " + std::to_string(Raw(batch.first))),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("rejoin from a peer"), std::string::npos) << message;
}

TEST_F(WalDamage, MissingSegmentIsReported) {
  for (size_t i = 1; i + 1 < segments_.size(); ++i) {
    MemoryFileSystem copy(files_);
    ExpectOk(copy.Remove(segments_[i].path));
    EXPECT_EQ(OpenCode(copy, TestOptions(kSegmentBytes)), StatusCode::kDamaged) << segments_[i].path;
  }
  // That the last one is missing only someone else can know; that the first ones are, shows in the base.
  MemoryFileSystem copy(files_);
  ExpectOk(copy.Remove(segments_.back().path));
  EXPECT_EQ(OpenCode(copy, TestOptions(kSegmentBytes, Lsn{Watermark()})), StatusCode::kDamaged);
  for (const SegmentLayout& segment : segments_) {
    if (&segment != &segments_.back()) ExpectOk(copy.Remove(segment.path));
  }
  EXPECT_EQ(OpenCode(copy, TestOptions(kSegmentBytes, Lsn{1})), StatusCode::kDamaged);
}

TEST_F(WalDamage, MisdirectedBatchIsNeverRead) {
  // A sound batch, of the right segment, written over another place in it.
  const SegmentLayout& segment = segments_[3];
  const std::string bytes = files_.inode(segment.path).cached();
  const Batch& from = segment.batches[4];
  const std::string batch =
      bytes.substr(from.offset, BatchBytes(from.body_end - from.offset - kBatchHeaderBytes));
  const MemoryInode saved = files_.inode(segment.path);
  for (const Batch& to : segment.batches) {
    if (to.offset == from.offset) continue;
    files_.inode(segment.path).Write(to.offset, batch.substr(0, kSegmentBytes - to.offset));
    ExpectDamaged(segment.path);
    files_.inode(segment.path) = saved;
  }
}

TEST_F(WalDamage, SegmentFileInPlaceOfAnotherIsReported) {
  files_.inode(segments_[2].path) = files_.inode(segments_[1].path);
  ExpectDamaged(segments_[2].path);
}

TEST_F(WalDamage, SpoiledSinceOpenIsReportedByRead) {
  MemoryFileSystem copy(files_);
  const auto log = MustOpen(copy, TestOptions(kSegmentBytes));
  const Batch& batch = segments_[1].batches[3];
  copy.inode(segments_[1].path).FlipBit(batch.offset + kBatchHeaderBytes + 5, 1);
  EXPECT_EQ(log->Read(batch.last, 100).status().code(), StatusCode::kDamaged);
  EXPECT_TRUE(log->Read(Next(batch.last), 100).ok());
  // A long read returns what is sound before it; the next one reports.
  const auto before = log->Read(segments_[0].batches[0].first, SIZE_MAX);
  ASSERT_TRUE(before.ok());
  EXPECT_LT(before->back().position.lsn, batch.first);
}

// A sound batch, with the segment's own key and at its own place, which is not the one that was read there
// when the log was opened.
TEST(WalRead, AnotherBatchThanTheOneOfTheIndexIsDamage) {
  LogOptions options = TestOptions(uint64_t{4} << 20);
  options.random = [] { return uint64_t{7}; };  // so that both logs have the same keys
  MemoryFileSystem files;
  MemoryFileSystem other_files;
  const auto log = MustOpen(files, options);
  const auto other = MustOpen(other_files, options);
  constexpr size_t kBytes = 100'000;  // each batch is in the index
  ExpectOk(log->AppendAndForce(Entries(1, 1, 1, kBytes)));
  ExpectOk(log->AppendAndForce(Entries(1, 2, 2, 2 * kBytes)));
  ExpectOk(log->AppendAndForce(Entries(1, 3, 3, kBytes)));
  ExpectOk(other->AppendAndForce(Entries(1, 1, 1, kBytes)));
  ExpectOk(other->AppendAndForce(Entries(1, 2, 3, kBytes)));  // as long, since batches end with a sector
  ExpectOk(other->AppendAndForce(Entries(1, 4, 4, kBytes)));
  EXPECT_EQ(Texts(*log->Read(Lsn{3}, 100)), Texts(Entries(1, 3, 3, kBytes)));
  ASSERT_EQ(LivePaths(files).size(), 1u);
  files.inode(LivePaths(files)[0]) = other_files.inode(LivePaths(files)[0]);
  const Status read = log->Read(Lsn{3}, 100).status();
  EXPECT_EQ(read.code(), StatusCode::kDamaged);
  EXPECT_NE(read.message().find("the batch begins with LSN 4"), std::string::npos) << read.ToString();
}

TEST(WalJoint, SegmentBehindAnotherEpochIsReported) {
  MemoryFileSystem files;
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(5, 1, 3)));
    ExpectOk(log->Truncate(Lsn{2}));
  }
  MemoryInode& inode = files.inode(LivePaths(files).back());
  auto header = DecodeSegmentHeader(std::span(inode.cached()).first(kSectorBytes));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->previous, (LogPosition{Epoch{5}, Lsn{2}}));
  header->previous.epoch = Epoch{4};
  inode.Write(0, EncodeSegmentHeader(*header));
  EXPECT_EQ(OpenCode(files), StatusCode::kDamaged);
}

TEST(WalEpochs, AFallOnDiskEndsTheLog) {  // R9
  MemoryFileSystem files;
  ExpectOk(MustOpen(files)->AppendAndForce(Entries(5, 1, 3)));
  const std::string path = LivePath(2);
  ASSERT_EQ(LivePaths(files), std::vector<std::string>{path});
  const auto header = DecodeSegmentHeader(std::span(files.inode(path).cached()).first(kSectorBytes));
  ASSERT_TRUE(header.ok());
  std::string batch;
  const auto falling = Entries(4, 4, 5);
  EncodeBatch(SegmentKey(*header), 2 * kSectorBytes, falling, Lsn{2}, batch);
  files.inode(path).Write(2 * kSectorBytes, batch);
  RecoveryFacts facts;
  EXPECT_EQ(MustOpen(files, TestOptions(), &facts)->last(), (LogPosition{Epoch{5}, Lsn{3}}));
  EXPECT_EQ(facts.torn_batches, 1U);
}

}  // namespace
}  // namespace assent::wal
