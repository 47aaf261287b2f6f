// An operator's change of the primary: R3, R5.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});
constexpr uint64_t kDrainUs = 5'000'000;

class BackupHandOver : public testing::Test {
 protected:
  // Node 1 leads node 2, and was told to hand over to it. Its log: (1, 1), (2, 2).
  void Promote(bool force = false) {
    r.now_us = 1'000'000;
    r.Lead(kTwo, {Entry(1, 1, "a")});
    r.Step(OperatorChange{RequestId{1}, ChangeKind::kPromote, Node(2), kDrainUs, force});
    ASSERT_TRUE(r.Take<Drain>().at(0).begun);
  }
  bool HandedOver() { return !r.Sent<HandOver>(2).empty(); }
  // Time passes, the directory goes on showing the view, and node 2 answers beacons.
  void Pass(uint64_t us) {
    for (const uint64_t end_us = r.now_us + us; r.now_us < end_us && !r.Has<ProposeView>();) {
      r.Wait(kBeaconUs);
      if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
    }
  }

  Replica r{1};
};

TEST_F(BackupHandOver, ComesOnceTheRoleIsQuietAndAllIsReplicated) {
  Promote();
  r.Append("b").Forced(3);
  r.Step(Drained{});
  EXPECT_FALSE(HandedOver()) << "the backup has not acknowledged all yet";
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  r.Ack(2, 2, At(2, 3));
  EXPECT_TRUE(HandedOver());
}

// R5: nothing leaves under the old lease once another may lead; not in this epoch, whatever beacons say.
TEST_F(BackupHandOver, LeaseIsGivenUpBeforeItIsToldAndForGood) {
  Promote();
  r.Step(Drained{});
  EXPECT_TRUE(HandedOver());
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  Pass(3 * kBeaconUs);
  EXPECT_TRUE(HandedOver()) << "repeated: it may have been lost";
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
}

TEST_F(BackupHandOver, OperatorHearsWhenTheBackupLeads) {
  Promote();
  r.Step(Drained{});
  EXPECT_FALSE(r.Has<OperatorReply>());
  r.Step(PeerEpoch{NodeId{2}, Epoch{3}});
  r.Enter(ViewOf(3, 2, 77, {1, 2}));
  EXPECT_TRUE(r.Take<OperatorReply>().at(0).status.ok());
  EXPECT_EQ(r.core.role(), Role::kBackup);
}

TEST_F(BackupHandOver, OpenWorkThatDoesNotEndLeavesAllAsItWas) {
  Promote();
  Pass(kDrainUs + kBeaconUs);
  EXPECT_FALSE(HandedOver());
  EXPECT_FALSE(r.Take<Drain>().at(0).begun);
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  r.Step(Drained{});  // too late
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
}

TEST_F(BackupHandOver, ForceDoesNotWaitLonger) {
  Promote(/*force=*/true);
  Pass(kDrainUs - kBeaconUs);
  EXPECT_FALSE(HandedOver());
  Pass(2 * kBeaconUs);
  EXPECT_TRUE(HandedOver());
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
}

// The backup may still act on what it was told, so the primary leads on in a new epoch only (R3).
TEST_F(BackupHandOver, IsTakenBackInAnEpochOfItsOwn) {
  Promote();
  r.Step(Drained{});
  Pass(2 * kHandOverUs);
  const View next = ViewOf(3, 1, kLife, {1, 2});
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, next);
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  r.Step(CasDone{next, CasOutcome::kLost});
  r.Take<OperatorReply>();
  r.Enter(next);
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(r.core.role(), Role::kPrimary);
  EXPECT_FALSE(r.core.handed_over());
}

TEST_F(BackupHandOver, NothingElseIsProposedMeanwhile) {
  Promote();
  r.silent = {2};
  r.Step(Drained{});
  r.Step(OperatorChange{RequestId{2}, ChangeKind::kRemoveReplica, Node(2)});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kConflict);
  Pass(kHandOverUs - kBeaconUs);
  EXPECT_FALSE(r.Has<ProposeView>());
}

TEST_F(BackupHandOver, SilentBackupLeavesTheViewAndTheWorkGoesOn) {
  Promote();
  r.silent = {2};
  r.Append("b").Forced(3);
  Pass(2 * kBackupSilenceUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 1, kLife, {1}));
  EXPECT_FALSE(r.Take<Drain>().at(0).begun);
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
}

TEST_F(BackupHandOver, SenselessCommandsAreRefusedWithTheReason) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  const auto code = [&](uint32_t node) {
    r.Step(OperatorChange{RequestId{1}, ChangeKind::kPromote, Node(node), 0, false});
    return r.Take<OperatorReply>().at(0).status.code();
  };
  EXPECT_EQ(code(1), StatusCode::kOk);  // it leads
  EXPECT_EQ(code(3), StatusCode::kNotFound);
  Replica fresh(1);
  fresh.Start({Entry(1, 1, "a")}, 0, 1).Enter(kTwo);
  fresh.Step(OperatorChange{RequestId{1}, ChangeKind::kPromote, Node(2), 0, false});
  EXPECT_EQ(fresh.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
}

// ---- The backup that is told

TEST(BackupHandedTheLead, ProposesItselfAtOnceAndAnswersNoBeaconAnyMore) {
  Replica r(2);
  r.Start({Entry(1, 1, "a")}, 1, 1).Enter(kTwo);
  r.Receive(1, 2, HandOver{});
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 2, kLife, {1, 2}));
  r.Receive(1, 2, Beacon{r.now_us, 0});
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
  r.Receive(1, 2, HandOver{});
  EXPECT_FALSE(r.Has<ProposeView>()) << "repeated";
}

TEST(BackupHandedTheLead, HeedsNoOtherEpochNoOtherSenderAndNotAsALearner) {
  Replica r(2);
  r.Start({Entry(1, 1, "a")}, 1, 1).Enter(ViewOf(2, 1, kLife, {1, 2, 3}));
  r.Receive(1, 1, HandOver{});
  r.Receive(3, 2, HandOver{});
  EXPECT_FALSE(r.Has<ProposeView>());
  Replica learner(3);
  learner.Start({}, 0, 0).Enter(kTwo);
  learner.Receive(1, 2, HandOver{});
  EXPECT_FALSE(learner.Has<ProposeView>());
}

TEST(BackupHandedTheLead, WedgedDiskDoesNotLead) {  // R11
  Replica r(2);
  r.Start({Entry(1, 1, "a")}, 1, 1).Enter(kTwo);
  r.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "b")}, {}});
  r.now_us += kForceAgeMaxUs + 1;
  r.Receive(1, 2, HandOver{});
  EXPECT_FALSE(r.Has<ProposeView>());
}

}  // namespace
}  // namespace assent::backup
