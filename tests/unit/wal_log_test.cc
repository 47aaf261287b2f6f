// wal/log.h without faults: what is appended is what is read, here and after a restart.
#include "tests/unit/wal_testing.h"
#include "wal/log.h"

namespace assent::wal {
namespace {

TEST(Log, NewOneIsEmpty) {
  MemoryFileSystem files;
  RecoveryFacts facts;
  const auto log = MustOpen(files, TestOptions(), &facts);
  EXPECT_TRUE(facts.created);
  EXPECT_EQ(log->base(), LogPosition{});
  EXPECT_EQ(log->last(), LogPosition{});
  EXPECT_EQ(log->EpochAt(Lsn{0}), Epoch{0});
  EXPECT_EQ(log->EpochAt(Lsn{1}), std::nullopt);
  EXPECT_TRUE(log->Read(Lsn{1}, 100)->empty());
}

TEST(Log, AppendedIsReadOnceForced) {
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  const auto entries = Entries(1, 1, 5);
  ExpectOk(log->Append(entries));
  EXPECT_EQ(log->last(), entries.back().position);
  EXPECT_EQ(log->durable(), LogPosition{});
  EXPECT_TRUE(log->Read(Lsn{1}, 1000)->empty());
  ExpectOk(log->Force());
  EXPECT_EQ(log->durable(), entries.back().position);
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(entries));
}

TEST(Log, OneForceCoversAllAppendsBeforeIt) {  // R10
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  const uint64_t syncs = files.syncs();
  ExpectOk(log->Append(Entries(1, 1, 3)));
  ExpectOk(log->Append(Entries(1, 4, 4)));
  ExpectOk(log->Append(Entries(1, 5, 6)));
  ExpectOk(log->Force());
  ExpectOk(log->Force());
  EXPECT_EQ(files.syncs(), syncs + 1);
  EXPECT_EQ(log->durable().lsn, Lsn{6});
}

TEST(Log, SurvivesRestartAcrossSegments) {
  MemoryFileSystem files;
  std::vector<LogEntry> all;
  {
    const auto log = MustOpen(files);
    for (uint64_t lsn = 1; lsn <= 300; lsn += 3) {
      const auto entries = Entries(1 + lsn / 100, lsn, lsn + 2, 10 + lsn);
      ExpectOk(log->AppendAndForce(entries));
      all.insert(all.end(), entries.begin(), entries.end());
    }
    EXPECT_GT(log->segment_count(), 10U);
    EXPECT_EQ(Texts(ReadAll(*log)), Texts(all));
  }
  files.Crash([] { return false; });
  RecoveryFacts facts;
  const auto log = MustOpen(files, TestOptions(), &facts);
  EXPECT_FALSE(facts.created);
  EXPECT_EQ(facts.torn_batches, 0U);
  EXPECT_EQ(facts.cut_bytes, 0U);
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(all));
  for (const LogEntry& entry : all) EXPECT_EQ(log->EpochAt(entry.position.lsn), entry.position.epoch);
}

TEST(Log, ReadStartsAnywhereAndIsBounded) {
  MemoryFileSystem files;
  const auto log = MustOpen(files, TestOptions(uint64_t{256} << 10));  // long enough for several index spots
  const auto all = Entries(1, 1, 900, 200);
  for (size_t i = 0; i < all.size(); i += 9) ExpectOk(log->Append(std::span(all).subspan(i, 9)));
  ExpectOk(log->Force());
  for (uint64_t from = 1; from <= 900; ++from) {
    const auto some = log->Read(Lsn{from}, 500);
    ASSERT_TRUE(some.ok());
    EXPECT_EQ(some->size(), std::min<size_t>(3, 901 - from));
    EXPECT_EQ(some->front().position.lsn, Lsn{from});
    EXPECT_EQ(*some->front().payload, *all[from - 1].payload);
  }
  EXPECT_EQ(log->Read(Lsn{7}, 0)->size(), 1U) << "always at least one";
  EXPECT_TRUE(log->Read(Lsn{901}, 500)->empty());
  EXPECT_EQ(log->Read(Lsn{0}, 500).status().code(), StatusCode::kNotFound);
}

TEST(Log, LongListIsSplitIntoBatchesAndSegments) {
  MemoryFileSystem files;
  const auto all = Entries(1, 1, 100, 300);
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(all));
    EXPECT_GT(log->segment_count(), 5U);
  }
  EXPECT_EQ(Texts(ReadAll(*MustOpen(files))), Texts(all));
}

TEST(Log, PayloadUpToTheSegmentOrFourMebibytes) {
  MemoryFileSystem files;
  auto log = MustOpen(files);
  const uint64_t most = log->PayloadBytesMax();
  EXPECT_EQ(most, kSegmentBytesMin - kSectorBytes - kBatchHeaderBytes - kFrameHeaderBytes);
  EXPECT_EQ(log->Append(Entries(1, 1, 1, most + 1)).code(), StatusCode::kInvalid);
  const std::vector<LogEntry> all = {Entry(1, 1, most), Entry(1, 2, 0), Entry(1, 3, most)};
  ExpectOk(log->AppendAndForce(all));
  log.reset();
  EXPECT_EQ(Texts(ReadAll(*MustOpen(files))), Texts(all));

  MemoryFileSystem large_files;
  const auto large = MustOpen(large_files, TestOptions(uint64_t{16} << 20));
  EXPECT_EQ(large->PayloadBytesMax(), kPayloadBytesMax);
  EXPECT_EQ(large->Append(Entries(1, 1, 1, kPayloadBytesMax + 1)).code(), StatusCode::kInvalid);
  ExpectOk(large->AppendAndForce(Entries(1, 1, 2, kPayloadBytesMax)));
  EXPECT_EQ(Texts(ReadAll(*large)), Texts(Entries(1, 1, 2, kPayloadBytesMax)));
}

TEST(Log, RefusedAppendLeavesNothingAndDoesNotPoison) {
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  ExpectOk(log->AppendAndForce(Entries(3, 1, 4)));
  EXPECT_EQ(log->Append(Entries(3, 4, 5)).code(), StatusCode::kInvalid) << "an LSN again";
  EXPECT_EQ(log->Append(Entries(3, 6, 7)).code(), StatusCode::kInvalid) << "a gap";
  EXPECT_EQ(log->Append(Entries(2, 5, 5)).code(), StatusCode::kInvalid) << "R9: the epoch falls";
  const std::vector<LogEntry> falling = {Entry(5, 5), Entry(4, 6)};
  EXPECT_EQ(log->Append(falling).code(), StatusCode::kInvalid) << "R9: the epoch falls within the list";
  ExpectOk(log->status());
  ExpectOk(log->AppendAndForce(Entries(3, 5, 6)));
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(Entries(3, 1, 6)));
}

TEST(Log, BadOptionsAreRefused) {
  MemoryFileSystem files;
  EXPECT_EQ(OpenCode(files, TestOptions(4096 + 1)), StatusCode::kInvalid);
  EXPECT_EQ(OpenCode(files, TestOptions(512)), StatusCode::kInvalid);
  EXPECT_EQ(OpenCode(files, TestOptions(kSegmentBytesMax * 2)), StatusCode::kInvalid);
  LogOptions options = TestOptions();
  options.cluster.assign(kClusterBytesMax + 1, 'x');
  EXPECT_EQ(OpenCode(files, options), StatusCode::kInvalid);
  options = TestOptions();
  options.random = nullptr;
  EXPECT_EQ(OpenCode(files, options), StatusCode::kInvalid);
  EXPECT_TRUE(files.Paths().empty());
}

TEST(Log, OfAnotherClusterOrGroupIsForeign) {
  MemoryFileSystem files;
  ExpectOk(MustOpen(files)->AppendAndForce(Entries(1, 1, 1)));
  LogOptions options = TestOptions();
  options.cluster = "other";
  EXPECT_EQ(OpenCode(files, options), StatusCode::kForeign);
  options = TestOptions();
  options.group = {GroupKind::kShard, 2};
  EXPECT_EQ(OpenCode(files, options), StatusCode::kForeign);
  options.group = {GroupKind::kCoordinator, 1};
  EXPECT_EQ(OpenCode(files, options), StatusCode::kForeign);
}

TEST(Log, SegmentSizeMayChangeBetweenRestarts) {
  MemoryFileSystem files;
  ExpectOk(MustOpen(files, TestOptions(8192))->AppendAndForce(Entries(1, 1, 2, 3000)));
  ExpectOk(MustOpen(files, TestOptions(4096))->AppendAndForce(Entries(1, 3, 5, 3000)));
  ExpectOk(MustOpen(files, TestOptions(16384))->AppendAndForce(Entries(1, 6, 9, 15000)));
  EXPECT_EQ(Texts(ReadAll(*MustOpen(files, TestOptions(4096)))), Texts([] {
              auto all = Entries(1, 1, 5, 3000);
              const auto more = Entries(1, 6, 9, 15000);
              all.insert(all.end(), more.begin(), more.end());
              return all;
            }()));
}

TEST(Log, ReopenedEmptyTailOfASmallerSizeIsReplacedForALargerRecord) {
  MemoryFileSystem files;
  MustOpen(files, TestOptions(4096));
  ExpectOk(MustOpen(files, TestOptions(8192))->AppendAndForce(Entries(1, 1, 1, 6000)));
  EXPECT_EQ(LivePaths(files).size(), 1U);
  EXPECT_EQ(ReadAll(*MustOpen(files)).size(), 1U);
}

TEST(LogTrim, KeepsThePositionBeforeTheFirstRecord) {
  MemoryFileSystem files;
  auto log = MustOpen(files);
  ExpectOk(log->AppendAndForce(Entries(1, 1, 40, 300)));
  ExpectOk(log->AppendAndForce(Entries(2, 41, 100, 300)));
  const uint64_t segments = log->segment_count();
  ExpectOk(log->Trim(Lsn{1}));
  EXPECT_EQ(log->segment_count(), segments);
  for (uint64_t below = 1; below <= 120; below += 7) {
    ExpectOk(log->Trim(Lsn{below}));
    const LogPosition base = log->base();
    EXPECT_LT(base.lsn, Lsn{std::min<uint64_t>(below, 100)});
    EXPECT_EQ(base.epoch, base.lsn == Lsn{0} ? Epoch{0} : base.lsn <= Lsn{40} ? Epoch{1} : Epoch{2});
    EXPECT_EQ(log->EpochAt(base.lsn), base.epoch);
    EXPECT_EQ(log->EpochAt(Lsn{Raw(base.lsn) - 1}), std::nullopt);
    for (uint64_t lsn = Raw(base.lsn) + 1; lsn <= 100; ++lsn)
      EXPECT_EQ(log->EpochAt(Lsn{lsn}), Epoch{lsn <= 40 ? 1U : 2U});
    log.reset();
    log = MustOpen(files);
    EXPECT_EQ(log->base(), base);
    EXPECT_EQ(ReadAll(*log).size(), 100 - Raw(base.lsn));
    for (uint64_t lsn = Raw(base.lsn) + 1; lsn <= 100; ++lsn)
      EXPECT_EQ(log->EpochAt(Lsn{lsn}), Epoch{lsn <= 40 ? 1U : 2U});
  }
  EXPECT_EQ(log->segment_count(), 1U);
  EXPECT_EQ(log->last().lsn, Lsn{100});
}

TEST(LogTrim, DiskStaysBoundedAndSegmentsAreReused) {
  MemoryFileSystem files;
  auto log = MustOpen(files);
  uint64_t lsn = 0;
  for (int round = 0; round < 50; ++round) {
    ExpectOk(log->AppendAndForce(Entries(1, lsn + 1, lsn + 20, 300)));
    lsn += 20;
    ExpectOk(log->Trim(Lsn{lsn - 5}));
    EXPECT_LE(files.Paths().size(), 7U);
  }
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(Entries(1, Raw(log->base().lsn) + 1, lsn, 300)));
  log.reset();
  log = MustOpen(files);
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(Entries(1, Raw(log->base().lsn) + 1, lsn, 300)));
}

// An operator changes log.segment_bytes: segments of the old length are read, and never go live again (R9).
TEST(LogTrim, SegmentsOfAnotherLengthAreNotReused) {
  for (const auto& [before, after] : {std::pair(1u, 2u), std::pair(2u, 1u)}) {
    MemoryFileSystem files;
    auto log = MustOpen(files, TestOptions(before * kSegmentBytesMin));
    ExpectOk(log->AppendAndForce(Entries(1, 1, 400, 300)));
    uint64_t lsn = 400;
    for (int start = 0; start < 3; ++start) {
      log.reset();
      log = MustOpen(files, TestOptions(after * kSegmentBytesMin));
      for (int round = 0; round < 10; ++round) {
        ExpectOk(log->AppendAndForce(Entries(1, lsn + 1, lsn + 20, 300)));
        lsn += 20;
        ExpectOk(log->Trim(Lsn{lsn - 50}));
      }
      EXPECT_EQ(Texts(ReadAll(*log)), Texts(Entries(1, Raw(log->base().lsn) + 1, lsn, 300)));
    }
  }
}

TEST(LogFiles, NumbersThatLeaveNoNextOneAreNotOurs) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory).ok());
  const auto strange = files.Create(kDirectory + "/spare-18446744073709551615");
  ASSERT_TRUE(strange.ok());
  ExpectOk((*strange)->WriteAt(0, std::string(kSegmentBytesMin, 'x')));
  const auto log = MustOpen(files);
  ExpectOk(log->AppendAndForce(Entries(1, 1, 400, 300)));
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(Entries(1, 1, 400, 300)));
}

TEST(LogTruncate, EveryLengthThenOtherEpoch) {  // R4
  const auto all = Entries(1, 1, 40, 250);
  for (uint64_t after = 0; after <= 40; ++after) {
    MemoryFileSystem files;
    auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(all));
    ExpectOk(log->Truncate(Lsn{after}));
    EXPECT_EQ(log->last(), (after == 0 ? LogPosition{} : LogPosition{Epoch{1}, Lsn{after}}));
    EXPECT_EQ(log->EpochAt(Lsn{after + 1}), std::nullopt);
    auto expected = Entries(1, 1, after, 250);
    EXPECT_EQ(Texts(ReadAll(*log)), Texts(expected));
    const auto more = Entries(2, after + 1, after + 12, 250);
    ExpectOk(log->AppendAndForce(more));
    expected.insert(expected.end(), more.begin(), more.end());
    EXPECT_EQ(Texts(ReadAll(*log)), Texts(expected));
    log.reset();
    log = MustOpen(files);
    EXPECT_EQ(Texts(ReadAll(*log)), Texts(expected));
    EXPECT_EQ(log->EpochAt(Lsn{after + 1}), Epoch{2});
  }
}

TEST(LogTruncate, AgainAndAgain) {
  MemoryFileSystem files;
  auto log = MustOpen(files);
  std::vector<LogEntry> expected;
  std::mt19937_64 random(7);
  for (uint64_t epoch = 1; epoch <= 60; ++epoch) {
    const auto more = Entries(epoch, expected.size() + 1, expected.size() + 1 + random() % 20, 250);
    ExpectOk(log->Append(more));
    if (random() % 2 == 0) ExpectOk(log->Force());
    expected.insert(expected.end(), more.begin(), more.end());
    expected.resize(expected.size() - random() % std::min<size_t>(expected.size() + 1, 25));
    ExpectOk(log->Truncate(Lsn{expected.size()}));
    if (random() % 3 == 0) {
      log.reset();
      log = MustOpen(files);
    }
    EXPECT_EQ(log->last(), expected.empty() ? LogPosition{} : expected.back().position);
  }
  ExpectOk(log->Force());
  EXPECT_EQ(Texts(ReadAll(*log)), Texts(expected));
}

TEST(LogTruncate, BelowTheBaseIsRefusedAndAtTheEndNothingHappens) {
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  ExpectOk(log->Reset({Epoch{4}, Lsn{100}}));
  ExpectOk(log->AppendAndForce(Entries(4, 101, 103)));
  EXPECT_EQ(log->Truncate(Lsn{99}).code(), StatusCode::kInvalid);
  const uint64_t effects = files.effects();
  ExpectOk(log->Truncate(Lsn{103}));
  EXPECT_EQ(files.effects(), effects);
  ExpectOk(log->Truncate(Lsn{100}));
  EXPECT_EQ(log->last(), (LogPosition{Epoch{4}, Lsn{100}}));
}

TEST(LogReset, StartsBehindTheBase) {
  MemoryFileSystem files;
  auto log = MustOpen(files);
  ExpectOk(log->AppendAndForce(Entries(3, 1, 60, 250)));
  for (const LogPosition base : {LogPosition{Epoch{5}, Lsn{1000}}, LogPosition{Epoch{2}, Lsn{10}}}) {
    ExpectOk(log->Reset(base));
    EXPECT_EQ(log->base(), base);
    EXPECT_EQ(log->last(), base);
    EXPECT_EQ(log->EpochAt(base.lsn), base.epoch);
    EXPECT_EQ(log->segment_count(), 1U);
    log.reset();
    log = MustOpen(files);
    EXPECT_EQ(log->base(), base);
    EXPECT_EQ(log->last(), base);
    const auto more = Entries(6, Raw(base.lsn) + 1, Raw(base.lsn) + 30, 250);
    ExpectOk(log->AppendAndForce(more));
    log.reset();
    log = MustOpen(files);
    EXPECT_EQ(log->base(), base);
    EXPECT_EQ(Texts(ReadAll(*log)), Texts(more));
  }
}

TEST(LogPrepareNextSegment, TakesTheSlowPartOffTheAppend) {
  MemoryFileSystem files;
  const auto log = MustOpen(files, TestOptions(uint64_t{1} << 20));
  ExpectOk(log->PrepareNextSegment());
  EXPECT_EQ(files.Paths().size(), 1U) << "not yet needed";
  ExpectOk(log->AppendAndForce(Entries(1, 1, 6, 100000)));
  ExpectOk(log->PrepareNextSegment());
  ExpectOk(log->PrepareNextSegment());
  EXPECT_EQ(files.Paths().size(), 2U);
  const uint64_t used = files.used();
  ExpectOk(log->AppendAndForce(Entries(1, 7, 12, 100000)));
  EXPECT_EQ(files.used(), used);
  EXPECT_EQ(log->segment_count(), 2U);
}

// A file system of which nothing more can be opened for a while.
class WithoutDescriptors final : public FileSystem {
 public:
  explicit WithoutDescriptors(FileSystem& files) : files_(files) {}
  void set_left(bool left) { left_ = left; }
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (!left_) return None(path);
    return files_.Open(path, mode);
  }
  Result<std::unique_ptr<File>> Create(const std::string& path) override {
    if (!left_) return None(path);
    return files_.Create(path);
  }
  Status Rename(const std::string& from, const std::string& to) override { return files_.Rename(from, to); }
  Status Remove(const std::string& path) override { return files_.Remove(path); }
  Status CreateDirectory(const std::string& path) override { return files_.CreateDirectory(path); }
  Result<std::vector<std::string>> List(const std::string& path) override { return files_.List(path); }
  Status SyncDirectory(const std::string& path) override { return files_.SyncDirectory(path); }

 private:
  static Status None(const std::string& path) { return {StatusCode::kUnavailable, path + ": no descriptor"}; }
  FileSystem& files_;
  bool left_ = true;
};

// R7: what could not be opened was not written, so it fails nothing but the call.
TEST(LogDescriptors, WantOfThemPoisonsNothingAndTheSameCallSucceedsLater) {
  MemoryFileSystem memory;
  WithoutDescriptors files(memory);
  LogOptions options = TestOptions();
  const uint64_t record_bytes = options.segment_bytes / 4;
  auto opened = Log::Open(files, kDirectory, std::move(options));
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  Log& log = *opened->log;
  files.set_left(false);
  uint64_t lsn = 1;
  while (true) {  // until a segment is full and another is needed
    const Status appended = log.AppendAndForce(Entries(1, lsn, lsn, record_bytes));
    if (!appended.ok()) {
      EXPECT_EQ(appended.code(), StatusCode::kUnavailable) << appended.ToString();
      break;
    }
    ASSERT_LT(++lsn, 10U);
  }
  EXPECT_TRUE(log.status().ok());
  EXPECT_EQ(log.last().lsn, Lsn{lsn - 1}) << "nothing of it is in the log";
  EXPECT_EQ(log.StepNextSegment().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(log.Truncate(Lsn{1}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(log.Read(Lsn{1}, 1000).status().code(), StatusCode::kUnavailable);
  files.set_left(true);
  EXPECT_TRUE(log.AppendAndForce(Entries(1, lsn, lsn + 20, record_bytes)).ok());
  EXPECT_TRUE(log.status().ok());
  EXPECT_EQ(Texts(ReadAll(log)), Texts(Entries(1, 1, lsn + 20, record_bytes)));
}

// A segment made ahead of need is also opened ahead of need.
TEST(LogDescriptors, PreparedSegmentNeedsNone) {
  MemoryFileSystem memory;
  WithoutDescriptors files(memory);
  LogOptions options = TestOptions();
  const uint64_t record_bytes = options.segment_bytes / 4;
  auto opened = Log::Open(files, kDirectory, std::move(options));
  ASSERT_TRUE(opened.ok());
  Log& log = *opened->log;
  ASSERT_TRUE(log.AppendAndForce(Entries(1, 1, 3, record_bytes)).ok());
  ASSERT_TRUE(log.PrepareNextSegment().ok());
  files.set_left(false);
  EXPECT_TRUE(log.AppendAndForce(Entries(1, 4, 5, record_bytes)).ok());
  EXPECT_EQ(log.segment_count(), 2U);
}

}  // namespace
}  // namespace assent::wal
