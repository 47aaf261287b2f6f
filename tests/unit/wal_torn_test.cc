// R8 and R9 where a power cut meets an unsynced tail: any subset of its sectors may survive, over zeros or
// over what an earlier life of the segment left there.
#include "tests/unit/wal_testing.h"

namespace assent::wal {
namespace {

// A `keep` for Crash: the bits of `mask` in order, sector by sector.
std::function<bool()> Mask(uint64_t mask) {
  return [mask, i = 0U]() mutable { return ((mask >> i++) & 1) != 0; };
}

uint64_t CountDirty(const std::function<void(MemoryFileSystem&)>& prepare) {
  MemoryFileSystem files;
  prepare(files);
  uint64_t count = 0;
  files.Crash([&count] {
    ++count;
    return false;
  });
  return count;
}

// Over zeros, or over a recycled segment whose old batches stand at the same places, with the same LSNs.
enum class Ground { kZeros, kRecycled };

constexpr uint64_t kForced = 6;

// Other bytes under the same positions.
std::vector<LogEntry> Older(std::vector<LogEntry> entries) {
  for (LogEntry& entry : entries) {
    entry.payload = std::make_shared<const std::string>(entry.payload->size(), 'Z');
  }
  return entries;
}

std::unique_ptr<Log> OpenOnGround(MemoryFileSystem& files, Ground ground) {
  auto log = MustOpen(files, TestOptions(16384));
  if (ground == Ground::kRecycled) {
    // Twice: the second reset takes as the new segment the one that the first recycled.
    ExpectOk(log->AppendAndForce(Older(Entries(1, 1, kForced, 200))));
    ExpectOk(log->Append(Older(Entries(1, kForced + 1, kForced + 8, 480))));
    ExpectOk(log->Append(Older(Entries(1, kForced + 9, kForced + 20, 480))));
    ExpectOk(log->Force());
    ExpectOk(log->Reset({}));
    ExpectOk(log->Reset({}));
  }
  ExpectOk(log->AppendAndForce(Entries(1, 1, kForced, 200)));
  return log;
}

// The sequel of a crash: an append of the same LSNs, then a power cut that keeps nothing unsynced. The same
// epoch on purpose: it is the writer's zeros, not the epoch, that must keep the old bytes out.
void ExpectCleanAfterAppend(MemoryFileSystem& files, uint64_t last) {
  std::vector<std::string> expected;
  {
    const auto log = MustOpen(files, TestOptions(16384));
    ASSERT_EQ(log->last().lsn, Lsn{last});
    expected = Texts(ReadAll(*log));
    ASSERT_EQ(expected.size(), last);
    std::vector<LogEntry> more = {{{Epoch{1}, Lsn{last + 1}}, std::make_shared<std::string>("another")}};
    ExpectOk(log->AppendAndForce(more));
    expected.push_back(Texts(more).front());
  }
  files.Crash([] { return false; });
  const auto log = MustOpen(files, TestOptions(16384));
  ASSERT_EQ(Texts(ReadAll(*log)), expected);
}

class WalTornSubsets : public testing::TestWithParam<Ground> {};
INSTANTIATE_TEST_SUITE_P(Ground, WalTornSubsets, testing::Values(Ground::kZeros, Ground::kRecycled),
                         [](const auto& param) {
                           return param.param == Ground::kZeros ? "Zeros" : "Recycled";
                         });

TEST_P(WalTornSubsets, EverySubsetOfALastBatch) {
  const auto batch = Entries(1, kForced + 1, kForced + 8, 480);
  const auto prepare = [&](MemoryFileSystem& files) {
    ExpectOk(OpenOnGround(files, GetParam())->Append(batch));
  };
  const uint64_t sectors = CountDirty(prepare);
  ASSERT_EQ(sectors, 9U);
  for (uint64_t mask = 0; mask < uint64_t{1} << sectors; ++mask) {
    MemoryFileSystem files;
    prepare(files);
    files.Crash(Mask(mask));
    const bool whole = mask + 1 == uint64_t{1} << sectors;
    RecoveryFacts facts;
    {
      MemoryFileSystem copy(files);
      const auto log = MustOpen(copy, TestOptions(16384), &facts);
      if (whole) {
        ASSERT_EQ(Texts(*log->Read(Lsn{kForced + 1}, SIZE_MAX)), Texts(batch));
      }
      ASSERT_EQ(facts.torn_batches, (mask & 1) != 0 && !whole ? 1U : 0U) << mask;
    }
    ExpectCleanAfterAppend(files, whole ? kForced + 8 : kForced);
    ASSERT_FALSE(HasFailure()) << "mask " << mask;
  }
}

TEST_P(WalTornSubsets, EverySubsetOfTwoUnsyncedBatches) {
  const auto first = Entries(1, kForced + 1, kForced + 3, 700);
  const auto second = Entries(1, kForced + 4, kForced + 6, 700);
  const auto prepare = [&](MemoryFileSystem& files) {
    const auto log = OpenOnGround(files, GetParam());
    ExpectOk(log->Append(first));
    ExpectOk(log->Append(second));
  };
  const uint64_t sectors = CountDirty(prepare);
  ASSERT_EQ(sectors, 10U);
  for (uint64_t mask = 0; mask < uint64_t{1} << sectors; ++mask) {
    MemoryFileSystem files;
    prepare(files);
    files.Crash(Mask(mask));
    uint64_t last = kForced;
    if ((mask & 31) == 31) last += 3;
    if (mask == 1023) last += 3;
    ExpectCleanAfterAppend(files, last);
    ASSERT_FALSE(HasFailure()) << "mask " << mask;
  }
}

// amelie #17: what follows a torn batch is found again once the batch before it has been replaced.
TEST(WalTornTail, RemnantBehindTheCutNeverReturns) {
  const auto remnant = Entries(1, 4, 6, 700);
  // 0: nothing fails. Else that effect of the first open: if it is the sync of the zeros, reads show zeros
  // from then on which the disk does not hold, and the next open must not trust them.
  for (uint64_t failing = 0; failing < 5; ++failing) {
    MemoryFileSystem files;
    {
      const auto log = MustOpen(files, TestOptions(16384));
      ExpectOk(log->AppendAndForce(Entries(1, 1, 2)));
      ExpectOk(log->Append(Entries(1, 3, 3, 300)));  // one sector, which is lost
      ExpectOk(log->Append(remnant));
    }
    files.Crash(Mask(~uint64_t{1}));
    if (failing > 0) {
      files.Inject(failing, MemoryFileSystem::Fault::kError);
      (void)OpenCode(files, TestOptions(16384));
      files.ClearFaults();
    }
    {
      RecoveryFacts facts;
      const auto log = MustOpen(files, TestOptions(16384), &facts);
      EXPECT_EQ(log->last().lsn, Lsn{2});
      if (failing == 0) {
        EXPECT_EQ(facts.torn_batches, 1U);
        EXPECT_GT(facts.cut_bytes, 2000U);
      }
      ExpectOk(log->AppendAndForce(Entries(1, 3, 3, 290)));
    }
    files.Crash([] { return false; });
    EXPECT_EQ(MustOpen(files, TestOptions(16384))->last().lsn, Lsn{3}) << "failing effect " << failing;
  }
}

// A sync that failed leaves in the cache what the disk does not hold. After a restart of the process the log
// counts it as its own, so it must be on disk by then.
TEST(WalTornTail, WhatOpenKeepsIsDurable) {
  for (const bool process_only : {true, false}) {
    MemoryFileSystem files;
    {
      const auto log = MustOpen(files);
      ExpectOk(log->AppendAndForce(Entries(1, 1, 2)));
      ExpectOk(log->Append(Entries(1, 3, 5)));
      if (!process_only) {
        files.Inject(1, MemoryFileSystem::Fault::kError);
        EXPECT_EQ(log->Force().code(), StatusCode::kIo);
      }
    }
    files.ClearFaults();
    {
      const auto log = MustOpen(files);
      EXPECT_EQ(log->last().lsn, Lsn{5});
      EXPECT_EQ(log->durable(), log->last());
    }
    files.Crash([] { return false; });
    EXPECT_EQ(Texts(ReadAll(*MustOpen(files))), Texts(Entries(1, 1, 5)));
  }
}

TEST(WalTornTail, OpenChangesNothingThatItKeeps) {
  // Opening again and again, with a power cut in the middle of each, is harmless.
  MemoryFileSystem files;
  ExpectOk(MustOpen(files)->AppendAndForce(Entries(1, 1, 20, 300)));
  std::mt19937_64 random(3);
  for (uint64_t i = 0; i < 200; ++i) {
    files.Inject(1 + i % 4, MemoryFileSystem::Fault::kStop);
    (void)OpenCode(files);
    files.Crash([&random] { return random() % 2 == 0; });
  }
  EXPECT_EQ(Texts(ReadAll(*MustOpen(files))), Texts(Entries(1, 1, 20, 300)));
}

// R9: a recycled segment is full of sound batches of the log that was.
TEST(WalRecycled, OldBatchesAreNeverRead) {
  MemoryFileSystem files;
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(1, 1, 12, 200)));
    ExpectOk(log->Reset({}));
    ExpectOk(log->Reset({}));  // the first segment again, behind the same position
  }
  std::string path = LivePaths(files).front();
  EXPECT_NE(files.inode(path).cached().find("(1,1)"), std::string::npos) << "the old records are in the file";
  const auto log = MustOpen(files);
  EXPECT_EQ(log->last(), LogPosition{});
  EXPECT_TRUE(ReadAll(*log).empty());
}

TEST(WalRecycled, EachLifeOfASegmentHasASaltOfItsOwn) {
  MemoryFileSystem files;
  std::vector<uint64_t> drawn;
  LogOptions options = TestOptions();
  options.random = [&drawn] {
    drawn.push_back(NextSalt());
    return drawn.back();
  };
  const auto log = MustOpen(files, options);
  uint64_t lsn = 0;
  std::vector<uint64_t> used;
  for (int life = 0; life < 20; ++life) {
    const auto header =
        DecodeSegmentHeader(std::span(files.inode(LivePaths(files).back()).cached()).first(kSectorBytes));
    used.push_back(header->salt);
    ExpectOk(log->Append(Entries(1, lsn + 1, lsn + 1, log->PayloadBytesMax())));
    ExpectOk(log->Append(Entries(1, lsn + 2, lsn + 2, log->PayloadBytesMax())));
    lsn += 2;
    ExpectOk(log->Trim(Lsn{lsn}));
    ASSERT_EQ(log->segment_count(), 1U);
  }
  for (size_t i = 0; i < used.size(); ++i) {
    EXPECT_NE(std::find(drawn.begin(), drawn.end(), used[i]), drawn.end());
    EXPECT_EQ(std::count(used.begin(), used.end(), used[i]), 1);
  }
}

}  // namespace
}  // namespace assent::wal
