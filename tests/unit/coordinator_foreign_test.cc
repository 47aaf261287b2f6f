// Foreign resource managers: votes, decisions, and P - A - T.
#include <gtest/gtest.h>

#include "coordinator_harness.h"

namespace assent::coordinator {
namespace {

Execute WithBank(const Harness& h, uint64_t seq, std::vector<GroupId> shards = {kS1}) {
  Execute request = h.Puts(h.Tag(seq), shards);
  request.foreign = {{"bank", "pay 5"}};
  return request;
}
ForeignReply Recovered(const std::string& name, std::vector<TxnId> prepared) {
  ForeignReply reply;
  reply.resource_manager = name;
  reply.verb = ForeignVerb::kRecover;
  reply.reached = true;
  reply.prepared = std::move(prepared);
  return reply;
}

TEST(CoordinatorForeign, TakesPartInTwoPhaseCommit) {
  Harness h;
  const RequestId call = h.Call(WithBank(h, 1));  // one shard, but not one participant
  const TxnId txn = h.LastTxn();
  const Prepare prepare = h.SentTo<Prepare>(kS1);
  EXPECT_TRUE(prepare.header.has_foreign);  // P2: lock waits there are bounded
  EXPECT_EQ(prepare.participants.size(), 2u);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare)[0].payload, "pay 5");
  h.VoteFrom(kS1, txn, Vote::kYes);
  EXPECT_TRUE(h.Appended<Committed>().empty());
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());  // C1
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);
  h.AckFrom(kS1, txn, Decision::kCommit);
  EXPECT_TRUE(h.Appended<Ended>().empty());  // C4
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
}

TEST(CoordinatorForeign, AloneItStillNeedsOurDecision) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.foreign = {{"bank", "x"}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  EXPECT_EQ(h.Appended<Committed>().size(), 1u);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
}

TEST(CoordinatorForeign, RefusalAborts) {
  Harness h;
  const RequestId call = h.Call(WithBank(h, 1));
  ForeignReply no = ForeignVote("bank", h.LastTxn(), Vote::kNo);
  no.detail = "no funds";
  h.Step(no);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kForeignRefused);
  EXPECT_EQ(ending.detail, "no funds");
}

TEST(CoordinatorForeign, ReadOnlyVoteIsLeftOutOfPhaseTwo) {
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.Step(ForeignVote("bank", txn, Vote::kReadOnly));
  h.VoteFrom(kS1, txn, Vote::kYes);
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  EXPECT_EQ(h.Appended<Committed>()[0].participants.size(), 1u);
}

TEST(CoordinatorForeign, LostPrepareIsRepeatedUntilTheVoteTimeout) {  // it may or may not have prepared
  Harness h;
  const RequestId call = h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  for (int i = 0; i < 12; ++i) {
    h.Step(ForeignSilence("bank", ForeignVerb::kPrepare, txn));
    h.Pass(kSecond);
  }
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kPrepare).size(), 4u);
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kVoteTimeout);
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
}

TEST(CoordinatorForeign, OneCallABranchAtATime) {
  Harness h;
  h.Call(WithBank(h, 1));
  h.Pass(9 * kSecond);  // it is slow
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
}

TEST(CoordinatorForeign, CommitIsRepeatedUntilDone) {  // C7
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  h.Replicate();
  h.AckFrom(kS1, txn, Decision::kCommit);
  for (int i = 0; i < 5; ++i) {
    h.Step(ForeignSilence("bank", ForeignVerb::kCommit, txn));
    h.Pass(20 * kSecond);
  }
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 6u);
  EXPECT_TRUE(h.Appended<Ended>().empty());
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
}

ForeignReply ForeignContradiction(ForeignVerb verb, TxnId txn) {
  ForeignReply reply = ForeignDone("bank", verb, txn);
  reply.done = false;
  reply.detail = "rolled back here";
  return reply;
}

TEST(CoordinatorForeign, ContradictionIsReportedOnceAndTheCommitGoesOn) {  // G7
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  h.Replicate();
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.Step(ForeignSilence("bank", ForeignVerb::kCommit, txn));  // says nothing
  EXPECT_TRUE(h.Reports().empty());
  for (int i = 0; i < 5; ++i) {
    h.Step(ForeignContradiction(ForeignVerb::kCommit, txn));
    h.Pass(20 * kSecond);
  }
  ASSERT_EQ(h.Reports().size(), 1u);
  for (const std::string& words : {std::string("bank"), ToString(txn), std::string("rolled back here")}) {
    EXPECT_NE(h.Reports()[0].find(words), std::string::npos) << h.Reports()[0];
  }
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kCommit).size(), 6u);
  EXPECT_TRUE(h.Appended<Ended>().empty());
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));  // somebody mended it
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
}

TEST(CoordinatorForeign, RollbackThatIsNotDoneIsReportedToo) {  // G6, G7
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kNo, 0);
  for (int i = 0; i < 3; ++i) {
    h.Step(ForeignContradiction(ForeignVerb::kRollback, txn));
    h.Pass(20 * kSecond);
  }
  ASSERT_EQ(h.Reports().size(), 1u);
  EXPECT_NE(h.Reports()[0].find("roll back"), std::string::npos);
}

TEST(CoordinatorForeign, LateYesOfAnAbortedTransactionIsRolledBack) {
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kNo, 0);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  h.Step(ForeignDone("bank", ForeignVerb::kRollback, txn));  // it overtook its prepare
  h.AckFrom(kS1, txn, Decision::kAbort);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 2u);
}

TEST(CoordinatorForeign, ScansRunFromTheStart) {
  Harness h;
  h.Pass(0);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRecover).size(), 2u);  // bank, post
  h.Step(Recovered("bank", {}));
  h.Pass(5'100 * kMs);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRecover).size(), 3u);  // post has not answered yet
}

TEST(CoordinatorForeign, OrphansOfOlderEpochsAreRolledBack) {  // C3
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId orphan = h.LastTxn();
  h.Restart(2);
  h.Pass(0);
  h.Step(Recovered("bank", {orphan}));
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback)[0].txn, orphan);
}

TEST(CoordinatorForeign, OrphansThatStayDoNotHideTheOthers) {  // G6
  Harness h(2);
  std::vector<TxnId> orphans;
  for (uint64_t seq = 1; seq <= 600; ++seq) orphans.push_back({kGroup, Epoch{1}, seq});
  std::map<TxnId, int> asked;
  for (int scan = 1; scan <= 6; ++scan) {
    h.Clear();
    h.Pass(6 * kSecond);
    h.Step(Recovered("bank", orphans));  // none can be rolled back
    const auto calls = h.ForeignCalls(ForeignVerb::kRollback);
    EXPECT_EQ(calls.size(), 256u);  // G8
    for (const CallForeign& call : calls) ++asked[call.txn];
    EXPECT_EQ(asked.size(), std::min<size_t>(orphans.size(), 256u * static_cast<size_t>(scan)));
  }
  for (const auto& [txn, times] : asked) EXPECT_GE(times, 2) << ToString(txn);
}

TEST(CoordinatorForeign, LiveCommittedHigherAndForeignIdsAreNotRolledBack) {  // P - A - T
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId live = h.LastTxn();
  h.Call(WithBank(h, 2));
  const TxnId appended = h.LastTxn();
  h.VoteFrom(kS1, appended, Vote::kYes);
  h.Step(ForeignVote("bank", appended, Vote::kYes));
  h.Pass(0);
  h.Clear();
  h.Step(Recovered("bank", {live, appended, TxnId{kGroup, Epoch{2}, 1},
                            TxnId{GroupId{GroupKind::kCoordinator, 9}, Epoch{1}, 1}}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());
  h.Replicate();
  h.Step(ForeignSilence("bank", ForeignVerb::kCommit, appended));
  h.Pass(6 * kSecond);
  h.Clear();
  h.Step(Recovered("bank", {appended}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);
}

TEST(CoordinatorForeign, CommitThatEndedDuringTheScanIsNotRolledBack) {
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  h.Replicate();
  h.Pass(0);  // the scan begins: it will list txn
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));
  ASSERT_EQ(h.core->unended_count(), 0u);
  h.Step(Recovered("bank", {txn}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
}

TEST(CoordinatorForeign, UnendedForeignCommitGoesOnAfterRestart) {
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  h.Replicate();
  h.Restart(2);
  h.Pass(0);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);
}

TEST(CoordinatorForeign, InteractiveCommitBringsItsForeignWork) {
  Harness h;
  const TxnId txn = h.AnswerTo<Begun>(h.Call(Begin{})).txn;
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "v"}}});
  h.DoneBy(kS1, txn, 1, 1);
  h.Call(Commit{h.Tag(1), txn, {{"bank", "x"}}, {kS1}});
  EXPECT_TRUE(h.Sent<CommitOnePhase>().empty());
  EXPECT_TRUE(h.SentTo<Prepare>(kS1).header.has_foreign);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
}

}  // namespace
}  // namespace assent::coordinator
