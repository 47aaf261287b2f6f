// C8: the marks that messages carry.
#include <gtest/gtest.h>

#include "coordinator/marks.h"
#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TxnId Id(uint64_t seq, uint64_t epoch = 1) {
  return TxnId{kGroup, Epoch{epoch}, seq};
}

TEST(CoordinatorMarks, StaysBelowTheOldestLiveId) {  // enlisted there or not
  Marks marks;
  for (uint64_t seq = 1; seq <= 3; ++seq) marks.OnBegun(Id(seq));
  EXPECT_EQ(marks.MarkFor(kS1, Id(4)), Id(1));
  marks.OnSettled(Id(2));
  EXPECT_EQ(marks.MarkFor(kS1, Id(4)), Id(1));
  marks.OnSettled(Id(1));
  EXPECT_EQ(marks.MarkFor(kS1, Id(4)), Id(3));
  marks.OnSettled(Id(3));
  EXPECT_EQ(marks.MarkFor(kS1, Id(4)), Id(4));
}

TEST(CoordinatorMarks, StuckShardHoldsBackItsOwnOnly) {
  Marks marks;
  marks.Owe(kS1, Id(1));
  marks.Owe(kS2, Id(1));
  marks.Owe(kS2, Id(2));
  EXPECT_EQ(marks.MarkFor(kS3, Id(9)), Id(9));
  marks.OnAcknowledged(kS2, Id(1));
  EXPECT_EQ(marks.MarkFor(kS1, Id(9)), Id(1));
  EXPECT_EQ(marks.MarkFor(kS2, Id(9)), Id(2));
  marks.OnAcknowledged(kS1, Id(1));
  EXPECT_EQ(marks.MarkFor(kS1, Id(9)), Id(9));
}

TEST(CoordinatorMarks, MessagesCarryTheirReceiversMark) {
  Harness h;
  const TxnId first = h.PhaseTwo(1);
  h.AckFrom(kS2, first, Decision::kCommit);
  h.Clear();
  h.Call(h.Puts(h.Tag(2), {kS1, kS2, kS3}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.mark, first);  // it owes an acknowledgement
  EXPECT_EQ(h.SentTo<Prepare>(kS2).header.mark, Id(2));
  EXPECT_EQ(h.SentTo<Prepare>(kS3).header.mark, Id(2));
}

TEST(CoordinatorMarks, LiveOnePhaseAndInteractiveHoldItBack) {
  Harness h;
  h.Call(Begin{});
  h.Call(h.Puts(h.Tag(1), {kS2}));
  h.Call(h.Puts(h.Tag(2), {kS1, kS3}));
  EXPECT_EQ(h.SentTo<Prepare>(kS3).header.mark, Id(1));
  EXPECT_EQ(h.SentTo<CommitOnePhase>(kS2).header.mark, Id(1));
}

TEST(CoordinatorMarks, CommitIsLiveUntilItIsReplicated) {
  Harness h;
  const TxnId first = h.Committing(1);
  h.Clear();
  h.Call(h.Puts(h.Tag(2), {kS3, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS3).header.mark, first);
}

TEST(CoordinatorMarks, AbortedIdsHoldNothingBack) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  h.Clear();
  h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.mark, Id(2));
}

TEST(CoordinatorMarks, AfterRestartTheyStandAtTheUnendedCommits) {
  Harness h;
  const TxnId first = h.PhaseTwo(1);
  h.Restart(2);
  h.Call(h.Puts(h.Tag(2), {kS1, kS3}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.mark, first);
  EXPECT_EQ(h.SentTo<Prepare>(kS3).header.mark, Id(1, 2));
  h.AckFrom(kS1, first, Decision::kCommit);
  h.Clear();
  h.Call(h.Puts(h.Tag(3), {kS1, kS3}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.mark, Id(1, 2));
}

TEST(CoordinatorMarks, SilentShardGetsNewsOfARisenMark) {
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  h.Replicate();
  h.Clear();
  h.Pass(1'100 * kMs);
  EXPECT_EQ(h.Sent<MarkNews>().size(), 3u);  // the third shard, too
  EXPECT_EQ(h.SentTo<MarkNews>(kS1).mark, Id(2));
  h.Clear();
  h.Pass(25 * kSecond);
  EXPECT_TRUE(h.Sent<MarkNews>().empty());
  h.Pass(10 * kSecond);
  EXPECT_EQ(h.Sent<MarkNews>().size(), 3u);  // the first may have been lost
}

TEST(CoordinatorMarks, BusyShardNeedsNoNews) {
  Harness h;
  h.Pass(2 * kSecond);
  h.Replicate();
  h.Clear();
  for (uint64_t seq = 1; seq <= 20; ++seq) {
    const TxnId txn = h.PhaseTwo(seq);
    h.AckFrom(kS1, txn, Decision::kCommit);
    h.AckFrom(kS2, txn, Decision::kCommit);
    h.Pass(500 * kMs);
  }
  for (const auto& [to, news] : h.Sent<MarkNews>()) EXPECT_EQ(to, kS3);
}

}  // namespace
}  // namespace assent::coordinator
