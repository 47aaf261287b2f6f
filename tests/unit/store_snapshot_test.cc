// Snapshots of a store that is written to, and a snapshot in the place of a store, whatever crashes.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <set>

#include "store/snapshot_writer.h"
#include "store_testing.h"
#include "temp_directory.h"

namespace assent {
namespace {

std::unique_ptr<Store> MustOpen(const std::string& path) {
  auto store = Store::Open(path, kIdentity, {.verify = true});
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  return store.ok() ? std::move(*store) : nullptr;
}

void Fill(Store& store, RandomHistory& history, int records) {
  for (int i = 0; i < records; ++i) {
    Overlay overlay(store);
    Take(overlay, history.Next());
    const Lsn lsn{history.last()};
    ASSERT_TRUE(store.ApplyBatch({Epoch{1}, lsn}, overlay.Collect(lsn)).ok());
  }
}

void MustSnapshot(Store& store, const std::string& path) {
  auto writer = SnapshotWriter::Start(store, path);
  ASSERT_TRUE(writer.ok()) << writer.status().ToString();
  for (;;) {
    const auto done = (*writer)->Step(8);
    ASSERT_TRUE(done.ok()) << done.status().ToString();
    if (*done) break;
  }
}

std::set<std::string> Names(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.insert(entry.path().filename());
  return names;
}

// R6: the writing connection's own writes are carried along, so the copy ends, and is the state
// at one position.
TEST(Snapshot, TakenUnderWritesIsTheStateAtItsPosition) {
  for (const int pages : {1, 3, 1000}) {
    SCOPED_TRACE(pages);
    const TempDirectory directory;
    auto store = MustOpen(directory / "state.sqlite");
    RandomHistory history(7, 400, 2000);
    Fill(*store, history, 400);
    auto writer = SnapshotWriter::Start(*store, directory / "snapshot");
    ASSERT_TRUE(writer.ok()) << writer.status().ToString();
    int steps = 0;
    for (;;) {
      const auto done = (*writer)->Step(pages);
      ASSERT_TRUE(done.ok()) << done.status().ToString();
      ++steps;
      if (*done) break;
      Fill(*store, history, 1);
      if (steps % 10 == 0) {
        ASSERT_TRUE(store->Checkpoint().ok());
      }
      ASSERT_LT(steps, 5000) << "starts over and over";
    }
    const LogPosition at = (*writer)->at();
    EXPECT_EQ(at, store->applied());
    writer->reset();
    Fill(*store, history, 20);
    const auto digest = store->Digest(kTables);

    const auto copy = MustOpen(directory / "snapshot");
    EXPECT_EQ(copy->applied(), at);
    EXPECT_EQ(ContentsOf(*copy), history.After(at.lsn));
    EXPECT_EQ(ContentsOf(*store), history.After(Lsn{history.last()}));
    EXPECT_NE(copy->Digest(kTables)->hash_low, digest->hash_low);
    if (pages == 1) {
      EXPECT_GT(steps, 50);
    }
  }
}

TEST(Snapshot, GivenUpLeavesNoFile) {
  const TempDirectory directory;
  auto store = MustOpen(directory / "state.sqlite");
  RandomHistory history(1);
  Fill(*store, history, 100);
  {
    auto writer = SnapshotWriter::Start(*store, directory / "snapshot");
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Step(1).ok());
    EXPECT_GT((*writer)->pages_total(), (*writer)->pages_left());
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "snapshot"));
  Fill(*store, history, 10);
  EXPECT_TRUE(store->Checkpoint().ok());
}

TEST(Snapshot, FailureIsNotTheStores) {
  const TempDirectory directory;
  auto store = MustOpen(directory / "state.sqlite");
  EXPECT_FALSE(SnapshotWriter::Start(*store, directory / "no/snapshot").ok());
  RandomHistory history(1);
  Fill(*store, history, 10);
  EXPECT_TRUE(store->status().ok());
}

class SnapshotInstall : public testing::Test {
 protected:
  SnapshotInstall() {
    source_ = MustOpen(directory_ / "source.sqlite");
    Fill(*source_, history_, 150);
    MustSnapshot(*source_, directory_ / "snapshot");
    at_ = source_->applied();
  }

  Result<LogPosition> Install() {
    auto applied = Store::CheckSnapshot(directory_ / "snapshot", kIdentity, {});
    if (!applied.ok()) return applied;
    ASSENT_RETURN_IF_ERROR(Store::InstallSnapshot(directory_ / "snapshot", directory_ / "state.sqlite", {}));
    return applied;
  }
  // A store that was written and killed before it could checkpoint: its -wal holds what its file does not.
  void LeaveOldStore() {
    RandomHistory other(99);
    auto old = MustOpen(directory_ / "state.sqlite");
    Fill(*old, other, 60);
    std::filesystem::copy_file(directory_ / "state.sqlite", directory_ / "kept");
    std::filesystem::copy_file(directory_ / "state.sqlite-wal", directory_ / "kept-wal");
    old.reset();
    std::filesystem::rename(directory_ / "kept", directory_ / "state.sqlite");
    std::filesystem::rename(directory_ / "kept-wal", directory_ / "state.sqlite-wal");
  }
  void ExpectNewState() {
    const auto store = MustOpen(directory_ / "state.sqlite");
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->applied(), at_);
    EXPECT_EQ(ContentsOf(*store), history_.After(at_.lsn));
    EXPECT_FALSE(std::filesystem::exists(directory_ / "state.sqlite.incoming"));
  }

  const TempDirectory directory_;
  RandomHistory history_{3};
  std::unique_ptr<Store> source_;
  LogPosition at_;
};

TEST_F(SnapshotInstall, WhereNoStoreIs) {
  const auto at = Install();
  ASSERT_TRUE(at.ok()) << at.status().ToString();
  EXPECT_EQ(*at, at_);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "snapshot"));
  ExpectNewState();
}

TEST_F(SnapshotInstall, ReplacesStoreAndItsWal) {
  LeaveOldStore();
  ASSERT_TRUE(Install().ok());
  ExpectNewState();
}

TEST_F(SnapshotInstall, LeftoversOfEveryCrashPointEndInTheNewStore) {
  LeaveOldStore();
  // InstallSnapshot's steps in order: after the first rename, Open ends what a crash interrupts.
  std::filesystem::rename(directory_ / "snapshot", directory_ / "state.sqlite.incoming");
  const std::string incoming = ReadFile(directory_ / "state.sqlite.incoming");
  const std::string old = ReadFile(directory_ / "state.sqlite");
  const std::string old_wal = ReadFile(directory_ / "state.sqlite-wal");
  for (int crash_after = 0; crash_after <= 2; ++crash_after) {
    SCOPED_TRACE(crash_after);
    WriteFile(directory_ / "state.sqlite", old);
    WriteFile(directory_ / "state.sqlite-wal", old_wal);
    WriteFile(directory_ / "state.sqlite.incoming", incoming);
    if (crash_after >= 1) std::filesystem::remove(directory_ / "state.sqlite-wal");
    if (crash_after >= 2)
      std::filesystem::rename(directory_ / "state.sqlite.incoming", directory_ / "state.sqlite");
    ExpectNewState();
  }
}

TEST_F(SnapshotInstall, BeforeTheFirstRenameTheOldStoreStays) {
  LeaveOldStore();
  const auto store = MustOpen(directory_ / "state.sqlite");
  EXPECT_EQ(store->applied(), At(1, 60));
  EXPECT_TRUE(std::filesystem::exists(directory_ / "snapshot"));
}

TEST_F(SnapshotInstall, DamagedOneIsRefusedAndChangesNothing) {
  LeaveOldStore();
  std::string bytes = ReadFile(directory_ / "snapshot");
  for (size_t at = 4096 + 50; at < bytes.size(); at += 4096 * 3) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    WriteFile(directory_ / "snapshot", bad);
    const auto refused = Install();
    ASSERT_FALSE(refused.ok()) << at;
    EXPECT_EQ(refused.status().code(), StatusCode::kDamaged) << refused.status().ToString();
  }
  for (size_t length = 0; length < bytes.size(); length += 4096 * 2 + 100) {
    WriteFile(directory_ / "snapshot", bytes.substr(0, length));
    EXPECT_FALSE(Install().ok()) << length;
  }
  EXPECT_EQ(MustOpen(directory_ / "state.sqlite")->applied(), At(1, 60));
}

TEST_F(SnapshotInstall, AnotherGroupsIsRefused) {
  const auto refused =
      Store::CheckSnapshot(directory_ / "snapshot", {kIdentity.cluster, {GroupKind::kShard, 2}}, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kForeign);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.sqlite"));
}

TEST_F(SnapshotInstall, MissingOrElsewhereIsRefused) {
  std::filesystem::create_directory(directory_ / "other");
  EXPECT_EQ(Store::CheckSnapshot(directory_ / "nonesuch", kIdentity, {}).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(Store::InstallSnapshot(directory_ / "snapshot", directory_ / "other/state.sqlite", {}).code(),
            StatusCode::kInvalid);
}

TEST_F(SnapshotInstall, LeavesNothingElseBehind) {
  source_.reset();
  ASSERT_TRUE(Install().ok());
  MustOpen(directory_ / "state.sqlite").reset();
  EXPECT_EQ(Names(directory_.path()),
            (std::set<std::string>{"source.sqlite", "source.sqlite-checkpoint", "source.sqlite-wal",
                                   "state.sqlite", "state.sqlite-checkpoint", "state.sqlite-wal"}));
}

}  // namespace
}  // namespace assent
