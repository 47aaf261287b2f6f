// A reference workload is run clean and its effects on the disk are counted; then it is stopped at each of
// them, and at each effect of the recovery that follows, and what is recovered is compared with a model. The
// same with an EIO at each effect, and with a disk that fills up at each size. (R4, R7, R8,
// R9, R13's trimming)
#include "tests/unit/wal_testing.h"

namespace assent::wal {
namespace {

using Fault = MemoryFileSystem::Fault;

struct Step {
  enum class What : uint8_t { kAppend, kAppendAndForce, kPrepare, kTruncate, kTrim, kReset, kRestart };
  What what;
  uint64_t number = 0;  // records to append; LSN to truncate after, to trim below, to reset to
  uint64_t epoch = 1;
  size_t payload_bytes = 250;
};

// Small enough to be stopped everywhere; rolls, recycles, truncates within and across
// segments, trims, resets.
const std::vector<Step>& Workload() {
  using What = Step::What;
  static const std::vector<Step> steps = {
      {What::kAppendAndForce, 5},
      {What::kAppend, 3},
      {What::kAppendAndForce, 2},
      {What::kPrepare},
      {What::kAppendAndForce, 14},  // 24: two rolls
      {What::kAppend, 4},
      {What::kTruncate, 26},  // within a batch, unforced
      {What::kAppendAndForce, 6, 2},
      {What::kRestart},
      {What::kTrim, 20},
      {What::kAppendAndForce, 20, 2},  // 52
      {What::kAppend, 4, 2, 700},
      {What::kTruncate, 29, 2},  // across segments
      {What::kAppendAndForce, 30, 3},
      {What::kTrim, 45},  // several segments
      {What::kTruncate, 52},
      {What::kAppend, 1, 4},
      {What::kReset, 40, 4},
      {What::kAppendAndForce, 22, 5},
      {What::kRestart},
      {What::kReset, 500, 6},
      {What::kAppendAndForce, 12, 6},
      {What::kTrim, 511},
      {What::kAppend, 3, 7},
  };
  return steps;
}

// The contents of a log, by the book.
struct Model {
  LogPosition base;
  std::vector<LogEntry> entries;
  size_t forced = 0;  // of `entries`, from the front

  Lsn last() const { return Lsn{Raw(base.lsn) + entries.size()}; }

  void Take(const Step& step) {
    switch (step.what) {
      case Step::What::kAppend:
      case Step::What::kAppendAndForce:
        for (const LogEntry& entry : NewEntries(step)) entries.push_back(entry);
        if (step.what == Step::What::kAppendAndForce) forced = entries.size();
        return;
      case Step::What::kTruncate:
        entries.resize(step.number - Raw(base.lsn));
        forced = entries.size();
        return;
      case Step::What::kReset:
        *this = {{Epoch{step.epoch}, Lsn{step.number}}, {}, 0};
        return;
      case Step::What::kRestart:
        forced = entries.size();
        return;
      case Step::What::kPrepare:
      case Step::What::kTrim:  // how far depends on the segments: see Rebase
        return;
    }
  }

  std::vector<LogEntry> NewEntries(const Step& step) const {
    return Entries(step.epoch, Raw(last()) + 1, Raw(last()) + step.number, step.payload_bytes);
  }

  // Drops what lies at or below a base that a trim has left.
  void Rebase(LogPosition trimmed) {
    const size_t count = Raw(trimmed.lsn) - Raw(base.lsn);
    ASSERT_LE(count, entries.size());
    if (count == 0) return;
    ASSERT_EQ(entries[count - 1].position, trimmed);
    entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(count));
    forced -= std::min(forced, count);
    base = trimmed;
  }
};

// A log under the workload, and its model before and after the step that was under way
// when something happened.
struct Trial {
  MemoryFileSystem files;
  std::unique_ptr<Log> log;
  Model before;
  Model after;
  Step step{Step::What::kRestart};
  Status status;

  // Takes `next`; false if it failed.
  bool Take(const Step& next) {
    step = next;
    before = after;
    after.Take(step);
    status = Perform(before.NewEntries(step));
    if (status.ok() && step.what == Step::What::kTrim) after.Rebase(log->base());
    return status.ok();
  }

  Status Restart() {
    log.reset();
    Result<Log::Opened> opened = Log::Open(files, kDirectory, TestOptions());
    if (!opened.ok()) return opened.status();
    log = std::move(opened->log);
    return Status();
  }

  Status Perform(const std::vector<LogEntry>& entries) {
    switch (step.what) {
      case Step::What::kAppend:
        return log->Append(entries);
      case Step::What::kAppendAndForce:
        return log->AppendAndForce(entries);
      case Step::What::kPrepare:
        return log->PrepareNextSegment();
      case Step::What::kTruncate:
        return log->Truncate(Lsn{step.number});
      case Step::What::kTrim:
        return log->Trim(Lsn{step.number});
      case Step::What::kReset:
        return log->Reset({Epoch{step.epoch}, Lsn{step.number}});
      case Step::What::kRestart:
        return Restart();
    }
    return Status();
  }

  // Runs the workload until a step fails; false if none does.
  bool FailsWithin() {
    step = {Step::What::kRestart};
    status = Restart();
    if (!status.ok()) return true;
    for (const Step& next : Workload()) {
      if (!Take(next)) return true;
    }
    return false;
  }

  // The log, reopened after the failure, holds what the interrupted step may leave.
  void ExpectAllowed() {
    const std::vector<std::string> found = Texts(ReadAll(*log));
    ASSERT_EQ(found.size(), Raw(log->last().lsn) - Raw(log->base().lsn));
    ASSERT_EQ(log->durable(), log->last());
    const bool rewrites = step.what == Step::What::kReset || step.what == Step::What::kTruncate;
    if (rewrites && log->base() == after.base && found == Texts(after.entries)) return;  // it has happened
    // It has not, or it only adds: any prefix that keeps what was forced.
    Model allowed = before;
    if (!rewrites) allowed.entries = after.base == before.base ? after.entries : before.entries;
    if (step.what == Step::What::kTrim) {
      ASSERT_LT(log->base().lsn, Lsn{step.number});
      allowed.Rebase(log->base());
    }
    ASSERT_EQ(log->base(), allowed.base);
    ASSERT_GE(found.size(), allowed.forced);
    ASSERT_EQ(found, Prefix(Texts(allowed.entries), found.size()));
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(log->EpochAt(allowed.entries[i].position.lsn), allowed.entries[i].position.epoch);
    }
    ASSERT_EQ(log->EpochAt(log->base().lsn), log->base().epoch);
  }

  // The log works on: it takes the next records, and has them after a power cut that keeps nothing else.
  void ExpectWorksOn(uint64_t count = 15) {
    std::vector<std::string> expected = Texts(ReadAll(*log));
    const uint64_t first = Raw(log->last().lsn) + 1;
    const auto more = Entries(9, first, first + count - 1, 300);
    ExpectOk(log->AppendAndForce(more));
    for (const std::string& text : Texts(more)) expected.push_back(text);
    files.Crash([] { return false; });
    const Status reopened = Restart();
    ASSERT_TRUE(reopened.ok()) << reopened.ToString();
    ASSERT_EQ(Texts(ReadAll(*log)), expected);
  }
};

uint64_t CountEffects() {
  Trial run;
  EXPECT_FALSE(run.FailsWithin());
  return run.files.effects();
}

// The part that a power cut keeps: nothing, everything, or some of it.
std::function<bool()> Keep(unsigned variant, uint64_t seed) {
  if (variant < 2) return [variant] { return variant == 1; };
  auto random = std::make_shared<std::mt19937_64>(seed * 31 + variant);
  return [random] { return (*random)() % 2 == 0; };
}

constexpr unsigned kVariants = kSanitized ? 3 : 8;

TEST(WalCrash, WorkloadRunsClean) {
  Trial run;
  ASSERT_FALSE(run.FailsWithin()) << run.status.ToString();
  ExpectOk(run.Restart());
  EXPECT_EQ(run.log->base(), run.after.base);
  EXPECT_EQ(Texts(ReadAll(*run.log)), Texts(run.after.entries));
}

TEST(WalCrash, AtEachEffectAndAtEachOfItsRecovery) {
  const uint64_t effects = CountEffects();
  uint64_t crashes = 0;
  for (uint64_t i = 1; i <= effects; ++i) {
    for (unsigned variant = 0; variant < kVariants; ++variant) {
      // j = 0: one crash; j > 0: another at the jth effect of the recovery.
      for (uint64_t j = 0;; ++j) {
        Trial run;
        run.files.Inject(i, Fault::kStop);
        ASSERT_TRUE(run.FailsWithin());
        run.files.Crash(Keep(variant, i));
        ++crashes;
        bool recovered_first = false;
        if (j > 0) {
          run.files.Inject(j, Fault::kStop);
          recovered_first = run.Restart().ok();
          run.files.Crash(Keep(variant, i * 1000 + j));
          ++crashes;
        }
        const Status reopened = run.Restart();
        ASSERT_TRUE(reopened.ok()) << reopened.ToString();
        run.ExpectAllowed();
        run.ExpectWorksOn();
        ASSERT_FALSE(testing::Test::HasFailure())
            << "effect " << i << " of " << effects << ", variant " << variant << ", recovery effect " << j;
        if (recovered_first) break;
      }
    }
  }
  std::printf("%lu effects, %lu crashes\n", effects, crashes);
}

// kill -9: the machine's cache keeps what was not synced, until a power cut later on. By then the next
// process counts on it, file names included. One record goes into the segment that was found,
// fifteen need another.
TEST(WalCrash, ProcessKilledAtEachEffectThenPowerCut) {
  const uint64_t effects = CountEffects();
  for (uint64_t i = 1; i <= effects; ++i) {
    for (const uint64_t count : {uint64_t{1}, uint64_t{15}}) {
      Trial run;
      run.files.Inject(i, Fault::kStop);
      ASSERT_TRUE(run.FailsWithin());
      run.files.ClearFaults();
      const Status reopened = run.Restart();
      ASSERT_TRUE(reopened.ok()) << reopened.ToString();
      run.ExpectAllowed();
      run.ExpectWorksOn(count);
      ASSERT_FALSE(testing::Test::HasFailure()) << "effect " << i << ", then " << count << " records";
    }
  }
}

// R7: the first error is final; the process restarts on a disk whose cache may show what the medium
// does not hold.
TEST(WalCrash, ErrorAtEachEffectPoisons) {
  const uint64_t effects = CountEffects();
  for (uint64_t i = 1; i <= effects; ++i) {
    for (unsigned variant = 0; variant < kVariants; ++variant) {
      Trial run;
      run.files.set_keep(Keep(variant, i));
      run.files.Inject(i, Fault::kError);
      ASSERT_TRUE(run.FailsWithin()) << "the error of effect " << i << " was swallowed";
      EXPECT_EQ(run.status.code(), StatusCode::kIo);
      if (run.log != nullptr) {
        const uint64_t done = run.files.effects();
        for (const Step& next : Workload()) {
          if (next.what == Step::What::kRestart) continue;
          run.step = next;
          EXPECT_EQ(run.Perform({}).message(), run.status.message());
        }
        EXPECT_EQ(run.log->Force().message(), run.status.message());
        EXPECT_EQ(run.log->status().message(), run.status.message());
        EXPECT_EQ(run.files.effects(), done) << "a poisoned log leaves the disk alone";
      }
      const Status reopened = run.Restart();
      ASSERT_TRUE(reopened.ok()) << reopened.ToString();
      ASSERT_FALSE(testing::Test::HasFailure()) << "effect " << i << ", variant " << variant;
    }
  }
}

TEST(WalCrash, ErrorAtEachEffectThenRestartKeepsWhatCounts) {
  const uint64_t effects = CountEffects();
  for (uint64_t i = 1; i <= effects; ++i) {
    for (unsigned variant = 0; variant < kVariants; ++variant) {
      Trial run;
      run.files.set_keep(Keep(variant, i));
      run.files.Inject(i, Fault::kError);
      ASSERT_TRUE(run.FailsWithin());
      const Status reopened = run.Restart();
      ASSERT_TRUE(reopened.ok()) << reopened.ToString();
      run.ExpectAllowed();
      run.ExpectWorksOn();
      ASSERT_FALSE(testing::Test::HasFailure()) << "effect " << i << ", variant " << variant;
    }
  }
}

// Prometheus #13027: a fragment left by a full disk kills what is acknowledged later.
TEST(WalDiskFull, AtEachSizeThenFreedThenWorksOn) {
  Trial clean;
  ASSERT_FALSE(clean.FailsWithin());
  uint64_t refusals = 0;
  for (uint64_t capacity = kSegmentBytesMin; capacity < 16 * kSegmentBytesMin; capacity += 512) {
    for (const bool crash : {false, true}) {
      Trial run;
      ExpectOk(run.Restart());
      for (const Step& step : Workload()) {
        run.files.set_capacity(capacity);
        if (run.Take(step)) continue;
        ASSERT_EQ(run.status.code(), StatusCode::kDiskFull) << run.status.ToString();
        ExpectOk(run.log == nullptr ? Status() : run.log->status());
        ++refusals;
        run.files.set_capacity(std::nullopt);
        if (crash) {
          run.files.Crash(Keep(static_cast<unsigned>(capacity / 512 % kVariants), capacity));
          ExpectOk(run.Restart());
          run.ExpectAllowed();
          run.ExpectWorksOn();
          break;
        }
        // Nothing of the step is in the log, and it may be taken again.
        ASSERT_EQ(run.log->last().lsn, run.before.last());
        run.after = run.before;
        ASSERT_TRUE(run.Take(step)) << run.status.ToString();
        for (const std::string& path : run.files.Paths())
          ASSERT_EQ(path.find("/new-"), std::string::npos) << path;
      }
      if (!crash) {
        run.files.set_capacity(std::nullopt);
        ExpectOk(run.log->Force());
        ASSERT_EQ(Texts(ReadAll(*run.log)), Texts(run.after.entries));
        ExpectOk(run.Restart());
        ASSERT_EQ(Texts(ReadAll(*run.log)), Texts(run.after.entries));
      }
      ASSERT_FALSE(testing::Test::HasFailure()) << "capacity " << capacity << ", crash " << crash;
    }
  }
  EXPECT_GT(refusals, 20U);
}

TEST(WalDiskFull, OnAnExistingSegmentPoisons) {  // R7: it was promised the room
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  files.Inject(1, Fault::kDiskFull);
  EXPECT_EQ(log->Append(Entries(1, 1, 1, 1000)).code(), StatusCode::kDiskFull);
  EXPECT_EQ(log->Append(Entries(1, 1, 1, 1000)).code(), StatusCode::kDiskFull);
  EXPECT_EQ(log->status().code(), StatusCode::kDiskFull);
  EXPECT_EQ(MustOpen(files)->last(), LogPosition{});
}

TEST(WalForce, IsNotRetriedOnceItFailed) {  // R7; PostgreSQL's fsync of 2018
  MemoryFileSystem files;
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(1, 1, 3)));
    ExpectOk(log->Append(Entries(1, 4, 6)));
    files.Inject(1, Fault::kError);  // once: the next sync of this file would succeed, without the lost pages
    const Status first = log->Force();
    EXPECT_EQ(first.code(), StatusCode::kIo);
    const uint64_t syncs = files.syncs();
    EXPECT_EQ(log->Force().message(), first.message());
    EXPECT_EQ(log->AppendAndForce(Entries(1, 7, 7)).message(), first.message());
    EXPECT_EQ(log->Truncate(Lsn{2}).message(), first.message());
    EXPECT_EQ(files.syncs(), syncs);
    EXPECT_EQ(log->durable().lsn, Lsn{3});
    EXPECT_EQ(ReadAll(*log).size(), 3U) << "what is durable is still read";
  }
  files.Crash([] { return false; });
  EXPECT_EQ(MustOpen(files)->last().lsn, Lsn{3});
}

// LevelDB #196, YugabyteDB #3490: a segment whose name or predecessor was never synced.
TEST(WalRoll, NameAndPredecessorAreDurableBeforeAnythingIsAcknowledged) {
  for (uint64_t count = 1; count <= 40; ++count) {
    MemoryFileSystem files;
    {
      const auto log = MustOpen(files);
      for (uint64_t lsn = 1; lsn < count; ++lsn) ExpectOk(log->Append(Entries(1, lsn, lsn, 300)));
      ExpectOk(log->AppendAndForce(Entries(1, count, count, 300)));
    }
    files.Crash([] { return false; });
    EXPECT_EQ(Texts(ReadAll(*MustOpen(files))), Texts(Entries(1, 1, count, 300)));
  }
}

}  // namespace
}  // namespace assent::wal
