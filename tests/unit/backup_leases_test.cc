// Leases, takeover and the removal of silent backups: R3, R5, R11.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});
const View kThree = ViewOf(2, 1, kLife, {1, 2, 3});
const View kAlone = ViewOf(2, 1, kLife, {1});

Replica& Answer(Replica& r, uint32_t from, uint64_t sent_us, uint64_t force_age_us = 0, uint64_t epoch = 2) {
  return r.Receive(from, epoch, BeaconAck{sent_us, force_age_us, Node(from).incarnation});
}

// Time passes in steps of a beacon's length, and the directory goes on showing the view, until `r` proposes
// another or `us` have passed.
uint64_t Pass(Replica& r, uint64_t us) {
  const uint64_t end_us = r.now_us + us;
  while (r.now_us < end_us && !r.Has<ProposeView>()) {
    r.Wait(kBeaconUs);
    if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
  }
  return r.now_us;
}

// ---- The primary's lease (R5)

TEST(BackupLease, LastsFromWhenTheBeaconWasSentNotFromItsAnswer) {
  Replica r(1);
  r.silent = {2};
  r.now_us = 1'000'000;
  r.Lead(kTwo, {Entry(1, 1, "a")});
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us)) << "no beacon was answered";
  r.now_us += 400'000;
  Answer(r, 2, 1'000'000);
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  EXPECT_TRUE(r.core.LeaseHolds(1'000'000 + kLeaseUs - 1));
  EXPECT_FALSE(r.core.LeaseHolds(1'000'000 + kLeaseUs));
  Answer(r, 2, 900'000);
  EXPECT_FALSE(r.core.LeaseHolds(1'000'000 + kLeaseUs)) << "an older beacon's answer, late";
}

TEST(BackupLease, NeedsTheWordOfEveryBackup) {
  Replica r(1);
  r.silent = {3};
  r.now_us = 1'000'000;
  r.Lead(kThree, {Entry(1, 1, "a")});
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  Answer(r, 3, 1'000'000);
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
}

TEST(BackupLease, AnswersOfOtherIncarnationsEpochsAndTheFutureDoNotCount) {
  Replica r(1);
  r.silent = {2};
  r.now_us = 1'000'000;
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Receive(2, 2, BeaconAck{1'000'000, 0, Incarnation{999}});
  r.Receive(2, 1, BeaconAck{1'000'000, 0, Node(2).incarnation});
  Answer(r, 2, 1'000'001);
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
}

TEST(BackupLease, BeaconsGoOnWithoutWaitingForForces) {  // R11
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b");
  r.Wait(kBeaconUs);
  r.Wait(kBeaconUs);
  const auto beacons = r.Sent<Beacon>(2);
  ASSERT_EQ(beacons.size(), 2U);
  EXPECT_EQ(beacons[1].sent_us, r.now_us);
  EXPECT_EQ(beacons[1].force_age_us, 2 * kBeaconUs);
  r.Forced(3).Wait(kBeaconUs);
  EXPECT_EQ(r.Sent<Beacon>(2).at(0).force_age_us, 0U);
}

TEST(BackupLease, OfAPrimaryWithoutBackupsIsTheDirectorysWord) {
  Replica r(1);
  r.now_us = 1'000'000;
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(kAlone);
  r.Forced(2);
  EXPECT_TRUE(r.Has<Serve>());
  r.Clear();
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  r.Append("b");
  r.now_us += kLeaseUs;
  r.Forced(3);
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  EXPECT_FALSE(r.Has<ReplicatedUpTo>()) << "its own force is not enough (R5)";
  r.Wait(1);
  ASSERT_TRUE(r.Has<ReadDirectory>());
  r.Clear();
  const uint64_t asked_us = r.now_us;
  r.now_us += 700'000;
  r.Read(kAlone);
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{3});
  EXPECT_TRUE(r.core.LeaseHolds(asked_us + kLeaseUs - 1));
  EXPECT_FALSE(r.core.LeaseHolds(asked_us + kLeaseUs)) << "from before it was asked";
}

TEST(BackupLease, EndsWithTheEpoch) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  r.Step(PeerEpoch{NodeId{2}, Epoch{3}});
  r.Enter(ViewOf(3, 2, 77, {1, 2}));
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
}

TEST(BackupLease, EndsWhenALaterViewIsKnown) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  EXPECT_TRUE(r.core.LeaseHolds(r.now_us));
  r.Step(PeerEpoch{NodeId{2}, Epoch{3}});
  r.Read(ViewOf(3, 2, 77, {1, 2}));
  EXPECT_TRUE(r.Has<PersistView>());  // not answered yet: still the primary of the old one
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
}

// Who joins by the proposal may be a member by now, and lead without a word to this primary: so the directory
// must say that the view still is the current one.
TEST(BackupLease, NeedsTheDirectorysWordWhileAReplicaIsBeingAdmitted) {
  Replica r(1);
  r.now_us = 1'000'000;
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  r.Ack(3, 2, At(2, 2));
  const View proposed = r.Take<ProposeView>().at(0).view;
  const uint64_t proposed_us = r.now_us;
  r.Step(CasDone{proposed, CasOutcome::kUnknown});
  EXPECT_TRUE(r.core.LeaseHolds(proposed_us)) << "the directory cannot have had it before";
  while (r.now_us < proposed_us + kLeaseUs) r.Wait(kBeaconUs);  // the backup goes on answering
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  r.Take<ReadDirectory>();
  r.Read(kTwo);
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us)) << "from before it was asked";
  r.Wait(kProposalPauseMinUs);
  r.Step(CasDone{proposed, CasOutcome::kUnknown});
  const uint64_t asked_us = r.now_us;
  r.Read(kTwo);
  EXPECT_TRUE(r.core.LeaseHolds(asked_us));
}

// ---- A silent backup (R3, R11)

TEST(BackupRemoval, SilentBackupLeavesTheViewAndNothingIsReplicatedBefore) {
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Answer(r, 2, r.now_us);
  r.Append("b").Forced(3);
  EXPECT_GE(Pass(r, 2 * kBackupSilenceUs), kBackupSilenceUs);
  View alone = ViewOf(3, 1, kLife, {1});
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, alone);
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
  r.Step(CasDone{alone, CasOutcome::kUnknown});
  EXPECT_FALSE(r.Has<ReplicatedUpTo>()) << "a timeout is not a success";
  r.Enter(alone);
  r.Forced(4);
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{4});
  EXPECT_TRUE(r.Has<Serve>());
}

TEST(BackupRemoval, AnswerThatTheNetworkKeptBackIsNoSignOfLife) {
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  const uint64_t answered_us = r.now_us;
  Answer(r, 2, answered_us);
  while (r.now_us < answered_us + 2 * kBackupSilenceUs && !r.Has<ProposeView>()) {
    Pass(r, kBeaconUs);
    Answer(r, 2, answered_us);
  }
  EXPECT_TRUE(r.Has<ProposeView>());
}

TEST(BackupRemoval, BackupThatAnswersBeaconsButDoesNotGetDurableLeavesToo) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Pass(r, 3 * kBackupSilenceUs);
  EXPECT_FALSE(r.Has<ProposeView>()) << "nothing is outstanding";
  r.Append("b").Forced(3);
  const uint64_t begun_us = r.now_us;
  EXPECT_GE(Pass(r, 2 * kBackupSilenceUs), begun_us + kBackupSilenceUs);
  EXPECT_TRUE(r.Has<ProposeView>());
}

TEST(BackupRemoval, WedgedDiskIsADeadReplica) {  // R11
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  for (int i = 0; i < 100 && !r.Has<ProposeView>(); ++i) {
    Pass(r, kBeaconUs);
    Answer(r, 2, r.now_us, kForceAgeMaxUs + 1);
    EXPECT_TRUE(r.core.LeaseHolds(r.now_us)) << "whatever its disk does, it promised not to lead (R5)";
  }
  EXPECT_TRUE(r.Has<ProposeView>());
}

// R11: until a force was fast, between slow ones as well; not only while one is open.
TEST(BackupForces, WordIsVoidUntilAForceWasFast) {
  Replica r(2);
  r.now_us = 1'000'000;
  r.Start({Entry(1, 1, "a")}, 1, 1).Enter(kTwo);
  const auto age_us = [&] {
    r.now_us += kBeaconUs;
    r.Receive(1, 2, Beacon{r.now_us, 0});
    return r.Sent<BeaconAck>(1).back().force_age_us;
  };
  uint64_t lsn = 1;
  const auto force = [&](uint64_t takes_us) {
    r.Receive(1, 2, Ship{r.log.last(), {Entry(2, ++lsn, "b")}, {}});
    r.now_us += takes_us;
    r.Forced(lsn);
  };
  force(kForceSlowUs / 2);
  EXPECT_EQ(age_us(), 0U);
  force(4'000'000);
  EXPECT_GT(age_us(), kForceAgeMaxUs);
  r.Receive(1, 2, Ship{r.log.last(), {Entry(2, ++lsn, "b")}, {}});
  EXPECT_GT(age_us(), kForceAgeMaxUs) << "another one has only begun";
  r.Forced(lsn);
  EXPECT_EQ(age_us(), 0U);
  // Each below the limit, and none fast: they add up.
  force(2'000'000);
  EXPECT_LE(age_us(), kForceAgeMaxUs);
  force(2'000'000);
  EXPECT_GT(age_us(), kForceAgeMaxUs);
  // With nothing to force it would never find out that the disk is well again.
  r.now_us += kForcesForgottenUs;
  EXPECT_EQ(age_us(), 0U);
  force(2'000'000);
  EXPECT_LE(age_us(), kForceAgeMaxUs) << "forgotten";
}

// R11: its backups do not answer it any more, and are about to lead in its place.
TEST(BackupRemoval, PrimaryWithAWedgedDiskDoesNotRemoveWhoIsToReplaceIt) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Ack(2, 2, At(2, 3));
  Pass(r, kForceAgeMaxUs);
  r.silent = {2};
  const uint64_t silent_us = r.now_us;
  EXPECT_GT(Pass(r, 4 * kGraceUs), silent_us + kBackupSilenceUs + kGraceUs);
  EXPECT_TRUE(r.Has<ProposeView>()) << "nobody did: it is alone";
}

TEST(BackupRemoval, DiskOfSlowForcesLeavesTheViewAtOnceWhenItIsTold) {  // R11
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Pass(r, 2 * kBackupSilenceUs);
  ASSERT_FALSE(r.Has<ProposeView>());
  r.silent = {2};
  r.now_us += kBeaconUs / 2;
  Answer(r, 2, r.now_us, kForceAgeMaxUs + 1);
  EXPECT_LE(Pass(r, kBackupSilenceUs), r.now_us + kBeaconUs);
  EXPECT_TRUE(r.Has<ProposeView>());
}

TEST(BackupRemoval, DoesNotGoBelowReplicasMin) {
  Replica r(1, 2);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Pass(r, 10 * kBackupSilenceUs);
  EXPECT_FALSE(r.Has<ProposeView>());
  EXPECT_NE(r.core.Describe(r.now_us).waiting_for.find("replicas_min"), std::string::npos);
}

// For operators: who leads without a lease says so, and for whom it waits.
TEST(BackupDescribe, PrimaryWithoutItsLeaseDoesNotServe) {
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Answer(r, 2, r.now_us);
  ASSERT_TRUE(r.core.LeaseHolds(r.now_us));
  EXPECT_TRUE(r.core.Describe(r.now_us).serving);
  EXPECT_EQ(r.core.WaitsFor(r.now_us), "");
  const uint64_t later_us = r.now_us + kLeaseUs;
  EXPECT_FALSE(r.core.Describe(later_us).serving);
  EXPECT_EQ(r.core.WaitsFor(later_us), "an answer of n2, last heard 2 s ago: its lease has run out (R5)");
}

TEST(BackupDescribe, LearnerSaysWhetherItNeedsAnOperator) {
  Replica r(2);
  r.Start({}, 0, 1).Enter(ViewOf(2, 1, kLife, {1}));
  ASSERT_EQ(r.core.role(), Role::kLearner);
  EXPECT_NE(r.core.WaitsFor(r.now_us).find("by itself"), std::string::npos) << r.core.WaitsFor(r.now_us);
  View removed = ViewOf(3, 1, kLife, {1});
  removed.removed = {Node(2)};
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}}).Enter(removed);
  EXPECT_NE(r.core.WaitsFor(r.now_us).find("add-replica"), std::string::npos) << r.core.WaitsFor(r.now_us);
}

TEST(BackupDescribe, LearnerOnTheLeadersNewDiskSaysWhetherAnotherCanLead) {
  Replica r(2);
  r.Start({}, 0, 1);
  View view = ViewOf(2, 2, kLife, {2, 1});
  view.members.front().incarnation = Incarnation{77};  // the disk that is gone
  r.Enter(view);
  ASSERT_EQ(r.core.role(), Role::kLearner);
  EXPECT_NE(r.core.WaitsFor(r.now_us).find("by itself"), std::string::npos) << r.core.WaitsFor(r.now_us);
  view.epoch = Epoch{3};
  view.members.resize(1);
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}}).Enter(view);
  const std::string waits = r.core.WaitsFor(r.now_us);
  EXPECT_NE(waits.find("put it back"), std::string::npos) << waits;
  EXPECT_EQ(waits.find("by itself"), std::string::npos) << waits;
}

TEST(BackupRemoval, StoppedProcessDoesNotTakeItsOwnAbsenceForSilence) {
  Replica r(1);
  r.silent = {2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  Answer(r, 2, r.now_us);
  r.Wait(10 * kBackupSilenceUs);
  EXPECT_FALSE(r.Has<ProposeView>());
  EXPECT_FALSE(r.core.LeaseHolds(r.now_us));
  EXPECT_FALSE(r.Sent<Beacon>(2).empty());
}

// ---- Takeover (R3, R5)

class BackupTakeover : public testing::Test {
 protected:
  void Follow(Replica& r, const View& view) {
    r.now_us = 1'000'000;
    r.Start({Entry(1, 1, "a")}, 1, 1).Enter(view);
    r.Clear();
  }
  uint64_t WaitForProposal(Replica& r) { return Pass(r, 3 * kGraceUs); }
};

TEST_F(BackupTakeover, BackupThatHearsNothingForTheGracePeriodLeadsWithoutThePrimary) {
  Replica r(2);
  Follow(r, kTwo);
  EXPECT_GE(WaitForProposal(r), 1'000'000 + kGraceUs) << "a full grace period after its start";
  const View wanted = ViewOf(3, 2, kLife, {2});
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, wanted);
  EXPECT_FALSE(r.Has<BecomePrimary>());
  r.Step(CasDone{wanted, CasOutcome::kOk});
  for (const PersistView& persist : r.Take<PersistView>()) r.Step(ViewPersisted{persist.seen_epoch});
  EXPECT_TRUE(r.Has<BecomePrimary>());
  r.Forced(2);
  EXPECT_TRUE(r.Has<Serve>());
}

TEST_F(BackupTakeover, EachBeaconPutsItOff) {
  Replica r(2);
  Follow(r, kTwo);
  for (int i = 0; i < 60; ++i) {
    Pass(r, kBeaconUs);
    r.Receive(1, 2, Beacon{r.now_us, 0});
  }
  EXPECT_FALSE(r.Has<ProposeView>());
  const uint64_t heard_us = r.now_us;
  EXPECT_EQ(r.Sent<BeaconAck>(1).back().sent_us, heard_us);
  EXPECT_GE(WaitForProposal(r), heard_us + kGraceUs);
}

TEST_F(BackupTakeover, BeaconThatTheNetworkKeptBackDoesNotPutItOff) {
  Replica r(2);
  Follow(r, kTwo);
  r.Receive(1, 2, Beacon{500'000, 0});
  ASSERT_EQ(r.Sent<BeaconAck>(1).size(), 1U);
  const uint64_t heard_us = r.now_us;
  while (r.now_us < heard_us + kGraceUs && !r.Has<ProposeView>()) {
    Pass(r, kBeaconUs);
    r.Receive(1, 2, Beacon{500'000, 0}).Receive(1, 2, Beacon{400'000, 0});
  }
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
  EXPECT_LE(WaitForProposal(r), heard_us + kGraceUs + kBeaconUs);
}

TEST_F(BackupTakeover, OldLeaseIsOverBefore) {  // R5: lease and margin are shorter than grace
  Replica primary(1);
  primary.silent = {2};
  primary.now_us = 1'000'000;
  primary.Lead(kTwo, {Entry(1, 1, "a")});
  Replica backup(2);
  Follow(backup, kTwo);
  backup.Receive(1, 2, Beacon{1'000'000, 0});
  Answer(primary, 2, backup.Sent<BeaconAck>(1).at(0).sent_us);
  const uint64_t proposed_us = WaitForProposal(backup);
  EXPECT_FALSE(primary.core.LeaseHolds(proposed_us - kDriftMarginUs));
}

// Once it has proposed itself the directory may have made it the primary: it gives the old one no more time.
TEST_F(BackupTakeover, ProposerAnswersNoBeaconUntilItKnowsThatItLost) {
  Replica r(2);
  Follow(r, kTwo);
  WaitForProposal(r);
  const View proposed = r.Take<ProposeView>().at(0).view;
  r.Step(CasDone{proposed, CasOutcome::kUnknown});
  r.Receive(1, 2, Beacon{r.now_us, 0});
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
  r.Read(kTwo);  // not applied, or not yet: the very same again
  r.Wait(kProposalPauseMinUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, proposed);
  r.Receive(1, 2, Beacon{r.now_us, 0});
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
  r.Step(CasDone{proposed, CasOutcome::kLost});
  r.Enter(ViewOf(3, 1, kLife, {1, 2}));
  r.Receive(1, 3, Beacon{r.now_us, 0});
  EXPECT_EQ(r.Sent<BeaconAck>(1).size(), 1U);
}

TEST_F(BackupTakeover, WinnerAnswersNoBeaconWhileItEntersItsView) {
  Replica r(2);
  Follow(r, kTwo);
  WaitForProposal(r);
  r.Step(CasDone{r.Take<ProposeView>().at(0).view, CasOutcome::kOk});
  ASSERT_TRUE(r.Has<PersistView>());  // not answered yet: still a backup in the old view
  r.Receive(1, 2, Beacon{r.now_us, 0});
  EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
}

TEST_F(BackupTakeover, PrimaryWithAWedgedDiskIsNotHeard) {  // R11
  Replica r(2);
  Follow(r, kTwo);
  for (int i = 0; i < 60 && !r.Has<ProposeView>(); ++i) {
    Pass(r, kBeaconUs);
    r.Receive(1, 2, Beacon{r.now_us, kForceAgeMaxUs + 1});
    EXPECT_TRUE(r.Sent<BeaconAck>(1).empty());
  }
  EXPECT_TRUE(r.Has<ProposeView>());
}

// R11: where nobody may lead in its place, to take its lease away would only stop what still goes on.
TEST_F(BackupTakeover, PrimaryWithAWedgedDiskIsHeardWhereItCannotBeReplaced) {
  const Beacon late{1'000'000, kForceAgeMaxUs + 1};
  Replica learner(3);
  Follow(learner, kTwo);
  EXPECT_EQ(learner.Receive(1, 2, late).Sent<BeaconAck>(1).size(), 1U);
  Replica needed(2, 2);
  Follow(needed, kTwo);
  EXPECT_EQ(needed.Receive(1, 2, late).Sent<BeaconAck>(1).size(), 1U);
  Replica as_slow(2);
  Follow(as_slow, kTwo);
  as_slow.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "b")}, {}});
  as_slow.now_us += kForceAgeMaxUs + 1;
  EXPECT_EQ(as_slow.Receive(1, 2, late).Sent<BeaconAck>(1).size(), 1U);
}

TEST_F(BackupTakeover, BackupWithAWedgedDiskDoesNotTryToLead) {  // R11
  Replica r(2);
  Follow(r, kTwo);
  r.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "b")}, {}});
  for (int i = 0; i < 90; ++i) {
    Pass(r, kBeaconUs);
    EXPECT_GT(r.core.NextDeadline(), r.now_us) << "a deadline that has passed keeps the loop spinning";
  }
  EXPECT_FALSE(r.Has<ProposeView>());
}

TEST_F(BackupTakeover, OfSeveralTheFirstTriesFirst) {
  Replica second(2);
  Follow(second, kThree);
  Replica third(3);
  Follow(third, kThree);
  const uint64_t at_us = WaitForProposal(second);
  EXPECT_EQ(second.Take<ProposeView>().at(0).view, ViewOf(3, 2, kLife, {2, 3}));
  EXPECT_GT(WaitForProposal(third), at_us);
}

TEST_F(BackupTakeover, LearnersAndThoseBelowReplicasMinDoNot) {
  Replica learner(3);
  Follow(learner, kTwo);
  WaitForProposal(learner);
  EXPECT_FALSE(learner.Has<ProposeView>());
  Replica lone(2, 2);
  Follow(lone, kTwo);
  WaitForProposal(lone);
  EXPECT_FALSE(lone.Has<ProposeView>());
}

TEST_F(BackupTakeover, StoppedBackupListensAgainFirst) {
  Replica r(2);
  Follow(r, kTwo);
  r.Wait(10 * kGraceUs);
  EXPECT_FALSE(r.Has<ProposeView>());
  const uint64_t back_us = r.now_us;
  EXPECT_GE(WaitForProposal(r), back_us + kGraceUs);
}

}  // namespace
}  // namespace assent::backup
