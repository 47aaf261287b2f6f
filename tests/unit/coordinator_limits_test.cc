// G8: bounds, and what is said past them. The operators' view.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TEST(CoordinatorLimits, LiveTransactionsAreBounded) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.live_txns_max = 3;
  Harness h(1, config);
  for (uint64_t seq = 1; seq <= 3; ++seq) h.Call(h.Puts(h.Tag(seq), {kS1, kS2}));
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(4), {kS1, kS2}))).code, RefusalCode::kOverloaded);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Begin{})).code, RefusalCode::kOverloaded);
  h.VoteFrom(kS1, TxnId{kGroup, Epoch{1}, 2}, Vote::kNo, 0);
  h.AnswerTo<Begun>(h.Call(Begin{}));
}

TEST(CoordinatorLimits, UnendedCommitsAreBounded) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.unended_max = 2;
  Harness h(1, config);
  const TxnId first = h.PhaseTwo(1);
  h.PhaseTwo(2);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(3), {kS1, kS2}))).code, RefusalCode::kOverloaded);
  h.AckFrom(kS1, first, Decision::kCommit);
  h.AckFrom(kS2, first, Decision::kCommit);
  h.Clear();
  h.Call(h.Puts(h.Tag(3), {kS1, kS2}));
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

// One that votes and does not commit, or votes slowly, stops only work that names it.
TEST(CoordinatorLimits, ResourceManagerThatDoesNotEndStopsOnlyWorkThatNamesIt) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.unended_max = 3;
  config.limits.open_per_manager_max = 5;
  Harness h(1, config);
  const auto with = [&](uint64_t seq, const std::string& name) {
    Execute request;
    request.tag = h.Tag(seq);
    request.foreign = {{name, "x"}};
    return request;
  };
  std::vector<TxnId> stuck;
  for (uint64_t seq = 1; seq <= 4; ++seq) {
    h.Call(with(seq, "bank"));
    stuck.push_back(h.LastTxn());
    h.Step(ForeignVote("bank", stuck.back(), Vote::kYes));
    h.Replicate();
    ForeignReply reply = ForeignDone("bank", ForeignVerb::kCommit, stuck.back());
    reply.answer = ForeignAnswer::kRefused;
    reply.detail = "read-only file system";
    h.Step(reply);
  }
  const TxnId open = h.AnswerTo<Begun>(h.Call(Begin{})).txn;
  h.Call(with(5, "bank"));  // has not voted yet
  h.Clear();
  const Refusal refusal = h.AnswerTo<Refusal>(h.Call(with(6, "bank")));
  EXPECT_EQ(refusal.code, RefusalCode::kOverloaded);
  EXPECT_NE(refusal.detail.find("5 transactions wait for resource manager bank, which says: read-only file"),
            std::string::npos)
      << refusal.detail;
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Commit{h.Tag(7), open, {{"bank", "x"}}, {}})).code,
            RefusalCode::kOverloaded);
  h.Call(with(8, "post"));
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
  h.Call(h.Puts(h.Tag(9), {kS1, kS2}));
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, stuck[0]));
  h.Clear();
  h.Call(with(10, "bank"));
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
}

TEST(CoordinatorLimits, OneClientCannotTakeAll) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.live_tokens_per_client = 2;
  Harness h(1, config);
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
  Execute third = h.Puts(h.Tag(3), {kS1, kS2});
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(third)).code, RefusalCode::kOverloaded);
  third.tag.token.client = ClientId{1ull << 32 | 2};
  h.Clear();
  h.Call(third);
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorLimits, WaitersForATokenAreBounded) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.waiters_per_token = 2;
  Harness h(1, config);
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  h.Call(request);
  h.Call(request);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(request)).code, RefusalCode::kOverloaded);
}

TEST(CoordinatorLimits, BytesAreBoundedAndGivenBack) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.bytes_max = 10'000;
  Harness h(1, config);
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  request.operations.push_back(PutOp{KeyOn(kS1), std::string(6'000, 'x')});
  h.Call(request);
  Execute other = request;
  other.tag = h.Tag(2);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(other)).code, RefusalCode::kOverloaded);
  h.VoteFrom(kS2, h.LastTxn(), Vote::kNo, 0);
  h.Clear();
  h.Call(other);
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorLimits, ResultsCountAgainstTheBytes) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.bytes_max = 10'000;
  Harness h(1, config);
  Execute request;
  request.tag = h.Tag(1);
  request.operations = {GetOp{KeyOn(kS1)}, GetOp{KeyOn(kS2)}};
  const RequestId call = h.Call(request);
  OperationResult big;
  big.rows.push_back({"k", std::string(20'000, 'x'), 1});
  h.From(kS1, OperateReply{h.LastTxn(), BranchId{Epoch{5}, 1}, 1, {big}});
  EXPECT_EQ(h.AbortedAfterReplicating(call).reason, AbortReason::kOverloaded);
}

TEST(CoordinatorLimits, AbortsToldAreBounded) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.aborting_max = 2;
  Harness h(1, config);
  for (uint64_t seq = 1; seq <= 5; ++seq) {
    h.Clear();
    h.Call(h.Puts(h.Tag(seq), {kS1, kS2}));
    h.VoteFrom(kS1, h.SentTo<Prepare>(kS1).header.txn, Vote::kNo, 0);
    EXPECT_EQ(h.Sent<Decide>().size(), 2u);  // told once, at least
  }
}

TEST(CoordinatorLimits, RecentEndingsAreBounded) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.recent_endings = 2;
  Harness h(1, config);
  std::vector<TxnId> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(h.AnswerTo<Begun>(h.Call(Begin{})).txn);
    h.Call(Rollback{ids.back()});
  }
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Rollback{ids[0]})).code, RefusalCode::kNoSuchTxn);
  h.AnswerTo<RolledBack>(h.Call(Rollback{ids[3]}));
}

TEST(CoordinatorLimits, SlowStoreStopsAdmission) {
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.overlay_bytes_max = 100;
  Harness h(1, config);
  h.PhaseTwo(1);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(2), {kS1, kS2}))).code, RefusalCode::kOverloaded);
  h.store.Apply(h.core->overlay().Collect(h.replicated));
  h.core->overlay().Forget(h.replicated);
  h.Clear();
  h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorLimits, SlowStoreStopsRefusalsOfUnknownCommits) {  // each leaves a record and rows
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.overlay_bytes_max = 1'000;
  Harness h(2, config);
  const auto commit = [&](uint64_t seq) {  // which no shard knows either
    const CommitTag tag = h.Tag(seq);
    const TxnId txn{kGroup, Epoch{1}, seq};
    const RequestId call = h.Call(Commit{tag, txn, {}, {kS1, kS2}});
    for (const GroupId shard : {kS1, kS2, kS3}) {
      OnePhaseReply no;
      no.txn = txn;
      no.token = tag.token;
      no.attempt = 1;
      no.reason = AbortReason::kRefusedAttempt;
      h.From(shard, no);
    }
    return call;
  };
  for (uint64_t seq = 1; seq <= 100; ++seq) commit(seq);
  EXPECT_LT(h.log.size(), 50u);
  EXPECT_EQ(h.AnswerTo<Refusal>(commit(101)).code, RefusalCode::kOverloaded);
  h.Replicate();
  h.store.Apply(h.core->overlay().Collect(h.replicated));
  h.core->overlay().Forget(h.replicated);
  EXPECT_EQ(h.AbortedAfterReplicating(commit(101)).reason, AbortReason::kBranchLost);
}

TEST(CoordinatorInspect, ListsWhoIsWaitedFor) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  const TxnInfo info = *h.core->FindTransaction(txn);
  EXPECT_EQ(info.state, TxnState::kPreparing);
  EXPECT_EQ(info.begun_us, h.now.mono_us);
  EXPECT_EQ(info.token, h.Tag(1).token);
  ASSERT_EQ(info.branches.size(), 2u);
  EXPECT_EQ(info.branches[0].state, BranchState::kYes);
  EXPECT_EQ(info.branches[1].state, BranchState::kAsked);
  ASSERT_EQ(info.waiting_on.size(), 1u);
  EXPECT_EQ(info.waiting_on[0].group, kS2);
  EXPECT_EQ(h.core->ListTransactions(0).size(), 0u);
  EXPECT_EQ(h.core->ListTransactions(10).size(), 1u);
}

TEST(CoordinatorInspect, EveryStateHasAName) {
  for (uint8_t i = 1; i <= 9; ++i) EXPECT_NE(ToString(static_cast<TxnState>(i)), "?");
  for (uint8_t i = 1; i <= 5; ++i) EXPECT_NE(ToString(static_cast<BranchState>(i)), "?");
}

}  // namespace
}  // namespace assent::coordinator
