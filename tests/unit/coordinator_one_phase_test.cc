// C6: one participant decides by itself.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

OnePhaseReply Yes(const CommitOnePhase& asked, size_t results = 1) {
  OnePhaseReply reply;
  reply.txn = asked.header.txn;
  reply.token = asked.token;
  reply.attempt = asked.attempt;
  reply.committed = true;
  reply.committed_txn = asked.header.txn;
  reply.content = asked.content;
  reply.results.resize(results);
  return reply;
}
OnePhaseReply No(const CommitOnePhase& asked, AbortReason reason = AbortReason::kCheckFailed) {
  OnePhaseReply reply;
  reply.txn = asked.header.txn;
  reply.token = asked.token;
  reply.attempt = asked.attempt;
  reply.reason = reason;
  return reply;
}

TEST(CoordinatorOnePhase, OneShardGetsTheWholeCommit) {
  Harness h;
  Execute request = h.Puts(h.Tag(4, 2), {kS2});
  request.tag.acked_below = 3;
  const RequestId call = h.Call(request);
  ASSERT_EQ(h.SendCount(), 1u);
  const auto asked = h.SentTo<CommitOnePhase>(kS2);
  EXPECT_EQ(asked.token, request.tag.token);
  EXPECT_EQ(asked.attempt, 2u);
  EXPECT_EQ(asked.acked_below, 3u);
  EXPECT_EQ(asked.operations.size(), 1u);
  EXPECT_NE(asked.content, 0u);
  h.From(kS2, Yes(asked));
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.results.size(), 1u);
  EXPECT_FALSE(ending.repeated);
  EXPECT_TRUE(h.Appended<Committed>().empty());  // the shard's record is the decision
}

TEST(CoordinatorOnePhase, AbortedIsSaidOnlyOnTheShardsWord) {  // C6, I-U1
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1}));
  const auto asked = h.SentTo<CommitOnePhase>(kS1);
  h.From(kS1, BranchAborted{asked.header.txn, AbortReason::kWounded, ""});
  h.From(kS1, VoteReply{asked.header.txn, Vote::kNo, AbortReason::kWounded, "", {}});
  h.From(kS2, No(asked));  // a stranger
  EXPECT_FALSE(h.Answered(call));
  h.From(kS1, No(asked));
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kCheckFailed);
  const auto refused = h.Appended<AttemptRefused>();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].attempt, 1u);
}

TEST(CoordinatorOnePhase, SilenceIsUnknown) {  // C6, I-U1
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1}));
  h.Pass(10'100 * kMs);
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kUnknown);
  EXPECT_TRUE(h.Appended<AttemptRefused>().empty());
  EXPECT_GE(h.Sent<CommitOnePhase>().size(), 4u);  // C7: it was asked again meanwhile
  EXPECT_TRUE(h.Sent<Decide>().empty());
}

TEST(CoordinatorOnePhase, RetryAfterUnknownIsSettledByTheShard) {  // C6
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1});
  h.Call(request);
  const auto first = h.SentTo<CommitOnePhase>(kS1);
  h.Pass(10'100 * kMs);
  h.Clear();
  const RequestId call = h.Call(request);  // the same attempt
  const auto second = h.SentTo<CommitOnePhase>(kS1);
  EXPECT_NE(second.header.txn, first.header.txn);
  EXPECT_EQ(second.attempt, first.attempt);
  EXPECT_EQ(second.content, first.content);
  OnePhaseReply reply = Yes(second, 0);
  reply.committed_txn = first.header.txn;
  h.From(kS1, reply);
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.txn, first.header.txn);
  EXPECT_TRUE(ending.repeated);
}

TEST(CoordinatorOnePhase, LateReplyToAnEarlierTransactionIsDropped) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1});
  h.Call(request);
  const auto first = h.SentTo<CommitOnePhase>(kS1);
  h.Pass(10'100 * kMs);
  h.Clear();
  const RequestId call = h.Call(request);
  h.From(kS1, No(first));
  EXPECT_FALSE(h.Answered(call));
}

TEST(CoordinatorOnePhase, OtherContentAtTheShardIsAMismatch) {  // C5
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1}));
  OnePhaseReply reply = Yes(h.SentTo<CommitOnePhase>(kS1));
  reply.content += 1;
  h.From(kS1, reply);
  EXPECT_EQ(h.AnswerTo<Refusal>(call).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorOnePhase, TokenUsedAgainForAnotherShardIsAMismatch) {  // C5: that shard never heard of it
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1});
  h.Call(request);
  const TxnId txn = h.LastTxn();
  const RequestId call = h.Call(request);
  h.From(kS1, Yes(h.SentTo<CommitOnePhase>(kS1)));
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);  // at once: the shard has it in its log
  EXPECT_EQ(h.Appended<TokenCommitted>().size(), 1u);
  h.Replicate();
  for (const uint64_t epoch : {1u, 2u}) {  // and so after a restart
    if (epoch == 2) h.Restart(epoch);
    h.Clear();
    for (const std::vector<GroupId>& others : {std::vector{kS2}, std::vector{kS2, kS3}}) {
      Execute other = h.Puts(h.Tag(1), others);
      EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kTokenMismatch);
      other.tag.attempt = 2;
      EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kTokenMismatch);
    }
    Execute again = h.Puts(h.Tag(1), {kS1});
    const Ending ending = h.AnswerTo<Ending>(h.Call(again));  // nor is the shard asked
    EXPECT_EQ(ending.outcome, Outcome::kCommitted);
    EXPECT_EQ(ending.txn, txn);
    EXPECT_TRUE(ending.repeated);
    EXPECT_EQ(h.SendCount(), 0u);
  }
}

TEST(CoordinatorOnePhase, HigherAttemptThatCommittedIsTheTokensOutcome) {  // C5
  Harness h;
  const RequestId first = h.Call(h.Puts(h.Tag(1, 1), {kS1}));
  h.From(kS1, No(h.SentTo<CommitOnePhase>(kS1)));
  h.AbortedAfterReplicating(first);
  h.Clear();
  h.Call(h.Puts(h.Tag(1, 2), {kS1}));
  h.From(kS1, Yes(h.SentTo<CommitOnePhase>(kS1)));
  h.Clear();
  for (const uint32_t attempt : {1u, 2u, 3u}) {
    EXPECT_EQ(h.AnswerTo<Ending>(h.Call(h.Puts(h.Tag(1, attempt), {kS1}))).outcome, Outcome::kCommitted);
  }
  EXPECT_EQ(h.SendCount(), 0u);
}

TEST(CoordinatorOnePhase, ReadOnlyCommitLeavesNoRecord) {  // C6
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {GetOp{KeyOn(kS1)}};
  const RequestId one_shot = h.Call(request);
  h.From(kS1, Yes(h.SentTo<CommitOnePhase>(kS1)));
  EXPECT_EQ(h.AnswerTo<Ending>(one_shot).outcome, Outcome::kCommitted);
  const TxnId txn = h.AnswerTo<Begun>(h.Call(Begin{})).txn;
  h.Call(Work{txn, {GetOp{KeyOn(kS2)}}});
  h.DoneBy(kS2, txn, 1, 1);
  const RequestId interactive = h.Call(Commit{h.Tag(2), txn, {}, {kS2}});
  h.From(kS2, Yes(h.SentTo<CommitOnePhase>(kS2), 0));
  EXPECT_EQ(h.AnswerTo<Ending>(interactive).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.log.size(), 1u);
}

// It may have committed this very send before it forgot, so this is no refusal of it either.
TEST(CoordinatorOnePhase, TokenThatTheShardHasForgottenIsUnknown) {  // C5, I-U1
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1), {kS1}));
  h.From(kS1, No(h.SentTo<CommitOnePhase>(kS1), AbortReason::kTokenExpired));
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kUnknown);
  EXPECT_EQ(ending.reason, AbortReason::kTokenExpired);  // asking again brings nothing
  EXPECT_TRUE(h.Appended<AttemptRefused>().empty());
}

TEST(CoordinatorOnePhase,
     HigherAttemptWaitsForTheLowerOne) {  // C6: the shard's no is for the attempt it was asked
  Harness h;
  h.Call(h.Puts(h.Tag(1, 1), {kS1}));
  const RequestId higher = h.Call(h.Puts(h.Tag(1, 2), {kS1}));
  EXPECT_EQ(h.AnswerTo<Refusal>(higher).code, RefusalCode::kOverloaded);
  EXPECT_EQ(h.SendCount(), 1u);
}

// ---- Interactive ----

struct OneBranch {
  TxnId txn;
  Commit commit;
};
OneBranch Worked(Harness& h, uint64_t seq) {
  const TxnId txn = h.AnswerTo<Begun>(h.Call(Begin{})).txn;
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "v"}, GetOp{KeyOn(kS1)}}});
  h.DoneBy(kS1, txn, 2, 2, 9);
  return {txn, Commit{h.Tag(seq), txn, {}, {kS1}}};
}

TEST(CoordinatorOnePhase, InteractiveNamesTheBranchAndItsLastOperation) {  // P3
  Harness h;
  const OneBranch branch = Worked(h, 1);
  const RequestId call = h.Call(branch.commit);
  const auto asked = h.SentTo<CommitOnePhase>(kS1);
  EXPECT_EQ(asked.header.txn, branch.txn);
  EXPECT_EQ(asked.branch, (BranchId{Epoch{9}, 1}));
  EXPECT_EQ(asked.last, 2u);
  EXPECT_TRUE(asked.operations.empty());
  h.From(kS1, Yes(asked, 0));
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_FALSE(ending.repeated);
}

TEST(CoordinatorOnePhase, UnknownInteractiveCommitAsksItsShard) {  // C6
  Harness h;
  const OneBranch branch = Worked(h, 1);
  h.Call(branch.commit);
  h.Pass(10'100 * kMs);
  h.Clear();
  const RequestId call = h.Call(branch.commit);
  EXPECT_FALSE(h.Answered(call));  // no record is UNKNOWN until the shard has answered
  const auto settle = h.SentTo<SettleToken>(kS1);
  EXPECT_EQ(settle.header.txn, branch.txn);
  EXPECT_EQ(settle.token, branch.commit.tag.token);
  EXPECT_EQ(settle.attempt, 1u);
  OnePhaseReply reply;
  reply.txn = branch.txn;
  reply.token = settle.token;
  reply.attempt = 1;
  reply.committed = true;
  reply.committed_txn = branch.txn;
  reply.content = ContentOf(branch.txn, {});
  h.From(kS1, reply);
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.txn, branch.txn);
  EXPECT_TRUE(ending.repeated);
  EXPECT_EQ(h.Appended<TokenCommitted>().size(), 1u);  // C5: it may have written
  Commit other = branch.commit;
  other.foreign = {{"bank", "x"}};
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kTokenMismatch);
}

OnePhaseReply SettledNo(const SettleToken& asked) {
  OnePhaseReply reply;
  reply.txn = asked.header.txn;
  reply.token = asked.token;
  reply.attempt = asked.attempt;
  reply.reason = AbortReason::kRefusedAttempt;
  return reply;
}
std::vector<GroupId> Settled(const Harness& h) {
  std::vector<GroupId> asked;
  for (const auto& [shard, settle] : h.Sent<SettleToken>()) asked.push_back(shard);
  return asked;
}

// The commit of a one-phase transaction of epoch 1, sent again to epoch 2.
Commit FromAnOlderEpoch(Harness& h, std::vector<GroupId> named) {
  OneBranch branch = Worked(h, 1);
  h.Call(branch.commit);
  h.Restart(2);
  h.Clear();
  branch.commit.tag.sent_to = Epoch{2};
  branch.commit.shards = std::move(named);
  return branch.commit;
}

// Nobody has checked which shards a request names, so all of them have to refuse before ABORTED is true.
TEST(CoordinatorOnePhase, AbortedOfAnUnknownCommitIsEveryShardsWord) {  // C3, C6
  Harness h;
  const Commit commit = FromAnOlderEpoch(h, {kS1});
  const RequestId call = h.Call(commit);
  EXPECT_EQ(Settled(h), std::vector{kS1});  // first the one that is named
  const SettleToken asked = h.SentTo<SettleToken>(kS1);
  h.From(kS1, SettledNo(asked));
  EXPECT_EQ(Settled(h), (std::vector{kS1, kS2, kS3}));
  h.From(kS1, SettledNo(asked));  // again
  h.From(kS3, SettledNo(asked));
  h.Replicate();
  EXPECT_FALSE(h.Answered(call));
  EXPECT_TRUE(h.Appended<AttemptRefused>().empty());
  h.From(kS2, SettledNo(asked));
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.txn, commit.txn);
  EXPECT_EQ(ending.reason, AbortReason::kBranchLost);
  EXPECT_FALSE(ending.age.txn.valid());  // it is not known: a new one would lose the place in line (P2)
  EXPECT_EQ(h.Appended<AttemptRefused>().size(), 1u);
}

TEST(CoordinatorOnePhase, UnknownCommitIsFoundWhateverShardsAreNamed) {  // C3, I-U1
  for (const std::vector<GroupId>& named : {std::vector<GroupId>{},
                                            {kS1},
                                            {kS2},
                                            {kS2, kS3},
                                            {kS1, kS2, kS3},
                                            {GroupId{GroupKind::kShard, 77}}}) {
    Harness h;
    const RequestId call = h.Call(FromAnOlderEpoch(h, named));
    const size_t first = named.empty() || named[0].number == 77 ? 3 : named.size();
    ASSERT_EQ(Settled(h).size(), first);
    const auto settle = h.Sent<SettleToken>()[0].second;
    for (const GroupId shard : {kS2, kS3}) h.From(shard, SettledNo(settle));
    EXPECT_FALSE(h.Answered(call)) << named.size();
    OnePhaseReply yes = SettledNo(settle);
    yes.committed = true;
    yes.committed_txn = settle.header.txn;
    yes.content = ContentOf(settle.header.txn, {});
    h.From(kS1, yes);
    EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
    EXPECT_TRUE(h.Appended<AttemptRefused>().empty());
  }
}

TEST(CoordinatorOnePhase, SilenceOfOneShardLeavesTheUnknownCommitUnknown) {  // C3, I-U1
  Harness h;
  const RequestId call = h.Call(FromAnOlderEpoch(h, {}));
  const auto settle = h.SentTo<SettleToken>(kS1);
  h.From(kS2, SettledNo(settle));
  h.From(kS3, SettledNo(settle));
  h.Pass(10'100 * kMs);
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kUnknown);
  EXPECT_NE(ending.detail.find("shard s1 did not answer within 10 s"), std::string::npos) << ending.detail;
  EXPECT_TRUE(h.Appended<AttemptRefused>().empty());
}

TEST(CoordinatorOnePhase, SilentShardLeavesTheSettlingUnknown) {  // C6, I-U1
  Harness h;
  OneBranch branch = Worked(h, 1);
  h.Restart(2);
  branch.commit.tag.sent_to = Epoch{2};
  const RequestId call = h.Call(branch.commit);
  const RequestId joined = h.Call(branch.commit);
  h.Pass(10'100 * kMs);
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kUnknown);
  EXPECT_EQ(h.AnswerTo<Ending>(joined).outcome, Outcome::kUnknown);
  EXPECT_GE(h.Sent<SettleToken>().size(), 4u);
}

// Its commit would be recorded here if it had had this work; but that nobody has checked either.
TEST(CoordinatorOnePhase, UnknownCommitWithForeignWorkAsksTheShardsToo) {  // C3
  Harness h;
  Commit commit = FromAnOlderEpoch(h, {kS1});
  commit.foreign = {{"bank", "x"}};
  const RequestId call = h.Call(commit);
  EXPECT_FALSE(h.Answered(call));
  OnePhaseReply yes = SettledNo(h.SentTo<SettleToken>(kS1));
  yes.committed = true;
  yes.committed_txn = commit.txn;
  yes.content = ContentOf(commit.txn, {});
  h.From(kS1, yes);
  EXPECT_EQ(h.AnswerTo<Refusal>(call).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorOnePhase, UnsettledCommitThatNamesNoShardIsSettledByAsking) {  // I-U1
  Harness h;
  OneBranch branch = Worked(h, 1);
  h.Call(branch.commit);
  h.Pass(10'100 * kMs);
  h.Clear();
  branch.commit.shards.clear();
  EXPECT_FALSE(h.Answered(h.Call(branch.commit)));
  EXPECT_EQ(Settled(h), (std::vector{kS1, kS2, kS3}));
}

}  // namespace
}  // namespace assent::coordinator
