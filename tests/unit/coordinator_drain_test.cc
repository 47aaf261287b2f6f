// While a coordinator group is being handed over: new work is sent on, open work ends here.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TEST(CoordinatorDrain, NewWorkIsSentOnAndOpenWorkEndsHere) {
  Harness h(1, Harness::DefaultConfig());
  const TxnId open = h.AnswerTo<Begun>(h.Call(Begin{})).txn;
  h.Step(Draining{true});
  EXPECT_FALSE(h.core->IsQuiet());
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Begin{})).code, RefusalCode::kNotServing);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(1), {kS1, kS2}))).code, RefusalCode::kNotServing);
  h.AnswerTo<RolledBack>(h.Call(Rollback{open}));
  EXPECT_TRUE(h.core->IsQuiet());
  h.Step(Draining{false});
  h.AnswerTo<Begun>(h.Call(Begin{}));
}

TEST(CoordinatorDrain, CommitIsOpenUntilItsRecordIsReplicatedAndNoLonger) {
  Harness h(1, Harness::DefaultConfig());
  const TxnId txn = h.PhaseTwo(1);  // decided and answered; its shards have yet to acknowledge
  h.Step(Draining{true});
  EXPECT_TRUE(h.core->IsQuiet()) << ToString(txn);
}

// A shard that is being handed over asks last: whatever it said before was taken in.
TEST(CoordinatorDrain, ShardHearsThatItsRepliesArrived) {
  Harness h(1, Harness::DefaultConfig());
  h.From(kS1, ConfirmReplies{7});
  EXPECT_EQ(h.SentTo<RepliesConfirmed>(kS1).through, 7u);
  h.From(GroupId{GroupKind::kShard, 99}, ConfirmReplies{7});  // not of this cluster
  EXPECT_EQ(h.Sent<RepliesConfirmed>().size(), 1u);
}

}  // namespace
}  // namespace assent::coordinator
