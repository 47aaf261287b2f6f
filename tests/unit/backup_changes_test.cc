// Learners, snapshots and removal: R6, R3.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});
const View kThree = ViewOf(3, 1, kLife, {1, 2, 3});

class BackupLearner : public testing::Test {
 protected:
  // Node 1 leads node 2, and was told to add node 3. Its log: (1, 1), (2, 2).
  void Add() {
    r.Lead(kTwo, {Entry(1, 1, "a")});
    r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  }
  // ... and node 3 holds it all.
  void CatchUp() {
    Add();
    r.Ack(3, 2, At(2, 2));
  }
  bool Replicated() { return !r.Take<ReplicatedUpTo>().empty(); }

  Replica r{1};
};

TEST_F(BackupLearner, CommitsGoOnWhileItCatchesUp) {
  Add();
  EXPECT_EQ(r.Sent<Ship>(3).at(0).prev, At(2, 2));
  r.Mismatch(3, 2, {}, {});
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  EXPECT_TRUE(Replicated());
  EXPECT_FALSE(r.Has<ProposeView>());
}

// R6: before it proposes that view the primary already needs the learner's ack ...
TEST_F(BackupLearner, AckIsRequiredFromBeforeTheProposal) {
  Add();
  r.Mismatch(3, 2, {}, At(0, 0));
  r.Ack(3, 2, At(0, 0));  // matched; all records are on their way now
  EXPECT_EQ(r.Sent<Ship>(3).back().entries.size(), 2U);
  EXPECT_FALSE(r.Has<ProposeView>());
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  EXPECT_TRUE(Replicated()) << "what it had when it began is not durable there yet";
  r.Ack(3, 2, At(2, 2));
  EXPECT_FALSE(r.Has<ProposeView>()) << "it does not hold all that is replicated";
  r.Append("c").Forced(4).Ack(2, 2, At(2, 4));
  EXPECT_FALSE(Replicated());
  r.Ack(3, 2, At(2, 3));
  const auto proposed = r.Take<ProposeView>();
  ASSERT_EQ(proposed.size(), 1U);
  EXPECT_EQ(proposed[0].view, kThree);
  EXPECT_FALSE(Replicated());
  r.Ack(3, 2, At(2, 4));
  EXPECT_TRUE(Replicated());
}

// R11: a disk that would hold each commit back for seconds is found out before it does.
TEST_F(BackupLearner, SlowDiskIsNotCountedOnUntilItWasFast) {
  Add();
  r.silent = {3};
  const auto answer = [&](uint64_t force_age_us) {
    r.Wait(kBeaconUs);
    if (!r.Take<ReadDirectory>().empty()) r.Read(kTwo);
    r.Receive(3, 2, BeaconAck{r.now_us, force_age_us, Node(3).incarnation});
  };
  answer(0);
  r.Mismatch(3, 2, {}, At(0, 0)).Ack(3, 2, At(0, 0));
  answer(kForceSlowUs - kBeaconUs);
  EXPECT_FALSE(r.Has<ProposeView>()) << "nothing that it was sent is durable";
  ++r.now_us;
  r.Ack(3, 2, At(2, 2));
  EXPECT_FALSE(r.Has<ProposeView>()) << "how long that took it did not say yet";
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  EXPECT_TRUE(Replicated());
  answer(kForceSlowUs + 1);
  EXPECT_FALSE(r.Has<ProposeView>());
  r.Append("c").Forced(4).Ack(2, 2, At(2, 4));
  EXPECT_TRUE(Replicated());
  r.Ack(3, 2, At(2, 4));
  answer(0);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, kThree);
}

// R11: one whose disk hangs pins the log, and keeps others out, no longer.
TEST_F(BackupLearner, WedgedDiskEndsTheChange) {
  Add();
  r.silent = {3};
  r.Wait(kBeaconUs).Receive(3, 2, BeaconAck{r.now_us, kForceAgeMaxUs + 1, Node(3).incarnation});
  EXPECT_NE(r.Take<OperatorReply>().at(0).status.message().find("disk"), std::string::npos);
  EXPECT_EQ(Raw(r.core.TrimLimit()), UINT64_MAX);
}

TEST_F(BackupLearner, AnswersWithoutProgressDoNotKeepTheChangeAlive) {
  Add();
  for (uint64_t us = 0; us < 2 * kLearnerProgressUs && !r.Has<OperatorReply>(); us += kSilenceUs) {
    r.Wait(kSilenceUs);
    r.Ack(3, 2, At(0, 0));
  }
  EXPECT_NE(r.Take<OperatorReply>().at(0).status.message().find("it answers, and gets no further"),
            std::string::npos);
  EXPECT_EQ(Raw(r.core.TrimLimit()), UINT64_MAX);
}

TEST_F(BackupLearner, SnapshotThatGetsNoFurtherEndsTheChangeInstallingHasMoreTime) {
  for (const bool all_arrived : {false, true}) {
    Replica primary(1);
    primary.Lead(kTwo, {Entry(1, 1, "a")});
    primary.log.Trim(Lsn{1});
    primary.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
    primary.Mismatch(3, 2, {}, At(0, 0));
    const std::string piece(kInstallBytesPerSecond / 20, 'p');
    for (uint64_t offset = 0; offset < 40 * piece.size(); offset += piece.size()) {
      const bool done = offset == 39 * piece.size();
      primary.Step(SnapshotRead{NodeId{3}, {At(2, 2), offset, piece, done}});
      const uint64_t received = done && !all_arrived ? offset : offset + piece.size();
      primary.Receive(3, 2, SnapshotAck{At(2, 2), received, false, Node(3).incarnation});
    }
    uint64_t waited_us = 0;
    while (!primary.Has<OperatorReply>()) {
      primary.Wait(kSilenceUs);
      waited_us += kSilenceUs;
      const uint64_t received = (all_arrived ? 40 : 39) * piece.size();
      primary.Receive(3, 2, SnapshotAck{At(2, 2), received, false, Node(3).incarnation});
      ASSERT_LT(waited_us, 10 * kLearnerProgressUs);
    }
    EXPECT_EQ(waited_us > kLearnerProgressUs + 1'000'000, all_arrived);
  }
}

// R6: ... until it knows that the CAS failed. A timeout is not a failure.
TEST_F(BackupLearner, AckStaysRequiredWhileTheProposalsFateIsUnknown) {
  CatchUp();
  const View proposed = r.Take<ProposeView>().at(0).view;
  r.Step(CasDone{proposed, CasOutcome::kUnknown});
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  EXPECT_FALSE(Replicated());
  for (int i = 0; i < 100; ++i) r.Wait(kLearnerProgressUs / 10);
  EXPECT_FALSE(Replicated());
  EXPECT_FALSE(r.Has<OperatorReply>());
  r.Read(kTwo);  // not applied, or not yet
  EXPECT_FALSE(Replicated());
  r.Wait(kProposalPauseMinUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, proposed);
  r.Step(OperatorChange{RequestId{9}, ChangeKind::kRemoveReplica, Node(3)});
  EXPECT_FALSE(Replicated());
  r.Step(CasDone{proposed, CasOutcome::kLost});
  EXPECT_FALSE(Replicated());

  r.Take<OperatorReply>();
  r.Enter(proposed);
  EXPECT_EQ(r.core.epoch(), Epoch{3});
  EXPECT_TRUE(r.Take<OperatorReply>().at(0).status.ok());
  EXPECT_FALSE(r.core.serving());  // R4, in the new view
  EXPECT_FALSE(Replicated());
  r.Forced(4).Ack(2, 3, At(3, 4));
  EXPECT_FALSE(Replicated());
  r.Ack(3, 3, At(3, 4));
  EXPECT_TRUE(Replicated());
  EXPECT_EQ(r.Take<Serve>().at(0).epoch, Epoch{3});
}

// R6: ... nor while the view that names it is won, and not yet entered.
TEST_F(BackupLearner, AckStaysRequiredUntilItsViewIsEntered) {
  CatchUp();
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  r.Step(CasDone{r.Take<ProposeView>().at(0).view, CasOutcome::kOk});
  ASSERT_TRUE(r.Has<PersistView>());
  for (int i = 0; i < 30; ++i) r.Wait(kLearnerProgressUs / 10);
  EXPECT_FALSE(Replicated());
  EXPECT_FALSE(r.Has<OperatorReply>());
}

TEST_F(BackupLearner, IsNotAddedBeforeTheInheritedLogIsReplicated) {
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(kTwo);
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
}

TEST_F(BackupLearner, StalledBeforeItsProposalHoldsCommitsBackNoLonger) {
  Add();
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  r.Ack(3, 2, At(2, 2));
  r.Append("c").Forced(4).Ack(2, 2, At(2, 4));
  EXPECT_FALSE(r.Has<ProposeView>());
  Replicated();
  r.Append("d").Forced(5).Ack(2, 2, At(2, 5));
  EXPECT_FALSE(Replicated());
  r.Wait(kLearnerStallUs);
  EXPECT_TRUE(Replicated());
  EXPECT_FALSE(r.Take<OperatorReply>().at(0).status.ok());
}

TEST_F(BackupLearner, SilentForLongIsGivenUp) {
  Add();
  EXPECT_LT(Raw(r.core.TrimLimit()), 2U);
  for (int i = 0; i < 11; ++i) r.Wait(kLearnerProgressUs / 10);
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(Raw(r.core.TrimLimit()), UINT64_MAX);
}

// R3: a learner loses its disk between its ack and the CAS.
TEST_F(BackupLearner, AnotherIncarnationEndsTheChange) {
  Add();
  r.Receive(3, 2, ShipAck{At(2, 2), Incarnation{31}, false, {}});
  EXPECT_FALSE(r.Has<ProposeView>());
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kConflict);
}

TEST_F(BackupLearner, AnotherIncarnationsAckDoesNotCountAfterTheProposal) {
  CatchUp();
  ASSERT_TRUE(r.Has<ProposeView>());
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  r.Receive(3, 2, ShipAck{At(2, 3), Incarnation{31}, false, {}});
  EXPECT_FALSE(Replicated());
  EXPECT_FALSE(r.Has<OperatorReply>());
}

TEST_F(BackupLearner, OneChangeAtATime) {
  Add();
  r.Step(OperatorChange{RequestId{2}, ChangeKind::kRemoveReplica, Node(2)});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kConflict);
  r.Step(OperatorChange{RequestId{3}, ChangeKind::kRemoveReplica, Node(3)});  // gives the learner up
  const auto replies = r.Take<OperatorReply>();
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].id, RequestId{1});
  EXPECT_FALSE(replies[0].status.ok());
  EXPECT_TRUE(replies[1].status.ok());
}

// Another primary's view tells the fate of a change whose compare-and-swap was not answered.
TEST_F(BackupLearner, RemovalIsDoneWhereTheViewOfALaterPrimaryShowsIt) {
  for (const bool made : {true, false}) {
    Replica primary(1);
    primary.Lead(ViewOf(2, 1, kLife, {1, 2, 3}), {Entry(1, 1, "a")});
    primary.Step(OperatorChange{RequestId{1}, ChangeKind::kRemoveReplica, Node(3)});
    primary.Step(CasDone{primary.Take<ProposeView>().at(0).view, CasOutcome::kUnknown});
    primary.Enter(made ? ViewOf(4, 2, kLife, {1, 2}) : ViewOf(4, 2, kLife, {1, 2, 3}));
    EXPECT_EQ(primary.Take<OperatorReply>().at(0).status.code(),
              made ? StatusCode::kOk : StatusCode::kUnavailable);
  }
}

TEST_F(BackupLearner, RemovedMemberCountsUntilTheDirectoryAgreed) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kRemoveReplica, Node(2)});
  const View proposed = r.Take<ProposeView>().at(0).view;
  View wanted = ViewOf(3, 1, kLife, {1});
  wanted.removed = {Node(2)};
  EXPECT_EQ(proposed, wanted);
  r.Append("b").Forced(3);
  EXPECT_FALSE(Replicated());
  r.Step(CasDone{proposed, CasOutcome::kOk});
  EXPECT_FALSE(Replicated());
  r.Step(ViewPersisted{Epoch{3}});
  EXPECT_FALSE(Replicated());  // R4
  r.Forced(4);
  EXPECT_TRUE(Replicated());
  EXPECT_TRUE(r.Take<OperatorReply>().at(0).status.ok());
}

TEST_F(BackupLearner, CommandsThatMakeNoSenseAreRefused) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  const auto code = [&](ChangeKind kind, Member member) {
    r.Step(OperatorChange{RequestId{1}, kind, member});
    return r.Take<OperatorReply>().at(0).status.code();
  };
  EXPECT_EQ(code(ChangeKind::kRemoveReplica, Node(1)), StatusCode::kInvalid);
  EXPECT_EQ(code(ChangeKind::kRemoveReplica, Node(3)), StatusCode::kNotFound);
  EXPECT_EQ(code(ChangeKind::kAddReplica, {NodeId{3}, Incarnation{}}), StatusCode::kInvalid);
  EXPECT_EQ(code(ChangeKind::kAddReplica, {NodeId{2}, Incarnation{21}}), StatusCode::kInvalid);
  EXPECT_EQ(code(ChangeKind::kAddReplica, Node(2)), StatusCode::kOk);  // it is there
}

// ---- Snapshots ----

TEST_F(BackupLearner, GetsASnapshotWhereTheLogWasTrimmed) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.log.Trim(Lsn{1});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  r.Mismatch(3, 2, {}, At(0, 0));
  ASSERT_EQ(r.Take<StartSnapshot>().at(0).to, NodeId{3});
  auto reads = r.Take<ReadSnapshot>();
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].offset, 0U);
  EXPECT_EQ(r.core.TrimLimit(), Lsn{1});

  // The window is bounded: pieces are read until 1 MiB is on its way.
  const std::string piece(kSnapshotPieceBytes, 'p');
  uint64_t offset = 0;
  for (int i = 0; i < 4; ++i) {
    r.Step(SnapshotRead{NodeId{3}, {At(2, 2), offset, piece, false}});
    offset += piece.size();
  }
  EXPECT_EQ(r.Sent<SnapshotPiece>(3).size(), 4U);
  EXPECT_EQ(r.Take<ReadSnapshot>().size(), 3U);
  EXPECT_EQ(r.core.TrimLimit(), Lsn{2});
  r.Receive(3, 2, SnapshotAck{At(2, 2), piece.size(), false, Node(3).incarnation});
  EXPECT_EQ(r.Take<ReadSnapshot>().at(0).offset, offset);
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), offset, "end", true}});

  // An acknowledgement that was overtaken: nothing is sent again for it.
  r.Receive(3, 2, SnapshotAck{At(2, 2), 1, false, Node(3).incarnation});
  EXPECT_FALSE(r.Has<ReadSnapshot>());
  r.Receive(3, 2, SnapshotAck{At(2, 2), piece.size(), false, Node(3).incarnation});

  // Lost: goes on from what was acknowledged.
  r.Clear();
  r.Wait(kSilenceUs).Read(kTwo);
  EXPECT_EQ(r.Take<ReadSnapshot>().at(0).offset, piece.size());
  // The learner restarted, and took a first piece that came late: goes on behind that.
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), piece.size(), piece, false}});
  r.Receive(3, 2, SnapshotAck{At(2, 2), 1, false, Node(3).incarnation});
  r.Clear();
  r.Wait(kSilenceUs);
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 2 * piece.size(), piece, false}});  // was under way
  EXPECT_EQ(r.Take<ReadSnapshot>().at(0).offset, 1U);
  // The learner restarted: from the beginning.
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 1, piece, false}});
  r.Clear();
  r.Receive(3, 2, SnapshotAck{At(2, 2), 0, false, Node(3).incarnation});
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 1 + piece.size(), piece, false}});
  EXPECT_EQ(r.Take<ReadSnapshot>().back().offset, 0U);
  EXPECT_TRUE(r.Sent<SnapshotPiece>(3).empty());
  // Or it did not, and that was an old answer: on behind what it holds.
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 0, "a", false}});
  r.Take<ReadSnapshot>();
  r.Receive(3, 2, SnapshotAck{At(2, 2), piece.size(), false, Node(3).incarnation});
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 1, "b", false}});
  EXPECT_EQ(r.Take<ReadSnapshot>().back().offset, piece.size());

  r.Append("b");
  r.Receive(3, 2, SnapshotAck{At(2, 2), 0, true, Node(3).incarnation});
  EXPECT_EQ(r.Take<StopSnapshot>().size(), 1U);
  EXPECT_EQ(r.Sent<Ship>(3).at(0).prev, At(2, 2));
  r.Ack(3, 2, At(2, 2));
  EXPECT_EQ(r.Sent<Ship>(3).at(0).entries.at(0).position, At(2, 3));
  EXPECT_TRUE(r.Has<ProposeView>());
}

TEST_F(BackupLearner, IsNotGivenUpWhileItsSnapshotIsBeingMade) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.log.Trim(Lsn{1});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  r.Mismatch(3, 2, {}, At(0, 0));
  for (int i = 0; i < 30; ++i) r.Wait(kLearnerProgressUs / 10);
  EXPECT_FALSE(r.Has<OperatorReply>());
  r.Step(SnapshotRead{NodeId{3}, {At(2, 2), 0, "all", true}});
  for (int i = 0; i < 11; ++i) r.Wait(kLearnerProgressUs / 10);
  EXPECT_TRUE(r.Has<OperatorReply>());
}

TEST_F(BackupLearner, SnapshotThatCannotBeMadeEndsTheChange) {
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.log.Trim(Lsn{1});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  r.Mismatch(3, 2, {}, At(0, 0));
  r.Step(SnapshotFailed{NodeId{3}, "disk full"});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kIo);
  EXPECT_EQ(r.Take<StopSnapshot>().size(), 1U);
}

TEST(BackupLearnerSide, TakesASnapshotInOrderThenTheLog) {
  Replica r(3);
  r.Start({Entry(1, 1, "old")}, 0, 1).Enter(kTwo);
  r.Clear();
  const auto piece = [&](uint64_t offset, std::string bytes, bool done) {
    r.Receive(1, 2, SnapshotPiece{At(1, 7), offset, std::move(bytes), done});
  };
  piece(3, "def", false);  // not the first
  EXPECT_FALSE(r.Has<WriteSnapshot>());
  EXPECT_EQ(r.Sent<SnapshotAck>(1).at(0).received, 0U);
  piece(0, "abc", false);
  piece(3, "def", false);
  EXPECT_EQ(r.Take<WriteSnapshot>().size(), 2U);
  r.Step(SnapshotWritten{At(1, 7), 3}).Step(SnapshotWritten{At(1, 7), 6});
  EXPECT_EQ(r.Sent<SnapshotAck>(1).back().received, 6U);
  piece(0, "abc", false);  // a duplicate
  EXPECT_FALSE(r.Has<WriteSnapshot>());
  EXPECT_EQ(r.Sent<SnapshotAck>(1).at(0).received, 6U);
  piece(6, "gh", true);
  EXPECT_EQ(r.Take<WriteSnapshot>().size(), 1U);

  // Nothing is appended to a log that is being replaced.
  r.Receive(1, 2, Ship{At(1, 7), {Entry(2, 8, "x")}, {}});
  EXPECT_FALSE(r.Has<AppendToLog>());
  r.log.Reset(At(1, 7));
  r.Step(SnapshotInstalled{At(1, 7)});
  EXPECT_TRUE(r.Sent<SnapshotAck>(1).back().installed);
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.at(0).position, At(2, 8));
  EXPECT_EQ(r.core.replicated(), Lsn{7});
  r.Forced(8);
  EXPECT_EQ(r.Sent<ShipAck>(1).back().durable, At(2, 8));
  piece(0, "abc", false);  // long installed
  EXPECT_TRUE(r.Sent<SnapshotAck>(1).back().installed);
  EXPECT_FALSE(r.Has<WriteSnapshot>());
}

// A scratch file that cannot be written is no failure of the replica.
TEST(BackupLearnerSide, SnapshotThatItCannotTakeInIsRefusedAndAnotherTakenLater) {
  Replica r(3);
  r.Start({Entry(1, 1, "old")}, 0, 1).Enter(kTwo);
  r.Clear();
  const auto piece = [&](uint64_t offset, std::string bytes, bool done) {
    r.Receive(1, 2, SnapshotPiece{At(1, 7), offset, std::move(bytes), done});
  };
  for (const bool last : {false, true}) {
    piece(0, "abc", last);
    EXPECT_EQ(r.Take<WriteSnapshot>().size(), 1U);
    r.Step(SnapshotRefused{At(1, 7), "no room"});
    EXPECT_NE(r.core.Describe(r.now_us).waiting_for.find("no room"), std::string::npos);
    piece(0, "abc", last);
    EXPECT_FALSE(r.Has<WriteSnapshot>()) << "its sender would try again at once";
    EXPECT_TRUE(r.Sent<SnapshotAck>(1).empty());
    r.now_us += kLearnerProgressUs;
  }
  // The log is as it was, and may go on.
  r.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "x")}, {}});
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.at(0).position, At(2, 2));
}

// R3: a view smaller than replicas_min acknowledges nothing, and is not proposed; but it can be added to.
TEST(BackupReplicasMin, SmallerViewServesNobodyUntilItIsAddedTo) {
  Replica r{1, 2};
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(ViewOf(2, 1, kLife, {1}));
  r.Forced(2);
  EXPECT_FALSE(r.Has<Serve>());
  EXPECT_TRUE(r.Take<ReplicatedUpTo>().empty());
  EXPECT_NE(r.core.Describe(r.now_us).waiting_for.find("replicas_min"), std::string::npos);
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kAddReplica, Node(3)});
  r.Ack(3, 2, At(2, 2));
  r.Enter(r.Take<ProposeView>().at(0).view);
  r.Forced(3).Ack(3, 3, At(3, 3));
  EXPECT_TRUE(r.Has<Serve>());
}

TEST(BackupReplicasMin, RemovalBelowItIsRefused) {
  Replica r{1, 2};
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kRemoveReplica, Node(2)});
  EXPECT_EQ(r.Take<OperatorReply>().at(0).status.code(), StatusCode::kInvalid);
  EXPECT_FALSE(r.Has<ProposeView>());
}

}  // namespace
}  // namespace assent::backup
