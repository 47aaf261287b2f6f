// Interactive work before the vote: P1, P2, P3 and P4 as one shard sees them.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantWork, OperationsRunInOrderAndReadOwnWrites) {
  Shard shard;
  shard.Given("a", "10");
  EXPECT_EQ(shard.Operate(1, 1, {Get("a"), Add("a", 5), Get("a"), Delete("a"), Get("a")}),
            Lines{"c1<Done(1) 5"});
  const OperateReply& reply = shard.Last<OperateReply>();
  ASSERT_EQ(reply.results.size(), 5u);
  EXPECT_EQ(reply.results[0].rows, (std::vector<ResultRow>{{"a", "10", 2}}));
  EXPECT_EQ(reply.results[1].number, 15);
  EXPECT_EQ(reply.results[2].rows, (std::vector<ResultRow>{{"a", "15", 0}}));
  EXPECT_TRUE(reply.results[4].rows.empty());
  EXPECT_EQ(shard.Value("a"), "10") << "nothing is seen before the commit";
}

TEST(ParticipantWork, WriterWaitsForAnOlderReader) {  // P1
  Shard shard;
  EXPECT_EQ(shard.Operate(1, 1, {Get("a")}), Lines{"c1<Done(1) 1"});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "x")}), Lines{});
  EXPECT_EQ(shard.Abort(1), (Lines{"2:Decided(1) abort", "c1<Done(2) 1"}));
}

TEST(ParticipantWork, ScanKeepsPhantomsOut) {  // P1
  Shard shard;
  shard.Given("u/1", "x");
  shard.Operate(1, 1, {Scan("u/")});
  EXPECT_EQ(shard.Last<OperateReply>().results[0].rows.size(), 1u);
  EXPECT_EQ(shard.Operate(2, 1, {Put("u/2", "new")}), Lines{});
  EXPECT_EQ(shard.Operate(3, 1, {Put("v/2", "elsewhere")}), Lines{"c1<Done(3) 1"});
}

TEST(ParticipantWork, OlderWoundsYoungerHolders) {  // P2
  Shard shard;
  shard.Operate(5, 1, {Get("a")});
  shard.Operate(6, 1, {Get("a")});
  EXPECT_EQ(shard.Operate(1, 1, {Put("a", "x")}),
            (Lines{"c1<Aborted(5) wounded", "c1<Aborted(6) wounded", "c1<Done(1) 1"}));
}

TEST(ParticipantWork, OlderGoesAheadOfYoungerWaiters) {  // P2: no wait on a younger one, in the queue either
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(5, 1, {Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Operate(3, 1, {Put("a", "z")}), Lines{});
  EXPECT_EQ(shard.Abort(1), (Lines{"2:Decided(1) abort", "c1<Done(3) 1"}));
}

TEST(ParticipantWork, OppositeLockOrdersDoNotDeadlock) {  // P2
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Operate(2, 1, {Put("b", "x")});
  EXPECT_EQ(shard.Operate(2, 2, {Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Operate(1, 2, {Put("b", "y")}), (Lines{"c1<Aborted(2) wounded", "c1<Done(1) 2"}));
}

TEST(ParticipantWork, LateMessagesOfAWoundedBranchHearWhy) {  // P2
  Shard shard;
  shard.Operate(5, 1, {Put("a", "x")});
  shard.Operate(1, 1, {Put("a", "y")});
  EXPECT_EQ(shard.Operate(5, 2, {Get("b")}), Lines{"c1<Aborted(5) wounded"});
  EXPECT_EQ(shard.Prepare(5, {}, {.last = 1}), Lines{"c1<No(5) wounded"});
  EXPECT_EQ(shard.Operate(5, 1, {Put("a", "x")}), Lines{"c1<Aborted(5) wounded"}) << "its first, repeated";
}

TEST(ParticipantWork, RepeatedOperateRunsOnceAndIsAnsweredAgain) {  // P3
  Shard shard;
  shard.Given("n", "1");
  EXPECT_EQ(shard.Operate(1, 1, {Add("n", 1)}), Lines{"c1<Done(1) 1"});
  EXPECT_EQ(shard.Operate(1, 1, {Add("n", 1)}), Lines{"c1<Done(1) 1"});
  EXPECT_EQ(shard.Last<OperateReply>().results[0].number, 2);
  EXPECT_EQ(shard.Operate(1, 2, {Add("n", 1)}), Lines{"c1<Done(1) 2"});
  EXPECT_EQ(shard.Last<OperateReply>().results[0].number, 3);
  EXPECT_EQ(shard.Operate(1, 1, {Add("n", 1)}), Lines{}) << "answered long ago";
}

TEST(ParticipantWork, RepeatedOperateWhileItWaitsIsIgnored) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Abort(1), (Lines{"2:Decided(1) abort", "c1<Done(2) 1"}));
}

TEST(ParticipantWork, GapInTheNumbersLosesTheBranch) {  // P3
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(1, 3, {Put("c", "x")}), Lines{"c1<Aborted(1) branch lost"});
  EXPECT_EQ(shard.Prepare(1, {}, {.last = 3}), Lines{"c1<No(1) branch lost"});
}

TEST(ParticipantWork, BranchOfAnotherEpochIsLost) {  // P3: a failover ate half the writes
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Restart();
  EXPECT_EQ(shard.Operate(1, 2, {Put("b", "x")}, {.branch = {Epoch{1}, 1}}),
            Lines{"c1<Aborted(1) branch lost"});
  shard.Operate(2, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(2, 2, {Put("b", "x")}, {.branch = {Epoch{1}, 1}}),
            Lines{"c1<Aborted(2) branch lost"});
}

// A repeated first message comes after the branch was wounded and its end forgotten: what it opens has not
// read what the transaction goes by. With the branch taken for the first, the transaction's write undid
// the older one's.
TEST(ParticipantWork, BranchOpenedAgainByARepeatedFirstMessageIsNotTheFirst) {  // P3
  for (const bool two_phase : {false, true}) {
    Shard shard({.ended_max = 0});  // a comfort only: nothing may depend on it
    shard.Given("x", "1");
    EXPECT_EQ(shard.Operate(5, 1, {Get("x")}), Lines{"c1<Done(5) 1"});
    EXPECT_EQ(shard.Commit1(1, {Put("x", "2")}), (Lines{"c1<Aborted(5) wounded", "3:OnePhase(1) w=x"}));
    shard.Replicate();
    EXPECT_EQ(shard.Operate(5, 1, {Get("x")}), Lines{"c1<Done(5) 1"});
    EXPECT_EQ(shard.Operate(5, 2, {Put("x", "11")}), Lines{"c1<Aborted(5) branch lost"});
    EXPECT_EQ(shard.Operate(5, 1, {Get("x")}), Lines{"c1<Done(5) 1"});
    if (two_phase) {
      EXPECT_EQ(shard.Prepare(5, {}, {.last = 1}), Lines{"c1<No(5) branch lost"});
    } else {
      EXPECT_EQ(shard.Commit1(5, {}, {.last = 1}), Lines{"4:Refused 5#1"});
      EXPECT_EQ(shard.Replicate(), Lines{"c1<Refused(5) 5#1 branch lost"});
    }
    EXPECT_EQ(shard.Value("x"), "2");
  }
}

// With the bounds of a product: whatever ends it has to remember beside.
TEST(ParticipantWork, LateFirstMessageLosesNoUpdateBehindManyEnds) {  // P3
  Shard shard;
  shard.Given("x", "1");
  shard.Operate(5'000'000, 1, {Get("x")});
  shard.Commit1(1, {Put("x", "2")});
  shard.Replicate();
  const ParticipantConfig config;
  for (uint64_t i = 1; i <= config.ended_max; ++i) shard.Commit1(10 + i, {Get("y")});  // without a record
  EXPECT_EQ(shard.Operate(5'000'000, 1, {Get("x")}), Lines{"c1<Done(5000000) 1"}) << "its end is forgotten";
  EXPECT_EQ(shard.Operate(5'000'000, 2, {Put("x", "11")}), Lines{"c1<Aborted(5000000) branch lost"});
  EXPECT_EQ(shard.Commit1(5'000'000, {}, {.last = 2}).size(), 1u);
  shard.Replicate();
  EXPECT_EQ(shard.Value("x"), "2");
}

TEST(ParticipantWork, FirstMessageRepeatedWhileTheBranchLivesIsOfThatBranch) {  // P3
  Shard shard({.ended_max = 0});
  shard.Operate(1, 1, {Get("x")});
  const BranchId first = shard.Last<OperateReply>().branch;
  EXPECT_EQ(shard.Operate(1, 1, {Get("x")}), Lines{"c1<Done(1) 1"});
  EXPECT_EQ(shard.Last<OperateReply>().branch, first);
  EXPECT_EQ(shard.Operate(1, 1, {Get("x")}, {.branch = first}), Lines{"c1<Done(1) 1"});
  shard.Operate(2, 1, {Get("x")});
  EXPECT_GT(shard.Last<OperateReply>().branch, first);
  EXPECT_EQ(shard.Operate(1, 2, {Put("x", "1")}).back(), "c1<Done(1) 2");
}

TEST(ParticipantWork, NewEpochOfTheSameProcessEndsUnpreparedWork) {  // P3
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Prepare(2, {Put("b", "x")});
  EXPECT_EQ(shard.Step(Serving{Epoch{2}}), (Lines{"c1<Aborted(1) branch lost", "c1<Yes(2)"}));
  EXPECT_EQ(shard.Prepare(1, {}, {.branch = {Epoch{1}, 1}, .last = 1}), Lines{"c1<No(1) branch lost"});
}

TEST(ParticipantWork, FailedOperationsEndTheBranchAndSayWhich) {
  Shard shard;
  shard.Given("n", "3");
  EXPECT_EQ(shard.Operate(1, 1, {Absent("n")}), Lines{"c1<Aborted(1) check failed"});
  EXPECT_EQ(shard.Last<BranchAborted>().detail, "check \"n\": the key exists");
  EXPECT_EQ(shard.Operate(2, 1, {AddAbove("n", -4, 0)}), Lines{"c1<Aborted(2) below floor"});
  EXPECT_EQ(shard.Last<BranchAborted>().detail, "add to \"n\": 3 - 4 is below the floor of 0");
  EXPECT_EQ(shard.Operate(3, 1, {Put("n", "ok")}), Lines{"c1<Done(3) 1"}) << "their locks are free";
}

TEST(ParticipantWork, UnpreparedWorkExpiresPreparedDoesNot) {  // P4
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Prepare(2, {Put("b", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Wait(5 * kSecond), (Lines{"c1<IsLive(1)", "c1<Inquire(2)"}));
  EXPECT_EQ(shard.Wait(5 * kSecond)[0], "c1<Aborted(1) expired");
  for (int i = 0; i < 100; ++i) shard.Wait(60 * kSecond);
  EXPECT_EQ(shard.core().InDoubt(shard.now).size(), 1u);
  EXPECT_EQ(shard.Operate(3, 1, {Put("b", "y")}), Lines{}) << "still locked";
}

TEST(ParticipantWork, MessagesKeepUnpreparedWorkAlive) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Wait(5 * kSecond);
  shard.Wait(4 * kSecond);
  shard.Operate(1, 2, {Put("b", "x")});
  EXPECT_EQ(shard.Wait(4 * kSecond), Lines{});
  EXPECT_EQ(shard.Wait(1 * kSecond), Lines{"c1<IsLive(1)"});
  EXPECT_EQ(shard.Wait(5 * kSecond), Lines{"c1<Aborted(1) expired"});
}

// Its client read here, and works on other shards since.
TEST(ParticipantWork, LiveTransactionKeepsItsBranchHoweverLongNothingComes) {  // P4
  Shard shard;
  shard.Operate(1, 1, {Get("a")});
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(shard.Wait(5 * kSecond), Lines{"c1<IsLive(1)"});
    EXPECT_EQ(shard.From(kC1, MarkNews{TxnId{}, 0, Txn(1)}), Lines{});
  }
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{}) << "its lock holds";
  EXPECT_EQ(shard.Operate(1, 2, {Put("a", "x")}), Lines{"c1<Done(1) 2"});
}

TEST(ParticipantWork, WordOfAnotherTransactionOrGroupKeepsNothing) {  // P4
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Wait(5 * kSecond), Lines{"c1<IsLive(1)"});
  shard.From(kC1, MarkNews{TxnId{}, 0, Txn(2)});
  shard.From(kC1, MarkNews{});
  shard.From(GroupId{GroupKind::kCoordinator, 2}, MarkNews{TxnId{}, 0, Txn(1)});
  EXPECT_EQ(shard.Wait(5 * kSecond), Lines{"c1<Aborted(1) expired"});
}

TEST(ParticipantWork,
     NothingExpiresBeforeItsCoordinatorWasAsked) {  // P4: nor because this process was stopped
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Wait(3'600 * kSecond), Lines{"c1<IsLive(1)"});
  EXPECT_EQ(shard.Wait(499'999), Lines{}) << "the answer is given time";
  EXPECT_EQ(shard.Wait(kSecond), Lines{"c1<Aborted(1) expired"});
}

TEST(ParticipantWork, ManyIdleBranchesAskInRoundsAndNoneEndsUnasked) {  // C7, P4
  Shard shard({.inquiries_per_round = 10});
  for (uint64_t seq = 1; seq <= 100; ++seq) shard.Operate(seq, 1, {Get("a")});
  shard.now.mono_us += 5 * kSecond;
  size_t asked = 0;
  for (int i = 0; i < 70; ++i) {
    const Lines lines = shard.Wait(50'000);
    EXPECT_LE(lines.size(), 10u);
    for (const RoleEffect& effect : RoleEffects(shard.effects())) {
      const auto& inquire = std::get<Inquire>(std::get<Send>(effect).message);
      EXPECT_TRUE(inquire.unprepared);
      ++asked;
      shard.From(kC1, MarkNews{TxnId{}, 0, inquire.txn});
    }
  }
  EXPECT_EQ(asked, 100u);
}

TEST(ParticipantWork, LockWaitsBesideForeignBranchesAreBounded) {  // P2
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Operate(2, 1, {Put("a", "y")}, {.has_foreign = true});
  shard.Operate(3, 1, {Put("a", "y")});
  EXPECT_EQ(shard.Wait(2 * kSecond), Lines{"c1<Aborted(2) lock timeout"});
  EXPECT_EQ(shard.Last<BranchAborted>().detail, "waited too long for the lock on \"a\"");
  EXPECT_EQ(shard.Operate(4, 1, {Put("b", "y")}, {.has_foreign = true}), Lines{"c1<Done(4) 1"});
  EXPECT_EQ(shard.Wait(2 * kSecond), Lines{}) << "it does not wait";
}

TEST(ParticipantWork, DeadlineNamesTheNextTimer) {
  Shard shard;
  EXPECT_EQ(shard.core().NextDeadline(), UINT64_MAX);
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.core().NextDeadline(), shard.now.mono_us + 5 * kSecond);
  shard.Operate(2, 1, {Put("a", "y")}, {.has_foreign = true});
  EXPECT_EQ(shard.core().NextDeadline(), shard.now.mono_us + 2 * kSecond);
}

TEST(ParticipantWork, OversizeBranchesAreRefused) {  // G8
  Shard shard;
  EXPECT_EQ(shard.Operate(1, 1, {Get("")}), Lines{"c1<Aborted(1) too large"});
  EXPECT_EQ(shard.Operate(2, 1, {Get(std::string(kKeyBytesMax + 1, 'k'))}), Lines{"c1<Aborted(2) too large"});
  EXPECT_EQ(shard.Operate(3, 1, {Put("k", std::string(kValueBytesMax + 1, 'v'))}),
            Lines{"c1<Aborted(3) too large"});
  const std::string big(kValueBytesMax, 'v');
  EXPECT_EQ(shard.Operate(4, 1, {Put("a", big), Put("b", big), Put("c", big)}), Lines{"c1<Done(4) 3"});
  EXPECT_EQ(shard.Operate(4, 4, {Put("d", big)}), Lines{"c1<Aborted(4) too large"});
}

TEST(ParticipantWork, TooManyBranchesOrWaitersAreRefusedRetryably) {  // G8
  Shard shard({.branches_max = 3, .waiters_max = 1});
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "x")}), Lines{});
  EXPECT_EQ(shard.Operate(3, 1, {Put("a", "x")}), Lines{"c1<Aborted(3) overloaded"});
  shard.Operate(4, 1, {Put("b", "x")});
  EXPECT_EQ(shard.Operate(5, 1, {Put("c", "x")}), Lines{"c1<Aborted(5) overloaded"});
  EXPECT_EQ(shard.Prepare(6, {Put("c", "x")}), Lines{"c1<No(6) overloaded"});
}

TEST(ParticipantWork, BytesOfOpenWorkAreBounded) {  // G8
  Shard shard({.work_bytes_max = 100'000});
  shard.Operate(1, 1, {Put("a", std::string(100'000, 'v'))});
  EXPECT_EQ(shard.Operate(2, 1, {Put("b", "x")}), Lines{"c1<Aborted(2) overloaded"});
  shard.Abort(1);
  EXPECT_EQ(shard.Operate(3, 1, {Put("b", "x")}), Lines{"c1<Done(3) 1"});
}

TEST(ParticipantWork, OnlyItsCoordinatorIsListenedTo) {
  Shard shard;
  const GroupId c2{GroupKind::kCoordinator, 2};
  EXPECT_EQ(shard.From(c2, Operate{Header(1), BranchId{}, 1, {Put("a", "x")}}), Lines{});
  EXPECT_EQ(shard.From(kS2, Operate{Header(1), BranchId{}, 1, {Put("a", "x")}}), Lines{});
  shard.Prepare(1, {Put("a", "x")});
  EXPECT_EQ(shard.From(c2, Decide{Header(1), Decision::kCommit}), Lines{});
  EXPECT_EQ(shard.Value("a"), "(none)");
}

TEST(ParticipantWork,
     VersionOfAnUnreplicatedCommitIsNotShown) {  // R1: the LSN may yet become another record's
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Commit(1), Lines{"3:Decided(1) commit"});
  EXPECT_EQ(shard.Operate(2, 1, {Get("a")}), Lines{});
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Done(2) 1", "c1<Ack(1) commit"}));
}

TEST(ParticipantWork,
     CoordinatorsNewEpochEndsDeadWork) {  // C3: an older epoch's undecided transactions are dead
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Prepare(2, {Put("b", "x")});
  EXPECT_EQ(shard.Step(GroupEpoch{kC1, Epoch{2}}), Lines{"c1<Aborted(1) branch lost"});
  EXPECT_EQ(shard.core().InDoubt(shard.now).size(), 1u);
}

TEST(ParticipantWork, OpenBranchesAreBoundedByWhatTheyHold) {  // G8
  ParticipantConfig config;
  config.work_bytes_max = 1'000'000;
  Shard shard(config);
  shard.Given("large", std::string(200'000, 'x'));
  for (uint64_t seq = 1; seq <= 20; ++seq) shard.Operate(seq, 1, {Get("small")});
  size_t refused = 0;
  for (uint64_t seq = 1; seq <= 20; ++seq) {
    refused +=
        shard.Operate(seq, 2, {Get("large")}) == Lines{"c1<Done(" + std::to_string(seq) + ") 2"} ? 0u : 1u;
  }
  EXPECT_GE(refused, 14u);
  EXPECT_LE(refused, 17u);
}

}  // namespace
}  // namespace assent::participant
