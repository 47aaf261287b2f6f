// The state that a restart or a failover finds: P1, P3, and the same state from any snapshot.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantRecovery, NothingIsServedBeforeServing) {  // P1
  const MapState store;
  ParticipantConfig config;
  config.group = kS1;
  ParticipantCore core(config, store);
  RoleEffects effects;
  Operate operate{Header(1), BranchId{}, 1, {Put("a", "x")}};
  core.Step(Instant{}, Received{kC1, Epoch{1}, operate}, effects);
  core.Step(Instant{}, Tick{}, effects);
  core.Step(Instant{}, GroupEpoch{kC1, Epoch{1}}, effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(core.NextDeadline(), UINT64_MAX);
}

TEST(ParticipantRecovery, PreparedLocksAreBackBeforeAnythingIsServed) {  // P1
  for (const bool from_snapshot : {false, true}) {
    Shard shard;
    shard.Prepare(1, {Put("w", "x"), Get("r"), Scan("s/")});
    shard.Replicate();
    if (from_snapshot) shard.Flush();
    shard.Restart();
    EXPECT_EQ(shard.Operate(5, 1, {Get("w")}), Lines{});
    EXPECT_EQ(shard.Operate(6, 1, {Put("r", "y")}), Lines{}) << "read locks, too";
    EXPECT_EQ(shard.Operate(7, 1, {Put("s/new", "y")}), Lines{}) << "and ranges";
    EXPECT_EQ(shard.Operate(2, 1, {Get("r")}), Lines{"c1<Done(2) 1"});
  }
}

TEST(ParticipantRecovery, PreparedWithoutDecisionStaysInDoubtAndAsks) {  // P4, P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Flush();
  shard.Restart();
  EXPECT_EQ(shard.core().InDoubt(shard.now).size(), 1u);
  EXPECT_EQ(shard.Wait(1'500'000), Lines{"c1<Inquire(1)"});
  EXPECT_EQ(shard.Commit(1), Lines{"4:Decided(1) commit"});
  EXPECT_EQ(shard.Value("a"), "x");
}

TEST(ParticipantRecovery, LostPreparedIsNeitherVotedNorRemembered) {  // R1: no vote had left
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Restart(1);
  EXPECT_EQ(shard.core().InDoubt(shard.now).size(), 0u);
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{"c1<Done(2) 1"});
}

TEST(ParticipantRecovery, LostDecisionIsAskedForAgain) {  // P5: it was not forced, and not acknowledged
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Commit(1);
  shard.Restart(2);
  EXPECT_EQ(shard.Value("a"), "(none)");
  EXPECT_EQ(shard.Operate(2, 1, {Get("a")}), Lines{}) << "locked again";
  EXPECT_EQ(shard.Commit(1), (Lines{"4:Decided(1) commit"}));
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Done(2) 1", "c1<Ack(1) commit"}));
}

TEST(ParticipantRecovery, LostOnePhaseCommitWasSeenByNobody) {  // C6
  Shard shard;
  shard.Commit1(1, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(2, 1, {Get("a")}), Lines{});
  shard.Restart(1);
  EXPECT_EQ(shard.Commit1(1, {Put("a", "x")}), Lines{"3:OnePhase(1) w=a"});
}

TEST(ParticipantRecovery, DecisionsTombstonesAndOutcomesOutliveSnapshots) {
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Commit(1);
  shard.Abort(2);
  shard.Commit1(3, {Put("b", "x")});
  shard.Settle(9, 4, 2);
  shard.Replicate();
  shard.Flush();
  shard.Restart();
  EXPECT_EQ(shard.Commit(1), Lines{"c1<Ack(1) commit"});
  EXPECT_EQ(shard.Prepare(2, {Put("a", "y")}), Lines{"c1<No(2) below mark"});
  EXPECT_EQ(shard.Commit1(3, {Put("b", "x")}), Lines{"c1<Committed(3) 3#1 by(3)"});
  EXPECT_EQ(shard.Commit1(4, {Put("b", "y")}, {.attempt = 2}), Lines{"c1<Refused(4) 4#2 refused attempt"});
}

// The store as of any LSN, and the log after it, make the same state as the log alone.
TEST(ParticipantRecovery, AnySnapshotAndTheLogAfterItMakeTheSameState) {
  Shard shard({.mark_rows = 3, .horizon_step_us = 1});
  shard.Prepare(1, {Put("a", "1"), Get("r")});
  shard.Replicate();
  shard.Commit1(2, {Put("b", "1"), Put("c", "1")});
  shard.Replicate();
  shard.Commit(1);
  shard.Abort(3);
  shard.Commit1(4, {Delete("b")}, {.acked_below = 3});
  shard.Prepare(5, {Put("d", "1")}, {.mark = 2});
  shard.Abort(6, {.mark = 4, .horizon_us = 6'000});
  shard.Settle(9, 8, 1);
  shard.Replicate();
  shard.Wait(kSecond);
  shard.Abort(5);
  shard.Prepare(7, {Put("a", "2"), Scan("z")});
  shard.Wait(kSecond);
  const size_t records = shard.log().size();
  ASSERT_GE(records, 11u);
  const auto whole = AllRows(shard.core().overlay());

  for (size_t at = 0; at <= records; ++at) {
    const MapState empty;
    ParticipantConfig config;
    config.group = kS1;
    ParticipantCore first(config, empty);
    for (size_t i = 0; i < at; ++i) first.Apply(shard.log()[i].first, shard.log()[i].second);
    MapState snapshot;
    snapshot.Apply(first.overlay().Collect(Lsn{at}));
    ParticipantCore second(config, snapshot);
    for (size_t i = at; i < records; ++i) second.Apply(shard.log()[i].first, shard.log()[i].second);
    second.CheckInvariants();
    EXPECT_EQ(AllRows(second.overlay()), whole) << "snapshot at " << at;
    EXPECT_EQ(second.InDoubt(Instant{}).size(), shard.core().InDoubt(shard.now).size());
  }
}

TEST(ParticipantRecoveryDeathTest, RecordsOfACoordinatorGroupAreABug) {
  const MapState store;
  ParticipantCore core(ParticipantConfig{}, store);
  EXPECT_DEATH(core.Apply(Lsn{1}, Ended{Txn(1)}), "a coordinator.s record in a shard.s log: end");
  core.Apply(Lsn{1}, EpochBegan{});
  EXPECT_DEATH(core.Apply(Lsn{3}, EpochBegan{}), "gap");
}

}  // namespace
}  // namespace assent::participant
