// The log thread: groups of forces, order of answers, failures, the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/log_writer.h"
#include "tests/unit/temp_directory.h"
#include "tests/unit/wal_testing.h"
#include "wal/posix_file.h"

namespace assent {
namespace {

using wal::Entries;

// A file system whose syncs wait while their gate is closed.
class GatedFiles final : public wal::FileSystem {
 public:
  void Close() {
    const std::lock_guard lock(mutex_);
    allowed_ = 0;
  }
  void Allow(uint64_t syncs) {
    {
      const std::lock_guard lock(mutex_);
      allowed_ += syncs;
    }
    changed_.notify_all();
  }
  void Open() { Allow(UINT32_MAX); }
  // `count` syncs have come to the gate, passed or not, since the world began.
  void AwaitSyncs(uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return syncs_ >= count; });
  }
  uint64_t syncs() {
    const std::lock_guard lock(mutex_);
    return syncs_;
  }
  uint64_t bytes_written() {
    const std::lock_guard lock(mutex_);
    return bytes_written_;
  }

  // As where no descriptor is left.
  void OpenNothing(bool nothing) {
    const std::lock_guard lock(mutex_);
    opens_nothing_ = nothing;
  }
  void AwaitFailedOpens(uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failed_opens_ >= count; });
  }

  Result<std::unique_ptr<wal::File>> Open(const std::string& path, wal::OpenMode mode) override {
    ASSENT_RETURN_IF_ERROR(Opens());
    return Wrap(files_.Open(path, mode));
  }
  Result<std::unique_ptr<wal::File>> Create(const std::string& path) override {
    ASSENT_RETURN_IF_ERROR(Opens());
    return Wrap(files_.Create(path));
  }
  Status Rename(const std::string& from, const std::string& to) override { return files_.Rename(from, to); }
  Status Remove(const std::string& path) override { return files_.Remove(path); }
  Status CreateDirectory(const std::string& path) override { return files_.CreateDirectory(path); }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return files_.List(directory);
  }
  Status SyncDirectory(const std::string& directory) override { return files_.SyncDirectory(directory); }

 private:
  class Gated final : public wal::File {
   public:
    Gated(GatedFiles& files, std::unique_ptr<wal::File> file) : files_(files), file_(std::move(file)) {}
    Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
      return file_->ReadAt(offset, out);
    }
    Status WriteAt(uint64_t offset, std::string_view bytes) override {
      files_.Count(bytes.size());
      return file_->WriteAt(offset, bytes);
    }
    Status Sync() override {
      files_.Pass();
      return file_->Sync();
    }
    Result<uint64_t> Size() const override { return file_->Size(); }

   private:
    GatedFiles& files_;
    std::unique_ptr<wal::File> file_;
  };

  Result<std::unique_ptr<wal::File>> Wrap(Result<std::unique_ptr<wal::File>> file) {
    if (!file.ok()) return file.status();
    return std::unique_ptr<wal::File>(std::make_unique<Gated>(*this, std::move(file).value()));
  }
  Status Opens() {
    const std::lock_guard lock(mutex_);
    if (!opens_nothing_) return {};
    ++failed_opens_;
    changed_.notify_all();
    return {StatusCode::kUnavailable, "too many open files"};
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++syncs_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return allowed_ > 0; });
    --allowed_;
  }
  void Count(size_t bytes) {
    const std::lock_guard lock(mutex_);
    bytes_written_ += bytes;
  }

  wal::PosixFileSystem files_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t allowed_ = UINT32_MAX;
  uint64_t syncs_ = 0;
  uint64_t bytes_written_ = 0;
  bool opens_nothing_ = false;
  uint64_t failed_opens_ = 0;
};

class DriverLogWriter : public testing::Test {
 protected:
  explicit DriverLogWriter(uint64_t segment_bytes = 1 << 16) {
    auto opened = wal::Log::Open(files, directory.path(), wal::TestOptions(segment_bytes));
    EXPECT_TRUE(opened.ok());
    log = std::move(opened->log);
  }
  void Start() {
    writer = std::make_unique<LogWriter>(std::move(log), [this](LogDone done) {
      const std::lock_guard lock(mutex);
      dones.push_back(std::move(done));
      bytes_at_done = files.bytes_written();
      changed.notify_all();
    });
  }
  std::vector<LogDone> Await(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return dones.size() >= count; });
    return dones;
  }

  TempDirectory directory;
  GatedFiles files;
  std::unique_ptr<wal::Log> log;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<LogDone> dones;
  uint64_t bytes_at_done = 0;
  std::unique_ptr<LogWriter> writer;
};

TEST_F(DriverLogWriter, AppendsThatGatherDuringAForceShareTheNextOne) {
  Start();
  files.Close();
  const uint64_t syncs = files.syncs();
  writer->Submit(AppendToLog{Entries(1, 1, 2)});
  files.AwaitSyncs(syncs + 1);
  for (uint64_t lsn = 3; lsn <= 50; ++lsn) writer->Submit(AppendToLog{Entries(1, lsn, lsn)});
  {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(dones.empty());  // nothing is called durable before its sync returned
  }
  files.Open();
  const auto done = Await(2);
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].durable.lsn, Lsn{2});
  EXPECT_EQ(done[1].durable.lsn, Lsn{50});  // R10
  EXPECT_EQ(writer->forces(), 2u);
}

TEST_F(DriverLogWriter, CommandsAreCarriedOutAndAnsweredInOrder) {
  Start();
  files.Close();
  const uint64_t syncs = files.syncs();
  writer->Submit(AppendToLog{Entries(1, 1, 5)});
  files.AwaitSyncs(syncs + 1);
  writer->Submit(AppendToLog{Entries(1, 6, 7)});
  writer->Submit(TruncateLog{Lsn{6}});
  writer->Submit(AppendToLog{Entries(2, 7, 9)});
  writer->Submit(TrimLog{Lsn{3}});
  writer->Submit(ResetLog{{Epoch{3}, Lsn{20}}});
  files.Open();
  const auto done = Await(6);
  const std::vector<LogDone::What> expected = {LogDone::What::kForced,    LogDone::What::kForced,
                                               LogDone::What::kTruncated, LogDone::What::kForced,
                                               LogDone::What::kTrimmed,   LogDone::What::kReset};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(done[i].what, expected[i]) << i;
    EXPECT_TRUE(done[i].status.ok()) << i << done[i].status.ToString();
  }
  EXPECT_EQ(done[2].durable, (LogPosition{Epoch{1}, Lsn{6}}));
  EXPECT_EQ(done[3].durable, (LogPosition{Epoch{2}, Lsn{9}}));
  EXPECT_EQ(done[5].durable, (LogPosition{Epoch{3}, Lsn{20}}));
}

TEST_F(DriverLogWriter, FailureIsAnsweredAndEverythingAfterItFailsToo) {
  Start();
  writer->Submit(AppendToLog{Entries(1, 2, 2)});  // a gap
  writer->Submit(AppendToLog{Entries(1, 3, 3)});
  const auto done = Await(1);
  EXPECT_FALSE(done[0].status.ok());
  writer.reset();
  for (const LogDone& each : dones) EXPECT_FALSE(each.status.ok());
}

TEST_F(DriverLogWriter, EndFinishesWhatWasSubmitted) {
  Start();
  for (uint64_t lsn = 1; lsn <= 100; ++lsn) writer->Submit(AppendToLog{Entries(1, lsn, lsn)});
  writer.reset();
  ASSERT_FALSE(dones.empty());
  EXPECT_EQ(dones.back().durable.lsn, Lsn{100});
}

TEST_F(DriverLogWriter, ReadsFromAnotherThreadSeeWhatIsDurable) {
  Start();
  for (uint64_t lsn = 1; lsn <= 200; ++lsn) {
    writer->Submit(AppendToLog{Entries(1, lsn, lsn)});
    const Lsn durable = writer->log().durable().lsn;
    if (durable == Lsn{}) continue;
    const auto read = writer->log().Read(Lsn{1}, 1 << 20);
    ASSERT_TRUE(read.ok());
    ASSERT_FALSE(read->empty());
    EXPECT_GE(read->back().position.lsn, durable);
  }
}

// R7: nothing was written, so the log is not poisoned; whoever waits for it waits a little longer.
TEST_F(DriverLogWriter, WantOfADescriptorIsWaitedFor) {
  Start();
  files.OpenNothing(true);
  uint64_t lsn = 1;
  for (; lsn <= 8; ++lsn) writer->Submit(AppendToLog{Entries(1, lsn, lsn, 16 << 10)});  // two segments
  files.AwaitFailedOpens(3);
  EXPECT_TRUE(writer->log().status().ok());
  files.OpenNothing(false);
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return !dones.empty() && dones.back().durable.lsn == Lsn{8}; });
  for (const LogDone& done : dones) EXPECT_TRUE(done.status.ok()) << done.status.ToString();
}

TEST_F(DriverLogWriter, EndDoesNotWaitForADescriptor) {
  Start();
  files.OpenNothing(true);
  for (uint64_t lsn = 1; lsn <= 8; ++lsn) writer->Submit(AppendToLog{Entries(1, lsn, lsn, 16 << 10)});
  files.AwaitFailedOpens(1);
  writer.reset();
  const auto failed =
      std::find_if(dones.begin(), dones.end(), [](const LogDone& done) { return !done.status.ok(); });
  ASSERT_NE(failed, dones.end());
  EXPECT_EQ(failed->status.code(), StatusCode::kUnavailable);
  // Records behind it would leave a gap.
  EXPECT_TRUE(std::none_of(failed, dones.end(), [](const LogDone& done) { return done.status.ok(); }));
}

class DriverLogWriterSegments : public DriverLogWriter {
 protected:
  DriverLogWriterSegments() : DriverLogWriter(4 << 20) {}
};

// The next segment is written through in steps: an append that comes in the middle waits for one of them.
TEST_F(DriverLogWriterSegments, AppendDoesNotWaitForAWholeSegmentToBeMade) {
  Start();
  // More than half of the first segment, so that the next one is made ahead of need.
  files.Close();
  const uint64_t syncs = files.syncs();
  writer->Submit(AppendToLog{Entries(1, 1, 10, 250 << 10)});
  files.AwaitSyncs(syncs + 1);
  files.Allow(1);
  Await(1);
  files.AwaitSyncs(syncs + 2);  // in the first step towards it
  const uint64_t before = files.bytes_written();
  writer->Submit(AppendToLog{Entries(1, 11, 11)});
  files.Open();
  Await(2);
  const std::lock_guard lock(mutex);
  EXPECT_LT(bytes_at_done - before, uint64_t{1} << 20) << "the append waited for all of the zeros";
}

}  // namespace
}  // namespace assent
