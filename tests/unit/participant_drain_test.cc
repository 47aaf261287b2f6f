#include <gtest/gtest.h>

#include "participant_testing.h"

// While a shard is being handed over: new work waits for the next primary, and nobody waits in a circle.
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
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Yes(1)"});
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
  EXPECT_TRUE(shard.core().IsQuiet());
}

// P2: elsewhere (5) may wait for a lock that (3) holds, and (3) would wait for the handover, which waits for
// (5).
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
