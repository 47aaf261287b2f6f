// R13, R4: the core over store and overlay; batches to the store, rebuilding, checkpoints.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "driver/state_machine.h"
#include "tests/unit/temp_directory.h"
#include "tests/unit/wal_testing.h"

namespace assent {
namespace {

constexpr GroupId kShard{GroupKind::kShard, 1};

// A role core that does nothing but put one row for each record.
class RowCore final : public RoleCore {
 public:
  explicit RowCore(const StateReader& store) : overlay_(store) {}
  void Apply(Lsn lsn, const LogRecord& record) noexcept override {
    const auto* marked = std::get_if<MarkRaised>(&record);
    overlay_.Put(Table::kData, "k" + std::to_string(marked == nullptr ? 0 : marked->horizon_us),
                 std::to_string(Raw(lsn)), lsn);
  }
  void Step(const Instant&, const RoleEvent&, RoleEffects&) noexcept override {}
  bool IsQuiet() const override { return true; }
  uint64_t NextDeadline() const override { return UINT64_MAX; }
  Overlay& overlay() override { return overlay_; }
  void CheckInvariants() const override {}

 private:
  Overlay overlay_;
};

class OneLog final : public LogPort {
 public:
  explicit OneLog(wal::MemoryFileSystem& files) {
    auto opened = wal::Log::Open(files, wal::kDirectory, wal::TestOptions(1 << 16));
    EXPECT_TRUE(opened.ok());
    log_ = std::move(opened->log);
  }
  void Submit(LogCommand) override {}
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return 0; }

 private:
  std::unique_ptr<wal::Log> log_;
};

class DriverStateMachine : public testing::Test {
 protected:
  DriverStateMachine() { Open(); }
  void Open(uint64_t checkpoint_bytes = 1 << 20) {
    machine.reset();
    auto store = Store::Open(directory / "state.sqlite", {"test", kShard}, {});
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    machine = std::make_unique<StateMachine>(
        kShard,
        [this](GroupId, const StateReader& state) {
          ++made;
          return std::make_unique<RowCore>(state);
        },
        std::move(store).value(), checkpoint_bytes);
  }
  LogEntry Record(uint64_t lsn, uint64_t row) {
    return {{Epoch{1}, Lsn{lsn}}, std::make_shared<const std::string>(EncodeRecord(MarkRaised{{}, row}))};
  }
  // Records first..last, each on a row of its own, in the log and the core.
  void Take(uint64_t first, uint64_t last) {
    for (uint64_t lsn = first; lsn <= last; ++lsn) {
      const std::vector<LogEntry> entry = {Record(lsn, lsn)};
      view.Append(entry);
      ASSERT_TRUE(machine->ApplyRecords(entry).ok());
    }
  }
  std::optional<std::string> Stored(uint64_t row) {
    const auto found = machine->store().Get(Table::kData, "k" + std::to_string(row));
    return found ? std::optional(found->value) : std::nullopt;
  }

  TempDirectory directory;
  wal::MemoryFileSystem files;
  OneLog log{files};
  LogView view{log};
  std::unique_ptr<StateMachine> machine;
  int made = 0;
};

TEST_F(DriverStateMachine, R13WhatIsReplicatedAndNoMoreGoesToTheStore) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 5);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{3}, 0, /*force=*/true).ok());
  EXPECT_EQ(machine->store().applied(), (LogPosition{Epoch{1}, Lsn{3}}));
  EXPECT_EQ(Stored(3), "3");
  EXPECT_EQ(Stored(4), std::nullopt);
  EXPECT_EQ(machine->role().overlay().Get(Table::kData, "k5")->value, "5");
}

TEST_F(DriverStateMachine, RebuiltCoreOverStoreAndLogShowsTheSameState) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 5);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{3}, 0, true).ok());
  ASSERT_TRUE(machine->Rebuild(view).ok());
  EXPECT_EQ(made, 2);
  EXPECT_EQ(machine->role().overlay().change_count(), 2u);  // 4 and 5: the store has the others
  for (uint64_t row = 1; row <= 5; ++row) {
    EXPECT_EQ(machine->role().overlay().Get(Table::kData, "k" + std::to_string(row))->lsn, Lsn{row});
  }
}

// R4: what was truncated is nowhere in the core that is built after it.
TEST_F(DriverStateMachine, R4RebuiltCoreDoesNotKnowWhatWasTruncated) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 5);
  view.Truncate(Lsn{3});
  ASSERT_TRUE(machine->Rebuild(view).ok());
  EXPECT_EQ(machine->role().overlay().Get(Table::kData, "k4"), std::nullopt);
}

TEST_F(DriverStateMachine, ChangesWaitForAMomentAndThenGoTogether) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 5);
  EXPECT_EQ(machine->ApplyDeadline(), UINT64_MAX);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{3}, 1'000, false).ok());
  EXPECT_EQ(machine->store().applied(), LogPosition{});
  const uint64_t deadline = machine->ApplyDeadline();
  EXPECT_GT(deadline, 1'000u);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{5}, deadline - 1, false).ok());
  EXPECT_EQ(machine->store().applied(), LogPosition{});
  EXPECT_EQ(machine->ApplyDeadline(), deadline) << "news puts it off for ever";
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{5}, deadline, false).ok());
  EXPECT_EQ(machine->store().applied().lsn, Lsn{5});
  EXPECT_EQ(machine->ApplyDeadline(), UINT64_MAX);
}

TEST_F(DriverStateMachine, ManyChangesDoNotWait) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 1'024);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{1'000}, 0, false).ok());
  EXPECT_EQ(machine->store().applied().lsn, Lsn{1'000});
}

// A backlog that gathered while nothing was replicated goes in parts, so that the loop sees to
// other things between.
TEST_F(DriverStateMachine, ALargeBacklogGoesToTheStoreInParts) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 10'000);
  int calls = 0;
  for (uint64_t before = 0; before < 9'990; ++calls) {
    ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{9'990}, 5, false).ok());
    const uint64_t applied = Raw(machine->store().applied().lsn);
    ASSERT_GT(applied, before);
    EXPECT_LE(applied - before, 2'048u);
    before = applied;
    EXPECT_EQ(machine->ApplyDeadline(), before < 9'990 ? 5u : UINT64_MAX);
    EXPECT_EQ(Stored(before), std::to_string(before));
    EXPECT_EQ(Stored(before + 1), std::nullopt);
    EXPECT_EQ(machine->role().overlay().change_count(), 10'000 - before);
  }
  EXPECT_EQ(calls, 5);
  // A snapshot, or the end of the process, wants all of it.
  Take(10'001, 20'000);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{20'000}, 5, true).ok());
  EXPECT_EQ(machine->store().applied().lsn, Lsn{20'000});
}

TEST_F(DriverStateMachine, RecordThatIsNoneIsDamage) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  const std::vector<LogEntry> entry = {{{Epoch{1}, Lsn{1}}, std::make_shared<const std::string>("?")}};
  const Status status = machine->ApplyRecords(entry);
  EXPECT_EQ(status.code(), StatusCode::kDamaged);
  EXPECT_NE(status.message().find("(e1, 1)"), std::string::npos) << status.message();
}

TEST_F(DriverStateMachine, CheckpointComesWithEnoughWrittenAndThenTheLogMayGo) {
  Open(/*checkpoint_bytes=*/1 << 16);
  ASSERT_TRUE(machine->Rebuild(view).ok());
  uint64_t lsn = 1;
  Result<bool> done = false;
  while (!*done && lsn < 200) {
    EXPECT_EQ(machine->store().synced(), LogPosition{});
    Take(lsn, lsn);
    ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{lsn}, 0, true).ok());
    ++lsn;
    done = machine->MaybeCheckpoint(0);
    ASSERT_TRUE(done.ok());
  }
  EXPECT_TRUE(*done);
  EXPECT_EQ(machine->store().synced(), machine->store().applied());
}

// A row that begins and ends within a batch never reaches SQLite, but fills the log (G8).
TEST_F(DriverStateMachine, CheckpointComesWithALongLogToo) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  EXPECT_FALSE(*machine->MaybeCheckpoint(10 << 20)) << "nothing was applied: nothing can go";
  Take(1, 1);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{1}, 0, true).ok());
  EXPECT_FALSE(*machine->MaybeCheckpoint((1 << 20) - 1));
  EXPECT_TRUE(*machine->MaybeCheckpoint(1 << 20));
  EXPECT_EQ(machine->store().synced().lsn, Lsn{1});
}

// G7: a core that could not read its state takes in no record; it would find them contradict each other.
TEST_F(DriverStateMachine, DamagedStoreEndsTheRebuildBeforeTheFirstRecord) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 1'500);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{1'400}, 0, true).ok());
  ASSERT_TRUE(machine->store().Checkpoint().ok());
  machine.reset();
  {
    // The last page, which holds rows: Open reads none of those.
    std::fstream file(directory / "state.sqlite", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(0, std::ios::end);
    const auto size = static_cast<long>(file.tellg());
    ASSERT_GT(size, 8 * 4096);
    file.seekp(size - 2'000);
    file.write("damage", 6);
  }
  auto store = Store::Open(directory / "state.sqlite", {"test", kShard}, {});
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  bool scanned = false;
  size_t applied = 0;
  class ScanningCore final : public RoleCore {
   public:
    ScanningCore(const StateReader& state, size_t& applied) : overlay_(state), applied_(applied) {
      overlay_.Scan(Table::kData, "", "", [](std::string_view, const Row&) { return true; });
    }
    void Apply(Lsn, const LogRecord&) noexcept override { ++applied_; }
    void Step(const Instant&, const RoleEvent&, RoleEffects&) noexcept override {}
    bool IsQuiet() const override { return true; }
    uint64_t NextDeadline() const override { return UINT64_MAX; }
    Overlay& overlay() override { return overlay_; }
    void CheckInvariants() const override {}

   private:
    Overlay overlay_;
    size_t& applied_;
  };
  StateMachine damaged(
      kShard,
      [&](GroupId, const StateReader& state) {
        scanned = true;
        return std::make_unique<ScanningCore>(state, applied);
      },
      std::move(store).value(), 1 << 20);
  EXPECT_EQ(damaged.Rebuild(view).code(), StatusCode::kDamaged);
  EXPECT_TRUE(scanned);
  EXPECT_EQ(applied, 0u);
}

TEST_F(DriverStateMachine, ClosedStoreWantsNothingUntilAnotherTakesItsPlace) {
  ASSERT_TRUE(machine->Rebuild(view).ok());
  Take(1, 2);
  ASSERT_TRUE(machine->ApplyReplicated(view, Lsn{2}, 0, false).ok());
  EXPECT_NE(machine->ApplyDeadline(), UINT64_MAX);
  machine->CloseStore();
  EXPECT_EQ(machine->find_role(), nullptr);
  EXPECT_EQ(machine->ApplyDeadline(), UINT64_MAX);  // a loop that waited for it would spin
}

}  // namespace
}  // namespace assent
