// While a shard is being handed over: new work waits for the next primary, and nobody waits in a circle.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantDrain, NewBranchesAreNotAnsweredAndOpenOnesGoOn) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Step(Draining{true});
  EXPECT_FALSE(shard.core().IsQuiet());
  EXPECT_EQ(shard.Operate(5, 1, {Get("b")}), Lines{});
  EXPECT_EQ(shard.Prepare(6, {Put("c", "x")}), Lines{});
  EXPECT_EQ(shard.Commit1(7, {Put("d", "x")}), Lines{});
  EXPECT_EQ(shard.Operate(1, 2, {Put("b", "y")}), Lines{"c1<Done(1) 2"});
  shard.Prepare(1, {}, {.last = 2});
  EXPECT_FALSE(shard.core().IsQuiet()) << "its vote has not left";
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Yes(1)", "c1<Confirm 3"}));
  shard.From(kC1, RepliesConfirmed{3});
  EXPECT_TRUE(shard.core().IsQuiet()) << "what is prepared outlives the primary";
}

TEST(ParticipantDrain, WorkGoesOnWhenItIsCalledOff) {
  Shard shard;
  shard.Step(Draining{true});
  EXPECT_EQ(shard.Operate(5, 1, {Get("b")}), Lines{});
  shard.Step(Draining{false});
  EXPECT_EQ(shard.Operate(5, 1, {Get("b")}), Lines{"c1<Done(5) 1"});
}

TEST(ParticipantDrain, OnePhaseCommitIsOpenUntilItIsReplicated) {
  Shard shard;
  shard.Commit1(1, {Put("a", "x")});
  shard.Step(Draining{true});
  EXPECT_FALSE(shard.core().IsQuiet());
  shard.Replicate();
  shard.From(kC1, RepliesConfirmed{1});
  EXPECT_TRUE(shard.core().IsQuiet());
}

TEST(ParticipantDrain, PeerInDoubtIsNotRefusedWhatMayBeHeldBack) {  // P8
  Shard shard;
  shard.Step(Draining{true});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{});
  EXPECT_EQ(shard.From(kS2, PeerInquire{Txn(1)}), Lines{"s2<PeerOutcome(1) unknown"});
  shard.Step(Draining{false});
  shard.Prepare(1, {Put("a", "x")});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Yes(1)"});
}

// Only this primary can say what a vote or a reply holds besides its verdict: the next one's word must not
// be heard before.
TEST(ParticipantDrain, RepliesHaveArrivedBeforeTheGroupIsLetGo) {
  Shard shard;
  shard.Prepare(1, {Get("a"), Put("b", "x")});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.Step(Draining{true}), Lines{"c1<Confirm 1"});
  EXPECT_FALSE(shard.core().IsQuiet());
  EXPECT_EQ(shard.Prepare(1, {Get("a"), Put("b", "x")}), (Lines{"c1<Yes(1)", "c1<Confirm 2"}));
  shard.From(kC1, RepliesConfirmed{1});
  EXPECT_FALSE(shard.core().IsQuiet()) << "the second is on its way";
  shard.From(kC1, RepliesConfirmed{3});
  EXPECT_FALSE(shard.core().IsQuiet()) << "nonsense: there is no third";
  shard.From(GroupId{GroupKind::kCoordinator, 2}, RepliesConfirmed{2});
  EXPECT_FALSE(shard.core().IsQuiet()) << "another's";
  shard.From(kC1, RepliesConfirmed{2});
  EXPECT_TRUE(shard.core().IsQuiet());
}

TEST(ParticipantDrain, ReadOnlyVoteHasArrivedToo) {
  Shard shard;
  shard.Operate(1, 1, {Get("a")});
  shard.Step(Draining{true});
  EXPECT_EQ(shard.Prepare(1, {}, {.may_release = true, .last = 1}),
            (Lines{"c1<ReadOnly(1)", "c1<Confirm 2"}));
  EXPECT_FALSE(shard.core().IsQuiet());
  shard.From(kC1, RepliesConfirmed{2});
  EXPECT_TRUE(shard.core().IsQuiet());
}

TEST(ParticipantDrain, CoordinatorIsAskedAgainAndOneThatIsAwayIsNotWaitedForLong) {
  Shard shard;
  shard.Operate(1, 1, {Get("a")});
  shard.Abort(1);
  shard.Replicate();
  EXPECT_EQ(shard.Step(Draining{true}), Lines{"c1<Confirm 1"});
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(shard.Wait(kSecond / 10), Lines{"c1<Confirm 1"});
    EXPECT_FALSE(shard.core().IsQuiet());
  }
  EXPECT_EQ(shard.Wait(kSecond / 10), Lines{});
  EXPECT_TRUE(shard.core().IsQuiet());
  EXPECT_GT(shard.core().NextDeadline(), shard.now.mono_us + kSecond / 2) << "it is not asked any more";
}

TEST(ParticipantDrain, NewRepliesGiveNoMoreTime) {
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Step(Draining{true});
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}).front(), "c1<Yes(1)");
    shard.Wait(kSecond / 10);
    EXPECT_FALSE(shard.core().IsQuiet());
  }
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}).front(), "c1<Yes(1)");
  shard.Wait(kSecond / 10);
  EXPECT_TRUE(shard.core().IsQuiet());
}

TEST(ParticipantDrain, AskingPausesWhileAnAnswerIsWithheldAndGoesOn) {
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Step(Draining{true}), Lines{"c1<Confirm 1"});
  shard.Commit(1);
  EXPECT_EQ(shard.Wait(kSecond / 10), Lines{}) << "its acknowledgement is not replicated";
  EXPECT_GT(shard.core().NextDeadline(), shard.now.mono_us);
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) commit"});
  EXPECT_EQ(shard.Wait(kSecond / 10), Lines{"c1<Confirm 1"});
}

TEST(ParticipantDrain, NobodyIsAskedWhenItIsCalledOff) {
  Shard shard;
  shard.Operate(1, 1, {Get("a")});
  shard.Abort(1);
  shard.Replicate();
  EXPECT_EQ(shard.Step(Draining{true}), Lines{"c1<Confirm 1"});
  shard.Step(Draining{false});
  EXPECT_EQ(shard.Wait(kSecond / 10), Lines{});
  EXPECT_EQ(shard.Step(Draining{true}), Lines{"c1<Confirm 1"}) << "another time";
}

// P2: elsewhere (5) may wait for a lock that (3) holds, and (3) would wait for the handover, which
// waits for (5).
TEST(ParticipantDrain, OlderWorkThanWhatIsOpenIsLetIn) {
  Shard shard;
  shard.Operate(5, 1, {Put("a", "x")});
  shard.Step(Draining{true});
  EXPECT_EQ(shard.Operate(6, 1, {Get("b")}), Lines{});
  EXPECT_EQ(shard.Operate(3, 1, {Get("b")}), Lines{"c1<Done(3) 1"});
  shard.Abort(5);
  EXPECT_EQ(shard.Operate(4, 1, {Get("b")}), Lines{}) << "only (3) is open now";
  EXPECT_EQ(shard.Operate(2, 1, {Get("b")}), Lines{"c1<Done(2) 1"});
}

}  // namespace
}  // namespace assent::participant
