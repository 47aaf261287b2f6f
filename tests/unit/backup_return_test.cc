// Replicas that a fault took out come back, or take their own place: R6, R3.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});

class BackupReturn : public testing::Test {
 protected:
  // Node 1 is alone: node 2 was silent. The directory has it registered.
  void Alone(std::vector<Member> removed = {}) {
    View view = ViewOf(2, 1, kLife, {1});
    view.removed = std::move(removed);
    r.silent = {2};
    r.Lead(view, {Entry(1, 1, "a")});
  }
  // Node 2 answers a beacon.
  void Return(Incarnation incarnation) {
    r.Receive(2, Raw(r.core.epoch()), BeaconAck{r.now_us, 0, incarnation});
  }
  // It is on its way in `epoch`, holds all, and is a member in the next one.
  void TakeIn(uint64_t epoch) {
    r.Ack(2, epoch, r.log.last());
    Return(Node(2).incarnation);
    r.Enter(r.Take<ProposeView>().at(0).view);
    r.Forced(Raw(r.log.last().lsn));
    r.Ack(2, epoch + 1, r.log.last());
    r.Clear();
    ASSERT_TRUE(r.core.serving());
  }

  // The view goes on without it. `force_age_us`: it answers meanwhile, but for its disk.
  void LeaveOut(uint64_t force_age_us = 0) {
    while (!r.Has<ProposeView>()) {
      if (force_age_us != 0)
        r.Receive(2, Raw(r.core.epoch()), BeaconAck{r.now_us, force_age_us, Node(2).incarnation});
      r.Wait(kBeaconUs);
      if (r.Has<ReadDirectory>()) r.Read(*r.core.view()).Take<ReadDirectory>();
    }
    r.Enter(r.Take<ProposeView>().at(0).view);
    r.Forced(Raw(r.log.last().lsn)).Clear();
  }

  Replica r{1};
};

TEST_F(BackupReturn, ReplicaThatAnswersBeaconsIsTakenBackIn) {
  Alone();
  r.Wait(kBeaconUs);
  EXPECT_FALSE(r.Sent<Beacon>(2).empty());
  EXPECT_TRUE(r.Sent<Beacon>(3).empty()) << "the group is not configured with node 3";
  Return(Node(2).incarnation);
  EXPECT_EQ(r.Sent<Ship>(2).at(0).prev, At(2, 2));
  r.Ack(2, 2, At(2, 2));
  Return(Node(2).incarnation);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 1, kLife, {1, 2}));
  r.Enter(ViewOf(3, 1, kLife, {1, 2}));
  EXPECT_FALSE(r.Has<OperatorReply>()) << "nobody asked";
}

TEST_F(BackupReturn, OperatorsAddIsAnsweredByTheReturnUnderWay) {
  Alone();
  Return(Node(2).incarnation);
  r.Step(OperatorChange{RequestId{7}, ChangeKind::kAddReplica, Node(2)});
  EXPECT_FALSE(r.Has<OperatorReply>());
  r.Ack(2, 2, At(2, 2));
  Return(Node(2).incarnation);
  r.Enter(r.Take<ProposeView>().at(0).view);
  EXPECT_EQ(r.Take<OperatorReply>().at(0).id, RequestId{7});
}

TEST_F(BackupReturn, NotOneThatAnOperatorTookOut) {
  Alone({Node(2)});
  r.Wait(kBeaconUs);
  EXPECT_TRUE(r.Sent<Beacon>(2).empty());
  Return(Node(2).incarnation);
  EXPECT_TRUE(r.Sent<Ship>(2).empty());
  r.Step(OperatorChange{RequestId{7}, ChangeKind::kAddReplica, Node(2)});
  r.Ack(2, 2, At(2, 2));
  Return(Node(2).incarnation);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 1, kLife, {1, 2})) << "and no longer kept out";
}

TEST_F(BackupReturn, NotUnderAnIncarnationThatIsNotRegistered) {
  Alone();
  Return(Incarnation{999});
  EXPECT_TRUE(r.Sent<Ship>(2).empty());
}

TEST_F(BackupReturn, OneThatIsOnItsWayIsKeptOutByAnOperator) {
  Alone();
  Return(Node(2).incarnation);
  r.Step(OperatorChange{RequestId{7}, ChangeKind::kRemoveReplica, Node(2)});
  const View proposed = r.Take<ProposeView>().at(0).view;
  EXPECT_EQ(proposed.removed, std::vector<Member>{Node(2)});
  r.Enter(proposed);
  EXPECT_TRUE(r.Take<OperatorReply>().at(0).status.ok());
}

TEST_F(BackupReturn, FailedOneIsNotTriedAgainAtOnce) {
  Alone();
  Return(Node(2).incarnation);
  r.log.Trim(Lsn{1});
  r.Mismatch(2, 2, {}, At(0, 0));
  r.Step(SnapshotFailed{NodeId{2}, "no room"});
  r.Sent<Ship>(2);
  Return(Node(2).incarnation);
  EXPECT_TRUE(r.Sent<Ship>(2).empty());
  EXPECT_NE(r.core.Describe(r.now_us).waiting_for.find("no room; next try in"), std::string::npos);
  r.now_us += kReadmissionPauseMinUs;
  Return(Node(2).incarnation);
  EXPECT_FALSE(r.Sent<Ship>(2).empty());
}

TEST_F(BackupReturn, PausesDoubleUntilNoTryFailedForLong) {
  Alone();
  uint64_t pause_us = kReadmissionPauseMinUs;
  const auto begin = [&] {
    Return(Node(2).incarnation);
    return !r.Sent<Ship>(2).empty();
  };
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(begin()) << i;
    r.Receive(2, 2, ShipAck{At(0, 0), Incarnation{21}, false, {}});  // ends it
    r.now_us += pause_us - 1;
    EXPECT_FALSE(begin()) << i;
    r.now_us += 1;
    pause_us = std::min(2 * pause_us, kReadmissionPauseMaxUs);
  }
  ASSERT_TRUE(begin());
  r.Receive(2, 2, ShipAck{At(0, 0), Incarnation{21}, false, {}});
  r.now_us += kReadmissionLookBackUs;
  ASSERT_TRUE(begin());
  r.Receive(2, 2, ShipAck{At(0, 0), Incarnation{21}, false, {}});
  r.now_us += kReadmissionPauseMinUs;
  EXPECT_TRUE(begin());
}

// However often it was away: without it the group has one copy less.
TEST_F(BackupReturn, OneThatWasSilentComesBackAsSoonAsItAnswers) {
  Alone();
  for (uint64_t epoch = 2; epoch < 20; epoch += 2) {
    Return(Node(2).incarnation);
    ASSERT_FALSE(r.Sent<Ship>(2).empty()) << epoch;
    TakeIn(epoch);
    LeaveOut();
  }
}

// R11: each time that it was left out though it answered makes the next return wait twice as long.
TEST_F(BackupReturn, OneThatWasTooSlowWaits) {
  Alone();
  uint64_t pause_us = kReadmissionPauseMinUs;
  for (uint64_t epoch = 2; epoch < 20; epoch += 2) {
    Return(Node(2).incarnation);
    ASSERT_FALSE(r.Sent<Ship>(2).empty()) << epoch;
    TakeIn(epoch);
    LeaveOut(/*force_age_us=*/kForceAgeMaxUs + 1);
    EXPECT_NE(r.core.Describe(r.now_us).waiting_for.find("n2 was left out: it answers"), std::string::npos);
    r.now_us += pause_us - 1;
    Return(Node(2).incarnation);
    EXPECT_TRUE(r.Sent<Ship>(2).empty()) << epoch;
    r.now_us += 1;
    pause_us = std::min(2 * pause_us, kReadmissionPauseMaxUs);
  }
}

TEST_F(BackupReturn, OneWhoseDiskIsSlowIsNotTried) {  // R11
  Alone();
  r.Receive(2, 2, BeaconAck{r.now_us, kForceAgeMaxUs + 1, Node(2).incarnation});
  EXPECT_TRUE(r.Sent<Ship>(2).empty());
}

TEST_F(BackupReturn, AnotherIsServedWhileOneWaits) {
  View view = ViewOf(2, 1, kLife, {1});
  r.silent = {2, 3};
  r.Lead(view, {Entry(1, 1, "a")});
  Return(Node(2).incarnation);
  ASSERT_FALSE(r.Sent<Ship>(2).empty());
  r.Receive(2, 2, BeaconAck{++r.now_us, kForceAgeMaxUs + 1, Node(2).incarnation});
  r.Step(OperatorChange{RequestId{7}, ChangeKind::kAddReplica, Node(3)});
  EXPECT_FALSE(r.Sent<Ship>(3).empty());
}

// ---- A member that lost its disk takes its own place (R3, R6)

class BackupReplacement : public testing::Test {
 protected:
  static constexpr Member kNew{NodeId{2}, Incarnation{21}};
  static constexpr size_t kMin = 2;

  View Replaced(uint64_t epoch) const {
    View view = ViewOf(epoch, 1, kLife, {1, 2});
    view.members[1] = kNew;
    return view;
  }
  Replica& Read() { return r.Step(ViewRead{*r.core.view(), kDirectory, {Node(1), kNew}}); }
  // Node 2's other directory answers whatever node 2 is sent; what it was before does not.
  void Pass(uint64_t us) {
    for (const uint64_t end_us = r.now_us + us; r.now_us < end_us;) {
      r.Wait(kBeaconUs);
      if (!r.Take<ReadDirectory>().empty()) Read();
      for (const Beacon& beacon : r.Sent<Beacon>(2)) {
        r.Receive(2, Raw(r.core.epoch()), BeaconAck{beacon.sent_us, 0, kNew.incarnation});
      }
    }
  }
  void Ack(uint64_t epoch, LogPosition at) {
    r.Receive(2, epoch, ShipAck{at, kNew.incarnation, false, {}});
    Pass(kBeaconUs);
  }

  Replica r{1, kMin};
};

TEST_F(BackupReplacement, OfASilentMemberIsOneChangeOfTheView) {
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Forced(3);
  Pass(kBackupSilenceUs / 2);
  EXPECT_TRUE(r.Sent<Ship>(2).size() < 5 && !r.Has<ProposeView>());
  Pass(2 * kBackupSilenceUs);
  Ack(2, At(2, 3));
  EXPECT_TRUE(r.Take<ReplicatedUpTo>().empty()) << "the view still names the other directory (R1)";
  const View proposed = r.Take<ProposeView>().at(0).view;
  EXPECT_EQ(proposed, Replaced(3));
  r.Step(CasDone{proposed, CasOutcome::kOk});
  r.Step(ViewPersisted{Epoch{3}});
  EXPECT_TRUE(r.Take<ReplicatedUpTo>().empty());
  r.Forced(4);
  EXPECT_TRUE(r.Take<ReplicatedUpTo>().empty()) << "R4, in the new view";
  Ack(3, At(3, 4));
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{4});
  EXPECT_TRUE(r.Has<Serve>());
}

// After a restart of the primary nothing that it inherited is replicated in the view, nor ever will be. It
// holds all that ever was; so must whoever joins.
TEST_F(BackupReplacement, ByARestartedPrimaryNeedsItsWholeLog) {
  r.silent = {2};
  r.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, 0, 1).Enter(kTwo);
  r.Take<ReadDirectory>();
  r.Forced(3);
  Pass(2 * kBackupSilenceUs);
  Ack(2, At(1, 2));
  EXPECT_FALSE(r.Has<ProposeView>());
  Ack(2, At(2, 3));
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, Replaced(3));
  EXPECT_TRUE(r.Take<ReplicatedUpTo>().empty());
}

TEST_F(BackupReplacement, ByAnOperatorNotWhileTheMemberIsHeard) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, kNew});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kInvalid);
  r.silent = {2};
  while (r.now_us < 2 * kBackupSilenceUs) {
    r.Wait(kBeaconUs);
    if (!r.Take<ReadDirectory>().empty()) Read();
  }
  r.Step(OperatorChange{RequestId{2}, ChangeKind::kAddReplica, kNew});
  EXPECT_FALSE(r.Has<OperatorReply>());
  r.Receive(2, 2, ShipAck{At(2, 2), kNew.incarnation, false, {}});
  r.Receive(2, 2, BeaconAck{r.now_us, 0, kNew.incarnation});
  r.Enter(r.Take<ProposeView>().at(0).view);
  EXPECT_TRUE(r.Take<OperatorReply>().at(0).status.ok());
}

// R4: of three, the one that stays must hold what was inherited, too.
TEST_F(BackupReplacement, WaitsForTheOtherMembersToHoldTheLog) {
  View three = ViewOf(2, 1, kLife, {1, 2, 3});
  r.silent = {2};
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(three);
  r.Forced(2);
  while (r.now_us < 2 * kBackupSilenceUs) r.Wait(kBeaconUs);
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, kNew});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace assent::backup
