// Foreign resource managers: votes, decisions, and P - A - T.
#include <gtest/gtest.h>

#include <algorithm>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

Execute WithBank(const Harness& h, uint64_t seq, std::vector<GroupId> shards = {kS1}) {
  Execute request = h.Puts(h.Tag(seq), shards);
  request.foreign = {{"bank", "pay 5"}};
  return request;
}
// Up to the question to the bank.
TxnId AskedBank(Harness& h, uint64_t seq, RequestId* call = nullptr) {
  const RequestId id = h.Call(WithBank(h, seq));
  if (call != nullptr) *call = id;
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  return txn;
}
// Decided, and told.
TxnId CommittedWithBank(Harness& h, uint64_t seq) {
  const TxnId txn = AskedBank(h, seq);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  h.Replicate();
  return txn;
}
ForeignReply Unsent(const std::string& name, ForeignVerb verb, TxnId txn) {
  ForeignReply reply = ForeignSilence(name, verb, txn);
  reply.unsent = true;
  reply.detail = "connection refused";
  return reply;
}
size_t CountReports(const Harness& h, const std::string& words) {
  size_t count = 0;
  for (const std::string& text : h.Reports()) count += text.find(words) != std::string::npos;
  return count;
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
  h.VoteFrom(kS1, txn, Vote::kYes);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare)[0].payload, "pay 5");
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

// Locks that no shard sees are waited for only under all locks that shards hold, and in one order: else two
// transactions wait for each other, the one in a shard, the other outside, and nobody sees both.
TEST(CoordinatorForeign, ShardsPrepareFirstThenOneManagerAfterTheOther) {  // P2
  Harness h;
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  request.foreign = {{"post", "send"}, {"bank", "pay 5"}};
  const RequestId call = h.Call(request);
  const TxnId txn = h.LastTxn();
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
  h.VoteFrom(kS2, txn, Vote::kYes);
  h.Pass(2 * kSecond);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kPrepare).empty());
  h.VoteFrom(kS1, txn, Vote::kYes);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare)[0].resource_manager, "bank");  // by name
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 2u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare)[1].resource_manager, "post");
  EXPECT_TRUE(h.Appended<Committed>().empty());
  h.Step(ForeignVote("post", txn, Vote::kYes));
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  EXPECT_EQ(h.Appended<Committed>()[0].participants.size(), 4u);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 2u);
}

TEST(CoordinatorForeign, OneThatWasNotAskedOrHasLetGoHearsNoRollback) {
  Harness h;
  h.Call(WithBank(h, 1));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  Execute request = h.Puts(h.Tag(2), {kS1});
  request.foreign = {{"bank", "look"}, {"post", "send"}};
  h.Call(request);
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kReadOnly));
  h.Step(ForeignVote("post", txn, Vote::kNo));
  for (const CallForeign& rollback : h.ForeignCalls(ForeignVerb::kRollback)) {
    EXPECT_EQ(rollback.resource_manager, "post");
  }
}

TEST(CoordinatorForeign, RefusalAborts) {
  Harness h;
  RequestId call{};
  ForeignReply no = ForeignVote("bank", AskedBank(h, 1, &call), Vote::kNo);
  no.detail = "no funds";
  h.Step(no);
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kForeignRefused);
  EXPECT_EQ(ending.detail, "bank: no funds");  // which one
}

TEST(CoordinatorForeign, ReadOnlyVoteIsLeftOutOfPhaseTwo) {
  Harness h;
  h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.Step(ForeignVote("bank", txn, Vote::kReadOnly));
  ASSERT_EQ(h.Appended<Committed>().size(), 1u);
  EXPECT_EQ(h.Appended<Committed>()[0].participants.size(), 1u);
}

TEST(CoordinatorForeign, LostPrepareIsRepeatedUntilTheVoteTimeout) {  // it may or may not have prepared
  Harness h;
  const RequestId call = h.Call(WithBank(h, 1));
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  for (int i = 0; i < 12; ++i) {
    ForeignReply reply = ForeignSilence("bank", ForeignVerb::kPrepare, txn);
    reply.detail = "unavailable: the database restarts";
    h.Step(reply);
    h.Pass(kSecond);
  }
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kPrepare).size(), 4u);
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kVoteTimeout);
  EXPECT_EQ(ending.detail,
            "resource manager bank did not vote within 10 s: unavailable: the database restarts");
  EXPECT_EQ(ending.age.txn, txn);  // P2: the next attempt keeps its place
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
}

TEST(CoordinatorForeign, OneThatCannotHaveVotedIsNotWaitedForLong) {  // C7
  Harness h;
  RequestId call{};
  const TxnId txn = AskedBank(h, 1, &call);
  size_t calls = 0;
  for (const uint64_t begun_us = h.now.mono_us; h.StateOf(txn) == TxnState::kPreparing;) {
    ASSERT_LT(h.now.mono_us, begun_us + 3 * kSecond);
    if (h.ForeignCalls(ForeignVerb::kPrepare).size() > calls) {
      ++calls;
      h.Step(Unsent("bank", ForeignVerb::kPrepare, txn));
    }
    h.Pass(50 * kMs);
  }
  EXPECT_GE(calls, 3u);  // it may have been about to start
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kVoteTimeout);
  EXPECT_EQ(ending.detail.find("resource manager bank did not vote within 1"), 0u) << ending.detail;
  EXPECT_NE(ending.detail.find(" s: connection refused"), std::string::npos) << ending.detail;
}

TEST(CoordinatorForeign, OneThatMayHaveVotedIsWaitedForThoughItIsAway) {  // C7
  Harness h;
  const TxnId txn = AskedBank(h, 1);
  h.Step(ForeignSilence("bank", ForeignVerb::kPrepare, txn));
  for (int i = 0; i < 8; ++i) {
    h.Pass(kSecond);
    h.Step(Unsent("bank", ForeignVerb::kPrepare, txn));
  }
  EXPECT_EQ(h.StateOf(txn), TxnState::kPreparing);
  h.Step(ForeignVote("bank", txn, Vote::kYes));
  EXPECT_EQ(h.Appended<Committed>().size(), 1u);
}

TEST(CoordinatorForeign, OneCallABranchAtATime) {
  Harness h;
  AskedBank(h, 1);
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

ForeignReply Answered(ForeignAnswer answer, TxnId txn) {
  ForeignReply reply = ForeignDone("bank", ForeignVerb::kCommit, txn);
  reply.answer = answer;
  reply.detail = "no such branch";
  return reply;
}

TEST(CoordinatorForeign, AbsentIsTakenForCommittedOnlyIfSomebodyMayHaveTried) {  // F6
  Harness h;
  const auto is_owed = [&](TxnId txn) {
    const auto info = h.core->FindTransaction(txn);
    return info && std::any_of(info->branches.begin(), info->branches.end(), [](const BranchInfo& branch) {
             return !branch.participant.foreign.empty() && branch.state == BranchState::kAsked;
           });
  };
  const TxnId nobody = CommittedWithBank(h, 1);
  h.Step(Answered(ForeignAnswer::kAbsent, nobody));  // our first call
  EXPECT_TRUE(is_owed(nobody));
  EXPECT_EQ(CountReports(h, "does not commit " + ToString(nobody)), 1u);
  ForeignReply unsent = Unsent("bank", ForeignVerb::kCommit, nobody);
  h.Step(unsent);
  h.Pass(5 * kSecond);
  h.Step(Answered(ForeignAnswer::kAbsent, nobody));
  EXPECT_TRUE(is_owed(nobody));
  h.Pass(5 * kSecond);
  h.Step(Answered(ForeignAnswer::kContradicted, nobody));
  EXPECT_TRUE(is_owed(nobody));
  const TxnId answer_lost = CommittedWithBank(h, 2);
  h.Step(ForeignSilence("bank", ForeignVerb::kCommit, answer_lost));
  h.Pass(5 * kSecond);
  h.Step(Answered(ForeignAnswer::kAbsent, answer_lost));
  EXPECT_FALSE(is_owed(answer_lost));
  const TxnId call_lost = CommittedWithBank(h, 3);
  h.Pass(25 * kSecond);
  h.Step(Answered(ForeignAnswer::kAbsent, call_lost));
  EXPECT_FALSE(is_owed(call_lost));
  const TxnId from_the_log = CommittedWithBank(h, 4);
  h.Restart(2);
  h.Pass(1);
  h.Step(Answered(ForeignAnswer::kAbsent, from_the_log));
  EXPECT_FALSE(is_owed(from_the_log));
  EXPECT_EQ(h.core->stats().assumed_commits, 1u);  // of this process
}

TEST(CoordinatorForeign, BusyIsAskedAgainAndNotReported) {  // F6
  Harness h;
  const TxnId txn = CommittedWithBank(h, 1);
  h.Step(Answered(ForeignAnswer::kBusy, txn));
  EXPECT_EQ(CountReports(h, "does not commit"), 0u);
  h.Pass(5 * kSecond);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 2u);
}

ForeignReply ForeignContradiction(ForeignVerb verb, TxnId txn) {
  ForeignReply reply = ForeignDone("bank", verb, txn);
  reply.answer = ForeignAnswer::kRefused;
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
  for (int i = 0; i < 5; ++i) {
    h.Step(ForeignContradiction(ForeignVerb::kCommit, txn));
    h.Pass(20 * kSecond);
  }
  EXPECT_EQ(CountReports(h, "resource manager bank does not commit " + ToString(txn) +
                                ", as was decided: rolled back here"),
            1u);
  const TxnInfo info = *h.core->FindTransaction(txn);
  EXPECT_EQ(info.branches[1].trouble, "rolled back here");
  EXPECT_EQ(info.branches[1].asked_us, h.now.mono_us - 100 * kSecond);
  EXPECT_GE(h.ForeignCalls(ForeignVerb::kCommit).size(), 6u);
  EXPECT_TRUE(h.Appended<Ended>().empty());
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));  // somebody mended it
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
}

TEST(CoordinatorForeign, RollbackThatIsNotDoneIsReportedToo) {  // G6, G7
  Harness h;
  const TxnId txn = AskedBank(h, 1);
  h.Step(ForeignVote("bank", txn, Vote::kNo));
  for (int i = 0; i < 3; ++i) {
    h.Step(ForeignContradiction(ForeignVerb::kRollback, txn));
    h.Pass(20 * kSecond);
  }
  EXPECT_EQ(CountReports(h, "does not roll back " + ToString(txn)), 1u);
}

TEST(CoordinatorForeign, SilenceIsReportedAtAPace) {
  Harness h;
  h.Pass(0);
  h.Step(Unsent("bank", ForeignVerb::kRecover, {}));  // hides nothing of a decision
  h.Clear();
  const TxnId txn = CommittedWithBank(h, 1);
  const auto silent_for = [&](uint64_t us) {
    for (const uint64_t until = h.now.mono_us + us; h.now.mono_us < until;) {
      h.Step(Unsent("bank", ForeignVerb::kCommit, txn));
      h.Pass(kSecond);
    }
  };
  silent_for(50 * kSecond);
  EXPECT_EQ(CountReports(h, "resource manager bank does not commit " + ToString(txn) +
                                ", as was decided: connection refused"),
            1u);
  silent_for(20 * kSecond);
  EXPECT_EQ(CountReports(h, "connection refused"), 2u);
}

// Another node leads now, whose configuration lacks it.
TEST(CoordinatorForeign, DecisionThatNamesAnUnconfiguredOneIsReported) {
  Harness h;
  const TxnId txn = CommittedWithBank(h, 1);
  h.config_.resource_managers = {"post"};
  h.Restart(2);
  h.Pass(0);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);
  ForeignReply nobody = Unsent("bank", ForeignVerb::kCommit, txn);
  nobody.detail = "not configured";
  h.Step(nobody);
  EXPECT_EQ(CountReports(h, "bank does not commit " + ToString(txn) + ", as was decided: not configured"),
            1u);
  EXPECT_EQ(h.core->FindTransaction(txn)->branches[1].trouble, "not configured");
}

TEST(CoordinatorForeign, LateYesOfAnAbortedTransactionIsRolledBack) {
  Harness h;
  const TxnId txn = AskedBank(h, 1);
  h.From(kS1, WoundRequest{txn});
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

TEST(CoordinatorForeign, OrphanThatCannotBeEndedIsReported) {  // G7
  Harness h(2);
  const TxnId orphan{kGroup, Epoch{1}, 1};
  h.Pass(0);
  h.Step(Recovered("bank", {orphan}));
  ForeignReply refused = ForeignDone("bank", ForeignVerb::kRollback, orphan);
  refused.answer = ForeignAnswer::kRefused;
  refused.detail = "permission denied";
  h.Step(refused);
  h.Step(refused);
  EXPECT_EQ(CountReports(h, "does not roll back c1.1.1, as was decided: permission denied"), 1u);
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
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());  // it is told anyway, one call at a time (C7)
}

// A branch that the decision does not name never voted yes.
TEST(CoordinatorForeign, WhatTheDecisionDoesNotNameIsRolledBackAndReported) {
  Harness h;
  const TxnId txn = h.PhaseTwo(1);  // without the bank
  h.Pass(0);
  h.Step(Recovered("bank", {txn}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());  // F4
  h.Pass(3 * kSecond);
  h.Step(Recovered("bank", {txn}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback)[0].txn, txn);
  EXPECT_EQ(CountReports(h, "bank lists " + ToString(txn) + " as prepared, which is committed without it"),
            1u);
}

TEST(CoordinatorForeign, HigherIdsAreReported) {
  Harness h;
  h.Pass(0);
  h.Step(Recovered("bank", {TxnId{kGroup, Epoch{7}, 1}}));
  EXPECT_EQ(CountReports(h, "bank lists c1.7.1 as prepared, which this coordinator has not begun"), 1u);
}

// Restored from a copy: it says again that it is in doubt about what it had committed. As far
// as that is known.
TEST(CoordinatorForeign, WhatItAcknowledgedAndListsAgainIsCommittedAgainAndReported) {
  Harness h;
  std::vector<TxnId> txns;
  for (uint64_t seq = 1; seq <= 2; ++seq) {
    txns.push_back(CommittedWithBank(h, seq));
    h.Step(ForeignDone("bank", ForeignVerb::kCommit, txns.back()));
  }
  h.AckFrom(kS1, txns[0], Decision::kCommit);  // END; the other waits for its shard
  h.Replicate();
  h.Pass(10 * kSecond);
  h.Step(Recovered("bank", {}));
  h.Pass(6 * kSecond);
  h.Clear();
  h.Step(Recovered("bank", txns));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 2u);
  EXPECT_EQ(CountReports(h, "was it restored from an older copy?"), 1u);
}

TEST(CoordinatorForeign, ScanDuringWhichTooMuchEndedIsDropped) {  // G8
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.recent_acknowledged = 1;
  Harness h(1, config);
  h.Pass(0);  // the scan begins
  std::vector<TxnId> txns;
  for (uint64_t seq = 1; seq <= 2; ++seq) {
    txns.push_back(CommittedWithBank(h, seq));
    h.AckFrom(kS1, txns.back(), Decision::kCommit);
    h.Step(ForeignDone("bank", ForeignVerb::kCommit, txns.back()));
  }
  h.Replicate();
  h.Step(Recovered("bank", txns));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
}

// The first scan's list, taken for that of the second.
TEST(CoordinatorForeign, ScanThatWasAnsweredLateRollsNothingBackThatIsCommitted) {
  Harness h;
  h.Pass(0);
  const TxnId txn = CommittedWithBank(h, 1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));
  h.Replicate();
  h.Pass(21 * kSecond);  // another scan
  h.Clear();
  h.Step(Recovered("bank", {txn}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  EXPECT_TRUE(h.Reports().empty());
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
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
}

}  // namespace
}  // namespace assent::coordinator
