// Operations of a branch on rows and its own writes: locks, checks, add, scan, bounds.
#include <gtest/gtest.h>

#include "participant/executor.h"
#include "participant_testing.h"

namespace assent::participant {
namespace {

class ParticipantExecutor : public testing::Test {
 protected:
  std::optional<Failure> Do(Operation operation) {
    branch_.operations = {std::move(operation)};
    branch_.next = 0;
    return DoNextOperation(branch_, state_);
  }
  AbortReason ReasonOf(Operation operation) {
    const auto failure = Do(std::move(operation));
    return failure ? failure->reason : AbortReason::kNone;
  }
  const OperationResult& Result() const { return branch_.results.back(); }
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const ResultRow& row : Result().rows) keys.push_back(row.key);
    return keys;
  }
  void Given(std::string key, std::string value, uint64_t lsn = 7) {
    state_.Put(Table::kData, std::move(key), std::move(value), Lsn{lsn});
  }

  MapState state_;
  Branch branch_;
};

TEST_F(ParticipantExecutor, LocksMatchWhatIsDone) {
  EXPECT_EQ(LockFor(Get("k")), (Lock{"k", LockMode::kShared, false, ""}));
  EXPECT_EQ(LockFor(Exists("k")), (Lock{"k", LockMode::kShared, false, ""}));
  EXPECT_EQ(LockFor(Put("k", "v")), (Lock{"k", LockMode::kExclusive, false, ""}));
  EXPECT_EQ(LockFor(Delete("k")), (Lock{"k", LockMode::kExclusive, false, ""}));
  EXPECT_EQ(LockFor(Add("k", 1)), (Lock{"k", LockMode::kExclusive, false, ""}));
  EXPECT_EQ(LockFor(Scan("k/")), (Lock{"k/", LockMode::kShared, true, "k0"}));
  EXPECT_EQ(LockFor(Scan("")), (Lock{"", LockMode::kShared, true, ""}));
  EXPECT_EQ(LockFor(ScanOp{"k/", 0, "k/5"}),  // what lies before was locked by the scan that was cut there
            (Lock{std::string("k/5\0", 4), LockMode::kShared, true, "k0"}));
}

TEST_F(ParticipantExecutor, AddsToALongValueCopyItOnce) {
  Given("k", "1 " + std::string(200'000, 'x'));
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(ReasonOf(Add("k", 1)), AbortReason::kNone);
  EXPECT_EQ(Result().number, 1'001);
  EXPECT_LT(branch_.touched_bytes, 300'000u);
  EXPECT_EQ(branch_.write_bytes, 1 + 5 + 200'000u);
  ASSERT_EQ(ReasonOf(Get("k")), AbortReason::kNone);
  EXPECT_EQ(Result().rows[0].value, "1001 " + std::string(200'000, 'x'));
}

TEST_F(ParticipantExecutor, ChecksCompareWhatTheySay) {
  Given("k", "v", 7);
  EXPECT_EQ(ReasonOf(Exists("k")), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(Exists("x")), AbortReason::kCheckFailed);
  EXPECT_EQ(ReasonOf(Absent("x")), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(Absent("k")), AbortReason::kCheckFailed);
  EXPECT_EQ(ReasonOf(CheckOp{"k", CheckKind::kValue, "v", 0}), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(CheckOp{"k", CheckKind::kValue, "w", 0}), AbortReason::kCheckFailed);
  EXPECT_EQ(ReasonOf(CheckOp{"x", CheckKind::kValue, "", 0}), AbortReason::kCheckFailed);
  EXPECT_EQ(ReasonOf(CheckOp{"k", CheckKind::kVersion, "", 7}), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(CheckOp{"k", CheckKind::kVersion, "", 6}), AbortReason::kCheckFailed);
  EXPECT_EQ(ReasonOf(CheckOp{"x", CheckKind::kVersion, "", 0}), AbortReason::kCheckFailed);
  EXPECT_EQ(Do(CheckOp{"k", CheckKind::kVersion, "", 6})->detail, "check \"k\": the version is 7, not 6");
}

TEST_F(ParticipantExecutor, AddKeepsTheTextBehindTheNumber) {
  Given("k", "100 opened 2026-11-02");
  EXPECT_EQ(ReasonOf(Add("k", -1)), AbortReason::kNone);
  EXPECT_EQ(Result().number, 99);
  EXPECT_EQ(branch_.writes.at("k"), "99 opened 2026-11-02");
  EXPECT_EQ(ReasonOf(Add("new", 5)), AbortReason::kNone);
  EXPECT_EQ(branch_.writes.at("new"), "5");
  EXPECT_EQ(ReasonOf(Add("new", 5)), AbortReason::kNone);
  EXPECT_EQ(branch_.writes.at("new"), "10");
}

TEST_F(ParticipantExecutor, AddRefusesWhatItCannotDo) {
  Given("text", "abc");
  Given("most", std::to_string(INT64_MAX));
  EXPECT_EQ(ReasonOf(Add("text", 1)), AbortReason::kNotANumber);
  EXPECT_EQ(ReasonOf(Add("most", 1)), AbortReason::kNotANumber);
  EXPECT_EQ(ReasonOf(AddAbove("new", -1, 0)), AbortReason::kBelowFloor);
  EXPECT_EQ(ReasonOf(AddAbove("new", -1, -1)), AbortReason::kNone);
  EXPECT_EQ(branch_.writes.size(), 1u);
}

TEST_F(ParticipantExecutor, ScanMergesOwnWrites) {
  for (const char* key : {"p/1", "p/3", "p/5", "q"}) Given(key, "old");
  ASSERT_EQ(ReasonOf(Put("p/0", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Put("p/3", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Delete("p/5")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Put("p/9", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Scan("p/")), AbortReason::kNone);
  EXPECT_EQ(Result().rows, (std::vector<ResultRow>{
                               {"p/0", "own", 0}, {"p/1", "old", 7}, {"p/3", "own", 0}, {"p/9", "own", 0}}));
  EXPECT_FALSE(Result().truncated);
}

TEST_F(ParticipantExecutor, ScanStopsAtItsLimitAndSaysSo) {
  for (const char* key : {"p1", "p2", "p3"}) Given(key, "v");
  ASSERT_EQ(ReasonOf(Scan("p", 2)), AbortReason::kNone);
  EXPECT_EQ(Keys(), (std::vector<std::string>{"p1", "p2"}));
  EXPECT_TRUE(Result().truncated);
  ASSERT_EQ(ReasonOf(Scan("p", 3)), AbortReason::kNone);
  EXPECT_FALSE(Result().truncated);
}

TEST_F(ParticipantExecutor, ScanGoesOnBehindAKey) {
  for (const char* key : {"p/1", "p/3", "p/3+", "p/5", "q"}) Given(key, "old");
  ASSERT_EQ(ReasonOf(Put("p/2", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Put("p/4", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Put("p/5", "own")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(ScanOp{"p/", 0, "p/3"}), AbortReason::kNone);
  EXPECT_EQ(Result().rows,
            (std::vector<ResultRow>{{"p/3+", "old", 7}, {"p/4", "own", 0}, {"p/5", "own", 0}}));
  EXPECT_FALSE(Result().truncated);
  ASSERT_EQ(ReasonOf(ScanOp{"p/", 1, "p/3"}), AbortReason::kNone);
  EXPECT_EQ(Keys(), std::vector<std::string>{"p/3+"});
  EXPECT_TRUE(Result().truncated);
  ASSERT_EQ(ReasonOf(ScanOp{"p/", 0, "p/5"}), AbortReason::kNone);
  EXPECT_TRUE(Result().rows.empty());
  EXPECT_FALSE(Result().truncated);
}

TEST_F(ParticipantExecutor, PagesTogetherAreTheWholeScan) {
  std::vector<std::string> all;
  for (int i = 10; i < 40; ++i) {
    all.push_back("p/" + std::to_string(i));
    Given(all.back(), std::string(kValueBytesMax, 'v'));
  }
  std::vector<std::string> read;
  do {
    branch_.result_bytes = 0;  // each is a request
    ASSERT_EQ(ReasonOf(ScanOp{"p/", 0, read.empty() ? "" : read.back()}), AbortReason::kNone);
    ASSERT_FALSE(Result().rows.empty());
    for (const ResultRow& row : Result().rows) read.push_back(row.key);
    ASSERT_LE(read.size(), all.size());
  } while (Result().truncated);
  EXPECT_EQ(read, all);
}

TEST_F(ParticipantExecutor, ScanFromAKeyThatIsNoneOfItsIsRefused) {
  const auto refused = [&](Operation operation) {
    return CheckLimits(branch_, std::vector<Operation>{std::move(operation)}).has_value();
  };
  EXPECT_FALSE(refused(ScanOp{"p/", 0, "p/1"}));
  EXPECT_FALSE(refused(ScanOp{"p/", 0, "p/" + std::string(kKeyBytesMax - 2, 'k')}));
  EXPECT_TRUE(refused(ScanOp{"p/", 0, "p/" + std::string(kKeyBytesMax - 1, 'k')}));
  EXPECT_TRUE(refused(ScanOp{"p/", 0, "q"}));
  EXPECT_TRUE(refused(ScanOp{"p/", 0, "p"}));
}

TEST_F(ParticipantExecutor, ResultsAreBounded) {  // G8
  const std::string big(kValueBytesMax, 'v');
  for (int i = 0; i < 8; ++i) Given("p" + std::to_string(i), big);
  ASSERT_EQ(ReasonOf(Scan("p")), AbortReason::kNone);
  EXPECT_TRUE(Result().truncated);
  EXPECT_LE(branch_.result_bytes, kResultBytesMax);
  EXPECT_EQ(ReasonOf(Get("p7")), AbortReason::kTooLarge) << "a get cannot be cut";
}

TEST_F(ParticipantExecutor, WritesOfABranchAreBounded) {  // G8: small adds to large values
  const std::string big = "1 " + std::string(kValueBytesMax - 10, 'v');
  for (int i = 0; i < 5; ++i) Given("p" + std::to_string(i), big);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ReasonOf(Add("p" + std::to_string(i), 1)), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(Add("p2", 1)), AbortReason::kNone) << "the same key again costs nothing";
  EXPECT_EQ(ReasonOf(Add("p3", 1)), AbortReason::kNone);
  EXPECT_EQ(ReasonOf(Add("p4", 1)), AbortReason::kTooLarge);
}

TEST_F(ParticipantExecutor, NewestReadIsTheHighestVersionShown) {
  Given("a", "v", 3);
  Given("b", "v", 9);
  ASSERT_EQ(ReasonOf(Get("b")), AbortReason::kNone);
  ASSERT_EQ(ReasonOf(Get("a")), AbortReason::kNone);
  EXPECT_EQ(branch_.newest_read, Lsn{9});
}

TEST(ParticipantExecutorText, KeysAreQuotedForPeople) {
  EXPECT_EQ(Quoted("plain/key"), "\"plain/key\"");
  EXPECT_EQ(Quoted(std::string("a\"\n\0b", 5)), "\"a\\x22\\x0a\\x00b\"");
  EXPECT_EQ(Quoted(std::string(100, 'k')), "\"" + std::string(64, 'k') + "...\"");
}

}  // namespace
}  // namespace assent::participant
