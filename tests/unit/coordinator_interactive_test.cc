// Interactive transactions: begin, work, commit, rollback, timeouts.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TxnId Begun_(Harness& h) {
  return h.AnswerTo<Begun>(h.Call(Begin{})).txn;
}
void WorkOn(Harness& h, TxnId txn, GroupId shard, bool write) {
  Operation operation = GetOp{KeyOn(shard)};
  if (write) operation = PutOp{KeyOn(shard), "v"};
  h.Call(Work{txn, {operation}});
  const auto operate = h.Sent<Operate>().back().second;
  h.DoneBy(shard, txn, operate.first, 1);
}

TEST(CoordinatorInteractive, BeginHandsOutIdAndAge) {  // P2
  Harness h;
  const Begun first = h.AnswerTo<Begun>(h.Call(Begin{}));
  EXPECT_EQ(first.txn, (TxnId{kGroup, Epoch{1}, 1}));
  EXPECT_EQ(first.age, (Age{h.now.wall_us, first.txn}));
  const Age old{h.now.wall_us - 5, TxnId{kGroup, Epoch{1}, 99}};
  EXPECT_EQ(h.AnswerTo<Begun>(h.Call(Begin{old})).age, old);
  EXPECT_EQ(h.AnswerTo<Begun>(h.Call(Begin{Age{h.now.wall_us + 5, old.txn}})).age.begin_us, h.now.wall_us);
}

TEST(CoordinatorInteractive, OperationsAreNumberedWithinTheBranch) {  // P3
  Harness h;
  const TxnId txn = Begun_(h);
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "a"}, PutOp{KeyOn(kS2), "b"}, GetOp{KeyOn(kS1)}}});
  Operate operate = h.SentTo<Operate>(kS1);
  EXPECT_EQ(operate.branch, BranchId{});
  EXPECT_EQ(operate.first, 1u);
  EXPECT_EQ(operate.operations.size(), 2u);
  h.DoneBy(kS1, txn, 2, 2, 7);
  h.DoneBy(kS2, txn, 1, 1, 8);
  h.Clear();
  const RequestId work = h.Call(Work{txn, {GetOp{KeyOn(kS1)}}});
  operate = h.SentTo<Operate>(kS1);
  EXPECT_EQ(operate.branch, (BranchId{Epoch{7}, 1}));
  EXPECT_EQ(operate.first, 3u);
  EXPECT_EQ(h.SendCount(), 1u);
  h.DoneBy(kS1, txn, 2, 2, 7);  // a late duplicate
  EXPECT_FALSE(h.Answered(work));
  h.DoneBy(kS1, txn, 3, 1, 7);
  const WorkDone done = h.AnswerTo<WorkDone>(work);
  EXPECT_EQ(done.results.size(), 1u);
  EXPECT_EQ(done.shards, (std::vector<GroupId>{kS1, kS2}));  // all touched, not only now
}

TEST(CoordinatorInteractive, LostOperateIsSentAgainUnchanged) {
  Harness h;
  const TxnId txn = Begun_(h);
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "a"}}});
  h.Clear();
  h.Pass(kSecond);
  ASSERT_GE(h.Sent<Operate>().size(), 2u);
  EXPECT_EQ(h.SentTo<Operate>(kS1).first, 1u);
  h.DoneBy(kS1, txn, 1, 1);
  h.Clear();
  h.Pass(kSecond);
  EXPECT_TRUE(h.Sent<Operate>().empty());
}

TEST(CoordinatorInteractive, ReplyOfAnotherEpochLosesTheBranch) {  // P3
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  const RequestId work = h.Call(Work{txn, {GetOp{KeyOn(kS1)}}});
  h.DoneBy(kS1, txn, 2, 1, 6);
  EXPECT_EQ(h.AnswerTo<Ending>(work).reason, AbortReason::kBranchLost);
}

TEST(CoordinatorInteractive, ReplyOfAnotherBranchOfTheSameEpochLosesTheBranch) {  // P3
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  const RequestId work = h.Call(Work{txn, {GetOp{KeyOn(kS1)}}});
  h.From(kS1, OperateReply{txn, BranchId{Epoch{5}, 2}, 2, std::vector<OperationResult>(1)});
  EXPECT_EQ(h.AnswerTo<Ending>(work).reason, AbortReason::kBranchLost);
}

TEST(CoordinatorInteractive, OneCallAtATime) {
  Harness h;
  const TxnId txn = Begun_(h);
  h.Call(Work{txn, {GetOp{KeyOn(kS1)}}});
  const Refusal work = h.AnswerTo<Refusal>(h.Call(Work{txn, {GetOp{KeyOn(kS1)}}}));
  EXPECT_EQ(work.code, RefusalCode::kBusy);
  EXPECT_EQ(work.shards, std::vector{kS1});
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Commit{h.Tag(1), txn, {}, {kS1}})).code, RefusalCode::kBusy);
  EXPECT_EQ(h.StateOf(txn), TxnState::kWorking);
}

// A client that takes the shards from any reply names the right ones at commit.
TEST(CoordinatorInteractive, RefusedWorkNamesTheShardsAndChangesNothing) {
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS2, true);
  WorkOn(h, txn, kS1, true);
  const Refusal refusal = h.AnswerTo<Refusal>(h.Call(Work{txn, {GetOp{""}}}));
  EXPECT_EQ(refusal.code, RefusalCode::kInvalid);
  EXPECT_EQ(refusal.shards, (std::vector{kS1, kS2}));
  h.Call(Commit{h.Tag(1), txn, {}, refusal.shards});
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorInteractive, CommitThatNamesOtherShardsIsRefusedAndTheTransactionStaysOpen) {  // C3
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  WorkOn(h, txn, kS2, true);
  h.Clear();
  for (const std::vector<GroupId>& wrong :
       {std::vector<GroupId>{}, {kS1}, {kS1, kS3}, {kS1, kS2, kS3}, {kS1, kS2, kS2}}) {
    const Refusal refusal = h.AnswerTo<Refusal>(h.Call(Commit{h.Tag(1), txn, {}, wrong}));
    EXPECT_EQ(refusal.code, RefusalCode::kInvalid);
    EXPECT_NE(refusal.detail.find("has touched s1, s2"), std::string::npos) << refusal.detail;
  }
  EXPECT_EQ(h.SendCount(), 0u);
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);
  h.Call(Commit{h.Tag(1), txn, {}, {kS2, kS1}});
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

// Ids can be counted up; what ends a transaction is its key.
TEST(CoordinatorInteractive, WhoDoesNotHaveTheKeyDoesNotSeeTheTransaction) {
  Harness h;
  const Begun begun = h.AnswerTo<Begun>(h.Call(Begin{}));
  const TxnId txn = begun.txn;
  EXPECT_NE(begun.key, 0u);
  EXPECT_EQ(begun.idle_us, h.config_.times.idle_timeout_us);
  EXPECT_EQ(begun.life_us, h.config_.times.life_max_us);
  const Begun other = h.AnswerTo<Begun>(h.Call(Begin{}));
  EXPECT_NE(other.key, begun.key);
  h.Clear();
  for (const uint64_t key : {other.key, begun.key + 1, uint64_t{1}}) {
    EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Work{txn, {PutOp{KeyOn(kS1), "v"}}, key})).code,
              RefusalCode::kNoSuchTxn);
    EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Commit{h.Tag(1), txn, {}, {}, key})).code, RefusalCode::kNoSuchTxn);
    EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Rollback{txn, key})).code, RefusalCode::kNoSuchTxn);
  }
  EXPECT_EQ(h.SendCount(), 0u);
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);
  CoordinatorConfig elsewhere = Harness::DefaultConfig();
  elsewhere.secret = {1, 2};
  Harness same_ids(1, elsewhere);
  const Begun twin = same_ids.AnswerTo<Begun>(same_ids.Call(Begin{}));
  EXPECT_EQ(twin.txn, txn);
  EXPECT_NE(twin.key, begun.key);
}

TEST(CoordinatorInteractive, CommitOverTwoShardsPreparesWithTheLastNumber) {  // P3, P9
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  WorkOn(h, txn, kS2, false);
  const RequestId call = h.Call(Commit{h.Tag(1), txn, {}, {kS1, kS2}});
  const Prepare prepare = h.SentTo<Prepare>(kS1);
  EXPECT_TRUE(prepare.may_release);
  EXPECT_EQ(prepare.branch, (BranchId{Epoch{5}, 1}));
  EXPECT_EQ(prepare.last, 1u);
  EXPECT_TRUE(prepare.operations.empty());
  const std::vector<Participant> all = {{"", kS1, true}, {"", kS2, false}};
  EXPECT_EQ(prepare.participants, all);
  h.VoteFrom(kS2, txn, Vote::kReadOnly, 0);
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  const std::vector<Participant> yes = {{"", kS1, true}};
  EXPECT_EQ(h.Appended<Committed>()[0].participants, yes);  // phase two is for the yes voters
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  ASSERT_EQ(h.Sent<Decide>().size(), 1u);
  EXPECT_EQ(h.Sent<Decide>()[0].first, kS1);
}

// A foreign branch takes its locks when it prepares: until then nobody may let go of any.
TEST(CoordinatorInteractive, BesideForeignWorkNoLocksGoBeforeTheDecision) {  // P9
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, false);
  h.Call(Commit{h.Tag(1), txn, {{"bank", "pay"}}, {kS1}});
  EXPECT_FALSE(h.SentTo<Prepare>(kS1).may_release);
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
}

TEST(CoordinatorInteractive, AllReadOnlyCommitsWithoutARecord) {  // C6
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, false);
  WorkOn(h, txn, kS2, false);
  const Commit commit{h.Tag(1), txn, {}, {kS1, kS2}};
  const RequestId call = h.Call(commit);
  h.VoteFrom(kS1, txn, Vote::kReadOnly, 0);
  h.VoteFrom(kS2, txn, Vote::kReadOnly, 0);
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.log.size(), 1u);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(commit)).outcome, Outcome::kCommitted);  // a retry hears the same
  Commit other = commit;
  other.tag = h.Tag(2);
  other.foreign = {{"bank", "pay"}};
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorInteractive, CommitOfNothingSucceedsWithoutARecord) {
  Harness h;
  const TxnId txn = Begun_(h);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(Commit{h.Tag(1), txn, {}, {}})).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.log.size(), 1u);
  EXPECT_EQ(h.SendCount(), 0u);
}

TEST(CoordinatorInteractive, DuplicateCommitIsJoined) {  // C5
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  WorkOn(h, txn, kS2, true);
  const Commit commit{h.Tag(1), txn, {}, {kS1, kS2}};
  const RequestId first = h.Call(commit);
  const RequestId second = h.Call(commit);
  Commit other = commit;
  other.tag = h.Tag(2);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kBusy);
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  h.VoteFrom(kS2, txn, Vote::kYes, 0);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(first).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.AnswerTo<Ending>(second).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorInteractive, LostBranchEndsItAndLaterCallsHearWhy) {
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  const RequestId work = h.Call(Work{txn, {PutOp{KeyOn(kS2), "v"}}});
  h.From(kS2, BranchAborted{txn, AbortReason::kCheckFailed, "why"});
  EXPECT_EQ(h.AnswerTo<Ending>(work).reason, AbortReason::kCheckFailed);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(Work{txn, {GetOp{KeyOn(kS1)}}})).detail, "why");
  h.Clear();
  const RequestId commit = h.Call(Commit{h.Tag(1), txn, {}, {kS1, kS2}});
  EXPECT_EQ(h.AbortedAfterReplicating(commit).reason, AbortReason::kCheckFailed);
  EXPECT_EQ(h.Appended<AttemptRefused>().size(), 1u);  // C5
  EXPECT_TRUE(std::holds_alternative<RolledBack>(std::get<Answer>([&] {
                                                   h.Clear();
                                                   h.Call(Rollback{txn});
                                                   return h.effects.back();
                                                 }())
                                                     .reply));
}

TEST(CoordinatorInteractive, RollbackTellsTheBranches) {
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  const RequestId work = h.Call(Work{txn, {PutOp{KeyOn(kS2), "v"}}});
  const RequestId call = h.Call(Rollback{txn});
  h.AnswerTo<RolledBack>(call);
  EXPECT_EQ(h.AnswerTo<Ending>(work).reason, AbortReason::kRolledBack);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
  EXPECT_EQ(h.SentTo<Decide>(kS2).decision, Decision::kAbort);
  EXPECT_TRUE(h.Appended<AttemptRefused>().empty());  // no token was named
}

TEST(CoordinatorInteractive, UnknownTransactionIsRefused) {
  Harness h;
  const TxnId never{kGroup, Epoch{1}, 9};
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Work{never, {GetOp{"k"}}})).code, RefusalCode::kNoSuchTxn);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Rollback{never})).code, RefusalCode::kNoSuchTxn);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Commit{h.Tag(1), never, {}, {kS1}})).code, RefusalCode::kNoSuchTxn);
  const TxnId one_shot = [&] {
    h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
    return h.LastTxn();
  }();
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Work{one_shot, {GetOp{"k"}}})).code, RefusalCode::kNoSuchTxn);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Rollback{one_shot})).code, RefusalCode::kNoSuchTxn);
}

TEST(CoordinatorInteractive, IdleTransactionExpires) {  // C7
  Harness h;
  const TxnId txn = Begun_(h);
  WorkOn(h, txn, kS1, true);
  h.Pass(9 * kSecond);
  WorkOn(h, txn, kS1, true);  // restarts the clock
  h.Pass(9 * kSecond);
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);
  h.Pass(2 * kSecond);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(Work{txn, {GetOp{"k"}}})).reason, AbortReason::kExpired);
}

TEST(CoordinatorInteractive, LifeIsCapped) {  // C7
  Harness h;
  const TxnId txn = Begun_(h);
  for (int i = 0; i < 11; ++i) {
    WorkOn(h, txn, kS1, true);
    h.Pass(5'400 * kMs);
  }
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);
  h.Pass(kSecond);
  EXPECT_EQ(h.StateOf(txn), TxnState::kAborting);
  const TxnId waiting = Begun_(h);
  const RequestId work = h.Call(Work{waiting, {GetOp{KeyOn(kS1)}}});  // a lock that never comes
  h.Pass(59 * kSecond);
  EXPECT_FALSE(h.Answered(work));
  h.Pass(2 * kSecond);
  EXPECT_EQ(h.AnswerTo<Ending>(work).reason, AbortReason::kExpired);
}

TEST(CoordinatorInteractive, BranchLimitsCountAllOfItsWork) {
  Harness h;
  const TxnId txn = Begun_(h);
  for (int i = 0; i < 4; ++i) {
    h.Call(Work{txn, {PutOp{KeyOn(kS1), std::string(255 * 1024, 'x')}}});
    h.DoneBy(kS1, txn, static_cast<uint32_t>(i + 1), 1);
  }
  const RequestId call = h.Call(Work{txn, {PutOp{KeyOn(kS1), std::string(255 * 1024, 'x')}}});
  EXPECT_EQ(h.AnswerTo<Refusal>(call).code, RefusalCode::kInvalid);
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);  // and can go on
}

}  // namespace
}  // namespace assent::coordinator
