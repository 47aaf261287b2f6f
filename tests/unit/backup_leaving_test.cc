// A planned stop of one process (R3): nobody waits a grace period for it, and nothing is lost.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});
const View kThree = ViewOf(2, 1, kLife, {1, 2, 3});

class BackupLeaving : public testing::Test {
 protected:
  static void Pass(Replica& r, uint64_t us) {
    for (const uint64_t end_us = r.now_us + us; r.now_us < end_us && !r.Has<ProposeView>();) {
      r.Wait(kBeaconUs);
      if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
    }
  }
  // The same, and `node` says all the while that it leaves.
  static void PassWhileLeaving(Replica& r, uint32_t node, uint64_t us) {
    for (const uint64_t end_us = r.now_us + us; r.now_us < end_us && !r.Has<ProposeView>();) {
      r.Receive(node, Raw(r.core.epoch()), HandOver{});
      Pass(r, kBeaconUs);
    }
  }
  static Replica& LeadOf(Replica& r, const View& view) {
    r.now_us = 1'000'000;
    return r.Lead(view, {Entry(1, 1, "a")});
  }
  // Node 2 follows node 1, whose beacons come.
  static Replica& Follow(Replica& r, const View& view) {
    r.now_us = 1'000'000;
    r.Start({Entry(1, 1, "a")}, 0, 1);
    r.Enter(view).Clear();
    return Beacons(r);
  }
  static Replica& Beacons(Replica& r) { return r.Receive(1, 2, Beacon{++beacon_us, 0}); }
  static inline uint64_t beacon_us = 0;
};

TEST_F(BackupLeaving, BackupAsksUntilTheViewHoldsWithoutIt) {
  Replica r(2);
  Follow(r, kTwo).Step(Leave{});
  EXPECT_EQ(r.Sent<HandOver>(1).size(), 1U);
  for (int i = 0; i < 20; ++i) {
    Beacons(r).Wait(kBeaconUs);
    EXPECT_FALSE(r.core.MayStop()) << "the primary lives, and commits need this replica";
  }
  EXPECT_EQ(r.Sent<HandOver>(1).size(), 20U) << "repeated: it may have been lost";
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}});
  r.Enter(ViewOf(3, 1, kLife, {1}));
  EXPECT_EQ(r.core.role(), Role::kLearner);
  EXPECT_TRUE(r.core.MayStop());
}

TEST_F(BackupLeaving, IsNotTakenBackInBeforeItHasStopped) {
  Replica r(2);
  Follow(r, kTwo).Step(Leave{});
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}});
  r.Enter(ViewOf(3, 1, kLife, {1})).Clear();
  r.Receive(1, 3, Beacon{++beacon_us, 0});
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
}

TEST_F(BackupLeaving, BackupWithoutAPrimaryAsksNobody) {
  Replica r(2);
  Follow(r, kTwo).Step(Leave{});
  r.Wait(kSilenceUs / 2);
  EXPECT_FALSE(r.core.MayStop());
  r.Wait(kSilenceUs);
  EXPECT_TRUE(r.core.MayStop());
}

TEST_F(BackupLeaving, PrimaryGoesOnWithoutIt) {
  Replica r(1);
  LeadOf(r, kTwo);
  PassWhileLeaving(r, 2, kLeaveSettleUs / 2);
  EXPECT_FALSE(r.Has<ProposeView>()) << "perhaps the whole group stops";
  r.Append("b").Forced(3);
  r.Ack(2, 2, At(2, 3));
  EXPECT_EQ(r.core.replicated(), Lsn{3}) << "meanwhile it acknowledges as before";
  PassWhileLeaving(r, 2, kLeaveSettleUs + kBeaconUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 1, kLife, {1}));
}

TEST_F(BackupLeaving, ViewDoesNotBecomeTooSmall) {
  Replica primary(1, /*replicas_min=*/2);
  LeadOf(primary, kTwo);
  PassWhileLeaving(primary, 2, 2 * kLeaveSettleUs);
  EXPECT_FALSE(primary.Has<ProposeView>());
  primary.Step(Leave{});
  EXPECT_TRUE(primary.core.MayStop()) << "nobody could go on";
  EXPECT_FALSE(primary.Has<Drain>());

  Replica backup(2, /*replicas_min=*/2);
  Follow(backup, kTwo).Step(Leave{});
  EXPECT_TRUE(backup.core.MayStop());
}

TEST_F(BackupLeaving, PrimaryHandsOverAndThenLeavesAsABackup) {
  Replica r(1);
  LeadOf(r, kTwo).Step(Leave{true});
  EXPECT_FALSE(r.Has<Drain>()) << "perhaps the whole group stops";
  Pass(r, kLeaveSettleUs + kBeaconUs);
  ASSERT_TRUE(r.Take<Drain>().at(0).begun);
  EXPECT_FALSE(r.core.MayStop());
  r.Step(Drained{});
  EXPECT_FALSE(r.Sent<HandOver>(2).empty());
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));  // R5
  r.Step(PeerEpoch{NodeId{2}, Epoch{3}});
  r.Enter(ViewOf(3, 2, 77, {1, 2})).Clear();
  EXPECT_EQ(r.core.role(), Role::kBackup);
  EXPECT_FALSE(r.core.MayStop());
  r.Wait(kBeaconUs);
  EXPECT_FALSE(r.Sent<HandOver>(2).empty()) << "and now it asks the new primary";
}

TEST_F(BackupLeaving, LeadIsKeptUntilTheDriverLetsItGo) {
  Replica r(1);
  LeadOf(r, kTwo).Step(Leave{});
  Pass(r, 3 * kLeaveSettleUs);
  EXPECT_FALSE(r.Has<Drain>()) << "another group is being handed over";
  EXPECT_FALSE(r.core.MayStop());
  r.Step(Leave{true});
  EXPECT_TRUE(r.Has<Drain>());
}

TEST_F(BackupLeaving, OpenWorkHoldsAStopUpForAMomentOnly) {
  Replica r(1);
  LeadOf(r, kTwo).Step(Leave{true});
  Pass(r, kLeaveSettleUs + kLeaveDrainUs / 2);
  EXPECT_TRUE(r.Sent<HandOver>(2).empty());
  Pass(r, kLeaveDrainUs);
  EXPECT_FALSE(r.Sent<HandOver>(2).empty());
}

TEST_F(BackupLeaving, LeadGoesToABackupThatStaysAndLives) {
  Replica r(1);
  LeadOf(r, kThree).Step(Leave{true});
  PassWhileLeaving(r, 2, kLeaveSettleUs + kBeaconUs);
  r.Step(Drained{});
  EXPECT_TRUE(r.Sent<HandOver>(2).empty());
  EXPECT_FALSE(r.Sent<HandOver>(3).empty());
}

// A process holds backups of some groups and leads others, and stops when it may leave all of them.
TEST_F(BackupLeaving, WhereTheWholeGroupStopsNoBackupWaitsForItsPrimaryToBeGone) {
  Replica r(1);
  LeadOf(r, kThree).Step(Leave{true});
  PassWhileLeaving(r, 2, kLeaveSettleUs / 2);
  r.Receive(3, 2, HandOver{});
  PassWhileLeaving(r, 2, kLeaveSettleUs);
  r.silent = {2, 3};  // from here on what is sent to them stays to be looked at
  r.Receive(2, 2, HandOver{}).Receive(3, 2, HandOver{}).Clear();
  EXPECT_TRUE(r.core.MayStop());
  r.Wait(kBeaconUs);
  EXPECT_TRUE(r.Sent<Beacon>(2).empty());
  EXPECT_TRUE(r.Sent<Beacon>(3).empty());
  r.Wait(kSilenceUs + kBeaconUs);
  EXPECT_FALSE(r.Sent<Beacon>(2).empty()) << "it says no more that it leaves: it may be another process";
}

TEST_F(BackupLeaving, BackupThatStaysHearsItsPrimaryToTheEnd) {
  Replica r(1);
  LeadOf(r, kThree).Step(Leave{true});
  PassWhileLeaving(r, 2, kLeaveSettleUs + kBeaconUs);
  r.silent = {2, 3};
  r.Receive(2, 2, HandOver{}).Clear();
  r.Wait(kBeaconUs);
  EXPECT_FALSE(r.Sent<Beacon>(2).empty());
  EXPECT_FALSE(r.Sent<Beacon>(3).empty());
}

// Both members are as they were after the next start, and either can lead.
TEST_F(BackupLeaving, WhereTheWholeGroupStopsItsViewStays) {
  Replica r(1);
  LeadOf(r, kTwo);
  r.Receive(2, 2, HandOver{});
  r.Step(Leave{true});
  PassWhileLeaving(r, 2, kLeaveSettleUs + kBeaconUs);
  EXPECT_TRUE(r.core.MayStop());
  EXPECT_FALSE(r.Has<ProposeView>());
  EXPECT_FALSE(r.Has<Drain>());
}

TEST_F(BackupLeaving, LearnerCannotLead) {
  Replica r(1);
  LeadOf(r, ViewOf(2, 1, kLife, {1}));
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(2)});
  ASSERT_FALSE(r.Has<OperatorReply>());
  r.Step(Leave{true});
  EXPECT_FALSE(r.Has<Drain>());
}

}  // namespace
}  // namespace assent::backup
