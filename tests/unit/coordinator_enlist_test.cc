// Resource managers where the application itself works, prepares and finishes: F1 to F4.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

ForeignWork Yes(const std::string& name) {
  return ForeignWork{name, "", Vote::kYes, 1, "session 7", "pg 1 2 3"};
}
ForeignWork Voted(const std::string& name, Vote vote) {
  return ForeignWork{name, "", vote, 1};
}

// An interactive transaction that has enlisted these.
TxnId Begun(Harness& h, std::vector<std::string> enlist) {
  const RequestId call = h.Call(Begin{Age{}, 0, 0, std::move(enlist)});
  return h.AnswerTo<assent::Begun>(call).txn;
}
// It has put something there.
void WorkedOn(Harness& h, TxnId txn, GroupId shard) {
  h.Call(Work{txn, {PutOp{KeyOn(shard), "v"}}});
  h.DoneBy(shard, txn, 1, 1);
}
Commit CommitOf(const Harness& h, TxnId txn, std::vector<ForeignWork> foreign,
                std::vector<GroupId> shards = {}, uint64_t seq = 1) {
  Commit commit{h.Tag(seq), txn, std::move(foreign), std::move(shards)};
  return commit;
}
// At shard 1 and the bank, decided and told.
TxnId Committed(Harness& h, uint64_t wait_us = 0, RequestId* call = nullptr) {
  const TxnId txn = Begun(h, {"bank"});
  WorkedOn(h, txn, kS1);
  Commit commit = CommitOf(h, txn, {Yes("bank")}, {kS1});
  commit.wait_finished_us = wait_us;
  const RequestId id = h.Call(commit);
  if (call != nullptr) *call = id;
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  h.Replicate();
  return txn;
}
Finished FinishedAs(TxnId txn, Decision decision, const std::string& name = "bank") {
  return Finished{txn, name, 1, decision};
}
ForeignReply Listed(std::vector<TxnId> prepared) {
  ForeignReply reply;
  reply.resource_manager = "bank";
  reply.verb = ForeignVerb::kRecover;
  reply.reached = true;
  reply.prepared = std::move(prepared);
  return reply;
}

TEST(CoordinatorEnlist, GivesTheSameBranchEachTime) {
  Harness h;
  const RequestId begin = h.Call(Begin{Age{}, 0, 0, {"post", "bank"}});
  const auto begun = h.AnswerTo<assent::Begun>(begin);
  ASSERT_EQ(begun.enlisted.size(), 2u);
  EXPECT_EQ(begun.enlisted[0].resource_manager, "post");
  EXPECT_EQ(begun.enlisted[0].branch, 1u);
  const auto again = h.AnswerTo<EnlistedBranch>(h.Call(Enlist{begun.txn, "post"}));
  EXPECT_EQ(again.resource_manager, "post");
  EXPECT_EQ(again.branch, 1u);
  const auto info = h.core->FindTransaction(begun.txn);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->branches.size(), 2u);  // an operator sees them
}

TEST(CoordinatorEnlist, LockWaitsAreBoundedFromThenOn) {  // F1, P2
  Harness h;
  const TxnId txn = Begun(h, {});
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "v"}}});
  EXPECT_FALSE(h.SentTo<Operate>(kS1).header.has_foreign);
  h.DoneBy(kS1, txn, 1, 1);
  h.Call(Enlist{txn, "bank"});
  h.Clear();
  h.Call(Work{txn, {PutOp{KeyOn(kS1), "w"}}});
  EXPECT_TRUE(h.SentTo<Operate>(kS1).header.has_foreign);
}

TEST(CoordinatorEnlist, KeepsTheTransactionOpen) {  // F1
  Harness h;
  const TxnId txn = Begun(h, {});
  const TxnId idle = Begun(h, {});
  for (int i = 0; i < 4; ++i) {
    h.Pass(8 * kSecond);
    if (i % 2 == 0) {
      h.AnswerTo<EnlistedBranch>(h.Call(Enlist{txn, "bank"}));
    } else {
      h.AnswerTo<KeptAlive>(h.Call(KeepAlive{txn}));
    }
  }
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(KeepAlive{idle})).reason, AbortReason::kExpired);
  h.Pass(9 * kSecond);
  h.AnswerTo<KeptAlive>(h.Call(KeepAlive{txn}));
  h.Pass(9 * kSecond);
  h.AnswerTo<KeptAlive>(h.Call(KeepAlive{txn}));
  h.Pass(11 * kSecond);  // C7: its life is over all the same
  EXPECT_NE(h.StateOf(txn), TxnState::kActive);
}

TEST(CoordinatorEnlist, WishedTimesAreKeptWithinTheConfiguredLife) {
  Harness h;
  const auto begun = h.AnswerTo<assent::Begun>(h.Call(Begin{Age{}, 30 * kSecond, 40 * kSecond}));
  EXPECT_EQ(begun.idle_us, 30 * kSecond);
  EXPECT_EQ(begun.life_us, 40 * kSecond);
  h.Pass(29 * kSecond);
  EXPECT_EQ(h.StateOf(begun.txn), TxnState::kActive);
  h.AnswerTo<KeptAlive>(h.Call(KeepAlive{begun.txn}));
  h.Pass(12 * kSecond);
  EXPECT_NE(h.StateOf(begun.txn), TxnState::kActive);
  const auto long_one = h.AnswerTo<assent::Begun>(h.Call(Begin{Age{}, kHour, kHour}));
  EXPECT_EQ(long_one.idle_us, 60 * kSecond);
  EXPECT_EQ(long_one.life_us, 60 * kSecond);
}

TEST(CoordinatorEnlist, BadRequestsAreRefusedAndSayWhatToChange) {
  Harness h;
  const auto refused = [&](ClientRequest request, const std::string& words) {
    const Refusal refusal = h.AnswerTo<Refusal>(h.Call(std::move(request)));
    EXPECT_EQ(refusal.code, RefusalCode::kInvalid) << words;
    EXPECT_NE(refusal.detail.find(words), std::string::npos) << refusal.detail;
  };
  refused(Begin{Age{}, 0, 0, {"mars"}}, "unknown resource manager 'mars'");
  EXPECT_EQ(h.core->live_count(), 0u);
  const TxnId txn = Begun(h, {"bank"});
  refused(Enlist{txn, "mars"}, "unknown resource manager 'mars'");
  refused(CommitOf(h, txn, {Yes("bank"), Yes("post")}), "'post' was not enlisted");
  ForeignWork other_branch = Yes("bank");
  other_branch.branch = 2;
  refused(CommitOf(h, txn, {other_branch}), "has no branch 2");
  ForeignWork both = Yes("bank");
  both.payload = "pay 5";
  refused(CommitOf(h, txn, {both}), "a vote and a payload");
  refused(CommitOf(h, txn, {ForeignWork{"bank", "pay 5"}}), "report its vote instead of a payload");
  ForeignWork long_holder = Yes("bank");
  long_holder.holder = std::string(129, 'h');
  refused(CommitOf(h, txn, {long_holder}), "over 128 bytes");
  ForeignWork no_with_evidence = Voted("bank", Vote::kNo);
  no_with_evidence.evidence = "pg 1 2 3";
  refused(CommitOf(h, txn, {no_with_evidence}), "go with the vote yes");
  Execute one_shot = h.Puts(h.Tag(9), {kS1});
  one_shot.foreign = {Yes("bank")};
  refused(one_shot, "was not enlisted");
  EXPECT_EQ(h.StateOf(txn), TxnState::kActive);  // none of this ended it
  Harness few(1, [] {
    CoordinatorConfig config = Harness::DefaultConfig();
    config.limits.foreign_per_txn_max = 1;
    return config;
  }());
  EXPECT_EQ(few.AnswerTo<Refusal>(few.Call(Begin{Age{}, 0, 0, {"bank", "post"}})).code,
            RefusalCode::kInvalid);
}

TEST(CoordinatorEnlist, OneThatHoldsTooManyStopsOnlyWhoEnlistsIt) {  // G8, F8
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.open_per_manager_max = 2;
  Harness h(1, config);
  const TxnId first = Begun(h, {"bank"});
  Begun(h, {"bank"});
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(Begin{Age{}, 0, 0, {"bank"}})).code, RefusalCode::kOverloaded);
  Begun(h, {"post"});
  h.AnswerTo<EnlistedBranch>(h.Call(Enlist{first, "bank"}));  // it is counted already
  const RequestId call = h.Call(CommitOf(h, first, {Yes("bank")}));
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  h.AnswerTo<FinishNoted>(h.Call(FinishedAs(first, Decision::kCommit)));
  Begun(h, {"bank"});
}

TEST(CoordinatorEnlist, ReportedYesIsNotAskedAgain) {  // F2
  Harness h;
  const TxnId txn = Begun(h, {"bank"});
  WorkedOn(h, txn, kS1);
  const RequestId call = h.Call(CommitOf(h, txn, {Yes("bank")}, {kS1}));
  const Prepare prepare = h.SentTo<Prepare>(kS1);
  EXPECT_EQ(prepare.participants.size(), 2u);
  EXPECT_TRUE(prepare.may_release);  // P9: every lock was granted before the first prepare
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kPrepare).empty());
  ASSERT_EQ(h.Appended<assent::Committed>().size(), 1u);
  EXPECT_EQ(h.Appended<assent::Committed>()[0].participants.size(), 2u);
  EXPECT_FALSE(h.Answered(call));  // C1
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
}

TEST(CoordinatorEnlist, ReleaseIsNotAllowedBesideOneThatIsStillToPrepare) {  // P9
  Harness h;
  const TxnId txn = Begun(h, {"bank"});
  WorkedOn(h, txn, kS1);
  h.Call(CommitOf(h, txn, {Yes("bank"), ForeignWork{"post", "send"}}, {kS1}));
  EXPECT_FALSE(h.SentTo<Prepare>(kS1).may_release);
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kPrepare).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kPrepare)[0].resource_manager, "post");
}

TEST(CoordinatorEnlist, OneThatDidNotReportAborts) {  // F2
  Harness h;
  const TxnId txn = Begun(h, {"bank", "post"});
  const RequestId call = h.Call(CommitOf(h, txn, {Yes("bank")}));
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kForeignRefused);
  EXPECT_EQ(ending.detail, "post was enlisted and did not report");
  EXPECT_TRUE(h.Appended<assent::Committed>().empty());
}

TEST(CoordinatorEnlist, ReportedNoRollsBack) {  // F2
  Harness h;
  const TxnId txn = Begun(h, {"bank", "post"});
  const RequestId call = h.Call(CommitOf(h, txn, {Voted("bank", Vote::kNo), Yes("post")}));
  const Ending ending = h.AbortedAfterReplicating(call);
  EXPECT_EQ(ending.reason, AbortReason::kForeignRefused);
  EXPECT_EQ(ending.detail, "bank voted no");
}

TEST(CoordinatorEnlist, LoneBranchIsStillTwoPhase) {  // F3
  Harness h;
  const TxnId txn = Begun(h, {"bank"});
  const RequestId call = h.Call(CommitOf(h, txn, {Yes("bank")}));
  ASSERT_EQ(h.Appended<assent::Committed>().size(), 1u);
  EXPECT_FALSE(h.Answered(call));
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
}

TEST(CoordinatorEnlist, ReadOnlyOnesTakeNoPart) {  // F2, F3
  Harness h;
  const TxnId txn = Begun(h, {"bank", "post"});
  WorkedOn(h, txn, kS1);
  h.Call(CommitOf(h, txn, {Voted("bank", Vote::kReadOnly), Voted("post", Vote::kReadOnly)}, {kS1}));
  EXPECT_EQ(h.Sent<CommitOnePhase>().size(), 1u);  // C6
  EXPECT_TRUE(h.Sent<Prepare>().empty());
  const TxnId none = Begun(h, {"bank"});
  Commit commit = CommitOf(h, none, {Voted("bank", Vote::kReadOnly)}, {}, 2);
  commit.wait_finished_us = kSecond;
  const Ending ending = h.AnswerTo<Ending>(h.Call(commit));
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.finished, true);
  h.Pass(5 * kSecond);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());
}

TEST(CoordinatorEnlist, RetryMayBringAnotherHolder) {  // C5
  Harness h;
  const TxnId txn = Committed(h);
  Commit again = CommitOf(h, txn, {Yes("bank")}, {kS1});
  again.foreign[0].holder = "session 8";
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(again)).outcome, Outcome::kCommitted);
  again.foreign[0].holder = "";
  again.foreign[0].evidence = "";
  again.foreign[0].voted = Vote::kReadOnly;
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(again)).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorEnlist, CommitIsLeftToTheApplicationForAWhile) {  // F4
  Harness h;
  RequestId call{};
  const TxnId txn = Committed(h, 0, &call);
  EXPECT_EQ(h.AnswerTo<Ending>(call).finished, std::nullopt);  // C2
  h.Pass(499 * kMs);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());
  h.Pass(2 * kMs);
  const auto calls = h.ForeignCalls(ForeignVerb::kCommit);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].txn, txn);
  EXPECT_EQ(calls[0].holder, "") << "its application may be about to commit";
  EXPECT_EQ(calls[0].evidence, "pg 1 2 3");
  h.Clear();
  ForeignReply busy = ForeignDone("bank", ForeignVerb::kCommit, txn);
  busy.answer = ForeignAnswer::kBusy;
  busy.detail = "held by session 7";
  h.Step(busy);
  h.Pass(kSecond);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit)[0].holder, "session 7");
}

TEST(CoordinatorEnlist, OutcomeIsToldThoughTheResourceManagerIsNotConfiguredAnyMore) {  // C5
  Harness h;
  const TxnId txn = Committed(h);
  h.RestartWith({"post"}, 2);
  Commit again = CommitOf(h, txn, {Yes("bank")}, {kS1});
  again.tag.sent_to = Epoch{2};
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(again)).outcome, Outcome::kCommitted);
}

TEST(CoordinatorEnlist, BranchThatIsGoneWasCommittedByTheApplication) {  // F6
  Harness h;
  const TxnId txn = Committed(h);
  h.Pass(600 * kMs);
  ForeignReply absent = ForeignDone("bank", ForeignVerb::kCommit, txn);
  absent.answer = ForeignAnswer::kAbsent;
  h.Step(absent);
  h.AckFrom(kS1, txn, Decision::kCommit);
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
  EXPECT_EQ(h.core->stats().assumed_commits, 1u);
}

TEST(CoordinatorEnlist, WhatTheApplicationHasFinishedIsNotCalled) {  // F4
  Harness h;
  const TxnId txn = Committed(h);
  h.AnswerTo<FinishNoted>(h.Call(FinishedAs(txn, Decision::kCommit)));
  h.AnswerTo<FinishNoted>(h.Call(FinishedAs(txn, Decision::kCommit)));
  h.AckFrom(kS1, txn, Decision::kCommit);
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
  h.Pass(5 * kSecond);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kCommit).empty());
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(FinishedAs(txn, Decision::kCommit))).code, RefusalCode::kNoSuchTxn);
}

TEST(CoordinatorEnlist, FinishedIsBelievedOnlyAsDecided) {  // F4
  Harness h;
  const auto refused = [&](const Finished& finished) {
    const Refusal refusal = h.AnswerTo<Refusal>(h.Call(finished));
    EXPECT_EQ(refusal.code, RefusalCode::kInvalid) << refusal.detail;
  };
  const TxnId open = Begun(h, {"bank"});
  refused(FinishedAs(open, Decision::kCommit));
  refused(FinishedAs(open, Decision::kAbort));
  h.Call(CommitOf(h, open, {Yes("bank")}, {}, 2));
  refused(FinishedAs(open, Decision::kCommit));  // C1: not replicated yet
  const TxnId committed = Committed(h);
  refused(FinishedAs(committed, Decision::kAbort));
  refused(FinishedAs(committed, Decision::kCommit, "post"));
  Finished other_branch = FinishedAs(committed, Decision::kCommit);
  other_branch.branch = 2;
  refused(other_branch);
  Finished stranger = FinishedAs(committed, Decision::kCommit);
  stranger.key = 12345;
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(stranger)).code, RefusalCode::kNoSuchTxn);
  const TxnId aborted = Begun(h, {"bank"});
  h.Call(Rollback{aborted});
  refused(FinishedAs(aborted, Decision::kCommit));
  h.AnswerTo<FinishNoted>(h.Call(FinishedAs(aborted, Decision::kAbort)));
  refused(FinishedAs(aborted, Decision::kCommit));  // it is forgotten by now
  h.Pass(kSecond);
  for (const CallForeign& call : h.ForeignCalls(ForeignVerb::kRollback)) EXPECT_NE(call.txn, aborted);
  h.Restart(2);  // keys of an earlier process are nobody's
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(FinishedAs(committed, Decision::kCommit))).code,
            RefusalCode::kNoSuchTxn);
}

TEST(CoordinatorEnlist, WhoWaitsIsToldWhenAllHaveCommitted) {  // F4
  Harness h;
  RequestId call{};
  const TxnId txn = Committed(h, 3 * kSecond, &call);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kCommit).size(), 1u);  // at once
  EXPECT_FALSE(h.Answered(call));
  h.Step(ForeignDone("bank", ForeignVerb::kCommit, txn));
  EXPECT_FALSE(h.Answered(call));
  h.AckFrom(kS1, txn, Decision::kCommit);
  const Ending ending = h.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.finished, true);
  Commit again = CommitOf(h, txn, {Yes("bank")}, {kS1});
  again.wait_finished_us = kSecond;
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(again)).finished, true);  // recorded, and over
}

TEST(CoordinatorEnlist, WhoWaitsIsToldInTime) {  // F4
  Harness h;
  RequestId call{};
  const TxnId txn = Committed(h, 2 * kSecond, &call);
  Commit again = CommitOf(h, txn, {Yes("bank")}, {kS1});
  again.wait_finished_us = kHour;  // bounded
  const RequestId later = h.Call(again);
  const RequestId gone = h.Call(again);
  h.Step(ClientGone{gone});
  h.Pass(1'999 * kMs);
  EXPECT_FALSE(h.Answered(call));
  h.Pass(2 * kMs);
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.AnswerTo<Ending>(call).finished, false);
  EXPECT_FALSE(h.Answered(later));
  h.Pass(3'001 * kMs);
  EXPECT_EQ(h.AnswerTo<Ending>(later).finished, false);
  EXPECT_FALSE(h.Answered(gone));
}

TEST(CoordinatorEnlist, WhoWaitsIsToldBeforeTheNodeGivesTheCallUp) {  // C2
  Harness h;
  const TxnId txn = Begun(h, {"bank"});
  WorkedOn(h, txn, kS1);
  Commit commit = CommitOf(h, txn, {Yes("bank")}, {kS1});
  commit.wait_finished_us = 5 * kSecond;
  const RequestId call = h.Call(commit);
  h.Pass(9 * kSecond);
  h.VoteFrom(kS1, txn, Vote::kYes, 0);
  h.Replicate();
  h.Pass(999 * kMs);
  EXPECT_FALSE(h.Answered(call));
  h.Pass(2 * kMs);
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.AnswerTo<Ending>(call).finished, false);
}

TEST(CoordinatorEnlist, NobodyWaitsWhileTheGroupIsHandedOver) {
  Harness h;
  RequestId call{};
  Committed(h, 3 * kSecond, &call);
  EXPECT_FALSE(h.core->IsQuiet());
  h.Step(Draining{true});
  EXPECT_EQ(h.AnswerTo<Ending>(call).finished, false);
  EXPECT_TRUE(h.core->IsQuiet());
}

TEST(CoordinatorEnlist, NextProcessFinishesAtOnce) {  // F4: its application was told, or never will be
  Harness h;
  const TxnId txn = Committed(h);
  h.Restart(2);
  h.Pass(1);
  const auto calls = h.ForeignCalls(ForeignVerb::kCommit);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].txn, txn);
}

TEST(CoordinatorEnlist, AbortTellsAllThatWereEnlistedAfterAWhile) {  // F4
  Harness h;
  const TxnId dead = Begun(h, {"bank"});  // its application died after PREPARE
  h.Pass(10 * kSecond + 400 * kMs);
  EXPECT_EQ(h.StateOf(dead), TxnState::kAborting);
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  h.Pass(200 * kMs);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback)[0].txn, dead);
  ForeignReply absent = ForeignDone("bank", ForeignVerb::kRollback, dead);
  absent.answer = ForeignAnswer::kAbsent;  // F6
  h.Step(absent);
  EXPECT_EQ(h.StateOf(dead), TxnState{});
  const TxnId voted = Begun(h, {"bank"});
  WorkedOn(h, voted, kS1);
  h.Call(CommitOf(h, voted, {Yes("bank")}, {kS1}));
  h.VoteFrom(kS1, voted, Vote::kNo, 0);
  h.Clear();
  h.Pass(600 * kMs);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  ForeignReply busy = ForeignDone("bank", ForeignVerb::kRollback, voted);
  busy.answer = ForeignAnswer::kBusy;
  busy.detail = "held by session 7";
  h.Step(busy);
  h.Clear();
  h.Pass(kSecond);
  ASSERT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback)[0].holder, "session 7");
}

TEST(CoordinatorEnlist, BranchThatComesLateIsSweptByTwoScans) {  // F4
  Harness h;
  h.Pass(1);
  const TxnId txn = Begun(h, {"bank"});
  h.Step(Listed({txn}));  // it lives
  h.Call(Rollback{txn});
  h.Call(FinishedAs(txn, Decision::kAbort));
  h.Pass(3 * kSecond);
  h.Step(Listed({}));
  h.Clear();
  h.Pass(3 * kSecond);
  h.Step(Listed({txn}));
  EXPECT_TRUE(h.ForeignCalls(ForeignVerb::kRollback).empty());
  h.Pass(3 * kSecond);
  h.Step(Listed({txn}));
  EXPECT_EQ(h.ForeignCalls(ForeignVerb::kRollback).size(), 1u);
}

}  // namespace
}  // namespace assent::coordinator
