// The store over a disk that fails, kills and loses power at chosen places.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "store/store.h"
#include "store_test_vfs.h"
#include "store_testing.h"
#include "temp_directory.h"

namespace assent {
namespace {

constexpr uint64_t kSeed = 11;
constexpr uint64_t kRecords = 18;

StoreOptions Options() {
  StoreOptions options;
  options.vfs = TestDisk::VfsName();
  options.cache_bytes = 16 * 1024;  // so that large batches spill into the -wal before they commit
  return options;
}

// Applies records (applied(), kRecords] one a batch, with a checkpoint now and then. Stops
// at the first error.
Status RunWorkload(Store& store) {
  RandomHistory history(kSeed, 30, 3000);
  while (history.last() < kRecords) {
    Overlay overlay(store);
    Take(overlay, history.Next());
    const Lsn lsn{history.last()};
    if (lsn <= store.applied().lsn) continue;
    ASSENT_RETURN_IF_ERROR(store.ApplyBatch({Epoch{1}, lsn}, overlay.Collect(lsn)));
    if (Raw(lsn) % 5 == 0) {
      const auto synced = store.Checkpoint();
      if (!synced.ok()) return synced.status();
    }
  }
  return {};
}

void ExpectWholeState(const Store& store) {
  RandomHistory history(kSeed, 30, 3000);
  while (history.last() < Raw(store.applied().lsn)) history.Next();
  EXPECT_EQ(ContentsOf(store), history.After(store.applied().lsn));
  EXPECT_TRUE(store.status().ok()) << store.status().ToString();
}

// A new store's file, made once.
void PutNewStore(const std::string& path) {
  static const std::string bytes = [] {
    const TempDirectory temp;
    EXPECT_TRUE(Store::Open(temp / "state.sqlite", kIdentity, {}).ok());
    return ReadFile(temp / "state.sqlite");
  }();
  WriteFile(path, bytes);
}

void MarkStoreDurable(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-checkpoint"}) TestDisk::Get().MarkDurable(path + suffix);
}

// Changes that the workload makes after the store was made.
uint64_t CountChanges() {
  const TempDirectory temp;
  TestDisk::Get().Reset();
  PutNewStore(temp / "state.sqlite");
  auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  const uint64_t before = TestDisk::Get().changes();
  EXPECT_TRUE(RunWorkload(**store).ok());
  return TestDisk::Get().changes() - before;
}

// As SQLite's own tests do it: every change of the disk fails once, and fails from then on.
TEST(StoreFaults, EveryFailedWriteAndSyncLatchesAndLosesNothing) {  // R7, R13
  const uint64_t changes = CountChanges();
  ASSERT_GT(changes, 50u);
  for (const auto& [code, expected] :
       {std::pair(SQLITE_IOERR_WRITE, StatusCode::kIo), std::pair(SQLITE_IOERR_FSYNC, StatusCode::kIo),
        std::pair(SQLITE_FULL, StatusCode::kDiskFull)}) {
    for (const bool once : {true, false}) {
      if (!once && code != SQLITE_FULL) continue;  // a full disk stays full
      for (uint64_t change = 0; change < changes; ++change) {
        SCOPED_TRACE(std::to_string(change) + (once ? " once, code " : " for good, code ") +
                     std::to_string(code));
        const TempDirectory temp;
        TestDisk::Get().Reset();
        PutNewStore(temp / "state.sqlite");
        LogPosition applied;
        LogPosition synced;
        {
          auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
          ASSERT_TRUE(store.ok());
          TestDisk::Get().FailAt(TestDisk::Get().changes() + change, code, once);
          const Status status = RunWorkload(**store);
          ASSERT_FALSE(status.ok());
          ASSERT_EQ(status.code(), expected) << status.ToString();
          applied = (*store)->applied();
          synced = (*store)->synced();
          // R7: nothing is tried again, though the disk may work again.
          const uint64_t before = TestDisk::Get().changes();
          ASSERT_EQ((*store)->ApplyBatch(At(1, 1000), {}).message(), status.message());
          ASSERT_EQ((*store)->Checkpoint().status().message(), status.message());
          ASSERT_FALSE((*store)->Get(Table::kMeta, "k1"));
          ASSERT_EQ(TestDisk::Get().changes(), before);
        }
        TestDisk::Get().Reset();
        auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
        ASSERT_TRUE(store.ok()) << store.status().ToString();
        ASSERT_GE((*store)->applied(), synced);
        // A commit whose write failed may turn out to have reached the file whole: then one batch
        // more is there.
        ASSERT_GE((*store)->applied(), applied);
        ASSERT_LE(Raw((*store)->applied().lsn), Raw(applied.lsn) + 1);
        ExpectWholeState(**store);
      }
    }
  }
}

TEST(StoreFaults, ProcessKilledAtEveryChangeIsFoundWhole) {
  const uint64_t changes = CountChanges();
  for (uint64_t change = 0; change < changes; ++change) {
    SCOPED_TRACE(change);
    const TempDirectory temp;
    PutNewStore(temp / "state.sqlite");
    const pid_t child = ::fork();
    if (child == 0) {
      TestDisk::Get().Reset();
      auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
      if (!store.ok()) ::_exit(1);
      TestDisk::Get().ExitAt(TestDisk::Get().changes() + change);
      static_cast<void>(RunWorkload(**store));
      ::_exit(2);
    }
    int how = 0;
    ASSERT_EQ(::waitpid(child, &how, 0), child);
    ASSERT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 9) << how;
    TestDisk::Get().Reset();
    auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    ExpectWholeState(**store);
    ASSERT_TRUE(RunWorkload(**store).ok());
    ExpectWholeState(**store);
  }
}

// Also while it is being made: at each change, then at each of the second try.
TEST(StoreFaults, ProcessKilledWhileTheStoreIsMadeLeavesNoHalfOne) {
  bool finished = false;
  for (uint64_t change = 0; !finished; ++change) {
    SCOPED_TRACE(change);
    ASSERT_LT(change, 1000u);
    const TempDirectory temp;
    for (int tries = 0; tries < 2; ++tries) {
      const pid_t child = ::fork();
      if (child == 0) {
        TestDisk::Get().Reset();
        TestDisk::Get().ExitAt(change);
        const auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
        ::_exit(store.ok() ? 0 : 1);
      }
      int how = 0;
      ASSERT_EQ(::waitpid(child, &how, 0), child);
      ASSERT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) != 1) << how;
      finished = WEXITSTATUS(how) == 0;
    }
    TestDisk::Get().Reset();
    const auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    ExpectWholeState(**store);
  }
}

// R13: after a power cut the file is the whole state at its `applied`, which is at or above what was said
// to be synced.
TEST(StoreFaults, PowerCutKeepsWhatWasSynced) {
  std::mt19937_64 random(kSeed);
  const uint64_t changes = CountChanges();
  int lost_something = 0;
  for (uint64_t round = 0; round < 4 * changes; ++round) {
    SCOPED_TRACE(round);
    const TempDirectory temp;
    TestDisk::Get().Reset();
    PutNewStore(temp / "state.sqlite");
    LogPosition applied;
    LogPosition synced;
    // In every other round a process died before that, and left to the next what it had not synced.
    for (uint64_t life = round % 2; life < 2; ++life) {
      TestDisk::Get().FailAt(UINT64_MAX, SQLITE_IOERR_WRITE, true);
      auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
      ASSERT_TRUE(store.ok()) << store.status().ToString();
      if (life == round % 2) MarkStoreDurable(temp / "state.sqlite");
      // From some change on nothing reaches the disk any more; closing writes nothing either.
      const uint64_t change = life == 0 ? round / 4 : random() % changes;
      TestDisk::Get().FailAt(TestDisk::Get().changes() + change, SQLITE_IOERR_WRITE, false);
      static_cast<void>(RunWorkload(**store));
      applied = (*store)->applied();
      synced = (*store)->synced();
    }
    TestDisk::Get().CutPower(random);
    TestDisk::Get().Reset();
    auto store = Store::Open(temp / "state.sqlite", kIdentity, Options());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    ASSERT_GE((*store)->applied(), synced);
    if ((*store)->applied() < applied) ++lost_something;
    ExpectWholeState(**store);
    ASSERT_TRUE(RunWorkload(**store).ok());
    ExpectWholeState(**store);
  }
  EXPECT_GT(lost_something, 10);  // or the test shows nothing
}

// G7: rot in the -wal file of a checkpoint that a crash interrupted, whose pages are already copied in part.
TEST(StoreFaults, RotInTheWalOfAnInterruptedCheckpointIsFound) {
  constexpr uint64_t kApplied = 12;
  constexpr size_t kFrameBytes = 4096 + 24;
  std::mt19937_64 random(kSeed);
  int found = 0;
  int whole = 0;
  int finished = 0;
  for (uint64_t change = 0; finished < 8; ++change) {
    const TempDirectory temp;
    const std::string path = temp / "state.sqlite";
    TestDisk::Get().Reset();
    PutNewStore(path);
    {
      auto store = Store::Open(path, kIdentity, Options());
      ASSERT_TRUE(store.ok());
      RandomHistory history(kSeed, 30, 3000);
      for (uint64_t lsn = 1; lsn <= kApplied; ++lsn) {
        Overlay overlay(**store);
        Take(overlay, history.Next());
        ASSERT_TRUE((*store)->ApplyBatch(At(1, lsn), overlay.Collect(Lsn{lsn})).ok());
      }
      MarkStoreDurable(path);
      TestDisk::Get().FailAt(TestDisk::Get().changes() + change, SQLITE_IOERR_WRITE, false);
      if ((*store)->Checkpoint().ok()) ++finished;
    }
    TestDisk::Get().CutPower(random);
    TestDisk::Get().Reset();
    const std::string wal = ReadFile(path + "-wal");
    ASSERT_TRUE(finished == 0 || wal.empty());  // it is not there again
    const std::string mark = ReadFile(path + "-checkpoint");
    const std::string pages = ReadFile(path);
    for (size_t at = 17; at < wal.size(); at += kFrameBytes) {  // in the header, then in each frame
      SCOPED_TRACE(std::to_string(change) + ", byte " + std::to_string(at));
      std::string bad = wal;
      bad[at] = static_cast<char>(bad[at] ^ 4);
      WriteFile(path, pages);
      WriteFile(path + "-wal", bad);
      WriteFile(path + "-checkpoint", mark);
      const auto store = Store::Open(path, kIdentity, Options());
      if (store.ok()) {
        ExpectWholeState(**store);
        ++whole;
      } else {
        EXPECT_EQ(store.status().code(), StatusCode::kDamaged) << store.status().ToString();
        // Nor does a second try find it less damaged.
        EXPECT_EQ(Store::Open(path, kIdentity, Options()).status().code(), StatusCode::kDamaged);
        ++found;
      }
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(whole, 20);  // no page was copied yet: what is before the rot, the log's replay goes on from
}

}  // namespace
}  // namespace assent
