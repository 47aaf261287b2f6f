// The records that a backup takes in, cuts and acknowledges: R1, R2, R4, and hostile input.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kView = ViewOf(2, 1, 499, {1, 2});

class BackupFollower : public testing::Test {
 protected:
  // Node 2, backup of node 1 in epoch 2, over `entries`.
  Replica& Begin(const std::vector<LogEntry>& entries, uint64_t applied = 0) {
    r.Start(entries, applied, 1).Enter(kView);
    r.Clear();
    return r;
  }
  std::vector<ShipAck> Acks() { return r.Sent<ShipAck>(1); }

  Replica r{2};
};

// R1, R4: an ack says durable.
TEST_F(BackupFollower, AcksOnlyWhenForced) {
  Begin({});
  r.Receive(1, 2, Ship{At(0, 0), {Entry(1, 1, "a"), Entry(2, 2, "b")}, {}});
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.size(), 2U);
  EXPECT_TRUE(Acks().empty());
  r.Forced(1);
  EXPECT_EQ(Acks().at(0).durable, At(1, 1));
  r.Forced(2);
  const auto acks = Acks();
  ASSERT_EQ(acks.size(), 1U);
  EXPECT_EQ(acks[0].durable, At(2, 2));
  EXPECT_EQ(acks[0].incarnation, Node(2).incarnation);
  EXPECT_FALSE(acks[0].mismatch);
}

// R4: an old (e1, 2)=X, acked as "durable to 2", counted for (e2, 2)=Y.
TEST_F(BackupFollower, AcksWhatWasMatchedNeverTheLogsLength) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "x"), Entry(1, 3, "y")});
  r.Receive(1, 2, Ship{At(1, 1), {}, {}});
  const auto acks = Acks();
  ASSERT_EQ(acks.size(), 1U);
  EXPECT_EQ(acks[0].durable, At(1, 1));
  EXPECT_FALSE(acks[0].mismatch);
}

TEST_F(BackupFollower, MatchingRestartsWithEachEpoch) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "b")});
  r.Receive(1, 2, Ship{At(1, 2), {}, {}});
  EXPECT_EQ(Acks().at(0).durable, At(1, 2));
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}}).Enter(ViewOf(3, 1, 501, {1, 2}));
  r.Receive(1, 3, Ship{At(1, 1), {}, {}});
  EXPECT_EQ(Acks().at(0).durable, At(1, 1));
}

// R4
TEST_F(BackupFollower, CutsWhatDivergesByEpochThenTakesTheRest) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "x"), Entry(1, 3, "y")});
  const Ship ship{At(1, 1), {Entry(2, 2, "b"), Entry(2, 3, "c")}, {}};
  r.Receive(1, 2, ship);
  const auto cuts = r.Take<TruncateLog>();
  ASSERT_EQ(cuts.size(), 1U);
  EXPECT_EQ(cuts[0].after, At(1, 1));
  EXPECT_FALSE(r.Has<AppendToLog>());  // recorded durably first
  r.Receive(1, 2, ship);
  EXPECT_FALSE(r.Has<AppendToLog>());
  r.Forced(3);  // what was under way when the cut was asked for
  EXPECT_EQ(r.core.durable(), Lsn{1});
  r.Step(TruncateDone{At(1, 1)});
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.size(), 2U);
  for (const ShipAck& ack : Acks()) EXPECT_LE(ack.durable, At(1, 1));
  r.Forced(3);
  EXPECT_EQ(Acks().at(0).durable, At(2, 3));
}

TEST_F(BackupFollower, ShipThatEndsBelowTheLogsEndCutsNothing) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "b"), Entry(1, 3, "c")});
  r.Receive(1, 2, Ship{At(0, 0), {Entry(1, 1, "a"), Entry(1, 2, "b")}, {}});
  EXPECT_FALSE(r.Has<TruncateLog>() || r.Has<AppendToLog>());
  EXPECT_EQ(r.core.last(), At(1, 3));
  EXPECT_EQ(Acks().at(0).durable, At(1, 2));
}

TEST_F(BackupFollower, MismatchNamesTheLastRecordThatMayBeCommon) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "b")});
  r.Receive(1, 2, Ship{At(2, 7), {}, {}});
  auto acks = Acks();
  ASSERT_EQ(acks.size(), 1U);
  EXPECT_TRUE(acks[0].mismatch);
  EXPECT_EQ(acks[0].hint, At(1, 2));
  EXPECT_EQ(acks[0].durable, At(0, 0));
}

TEST_F(BackupFollower, MismatchHintSkipsEpochsThatThePrimaryDidNotReach) {
  r.Start({Entry(1, 1, "a"), Entry(3, 2, "x"), Entry(3, 3, "y")}, 0, 4).Enter(ViewOf(5, 1, 499, {1, 2}));
  r.Receive(1, 5, Ship{At(2, 3), {}, {}});
  EXPECT_EQ(Acks().at(0).hint, At(1, 1));
  EXPECT_FALSE(r.Has<TruncateLog>());
}

// R4: never what is replicated or applied. Where no view without that primary may serve, the backup halts.
TEST_F(BackupFollower, HaltsRatherThanCutWhatWasApplied) {
  Replica two(2, /*replicas_min=*/2);
  two.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, /*applied=*/2, 1).Enter(ViewOf(2, 1, 499, {1, 2}));
  two.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "z")}, {}});
  EXPECT_TRUE(two.Has<Halt>());
  EXPECT_FALSE(two.Has<TruncateLog>());
  EXPECT_EQ(two.core.role(), Role::kHalted);
}

// I-R3: nor does it wait until such a primary drops it as silent, and goes on without the record.
TEST_F(BackupFollower, LeadsInPlaceOfAPrimaryThatLostWhatIsKnownReplicated) {
  Begin({Entry(1, 1, "a")});
  r.Receive(1, 2, Ship{At(1, 1), {Entry(2, 2, "b")}, {}}).Forced(2);
  r.Receive(1, 2, Ship{At(2, 2), {}, Lsn{2}});
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{2});
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}}).Enter(ViewOf(3, 1, 501, {1, 2}));
  r.Receive(1, 3, Ship{At(1, 1), {Entry(3, 2, "z")}, {}});
  EXPECT_FALSE(r.Has<TruncateLog>());
  EXPECT_FALSE(r.Has<Halt>());
  ASSERT_TRUE(r.Has<ProposeView>());
  const View next = r.Take<ProposeView>().at(0).view;
  EXPECT_EQ(next.epoch, Epoch{4});
  EXPECT_EQ(next.primary, NodeId{2});
  EXPECT_EQ(next.members.size(), 1u);
}

TEST_F(BackupFollower, HaltsWhenThePrimaryLacksWhatIsReplicated) {
  Replica two(2, /*replicas_min=*/2);
  two.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, 2, 1).Enter(ViewOf(2, 1, 499, {1, 2}));
  two.Receive(1, 2, Ship{At(2, 2), {}, {}});
  EXPECT_TRUE(two.Has<Halt>());
}

// R13 needs no more than this: matched, durable, and said to be replicated.
TEST_F(BackupFollower, KnowsAsReplicatedOnlyWhatIsMatchedAndDurableHere) {
  Begin({Entry(1, 1, "a"), Entry(1, 2, "x")});
  r.Receive(1, 2, Ship{At(1, 1), {}, Lsn{9}});
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{1});
  r.Receive(1, 2, Ship{At(1, 2), {Entry(2, 3, "c")}, Lsn{9}});
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{2});
  r.Forced(3);
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{3});
}

// R2
TEST_F(BackupFollower, LowerEpochIsAnsweredAndHasNoEffect) {
  Begin({Entry(1, 1, "a")});
  r.Receive(1, 1, Ship{At(1, 1), {Entry(1, 2, "b")}, Lsn{1}});
  EXPECT_FALSE(r.Has<AppendToLog>() || r.Has<ReplicatedUpTo>() || r.Has<SendTo>());
  EXPECT_EQ(r.Take<AnswerStaleEpoch>().at(0).epoch, Epoch{2});
}

TEST_F(BackupFollower, HigherEpochIsLookedUpAndItsShipTakenThen) {
  Begin({Entry(1, 1, "a")});
  r.Receive(1, 3, Ship{At(1, 1), {Entry(3, 2, "b")}, {}});
  EXPECT_TRUE(r.Has<ReadDirectory>());
  EXPECT_FALSE(r.Has<AppendToLog>());
  r.Enter(ViewOf(3, 1, 501, {1, 2}));
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.at(0).position, At(3, 2));
}

TEST_F(BackupFollower, DuplicatesAndReorderingAreHarmless) {
  Begin({});
  const Ship first{At(0, 0), {Entry(1, 1, "a")}, {}};
  const Ship second{At(1, 1), {Entry(2, 2, "b")}, {}};
  r.Receive(1, 2, second);  // too early
  EXPECT_TRUE(Acks().at(0).mismatch);
  r.Receive(1, 2, first)
      .Receive(1, 2, first)
      .Receive(1, 2, second)
      .Receive(1, 2, first)
      .Receive(1, 2, second);
  EXPECT_EQ(r.Take<AppendToLog>().size(), 2U);
  EXPECT_EQ(r.core.last(), At(2, 2));
  EXPECT_FALSE(r.Has<TruncateLog>());
}

TEST_F(BackupFollower, BelowItsBaseItMatchesAtTheBase) {
  r.log.Reset(At(1, 5));
  r.Step(Started{At(1, 5), Lsn{5}, Epoch{1}, kDirectory}).Enter(kView);
  r.Clear();
  r.Receive(1, 2, Ship{At(1, 2), {}, {}});
  const auto acks = Acks();
  ASSERT_EQ(acks.size(), 1U);
  EXPECT_TRUE(acks[0].mismatch);
  EXPECT_EQ(acks[0].hint, At(1, 5));
  r.Receive(1, 2, Ship{At(1, 3), {Entry(1, 4, "d"), Entry(1, 5, "e"), Entry(1, 6, "f")}, {}});
  EXPECT_EQ(r.Take<AppendToLog>().at(0).entries.at(0).position, At(1, 6));
}

TEST_F(BackupFollower, HostileShipsAreDropped) {
  Begin({Entry(1, 1, "a")});
  const std::string huge((4 << 20) + 1, 'x');
  const LogEntry nothing{At(2, 2), nullptr};
  const std::vector<Ship> ships = {
      {At(1, 1), {Entry(2, 3, "gap")}, {}},
      {At(1, 1), {Entry(2, 2, "b"), Entry(2, 2, "again")}, {}},
      {At(1, 1), {Entry(2, 2, "b"), Entry(1, 3, "epoch falls")}, {}},
      {At(1, 1), {Entry(3, 2, "epoch above the sender's")}, {}},
      {At(1, 1), {Entry(0, 2, "no epoch")}, {}},
      {At(1, 1), {nothing}, {}},
      {At(1, 1), {Entry(2, 2, huge)}, {}},
      {At(9, 1), {Entry(9, 2, "prev above")}, {}},
      {At(1, 0), {}, {}},
      {At(0, 1), {}, {}},
      {At(1, UINT64_MAX), {Entry(2, 0, "wraps")}, {}},
      {At(1, 1), std::vector<LogEntry>(kShipEntriesMax + 1, Entry(2, 2, "")), {}},
  };
  for (const Ship& ship : ships) {
    r.Receive(1, 2, ship);
    EXPECT_FALSE(r.Has<AppendToLog>() || r.Has<TruncateLog>() || r.Has<Halt>() || r.Has<SendTo>())
        << ToString(ship.prev);
  }
  r.Receive(3, 2, Ship{At(1, 1), {Entry(2, 2, "not the primary's")}, {}});
  r.Receive(2, 2, Ship{At(1, 1), {Entry(2, 2, "from myself")}, {}});
  EXPECT_FALSE(r.Has<AppendToLog>());
  r.Receive(1, 2, SnapshotPiece{At(1, 1), 0, "x", true});  // a member takes none
  EXPECT_FALSE(r.Has<WriteSnapshot>());
}

TEST_F(BackupFollower, UnforcedBacklogIsBounded) {
  Begin({});
  uint64_t lsn = 0;
  for (int i = 0; i < 40; ++i) {
    const LogPosition prev = lsn == 0 ? At(0, 0) : At(2, lsn);
    r.Receive(1, 2, Ship{prev, {Entry(2, lsn + 1, std::string(1 << 20, 'x'))}, {}});
    ++lsn;
  }
  EXPECT_LE(Raw(r.core.last().lsn), 16U);
}

TEST_F(BackupFollower, AnswersNobodysCommands) {
  Begin({});
  r.Step(OperatorChange{RequestId{1}, ChangeKind::kRemoveReplica, Node(2)});
  const auto replies = r.Take<OperatorReply>();
  ASSERT_EQ(replies.size(), 1U);
  EXPECT_EQ(replies[0].status.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace assent::backup
