// wal/posix_file.h on a real directory, and the log on it: reads from another thread while
// the log thread works.
#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/unit/temp_directory.h"
#include "tests/unit/wal_testing.h"
#include "wal/posix_file.h"

namespace assent::wal {
namespace {

class WalPosix : public testing::Test {
 protected:
  std::unique_ptr<Log> MustOpenHere(LogOptions options = TestOptions(uint64_t{64} << 10)) {
    Result<Log::Opened> opened = Log::Open(files_, directory_, std::move(options));
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return opened.ok() ? std::move(opened->log) : nullptr;
  }

  PosixFileSystem files_;
  const TempDirectory temporary_;
  const std::string& directory_ = temporary_.path();
};

TEST_F(WalPosix, FilesBehaveAsPromised) {
  const std::string a = directory_ + "/a";
  const std::string b = directory_ + "/b";
  {
    auto file = files_.Create(a);
    ASSERT_TRUE(file.ok());
    ExpectOk((*file)->WriteAt(0, "hello"));
    ExpectOk((*file)->WriteAt(3, "p!"));
    ExpectOk((*file)->Sync());
    EXPECT_EQ(*(*file)->Size(), 5U);
    std::string bytes(10, '?');
    EXPECT_EQ(*(*file)->ReadAt(1, bytes), 4U);
    EXPECT_EQ(bytes.substr(0, 4), "elp!");
    EXPECT_EQ(*(*file)->ReadAt(5, bytes), 0U);
  }
  EXPECT_EQ(files_.Create(a).status().code(), StatusCode::kConflict);
  EXPECT_EQ(files_.Open(b, OpenMode::kReadWrite).status().code(), StatusCode::kNotFound);
  ExpectOk(files_.Rename(a, b));
  ExpectOk(files_.CreateDirectory(directory_ + "/c"));
  ExpectOk(files_.CreateDirectory(directory_ + "/c"));
  EXPECT_EQ(files_.CreateDirectory(b).code(), StatusCode::kConflict);
  EXPECT_EQ(*files_.List(directory_), std::vector<std::string>{"b"});
  ExpectOk(files_.SyncDirectory(directory_));
  auto read_only = files_.Open(b, OpenMode::kReadOnly);
  ASSERT_TRUE(read_only.ok());
  const Status refused = (*read_only)->WriteAt(0, "x");
  EXPECT_EQ(refused.code(), StatusCode::kIo);
  EXPECT_NE(refused.message().find(b), std::string::npos) << refused.message();
  ExpectOk(files_.Remove(b));
  EXPECT_EQ(files_.Remove(b).code(), StatusCode::kNotFound);
  EXPECT_EQ(files_.List(b).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_.SyncDirectory(b).code(), StatusCode::kNotFound);
}

TEST_F(WalPosix, FullDeviceIsDiskFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  auto file = files_.Open("/dev/full", OpenMode::kReadWrite);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->WriteAt(0, "x").code(), StatusCode::kDiskFull);
}

TEST_F(WalPosix, LogSurvivesRestarts) {
  std::vector<std::string> expected;
  uint64_t lsn = 0;
  for (uint64_t epoch = 1; epoch <= 4; ++epoch) {
    const auto log = MustOpenHere();
    EXPECT_EQ(Texts(ReadAll(*log)), expected);
    for (int batch = 0; batch < 10; ++batch) {
      const auto entries = Entries(epoch, lsn + 1, lsn + 7, 900);
      ExpectOk(log->AppendAndForce(entries));
      ExpectOk(log->PrepareNextSegment());
      for (const std::string& text : Texts(entries)) expected.push_back(text);
      lsn += 7;
    }
  }
  EXPECT_EQ(Texts(ReadAll(*MustOpenHere())), expected);
}

TEST_F(WalPosix, ReadsWhileTheLogThreadAppendsTrimsAndTruncates) {
  const auto log = MustOpenHere(TestOptions(uint64_t{32} << 10));
  std::atomic<bool> done = false;
  std::jthread log_thread([&] {
    std::mt19937_64 random(5);
    for (uint64_t round = 1; round <= 150; ++round) {
      const uint64_t lsn = Raw(log->last().lsn);
      ExpectOk(log->AppendAndForce(Entries(round, lsn + 1, lsn + 20, 300)));
      ExpectOk(log->PrepareNextSegment());
      if (round % 7 == 0) ExpectOk(log->Trim(Lsn{lsn}));
      if (round % 20 == 0) ExpectOk(log->Truncate(Lsn{lsn + 10}));
    }
    done = true;
  });
  uint64_t reads = 0;
  uint64_t records = 0;
  while (!done || reads < 10) {
    ++reads;
    const LogPosition base = log->base();
    const auto entries = log->Read(Next(base.lsn), 20000);
    // Only that the record left the log meanwhile may ever be the matter.
    if (!entries.ok()) {
      EXPECT_EQ(entries.status().code(), StatusCode::kNotFound) << entries.status().ToString();
      continue;
    }
    Lsn expected = Next(base.lsn);
    for (const LogEntry& entry : *entries) {
      ASSERT_EQ(entry.position.lsn, expected);
      ASSERT_EQ(*entry.payload, *Entry(Raw(entry.position.epoch), Raw(expected), 300).payload);
      expected = Next(expected);
      ++records;
    }
    (void)log->EpochAt(log->last().lsn);
  }
  log_thread.join();
  std::printf("%lu reads of %lu records beside the log thread\n", reads, records);
  EXPECT_GT(records, 0U);
}

}  // namespace
}  // namespace assent::wal
