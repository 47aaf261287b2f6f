// The store: rows, scans, batches, checkpoints (R13), replay, digests, refusals of what is not ours.
#include "store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "store_testing.h"
#include "temp_directory.h"

namespace assent {
namespace {

std::unique_ptr<Store> MustOpen(const std::string& path, StoreOptions options = {}) {
  auto store = Store::Open(path, kIdentity, options);
  EXPECT_TRUE(store.ok()) << store.status().ToString();
  return store.ok() ? std::move(*store) : nullptr;
}

void MustApply(Store& store, LogPosition through, const std::vector<Mutation>& mutations) {
  const Status status = store.ApplyBatch(through, mutations);
  ASSERT_TRUE(status.ok()) << status.ToString();
}

void RunSql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST(Store, NewOneIsEmptyAtZero) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  EXPECT_EQ(store->applied(), At(0, 0));
  EXPECT_EQ(store->synced(), At(0, 0));
  EXPECT_TRUE(ContentsOf(*store).empty());
  EXPECT_FALSE(store->Get(Table::kData, "a"));
  EXPECT_TRUE(store->status().ok());
}

TEST(Store, AppliedRowsAreReadBackInEveryTable) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  uint64_t lsn = 0;
  for (const Table table : kTables) {
    ++lsn;
    MustApply(*store, At(1, lsn), {Set(table, "key", "value " + std::to_string(lsn), lsn)});
  }
  lsn = 0;
  for (const Table table : kTables) {
    ++lsn;
    EXPECT_EQ(store->Get(table, "key"), (Row{"value " + std::to_string(lsn), Lsn{lsn}}));
  }
  MustApply(*store, At(2, 9), {Erase(Table::kData, "key", 9), Set(Table::kMeta, "key", "new", 9)});
  EXPECT_FALSE(store->Get(Table::kData, "key"));
  EXPECT_EQ(store->Get(Table::kMeta, "key"), (Row{"new", Lsn{9}}));
  EXPECT_EQ(store->applied(), At(2, 9));
}

TEST(Store, KeysAndValuesAreAnyBytes) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  const std::string zero(1, '\0');
  const std::string long_value(256 * 1024, '\xfe');
  const std::string long_key(1024, '\xff');
  MustApply(*store, At(1, 1),
            {Set(Table::kData, zero, "", 1), Set(Table::kData, "\xff", zero, 1),
             Set(Table::kData, long_key, long_value, 1)});
  EXPECT_EQ(store->Get(Table::kData, zero), (Row{"", Lsn{1}}));
  EXPECT_EQ(store->Get(Table::kData, "\xff"), (Row{zero, Lsn{1}}));
  EXPECT_EQ(store->Get(Table::kData, long_key), (Row{long_value, Lsn{1}}));
  EXPECT_FALSE(store->Get(Table::kData, ""));
}

TEST(Store, ScanGivesTheRangeInKeyOrderUntilToldToStop) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  MustApply(*store, At(1, 1),
            {Set(Table::kData, "a", "1", 1), Set(Table::kData, "b", "2", 1),
             Set(Table::kData, std::string("b\0", 2), "3", 1), Set(Table::kData, "c", "4", 1),
             Set(Table::kMeta, "b", "other table", 1)});
  const auto scan = [&](std::string_view from, std::string_view to, size_t limit) {
    std::string seen;
    store->Scan(Table::kData, from, to, [&](std::string_view, const Row& row) {
      seen += row.value;
      return seen.size() < limit;
    });
    return seen;
  };
  EXPECT_EQ(scan("", "", 99), "1234");
  EXPECT_EQ(scan("b", "c", 99), "23");
  EXPECT_EQ(scan("b", "", 99), "234");
  EXPECT_EQ(scan("", "", 2), "12");
  EXPECT_EQ(scan("d", "", 99), "");
  EXPECT_EQ(scan("c", "b", 99), "");
}

TEST(Store, ScansNest) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  MustApply(*store, At(1, 1), {Set(Table::kData, "a", "1", 1), Set(Table::kData, "b", "2", 1)});
  std::string seen;
  store->Scan(Table::kData, "", "", [&](std::string_view outer, const Row&) {
    store->Scan(Table::kData, "", "", [&](std::string_view inner, const Row& row) {
      seen += std::string(outer) + std::string(inner);
      EXPECT_EQ(store->Get(Table::kData, inner), row);
      return true;
    });
    return true;
  });
  EXPECT_EQ(seen, "aaabbabb");
  // Nothing was left open that would stop a checkpoint or a write.
  EXPECT_TRUE(store->Checkpoint().ok());
  MustApply(*store, At(1, 2), {Set(Table::kData, "a", "3", 2)});
}

TEST(Store, EmptyBatchMovesApplied) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  MustApply(*store, At(1, 5), {});
  EXPECT_EQ(store->applied(), At(1, 5));
  MustApply(*store, At(1, 5), {});
  EXPECT_EQ(store->applied(), At(1, 5));
}

TEST(StoreContract, LsnsThatDoNotRiseAreABug) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  MustApply(*store, At(2, 5), {});
  EXPECT_DEATH(static_cast<void>(store->ApplyBatch(At(2, 4), {})), "check failed");
  EXPECT_DEATH(static_cast<void>(store->ApplyBatch(At(1, 6), {})), "check failed");
  const std::vector<Mutation> below = {Set(Table::kData, "a", "1", 5)};
  EXPECT_DEATH(static_cast<void>(store->ApplyBatch(At(2, 6), below)), "check failed");
  const std::vector<Mutation> above = {
      Set(Table::kData, "a", "1", 7)};  // R13: belongs to a later transaction
  EXPECT_DEATH(static_cast<void>(store->ApplyBatch(At(2, 6), above)), "check failed");
  EXPECT_DEATH(static_cast<void>(store->ApplyBatch(At(2, 5), below)), "check failed");
}

TEST(StoreCheckpoint, SyncedFollowsAppliedOnlyThroughCheckpoint) {  // R13
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  MustApply(*store, At(1, 3), {Set(Table::kData, "a", "1", 3)});
  EXPECT_EQ(store->synced(), At(0, 0));
  EXPECT_GT(store->wal_bytes(), 4096u);
  const auto synced = store->Checkpoint();
  ASSERT_TRUE(synced.ok());
  EXPECT_EQ(*synced, At(1, 3));
  EXPECT_EQ(store->synced(), At(1, 3));
  EXPECT_EQ(store->wal_bytes(), 0u);
  EXPECT_EQ(*store->Checkpoint(), At(1, 3));
}

// One that was damaged later would be where the next open stops, and play those before it onto
// newer pages (G7).
TEST(StoreCheckpoint, LeavesNoFrameInTheWalFile) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  for (uint64_t lsn = 1; lsn <= 5; ++lsn) {
    MustApply(*store, At(1, lsn), {Set(Table::kData, "a", std::string(1000, 'v'), lsn)});
    ASSERT_NE(std::filesystem::file_size(directory / "state.sqlite-wal"), 0u);
    ASSERT_TRUE(store->Checkpoint().ok());
    EXPECT_EQ(std::filesystem::file_size(directory / "state.sqlite-wal"), 0u);
  }
}

TEST(StoreReopen, KeepsAllThatWasAppliedAndSyncsIt) {
  const TempDirectory directory;
  {
    const auto store = MustOpen(directory / "state.sqlite");
    MustApply(*store, At(3, 7), {Set(Table::kData, "a", "1", 7)});
  }
  const auto store = MustOpen(directory / "state.sqlite", {.verify = true});
  EXPECT_EQ(store->applied(), At(3, 7));
  EXPECT_EQ(store->synced(), At(3, 7));
  EXPECT_EQ(store->Get(Table::kData, "a"), (Row{"1", Lsn{7}}));
}

// The overlay's changes, in batches of any size, give the whole state at `applied` each time (R13).
TEST(StoreReplay, EveryTransactionIsTheWholeStateAtApplied) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    const TempDirectory directory;
    std::mt19937_64 random(seed);
    RandomHistory history(seed);
    auto store = MustOpen(directory / "state.sqlite");
    auto overlay = std::make_unique<Overlay>(*store);
    for (int step = 0; step < 120; ++step) {
      Take(*overlay, history.Next());
      ASSERT_EQ(ContentsOf(*overlay), history.After(Lsn{history.last()}));
      if (random() % 4 == 0) {
        const uint64_t from = Raw(store->applied().lsn);
        const uint64_t to = from + random() % (history.last() - from + 1);
        if (to > from) {
          MustApply(*store, At(1, to), overlay->Collect(Lsn{to}));
          overlay->Forget(Lsn{to});
        }
        ASSERT_EQ(ContentsOf(*store), history.After(store->applied().lsn));
        ASSERT_EQ(ContentsOf(*overlay), history.After(Lsn{history.last()}));
      }
      if (random() % 20 == 0) {
        if (random() % 2 == 0) {
          ASSERT_TRUE(store->Checkpoint().ok());
        }
        const LogPosition before = store->applied();
        store.reset();
        store = MustOpen(directory / "state.sqlite");
        ASSERT_EQ(store->applied(), before);
        ASSERT_EQ(ContentsOf(*store), history.After(before.lsn));
        // Recovery: the rest of the log is applied again.
        RandomHistory again(seed);
        overlay = std::make_unique<Overlay>(*store);
        while (again.last() < history.last()) {
          auto changes = again.Next();
          if (Lsn{again.last()} > before.lsn) Take(*overlay, std::move(changes));
        }
      }
    }
  }
}

TEST(StoreDigest, EqualStatesHaveEqualDigestsHoweverTheyWereBatched) {
  const TempDirectory directory;
  const auto one = MustOpen(directory / "one.sqlite");
  const auto two = MustOpen(directory / "two.sqlite");
  MustApply(*one, At(1, 1), {Set(Table::kData, "a", "1", 1), Set(Table::kData, "x", "gone", 1)});
  MustApply(*one, At(1, 2), {Set(Table::kData, "b", "2", 2), Erase(Table::kData, "x", 2)});
  MustApply(*two, At(1, 2), {Set(Table::kData, "a", "1", 1), Set(Table::kData, "b", "2", 2)});
  const auto first = one->Digest(kTables);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*first, *two->Digest(kTables));
  EXPECT_EQ(first->rows, 2u);
  EXPECT_EQ(first->at, At(1, 2));
}

TEST(StoreDigest, InStepsIsThatOfTheWholeUnlessTheStoreIsWrittenMeanwhile) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  std::vector<Mutation> rows;
  for (int i = 0; i < 50; ++i) rows.push_back(Set(Table::kData, "k" + std::to_string(i), "value", 1));
  rows.push_back(Set(Table::kMeta, "m", "1", 1));
  MustApply(*store, At(1, 1), rows);
  StoreDigester digester(kTables);
  int steps = 1;
  for (;; ++steps) {
    const auto done = digester.Step(*store, 100);
    ASSERT_TRUE(done.ok());
    if (*done) break;
  }
  EXPECT_GT(steps, 3);
  EXPECT_EQ(digester.digest(), *store->Digest(kTables));
  StoreDigester other(kTables);
  ASSERT_TRUE(other.Step(*store, 100).ok());
  MustApply(*store, At(1, 2), {Set(Table::kData, "x", "1", 2)});
  EXPECT_EQ(other.Step(*store, 100).status().code(), StatusCode::kConflict);
}

TEST(StoreDigest, AnyDifferenceShows) {
  const TempDirectory directory;
  const std::vector<std::vector<Mutation>> states = {
      {},
      {Set(Table::kData, "a", "1", 1)},
      {Set(Table::kData, "a", "2", 1)},
      {Set(Table::kData, "a", "1", 2)},
      {Set(Table::kData, "a1", "", 1)},
      {Set(Table::kData, "", "a1", 1)},
      {Set(Table::kMeta, "a", "1", 1)},
      {Set(Table::kData, "a", "1", 1), Set(Table::kData, "b", "", 1)},
  };
  std::vector<StoreDigest> digests;
  for (size_t i = 0; i < states.size(); ++i) {
    const auto store = MustOpen(directory / ("s" + std::to_string(i)));
    MustApply(*store, At(1, 2), states[i]);
    const auto digest = store->Digest(kTables);
    ASSERT_TRUE(digest.ok());
    for (const StoreDigest& other : digests) {
      EXPECT_NE(std::pair(other.hash_high, other.hash_low), std::pair(digest->hash_high, digest->hash_low));
    }
    digests.push_back(*digest);
  }
}

TEST(StoreOpen, AnotherClustersFileIsForeign) {
  const TempDirectory directory;
  MustOpen(directory / "state.sqlite");
  const auto store = Store::Open(directory / "state.sqlite", {"other", kIdentity.group}, {});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kForeign);
  EXPECT_NE(store.status().message().find("cluster 7b0c2d7e-cluster"), std::string::npos)
      << store.status().message();
}

TEST(StoreOpen, AnotherGroupsFileIsForeign) {
  const TempDirectory directory;
  MustOpen(directory / "state.sqlite");
  const auto store =
      Store::Open(directory / "state.sqlite", {kIdentity.cluster, {GroupKind::kCoordinator, 1}}, {});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kForeign);
  EXPECT_NE(store.status().message().find("group s1, not c1"), std::string::npos) << store.status().message();
}

TEST(StoreOpen, NewerFormatIsForeignAndUntouched) {
  const TempDirectory directory;
  MustOpen(directory / "state.sqlite");
  std::string bytes = ReadFile(directory / "state.sqlite");
  bytes[63] = 9;  // user_version; a newer format may have other pages and checksums, too
  WriteFile(directory / "state.sqlite", bytes);
  const auto store = Store::Open(directory / "state.sqlite", kIdentity, {});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kForeign);
  EXPECT_NE(store.status().message().find("format 9"), std::string::npos) << store.status().message();
  EXPECT_EQ(ReadFile(directory / "state.sqlite"), bytes);
}

TEST(StoreOpen, SomeoneElsesDatabaseIsForeignAndUntouched) {
  const TempDirectory directory;
  RunSql(directory / "state.sqlite", "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  const std::string bytes = ReadFile(directory / "state.sqlite");
  const auto store = Store::Open(directory / "state.sqlite", kIdentity, {});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kForeign);
  EXPECT_EQ(ReadFile(directory / "state.sqlite"), bytes);
}

TEST(StoreOpen, SecondOpenerIsTurnedAway) {
  const TempDirectory directory;
  const auto store = MustOpen(directory / "state.sqlite");
  const auto second = Store::Open(directory / "state.sqlite", kIdentity, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable) << second.status().ToString();
  EXPECT_EQ(store->Get(Table::kData, "a"), std::nullopt);
  EXPECT_TRUE(store->status().ok());
}

TEST(StoreOpen, MissingDirectoryIsAnError) {
  const TempDirectory directory;
  const auto store = Store::Open(directory / "no/state.sqlite", kIdentity, {});
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find("no/state.sqlite"), std::string::npos) << store.status().message();
}

TEST(StoreOpen, UnknownVfsIsInvalid) {
  const TempDirectory directory;
  const auto store = Store::Open(directory / "state.sqlite", kIdentity, {.vfs = "nonesuch"});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.status().code(), StatusCode::kInvalid);
}

// Notes what happens to names, in order.
class RecordingFiles final : public StoreFiles {
 public:
  Result<bool> Exists(const std::string& path) override { return PosixStoreFiles().Exists(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    calls += "rename " + Name(from) + " " + Name(to) + "; ";
    return PosixStoreFiles().Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    if (*Exists(path)) calls += "remove " + Name(path) + "; ";
    return PosixStoreFiles().Remove(path);
  }
  Status SyncFile(const std::string& path) override {
    calls += "sync " + Name(path) + "; ";
    return PosixStoreFiles().SyncFile(path);
  }
  Status SyncDirectory(const std::string& directory) override {
    calls += "sync-directory; ";
    return PosixStoreFiles().SyncDirectory(directory);
  }
  std::string calls;

 private:
  static std::string Name(const std::string& path) { return path.substr(path.rfind('/') + 1); }
};

TEST(StoreFilesOrder, EachChangeOfNamesIsSyncedBeforeTheNext) {  // R7
  const TempDirectory directory;
  RecordingFiles files;
  StoreOptions options;
  options.files = &files;
  MustOpen(directory / "state", options);
  EXPECT_EQ(files.calls,
            "sync state.creating; rename state.creating state.incoming; sync-directory; sync-directory; "
            "rename state.incoming state; sync-directory; ");
  files.calls.clear();
  MustOpen(directory / "state", options);
  EXPECT_EQ(files.calls, "");

  MustOpen(directory / "copy");
  WriteFile(directory / "state-wal", "left by a kill");
  ASSERT_TRUE(Store::CheckSnapshot(directory / "copy", kIdentity, options).ok());
  ASSERT_TRUE(Store::InstallSnapshot(directory / "copy", directory / "state", options).ok());
  EXPECT_EQ(files.calls,
            "remove copy-wal; remove copy-checkpoint; sync copy; rename copy state.incoming; sync-directory; "
            "remove state-wal; remove state-checkpoint; sync-directory; rename state.incoming state; "
            "sync-directory; ");
}

TEST(StoreFull, IsDiskFullLatchesAndLosesNothing) {  // R7
  const TempDirectory directory;
  LogPosition applied;
  {
    const auto store = MustOpen(directory / "state.sqlite", {.pages_max = 40});
    const std::string value(2000, 'v');
    Status status;
    uint64_t lsn = 0;
    while (status.ok() && lsn < 1000) {
      ++lsn;
      status = store->ApplyBatch(At(1, lsn),
                                 std::vector{Set(Table::kData, "k" + std::to_string(lsn), value, lsn)});
    }
    EXPECT_EQ(status.code(), StatusCode::kDiskFull) << status.ToString();
    applied = At(1, lsn - 1);
    EXPECT_EQ(store->applied(), applied);
    EXPECT_EQ(store->status().code(), StatusCode::kDiskFull);
    EXPECT_FALSE(store->ApplyBatch(At(1, lsn + 1), {}).ok());
    EXPECT_FALSE(store->Checkpoint().ok());
    EXPECT_FALSE(store->Get(Table::kData, "k1"));
    EXPECT_FALSE(store->Digest(kTables).ok());
  }
  const auto store = MustOpen(directory / "state.sqlite", {.verify = true});
  EXPECT_EQ(store->applied(), applied);
  EXPECT_EQ(ContentsOf(*store).size(), Raw(applied.lsn));
}

// Between apply and checkpoint, with signals that leave no time for anything.
TEST(StoreKilled, ReopensWithEveryAcknowledgedBatch) {
  for (int round = 0; round < 5; ++round) {
    const TempDirectory directory;
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = Store::Open(directory / "state.sqlite", kIdentity, {});
      RandomHistory history(static_cast<uint64_t>(round));
      for (uint64_t lsn = 1;; ++lsn) {
        Overlay overlay(**store);
        Take(overlay, history.Next());
        if (!(*store)->ApplyBatch(At(1, lsn), overlay.Collect(Lsn{lsn})).ok()) ::_exit(1);
        if (lsn % 7 == 0 && !(*store)->Checkpoint().ok()) ::_exit(1);
        if (::write(pipe_ends[1], &lsn, sizeof lsn) != sizeof lsn) ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    uint64_t acknowledged = 0;
    for (int i = 0; i < 20 + round; ++i) {
      ASSERT_EQ(::read(pipe_ends[0], &acknowledged, sizeof acknowledged),
                static_cast<ssize_t>(sizeof acknowledged));
    }
    ::kill(child, SIGKILL);
    int how = 0;
    ASSERT_EQ(::waitpid(child, &how, 0), child);
    ASSERT_TRUE(WIFSIGNALED(how));
    uint64_t more = 0;
    while (::read(pipe_ends[0], &more, sizeof more) == static_cast<ssize_t>(sizeof more)) acknowledged = more;
    ::close(pipe_ends[0]);

    const auto store = MustOpen(directory / "state.sqlite", {.verify = true});
    EXPECT_GE(Raw(store->applied().lsn), acknowledged);
    RandomHistory history(static_cast<uint64_t>(round));
    while (history.last() < Raw(store->applied().lsn)) history.Next();
    EXPECT_EQ(ContentsOf(*store), history.After(store->applied().lsn));
  }
}

}  // namespace
}  // namespace assent
