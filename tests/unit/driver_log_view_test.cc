// The log as the core sees it: appended, durable, truncated, trimmed, damaged.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "driver/log_view.h"
#include "tests/unit/wal_testing.h"

namespace assent {
namespace {

using wal::Entries;

// A port whose commands the test carries out itself.
class ManualPort final : public LogPort {
 public:
  explicit ManualPort(wal::MemoryFileSystem& files) {
    auto opened = wal::Log::Open(files, wal::kDirectory, wal::TestOptions());
    EXPECT_TRUE(opened.ok());
    log_ = std::move(opened->log);
  }
  void Submit(LogCommand) override {}
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return 0; }
  wal::Log& files() { return *log_; }

 private:
  std::unique_ptr<wal::Log> log_;
};

class DriverLogView : public testing::Test {
 protected:
  void Append(LogView& view, const std::vector<LogEntry>& entries) { view.Append(entries); }
  // On disk, too.
  void Force(LogView& view, const std::vector<LogEntry>& entries) {
    view.Append(entries);
    ASSERT_TRUE(port.files().AppendAndForce(entries).ok());
    view.Durable(port.files().durable().lsn);
  }
  std::vector<uint64_t> Lsns(const std::vector<LogEntry>& entries) {
    std::vector<uint64_t> lsns;
    for (const LogEntry& entry : entries) lsns.push_back(Raw(entry.position.lsn));
    return lsns;
  }
  wal::MemoryFileSystem files;
  ManualPort port{files};
};

TEST_F(DriverLogView, ShowsWhatWasAppendedBeforeItIsDurable) {
  LogView view(port);
  EXPECT_EQ(view.last(), LogPosition{});
  EXPECT_EQ(view.EpochAt(Lsn{0}), Epoch{0});
  Append(view, Entries(1, 1, 3));
  EXPECT_EQ(view.last(), (LogPosition{Epoch{1}, Lsn{3}}));
  EXPECT_EQ(Lsns(view.Read(Lsn{2}, 1 << 20)), (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(view.EpochAt(Lsn{3}), Epoch{1});
  EXPECT_EQ(view.EpochAt(Lsn{4}), std::nullopt);
}

TEST_F(DriverLogView, AtLeastOneEntryHoweverFewBytesAreAskedFor) {
  LogView view(port);
  Append(view, Entries(1, 1, 3, 100));
  EXPECT_EQ(Lsns(view.Read(Lsn{1}, 1)), (std::vector<uint64_t>{1}));
  EXPECT_EQ(Lsns(view.Read(Lsn{1}, 200)), (std::vector<uint64_t>{1, 2}));
}

TEST_F(DriverLogView, OpenedLogShowsEpochsOfAllItsRuns) {
  {
    LogView view(port);
    Force(view, Entries(1, 1, 4));
    Force(view, Entries(2, 5, 5));
    Force(view, Entries(7, 6, 20));
  }
  const LogView view(port);
  for (uint64_t lsn = 1; lsn <= 20; ++lsn) {
    EXPECT_EQ(view.EpochAt(Lsn{lsn}), Epoch{lsn <= 4 ? 1u : lsn == 5 ? 2u : 7u}) << lsn;
  }
  EXPECT_EQ(Lsns(view.Read(Lsn{19}, 1 << 20)), (std::vector<uint64_t>{19, 20}));
}

// R4: the files still hold what was truncated; the view does not.
TEST_F(DriverLogView, TruncatedRecordsAreGoneAtOnceAndTheirSuccessorsStandInTheirPlace) {
  {
    LogView view(port);
    Force(view, Entries(1, 1, 6));
  }
  LogView view(port);
  view.Truncate(Lsn{3});
  EXPECT_EQ(view.last(), (LogPosition{Epoch{1}, Lsn{3}}));
  EXPECT_EQ(Lsns(view.Read(Lsn{2}, 1 << 20)), (std::vector<uint64_t>{2, 3}));
  EXPECT_TRUE(view.Read(Lsn{4}, 1 << 20).empty());
  EXPECT_EQ(view.EpochAt(Lsn{4}), std::nullopt);
  Append(view, Entries(2, 4, 5));
  EXPECT_EQ(view.EpochAt(Lsn{4}), Epoch{2});
  EXPECT_EQ(Lsns(view.Read(Lsn{1}, 1 << 20)), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(view.Read(Lsn{4}, 1 << 20).front().position.epoch, Epoch{2});
}

TEST_F(DriverLogView, TruncationOfATailCutsItsEpochsToo) {
  LogView view(port);
  Append(view, Entries(1, 1, 3));
  Append(view, Entries(3, 4, 6));
  view.Truncate(Lsn{3});
  Append(view, Entries(4, 4, 4));
  EXPECT_EQ(view.EpochAt(Lsn{3}), Epoch{1});
  EXPECT_EQ(view.EpochAt(Lsn{4}), Epoch{4});
  view.Truncate(Lsn{3});
  Append(view, Entries(1, 4, 4));
  EXPECT_EQ(view.EpochAt(Lsn{4}), Epoch{1});
  view.Truncate(Lsn{0});
  EXPECT_EQ(view.last(), LogPosition{});
}

// The log thread trims in the middle of a step; what a core sees changes when the driver says so.
TEST_F(DriverLogView, TrimmingShowsOnlyWhenItIsTakenNoticeOf) {
  LogView view(port);
  for (uint64_t lsn = 1; lsn <= 40; lsn += 10) Force(view, Entries(lsn, lsn, lsn + 9, 300));
  ASSERT_TRUE(port.files().Trim(Lsn{35}).ok());
  const LogPosition base = port.files().base();
  ASSERT_GT(Raw(base.lsn), 10u);
  EXPECT_EQ(view.base(), LogPosition{});
  EXPECT_EQ(view.EpochAt(Lsn{1}), Epoch{1});
  EXPECT_EQ(view.EpochAt(Lsn{0}), Epoch{0});
  view.Trimmed();
  EXPECT_EQ(view.base(), base);
  EXPECT_EQ(view.EpochAt(Previous(base.lsn)), std::nullopt);
  EXPECT_TRUE(view.Read(base.lsn, 1 << 20).empty());
  for (Lsn lsn = base.lsn; lsn <= view.last().lsn; lsn = Next(lsn)) {
    EXPECT_EQ(view.EpochAt(lsn), port.files().EpochAt(lsn)) << Raw(lsn);
  }
  EXPECT_TRUE(view.status().ok());
  EXPECT_FALSE(view.Read(Next(base.lsn), 1 << 20).empty());
}

TEST_F(DriverLogView, ReadBelowTheFilesBeginIsEmptyAndNoFailure) {
  {
    LogView view(port);
    Force(view, Entries(1, 1, 40, 300));
  }
  const LogView view(port);
  ASSERT_TRUE(port.files().Trim(Lsn{35}).ok());
  EXPECT_TRUE(view.Read(Lsn{1}, 1 << 20).empty());  // asked before the trim was taken notice of
  EXPECT_TRUE(view.status().ok());
}

TEST_F(DriverLogView, DamageIsLatched) {
  {
    LogView view(port);
    Force(view, Entries(1, 1, 3));
  }
  const LogView view(port);
  for (const std::string& path : files.Paths()) {
    if (path.find("log-") != std::string::npos) files.inode(path).FlipBit(wal::kSectorBytes + 70, 3);
  }
  EXPECT_TRUE(view.Read(Lsn{1}, 1 << 20).empty());
  EXPECT_EQ(view.status().code(), StatusCode::kDamaged);  // G7
}

TEST_F(DriverLogView, ResetLogIsEmptyBehindItsBase) {
  LogView view(port);
  Force(view, Entries(1, 1, 3));
  ASSERT_TRUE(port.files().Reset({Epoch{4}, Lsn{50}}).ok());
  EXPECT_EQ(view.last(), (LogPosition{Epoch{1}, Lsn{3}}));
  view.Reset();
  EXPECT_EQ(view.base(), (LogPosition{Epoch{4}, Lsn{50}}));
  EXPECT_EQ(view.last(), view.base());
  EXPECT_EQ(view.EpochAt(Lsn{50}), Epoch{4});
  Append(view, Entries(4, 51, 52));
  EXPECT_EQ(view.EpochAt(Lsn{52}), Epoch{4});
}

TEST_F(DriverLogView, MemoryHoldsNoMoreThanTheRecentTailOnceDurable) {
  LogView view(port);
  // More than the tail's bound, in small records: what an entry costs counts.
  for (uint64_t lsn = 1; lsn <= 60'000; lsn += 2'000) Force(view, Entries(1, lsn, lsn + 1'999, 8));
  // The first is read from the files now, so a flipped bit shows.
  EXPECT_EQ(Lsns(view.Read(Lsn{60'000}, 1)), (std::vector<uint64_t>{60'000}));
  for (const std::string& path : files.Paths()) {
    if (path.find("log-") != std::string::npos) files.inode(path).FlipBit(wal::kSectorBytes + 70, 3);
  }
  EXPECT_TRUE(view.Read(Lsn{1}, 1).empty());
  EXPECT_FALSE(view.Read(Lsn{59'000}, 1).empty());
}

}  // namespace
}  // namespace assent
