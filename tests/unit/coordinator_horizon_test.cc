// C5: the horizon, and how what lies below it is found and dropped.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

constexpr uint64_t kStep = 60 * kSecond;
static_assert(kStep == CoordinatorTimes{}.horizon_step_us);

size_t RowsOf(const Harness& h, Table table, const std::string& prefix = "") {
  size_t rows = 0;
  h.core->overlay().Scan(table, prefix, prefix.empty() ? "" : PrefixEnd(prefix),
                         [&](std::string_view, const Row&) {
                           ++rows;
                           return true;
                         });
  return rows;
}
uint64_t LastHorizon(const Harness& h) {
  uint64_t horizon = 0;
  for (const auto& [lsn, record] : h.log) {
    if (const auto* raised = std::get_if<HorizonRaised>(&record)) horizon = raised->horizon_us;
  }
  return horizon;
}

TEST(CoordinatorHorizon, RisesWithTimeInSteps) {
  Harness h;
  h.Pass(0);
  const uint64_t first = LastHorizon(h);
  EXPECT_LE(first, h.now.wall_us - kHour);
  EXPECT_GT(first, h.now.wall_us - kHour - 60 * kSecond);
  const size_t records = h.Appended<HorizonRaised>().size();
  h.Pass(600 * kSecond);
  EXPECT_GE(h.Appended<HorizonRaised>().size(), records + 9);  // one a minute
  EXPECT_LE(h.Appended<HorizonRaised>().size(), records + 11);
  EXPECT_GT(LastHorizon(h), first);
}

uint64_t BirthNow(Harness& h) {
  return h.AnswerTo<SessionOpened>(h.Call(OpenSession{})).birth_us;
}

TEST(CoordinatorHorizon, NeverFallsAndGoesOnWithElapsedTime) {
  Harness h;
  h.Pass(0);
  h.Replicate();
  const uint64_t before = LastHorizon(h);
  const uint64_t birth = BirthNow(h);
  h.now.wall_us -= 5 * kHour;  // someone set the clock: nobody notices
  h.Pass(120 * kSecond);
  EXPECT_EQ(LastHorizon(h), before + 2 * kStep);
  EXPECT_EQ(BirthNow(h), birth + 120 * kSecond);
  h.Replicate();
  h.Restart(2, 99);
  EXPECT_EQ(LastHorizon(h), before + 2 * kStep);
  h.Pass(120 * kSecond);
  EXPECT_GE(LastHorizon(h), before + 3 * kStep);
  EXPECT_LE(LastHorizon(h), before + 4 * kStep);
  EXPECT_GE(BirthNow(h), birth + 180 * kSecond);  // what a change of primary loses is less than a step
}

TEST(CoordinatorHorizon, ClockSetAheadWhileItRunsEndsNothing) {
  Harness h;
  h.Pass(0);
  h.Replicate();
  const CommitTag tag = h.Tag(1);
  h.PhaseTwo(1);
  h.now.wall_us += 70 * 365 * 24 * kHour;
  h.Pass(10 * 60 * kSecond);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(h.Puts(tag, {kS1, kS2}))).outcome, Outcome::kCommitted);
  EXPECT_LE(LastHorizon(h), tag.token.birth_us - kHour + 10 * 60 * kSecond);
}

// Outcomes are dropped after an hour of elapsed time, whenever the clock thought that it was.
TEST(CoordinatorHorizon, ClockThatWasOnceFarAheadDoesNotEndExpiry) {
  Harness h;
  h.now.wall_us += 70 * 365 * 24 * kHour;
  h.Restart(2);
  h.Pass(20 * kSecond);
  h.Replicate();
  h.now.wall_us -= 70 * 365 * 24 * kHour;
  h.Restart(3);
  h.Pass(20 * kSecond);
  CommitTag tag = h.Tag(1);
  tag.token.birth_us = BirthNow(h);
  h.Call(h.Puts(tag, {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  h.Replicate();
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  h.Pass(kHour - kStep);
  EXPECT_EQ(RowsOf(h, Table::kOutcome), 1u);
  h.Pass(4 * kStep);
  EXPECT_EQ(RowsOf(h, Table::kOutcome), 0u);
  EXPECT_EQ(RowsOf(h, Table::kMeta, "born/"), 0u);
}

TEST(CoordinatorHorizon, NewPrimaryWhoseClockIsAheadEndsNothing) {
  Harness h;
  h.Pass(0);
  h.PhaseTwo(1);
  const CommitTag tag = h.Tag(1);
  h.Replicate();
  h.now.wall_us += 8 * kHour;
  h.Restart(2);
  h.Pass(5 * kStep);
  CommitTag again = tag;
  again.sent_to = Epoch{2};
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(h.Puts(again, {kS1, kS2}))).outcome, Outcome::kCommitted);
}

// A commit that is under way finds its outcome all the same.
TEST(CoordinatorHorizon, ShorterRetentionDoesNotRefuseWhatWasBornBefore) {
  Harness h;
  h.Pass(0);
  const CommitTag recorded = h.Tag(1);
  h.PhaseTwo(1);
  const CommitTag fresh = h.Tag(2);
  h.config_.times.retention_us = 600 * kSecond;
  h.Restart(2);
  for (CommitTag tag : {recorded, fresh}) {
    tag.sent_to = Epoch{2};
    h.Clear();
    const RequestId call = h.Call(h.Puts(tag, {kS1, kS2}));
    if (tag.token.seq == 1) {
      EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
    } else {
      EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
    }
  }
}

// However often the primary changes, time goes on.
TEST(CoordinatorHorizon, RisesThoughNoPrimaryLastsForAStep) {
  Harness h;
  h.Pass(0);
  h.Replicate();
  const uint64_t before = LastHorizon(h);
  for (uint64_t epoch = 2; epoch < 62; ++epoch) {
    h.Pass(30 * kSecond);
    h.Restart(epoch, 99);
  }
  EXPECT_GE(LastHorizon(h), before + 20 * kStep);
}

// The shard would drop what became of it, and then be asked.
TEST(CoordinatorHorizon, ShardsAreNotToldOneAboveALiveToken) {  // C5, C6
  Harness h;
  h.Pass(0);
  h.Replicate();
  const uint64_t first = LastHorizon(h);
  CommitTag tag = h.Tag(1);
  tag.token.birth_us = first + kSecond;
  h.Call(h.Puts(tag, {kS1}));
  h.Clear();
  for (int i = 0; i < 90; ++i) {
    h.Pass(100 * kMs);
    h.Replicate();
  }
  ASSERT_FALSE(h.Sent<CommitOnePhase>().empty());
  h.now.mono_us += 120 * kSecond;  // the process was stopped
  h.Clear();
  const RequestId other = h.Call(h.Puts(h.Tag(2), {kS2}));
  EXPECT_LE(h.SentTo<CommitOnePhase>(kS2).header.horizon_us, tag.token.birth_us);
  EXPECT_FALSE(h.Answered(other));
  h.Clear();
  h.Pass(0);  // the first has waited for too long: UNKNOWN
  h.Replicate();
  ASSERT_GT(LastHorizon(h), tag.token.birth_us);
  h.Pass(35 * kSecond);
  uint64_t told = 0;
  for (const auto& [to, news] : h.Sent<MarkNews>()) told = std::max(told, news.horizon_us);
  EXPECT_GT(told, tag.token.birth_us);
}

TEST(CoordinatorHorizon, OlderTokensAreRefused) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  h.Pass(kHour + 180 * kSecond);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(request)).code, RefusalCode::kTokenExpired);
  h.Replicate();
  h.Restart(2);
  Execute again = request;
  again.tag.sent_to = Epoch{2};
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(again)).code, RefusalCode::kTokenExpired);
  EXPECT_EQ(RowsOf(h, Table::kOutcome), 0u);
  EXPECT_EQ(RowsOf(h, Table::kFloor), 0u);
  EXPECT_EQ(RowsOf(h, Table::kMeta, "born/"), 0u);
}

TEST(CoordinatorHorizon, ShardsHearOfItOnlyOnceItIsReplicated) {  // R1
  Harness h;
  h.Pass(0);
  const uint64_t horizon = LastHorizon(h);
  ASSERT_GT(horizon, 0u);
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.horizon_us, 0u);
  h.Replicate();
  h.Clear();
  h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.horizon_us, horizon);
  h.Restart(2);
  h.Call(h.Puts(h.Tag(3), {kS1, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.horizon_us, horizon);
}

// Feeds records to Tokens alone.
struct Table_ {
  MapState store;
  Overlay overlay{store};
  Tokens tokens{overlay, 100, kStep};
  uint64_t lsn = 0;

  static Token TokenOf(uint64_t client, uint64_t seq, uint64_t birth_us) {
    return Token{kGroup, ClientId{client}, seq, birth_us};
  }
  void Commit(const Token& token, uint64_t acked_below = 0) {
    ++lsn;
    tokens.OnCommitted(Lsn{lsn}, Committed{TxnId{kGroup, Epoch{1}, lsn}, {}, token, 1, 7, acked_below});
  }
  void Raise(uint64_t horizon_us) { tokens.OnHorizon(Lsn{++lsn}, HorizonRaised{horizon_us}); }
  size_t Rows(Table table) {
    size_t rows = 0;
    overlay.Scan(table, "", "", [&](std::string_view, const Row&) {
      ++rows;
      return true;
    });
    return rows;
  }
};
constexpr uint64_t kBucket = kStep;

TEST(CoordinatorHorizon, OneRecordDropsABoundedNumberOfRows) {  // G8
  Table_ t;
  for (uint64_t seq = 1; seq <= 3'000; ++seq) t.Commit(Table_::TokenOf(1, seq, kBucket));
  for (uint64_t client = 2; client <= 2'001; ++client) t.Commit(Table_::TokenOf(client, 1, kBucket));
  size_t left = t.Rows(Table::kOutcome);
  ASSERT_EQ(left, 5'000u);
  int records = 0;
  do {
    t.Raise(2 * kBucket);
    const size_t now = t.Rows(Table::kOutcome);
    EXPECT_LE(left - now, Tokens::kDropsPerRecord);
    left = now;
    ASSERT_LT(++records, 20);
  } while (t.tokens.HasMoreToDrop());
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(t.Rows(Table::kMeta), 1u);  // the horizon itself
}

TEST(CoordinatorHorizon, YoungerRowsStay) {
  Table_ t;
  t.Commit(Table_::TokenOf(1, 1, kBucket));
  t.Commit(Table_::TokenOf(1, 2, 3 * kBucket), 2);
  t.Commit(Table_::TokenOf(2, 1, 5 * kBucket));
  t.Raise(3 * kBucket);
  EXPECT_EQ(t.Rows(Table::kOutcome), 2u);
  EXPECT_EQ(t.Rows(Table::kFloor), 1u);
  EXPECT_FALSE(t.tokens.HasMoreToDrop());
  t.Raise(4 * kBucket);
  EXPECT_EQ(t.Rows(Table::kOutcome), 1u);
  EXPECT_EQ(t.Rows(Table::kFloor), 0u);
  EXPECT_EQ(t.tokens.Judge(Table_::TokenOf(1, 2, 3 * kBucket), 1, 7).verdict, Tokens::Verdict::kExpired);
  EXPECT_EQ(t.tokens.Judge(Table_::TokenOf(2, 1, 5 * kBucket), 1, 7).verdict, Tokens::Verdict::kCommitted);
}

TEST(CoordinatorHorizon, BirthsOutOfOrderHideNothingForEver) {  // a client's own doing, but it must not leak
  Table_ t;
  t.Commit(Table_::TokenOf(1, 1, 10 * kBucket));
  for (uint64_t seq = 2; seq <= 20; ++seq) t.Commit(Table_::TokenOf(1, seq, kBucket));
  t.Raise(2 * kBucket);
  EXPECT_FALSE(t.tokens.HasMoreToDrop());
  t.Raise(11 * kBucket);
  EXPECT_EQ(t.Rows(Table::kOutcome), 0u);
  EXPECT_EQ(t.Rows(Table::kMeta), 1u);
}

TEST(CoordinatorHorizon, RecordOfATokenBelowItLeavesNoRow) {
  Table_ t;
  t.Raise(3 * kBucket);
  t.Commit(Table_::TokenOf(1, 2, 2 * kBucket), 2);
  EXPECT_EQ(t.Rows(Table::kOutcome) + t.Rows(Table::kFloor), 0u);
}

TEST(CoordinatorHorizon, LowerHorizonChangesNothing) {
  Table_ t;
  t.Raise(3 * kBucket);
  t.Raise(2 * kBucket);
  EXPECT_EQ(t.tokens.horizon_us(), 3 * kBucket);
  EXPECT_EQ(Tokens(t.overlay, 1, kStep).horizon_us(), 3 * kBucket);
}

TEST(CoordinatorHorizon, FloorDropsABoundedNumberOfRows) {  // G8
  Table_ t;
  for (uint64_t seq = 1; seq <= 2'500; ++seq) t.Commit(Table_::TokenOf(1, seq, kBucket));
  t.Commit(Table_::TokenOf(1, 2'501, kBucket), 2'501);
  EXPECT_EQ(t.Rows(Table::kOutcome), 2'501 - Tokens::kDropsPerRecord);
  EXPECT_EQ(t.tokens.Judge(Table_::TokenOf(1, 2'400, kBucket), 1, 7).verdict, Tokens::Verdict::kExpired);
}

}  // namespace
}  // namespace assent::coordinator
