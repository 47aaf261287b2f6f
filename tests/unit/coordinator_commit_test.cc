// Two-phase commit of one-shots over several shards: C1, C2, C4, C7's vote timeout, R1, and P9's conditions.
#include <gtest/gtest.h>

#include <algorithm>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TEST(CoordinatorCommit, OneShotOverTwoShardsSendsItsOperationsWithPrepare) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  ASSERT_EQ(h.SendCount(), 2u);
  const Prepare prepare = h.SentTo<Prepare>(kS1);
  EXPECT_EQ(prepare.header.txn, (TxnId{kGroup, Epoch{1}, 1}));
  EXPECT_EQ(prepare.header.age, (Age{h.now.wall_us, prepare.header.txn}));
  EXPECT_EQ(prepare.branch, BranchId{});
  ASSERT_EQ(prepare.operations.size(), 1u);
  EXPECT_EQ(KeyOf(prepare.operations[0]), KeyOn(kS1));
  EXPECT_FALSE(prepare.may_release);  // P9: locks are not all granted yet
  EXPECT_FALSE(prepare.header.has_foreign);
  const std::vector<Participant> all = {{"", kS1, true}, {"", kS2, true}};
  EXPECT_EQ(prepare.participants, all);  // P3
}

TEST(CoordinatorCommit, NothingIsToldBeforeCommitIsReplicated) {  // C1, R1
  Harness h;
  RequestId call{};
  const TxnId txn = h.Committing(1, &call);
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  EXPECT_FALSE(h.Answered(call));
  EXPECT_TRUE(h.Sent<Decide>().empty());
  h.Clear();
  h.From(kS1, Inquire{txn});
  h.From(kS1, WoundRequest{txn});
  h.Pass(30 * kSecond);
  EXPECT_TRUE(h.Sent<Decide>().empty());
  EXPECT_FALSE(h.Answered(call));
  ASSERT_TRUE(std::holds_alternative<Committed>(h.log[1].second));
  h.Step(Replicated{h.log[0].first});  // news of the record before
  EXPECT_FALSE(h.Answered(call));
  h.Clear();
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kCommit);
  EXPECT_EQ(h.SentTo<Decide>(kS2).decision, Decision::kCommit);
}

TEST(CoordinatorCommit, ClientIsAnsweredBeforePhaseTwo) {  // C2
  Harness h;
  RequestId call{};
  h.Committing(1, &call);
  h.Clear();
  h.Replicate();
  ASSERT_FALSE(h.effects.empty());
  ASSERT_TRUE(std::holds_alternative<Answer>(h.effects.front()));
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
}

TEST(CoordinatorCommit, RecordNamesTheYesVotersAndTheToken) {  // C1
  Harness h;
  Execute request = h.Puts(h.Tag(7, 2), {kS1, kS2});
  request.tag.acked_below = 5;
  h.Call(request);
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS2, txn, Vote::kYes);
  h.VoteFrom(kS1, txn, Vote::kYes);
  const auto records = h.Appended<Committed>();
  ASSERT_EQ(records.size(), 1u);
  const std::vector<Participant> yes = {{"", kS1, true}, {"", kS2, true}};
  EXPECT_EQ(records[0].participants, yes);
  EXPECT_EQ(records[0].token, request.tag.token);
  EXPECT_EQ(records[0].attempt, 2u);
  EXPECT_EQ(records[0].acked_below, 5u);
}

TEST(CoordinatorCommit, NeedsEveryVote) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2, kS3}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS1, txn, Vote::kYes);  // a duplicate is one vote
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  EXPECT_TRUE(h.Appended<Committed>().empty());
  h.VoteFrom(kS3, txn, Vote::kYes);
  EXPECT_EQ(h.Appended<Committed>().size(), 1u);
}

TEST(CoordinatorCommit, VoteOfAStrangerIsDropped) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS3, txn, Vote::kYes);
  h.VoteFrom(kS3, txn, Vote::kNo);
  h.VoteFrom(kS2, txn, Vote::kYes, 3);  // results for operations that it was not sent
  EXPECT_EQ(h.StateOf(txn), TxnState::kPreparing);
}

TEST(CoordinatorCommit, NoVoteAbortsEverywhere) {
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1, kS2, kS3}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Clear();
  h.VoteFrom(kS2, txn, Vote::kNo, 0, AbortReason::kCheckFailed);
  // Also to the one that has not voted: the abort may overtake its prepare.
  for (const GroupId shard : {kS1, kS2, kS3}) EXPECT_EQ(h.SentTo<Decide>(shard).decision, Decision::kAbort);
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kCheckFailed);
  EXPECT_EQ(ending.age.txn, txn);  // for retry_of (P2)
  h.VoteFrom(kS3, txn, Vote::kYes);
  EXPECT_TRUE(h.Appended<Committed>().empty());
}

TEST(CoordinatorCommit, AbortedBranchAbortsTheTransaction) {
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  h.From(kS2, BranchAborted{h.LastTxn(), AbortReason::kWounded, "older"});
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kWounded);
}

TEST(CoordinatorCommit, MissingVoteIsANoAfterItsTime) {  // C7
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Pass(9'900 * kMs);
  EXPECT_EQ(h.StateOf(txn), TxnState::kPreparing);
  h.Pass(200 * kMs);
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kVoteTimeout);
  EXPECT_EQ(ending.detail, "shard s2 did not vote within 10 s");
  EXPECT_EQ(ending.age.txn, txn);  // P2: the next attempt keeps its place
}

TEST(CoordinatorCommit, AppendedCommitCannotAbort) {  // C1
  Harness h;
  RequestId call{};
  const TxnId txn = h.Committing(1, &call);
  h.Clear();
  h.VoteFrom(kS2, txn, Vote::kNo);
  h.From(kS2, BranchAborted{txn, AbortReason::kWounded, ""});
  h.From(kS2, WoundRequest{txn});
  h.Pass(120 * kSecond);
  EXPECT_FALSE(h.Answered(call));
  EXPECT_TRUE(h.Sent<Decide>().empty());
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
}

TEST(CoordinatorCommit, EndWaitsForEveryAcknowledgement) {  // C4
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS1, txn, Decision::kCommit);
  EXPECT_TRUE(h.Appended<Ended>().empty());
  EXPECT_TRUE(h.core->overlay().Get(Table::kDecision, TxnKey(txn)).has_value());
  h.AckFrom(kS2, txn, Decision::kCommit);
  ASSERT_EQ(h.Appended<Ended>().size(), 1u);
  EXPECT_EQ(h.Appended<Ended>()[0].txn, txn);
  EXPECT_FALSE(h.core->overlay().Get(Table::kDecision, TxnKey(txn)).has_value());
  EXPECT_EQ(h.core->unended_count(), 0u);
}

TEST(CoordinatorCommit, ContradictingAcknowledgementIsReportedAndDoesNotCount) {  // G7
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kAbort);
  EXPECT_EQ(h.Reports().size(), 1u);
  EXPECT_EQ(h.StateOf(txn), TxnState::kPhaseTwo);
}

TEST(CoordinatorCommit, DecisionIsRepeatedUntilAcknowledged) {  // C7
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.Clear();
  h.Pass(3'600 * kSecond);
  size_t to_s2 = 0;
  for (const auto& [to, decide] : h.Sent<Decide>()) {
    EXPECT_EQ(to, kS2);
    ++to_s2;
  }
  EXPECT_GT(to_s2, 1'400u);  // every 2 s, give or take the jitter
  EXPECT_LT(to_s2, 2'500u);
}

TEST(CoordinatorCommit, AbortIsRepeatedForAWhileAndThenForgotten) {  // C3, C7
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS2, txn, Vote::kNo, 0);
  h.AckFrom(kS2, txn, Decision::kAbort);
  h.Clear();
  h.Pass(120 * kSecond);
  EXPECT_EQ(h.Sent<Decide>().size(), h.config_.times.abort_resends_max);
  EXPECT_FALSE(h.core->FindTransaction(txn).has_value());
  h.Clear();
  h.From(kS1, Inquire{txn});
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
}

TEST(CoordinatorCommit, LostPrepareIsSentAgain) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Clear();
  h.Pass(kSecond);
  const auto again = h.Sent<Prepare>();
  ASSERT_GE(again.size(), 2u);
  for (const auto& [to, prepare] : again) {
    EXPECT_EQ(to, kS2);
    EXPECT_EQ(prepare.operations.size(), 1u);
  }
}

TEST(CoordinatorCommit, NewEpochOfAShardHastensWhatItIsOwed) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  h.Pass(2 * kSecond);  // into the backoff
  h.Clear();
  h.Step(GroupEpoch{kS2, Epoch{9}});
  h.Pass(0);
  ASSERT_EQ(h.Sent<Prepare>().size(), 1u);
  EXPECT_EQ(h.Sent<Prepare>()[0].first, kS2);
  h.Clear();
  h.Step(GroupEpoch{kS2, Epoch{9}});  // known by now
  h.Pass(0);
  EXPECT_EQ(h.SendCount(), 0u);
}

TEST(CoordinatorCommit, ResultsComeInTheOrderOfTheOperations) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {GetOp{KeyOn(kS2)}, PutOp{KeyOn(kS1), "v"}, GetOp{KeyOn(kS2, 1)},
                        GetOp{KeyOn(kS1, 1)}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  const auto row = [](const std::string& value) { return OperationResult{{{"", value, 0}}, 0, false}; };
  h.From(kS1, VoteReply{txn, Vote::kYes, {}, "", {row("put"), row("s1")}});
  h.From(kS2, VoteReply{txn, Vote::kYes, {}, "", {row("s2 a"), row("s2 b")}});
  h.Replicate();
  const Ending ending = h.AnswerTo<Ending>(call);
  ASSERT_EQ(ending.results.size(), 4u);
  EXPECT_EQ(ending.results[0].rows[0].value, "s2 a");
  EXPECT_EQ(ending.results[1].rows[0].value, "put");
  EXPECT_EQ(ending.results[2].rows[0].value, "s2 b");
  EXPECT_EQ(ending.results[3].rows[0].value, "s1");
}

TEST(CoordinatorCommit, RepeatedVoteWithoutItsResultsCommitsOnlyIfThereWereNone) {
  Harness h;
  RequestId call = h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes, 0);  // its shard failed over after PREPARED
  h.VoteFrom(kS2, txn, Vote::kYes);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).results.size(), 2u);

  Execute request = h.Puts(h.Tag(2), {kS1});
  request.operations.push_back(AddOp{KeyOn(kS2), 1, {}});
  call = h.Call(request);
  txn = h.LastTxn();
  h.VoteFrom(kS2, txn, Vote::kYes, 0);
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kBranchLost);
}

TEST(CoordinatorCommit, ReadsOfTwoShardsAreValidatedAfterTheLast) {  // C6, P9
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {GetOp{KeyOn(kS1)}, GetOp{KeyOn(kS2)}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  EXPECT_EQ(h.Sent<Operate>().size(), 2u);
  h.DoneBy(kS1, txn, 1, 1);
  EXPECT_TRUE(h.Sent<Prepare>().empty());  // the other's lock is not granted yet
  h.DoneBy(kS2, txn, 1, 1, 6);
  ASSERT_EQ(h.Sent<Prepare>().size(), 2u);
  const Prepare prepare = h.SentTo<Prepare>(kS2);
  EXPECT_TRUE(prepare.may_release);
  EXPECT_EQ(prepare.branch, (BranchId{Epoch{6}, 1}));
  EXPECT_EQ(prepare.last, 1u);
  EXPECT_TRUE(prepare.operations.empty());
  h.VoteFrom(kS1, txn, Vote::kReadOnly, 0);
  EXPECT_FALSE(h.Answered(call));
  h.VoteFrom(kS2, txn, Vote::kReadOnly, 0);
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.results.size(), 2u);
  EXPECT_EQ(h.log.size(), 1u);  // no record
  EXPECT_FALSE(h.core->FindTransaction(txn).has_value());
}

TEST(CoordinatorCommit, ReadsThatFailValidationAbort) {  // C6
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {GetOp{KeyOn(kS1)}, GetOp{KeyOn(kS2)}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  h.DoneBy(kS1, txn, 1, 1);
  h.DoneBy(kS2, txn, 1, 1);
  h.VoteFrom(kS1, txn, Vote::kReadOnly, 0);
  h.VoteFrom(kS2, txn, Vote::kNo, 0, AbortReason::kBranchLost);
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kBranchLost);
}

TEST(CoordinatorCommit, ScanOverAllShardsIsMerged) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {ScanOp{"k", 3}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  EXPECT_EQ(h.Sent<Operate>().size(), 3u);
  const auto rows = [](std::vector<std::string> keys) {
    OperationResult result;
    for (std::string& key : keys) result.rows.push_back({std::move(key), "", 1});
    return result;
  };
  h.From(kS1, OperateReply{txn, BranchId{Epoch{5}, 1}, 1, {rows({"k2", "k7"})}});
  h.From(kS2, OperateReply{txn, BranchId{Epoch{5}, 1}, 1, {rows({"k1"})}});
  h.From(kS3, OperateReply{txn, BranchId{Epoch{5}, 1}, 1, {rows({"k3"})}});
  for (const GroupId shard : {kS1, kS2, kS3}) h.VoteFrom(shard, txn, Vote::kReadOnly, 0);
  const Ending ending = h.AnswerTo<Ending>(call);
  ASSERT_EQ(ending.results.size(), 1u);
  ASSERT_EQ(ending.results[0].rows.size(), 3u);
  EXPECT_EQ(ending.results[0].rows[0].key, "k1");
  EXPECT_EQ(ending.results[0].rows[2].key, "k3");
  EXPECT_TRUE(ending.results[0].truncated);
}

TEST(CoordinatorCommit, ScanTooLargeForOneAnswerIsCutNotAborted) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {ScanOp{"k", 0}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  for (const GroupId shard : {kS1, kS2, kS3}) {
    OperationResult rows;
    for (int i = 0; i < 7; ++i) rows.rows.push_back({KeyOn(shard, i), std::string(200 * 1024, 'x'), 1});
    std::sort(rows.rows.begin(), rows.rows.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    h.From(shard, OperateReply{txn, BranchId{Epoch{5}, 1}, 1, {rows}});
  }
  for (const GroupId shard : {kS1, kS2, kS3}) h.VoteFrom(shard, txn, Vote::kReadOnly, 0);
  const Ending ending = h.AnswerTo<Ending>(call);
  ASSERT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.results[0].rows.size(), 7u);
  EXPECT_TRUE(ending.results[0].truncated);
}

TEST(CoordinatorCommit, OversizeResultsAbortBeforeTheDecision) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  for (int i = 0; i < 4; ++i) {
    request.operations.push_back(GetOp{KeyOn(kS1, i)});
    request.operations.push_back(PutOp{KeyOn(kS2, i), "v"});
  }
  request.operations.push_back(PutOp{KeyOn(kS1, 9), "v"});
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  VoteReply vote{txn, Vote::kYes, {}, "", std::vector<OperationResult>(5)};
  for (size_t i = 0; i < 4; ++i) vote.results[i].rows.push_back({"k", std::string(500 * 1024, 'x'), 1});
  h.From(kS1, vote);
  h.VoteFrom(kS2, txn, Vote::kYes, 4);
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kTooLarge);
  EXPECT_TRUE(h.Appended<Committed>().empty());
}

TEST(CoordinatorCommit, RetryKeepsItsAge) {  // P2
  Harness h;
  const TxnId older{kGroup, Epoch{1}, 77};
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  request.retry_of = Age{h.now.wall_us - 1'000, older};
  h.Call(request);
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.age, request.retry_of);
  h.Clear();
  Execute twin = h.Puts(h.Tag(2), {kS1, kS2});  // two of the same age could wait for each other for ever
  twin.retry_of = request.retry_of;
  h.Call(twin);
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.age.begin_us, h.now.wall_us);
  h.Clear();
  Execute future = h.Puts(h.Tag(3), {kS1, kS2});
  future.retry_of = Age{h.now.wall_us + 1, older};
  h.Call(future);
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.age.begin_us, h.now.wall_us);
}

TEST(CoordinatorCommit, GoneClientChangesNothingButTheAnswer) {
  Harness h;
  RequestId call{};
  const TxnId txn = h.Committing(1, &call);
  h.Step(ClientGone{call});
  h.Replicate();
  EXPECT_FALSE(h.Answered(call));
  EXPECT_EQ(h.StateOf(txn), TxnState::kPhaseTwo);
  const RequestId again = h.Call(h.Puts(h.Tag(1), {kS1, kS2}));  // the token finds it
  EXPECT_EQ(h.AnswerTo<Ending>(again).outcome, Outcome::kCommitted);
}

}  // namespace
}  // namespace assent::coordinator
