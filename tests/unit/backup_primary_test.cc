// Shipping and counting: R1, R2, R3, R4, R10.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

const View kTwo = ViewOf(2, 1, kLife, {1, 2});
const View kThree = ViewOf(2, 1, kLife, {1, 2, 3});

// R1
TEST(BackupPrimary, RecordIsReplicatedOnlyWhenForcedHereAndAckedByEveryBackup) {
  Replica r(1);
  r.Lead(kThree, {Entry(1, 1, "a")});
  r.Append("b");  // (2, 3)
  r.Ack(2, 2, At(2, 3)).Ack(3, 2, At(2, 3));
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());  // not forced here
  r.Forced(3);
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{3});

  r.Append("c").Forced(4);
  r.Ack(2, 2, At(2, 4));
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());  // node 3 lacks it
  r.Ack(3, 2, At(2, 4));
  EXPECT_EQ(r.Take<ReplicatedUpTo>().at(0).lsn, Lsn{4});
}

TEST(BackupPrimary, LonePrimaryCountsItsOwnForce) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(ViewOf(2, 1, kLife, {1}));
  EXPECT_FALSE(r.core.serving());
  r.Forced(2);
  EXPECT_TRUE(r.core.serving());
}

// R4
TEST(BackupPrimary, ServesOnlyWhenTheWholeInheritedLogIsReplicated) {
  Replica r(1);
  r.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, 1, 1).Enter(kTwo);
  r.Forced(3);
  r.Ack(2, 2, At(1, 2));  // all that was inherited, but not the epoch's beginning
  EXPECT_FALSE(r.Has<Serve>() || r.Has<ReplicatedUpTo>());
  r.Clear();
  r.Ack(2, 2, At(2, 3));
  ASSERT_EQ(r.effects.size(), 2U);
  EXPECT_EQ(std::get<ReplicatedUpTo>(r.effects[0]).lsn, Lsn{3});
  EXPECT_EQ(std::get<Serve>(r.effects[1]).epoch, Epoch{2});
}

// R2
TEST(BackupPrimary, AckOfAnotherEpochDoesNotCount) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Forced(3);
  r.Receive(2, 1, ShipAck{At(2, 3), Node(2).incarnation, false, {}});
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
  const auto stale = r.Take<AnswerStaleEpoch>();
  ASSERT_EQ(stale.size(), 1U);
  EXPECT_EQ(stale[0].epoch, Epoch{2});
  EXPECT_EQ(stale[0].to, NodeId{2});
  r.Receive(2, 3, ShipAck{At(2, 3), Node(2).incarnation, false, {}});
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
  EXPECT_TRUE(r.Has<ReadDirectory>());
  r.Step(Received{NodeId{2}, Epoch{2}, Epoch{1}, ShipAck{At(2, 3), Node(2).incarnation, false, {}}});
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
  EXPECT_EQ(r.Take<AnswerStaleEpoch>().size(), 1U);
}

// R3
TEST(BackupPrimary, AckOfAnotherIncarnationDoesNotCount) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Forced(3);
  r.Receive(2, 2, ShipAck{At(2, 3), Incarnation{21}, false, {}});
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
  r.Ack(3, 2, At(2, 3));  // nobody's member
  EXPECT_FALSE(r.Has<ReplicatedUpTo>());
}

// R4: by (epoch, LSN)
TEST(BackupPrimary, AckOfWhatIsNotInThisLogDoesNotCount) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1).Enter(kTwo);
  r.Forced(2).Ack(2, 2, At(1, 2));
  EXPECT_FALSE(r.core.serving());
  r.Ack(2, 2, At(2, 99));
  EXPECT_FALSE(r.core.serving());
  EXPECT_EQ(r.core.Describe(r.now_us).peers.at(0).acked, At(0, 0));
}

// R10
TEST(BackupPrimary, ShipsAtOnceWithoutWaitingForItsOwnForceOrATick) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b");
  const auto ships = r.Sent<Ship>(2);
  ASSERT_EQ(ships.size(), 1U);
  EXPECT_EQ(ships[0].prev, At(2, 2));
  ASSERT_EQ(ships[0].entries.size(), 1U);
  EXPECT_EQ(ships[0].entries[0].position, At(2, 3));
  EXPECT_EQ(ships[0].replicated, Lsn{2});
}

TEST(BackupPrimary, RecordsGatherWhileShipsAreOnTheirWay) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  for (int i = 0; i < 100; ++i) r.Append("x");
  EXPECT_EQ(r.Sent<Ship>(2).size(), kShipsInFlightMax);
  r.Ack(2, 2, At(2, 3));  // the first of them
  const auto next = r.Sent<Ship>(2);
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].entries.size(), 100U - kShipsInFlightMax);
}

TEST(BackupPrimary, BytesOnTheWayAreBounded) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  const std::string big(300 << 10, 'x');
  for (int i = 0; i < 40; ++i) r.Append(big);
  size_t sent = 0;
  for (int i = 0; i < 200 && r.core.Describe(r.now_us).peers.at(0).acked.lsn < r.log.last().lsn; ++i) {
    for (const Ship& ship : r.Sent<Ship>(2)) {
      size_t bytes = 0;
      for (const LogEntry& entry : ship.entries) bytes += entry.payload->size();
      EXPECT_LE(bytes, kShipBytesMax);
      sent += ship.entries.size();
      EXPECT_LE(r.core.Describe(r.now_us).peers.at(0).in_flight_bytes, kInFlightBytesMax);
    }
    r.Ack(2, 2, At(2, 2 + sent));
  }
  EXPECT_EQ(sent, 40U);
  EXPECT_EQ(r.core.Describe(r.now_us).peers.at(0).in_flight_bytes, 0U);
}

// R4
TEST(BackupPrimary, WalksBackToTheLastRecordInCommonByRunsOfEpochs) {
  // Here 1 1 1 3 3 | 5, there 1 1 2 2 2 2: in common up to LSN 2.
  Replica r(1);
  r.Start({Entry(1, 1, "a"), Entry(1, 2, "b"), Entry(1, 3, "c"), Entry(3, 4, "d"), Entry(3, 5, "e")}, 0, 4);
  r.Enter(ViewOf(5, 1, kLife, {1, 2}));
  EXPECT_EQ(r.Sent<Ship>(2).at(0).prev, At(3, 5));
  r.Mismatch(2, 5, {}, At(2, 5));
  auto probe = r.Sent<Ship>(2);
  ASSERT_EQ(probe.size(), 1U);
  EXPECT_EQ(probe[0].prev, At(1, 3));  // the last one here of an epoch up to 2
  EXPECT_TRUE(probe[0].entries.empty());
  r.Mismatch(2, 5, {}, At(1, 2));
  probe = r.Sent<Ship>(2);
  ASSERT_EQ(probe.size(), 1U);
  EXPECT_EQ(probe[0].prev, At(1, 2));
  r.Mismatch(2, 5, {}, At(2, 5));  // a late duplicate
  EXPECT_TRUE(r.Sent<Ship>(2).empty());
  r.Ack(2, 5, At(1, 2));
  const auto ships = r.Sent<Ship>(2);
  ASSERT_EQ(ships.size(), 1U);
  EXPECT_EQ(ships[0].prev, At(1, 2));
  EXPECT_EQ(ships[0].entries.size(), 4U);
}

TEST(BackupPrimary, LostShipIsSentAgainAfterSilence) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Append("c");
  r.Clear();  // both lost
  EXPECT_LE(r.core.NextDeadline(), r.now_us + kSilenceUs);
  r.Wait(kSilenceUs);
  EXPECT_EQ(r.Sent<Ship>(2).at(0).prev, At(2, 4));
  r.Mismatch(2, 2, At(2, 2), At(2, 2));
  EXPECT_EQ(r.Sent<Ship>(2).at(0).prev, At(2, 2));
  r.Ack(2, 2, At(2, 2));
  EXPECT_EQ(r.Sent<Ship>(2).at(0).entries.size(), 2U);
}

TEST(BackupPrimary, NewsOfWhatIsReplicatedGoesOutEvenWhenIdle) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  r.Clear();
  r.Wait(kReplicatedNewsUs);
  EXPECT_EQ(r.Sent<Ship>(2).at(0).replicated, Lsn{3});
  EXPECT_GT(r.core.NextDeadline(), r.now_us + kReplicatedNewsUs);
}

// Nobody acknowledges the news, so what was lost of it would leave a backup behind until the next record.
TEST(BackupPrimary, NewsOfWhatIsReplicatedIsRepeated) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("b").Forced(3).Ack(2, 2, At(2, 3));
  r.Wait(kReplicatedNewsUs);
  r.Clear();
  for (uint64_t waited_us = 0; waited_us <= kNewsRepeatUs; waited_us += kBeaconUs) r.Wait(kBeaconUs);
  const auto sent = r.Sent<Ship>(2);
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.at(0).replicated, Lsn{3});
}

TEST(BackupPrimary, StatusShowsTheLagOfEachBackup) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  r.Append("12345").Append("123");
  r.now_us += 7;
  const ReplicationStatus status = r.core.Describe(r.now_us);
  EXPECT_EQ(status.role, Role::kPrimary);
  EXPECT_TRUE(status.serving);
  ASSERT_EQ(status.peers.size(), 1U);
  EXPECT_EQ(status.peers[0].lag_records, 2U);
  EXPECT_EQ(status.peers[0].lag_bytes, 8U);
  EXPECT_EQ(status.peers[0].last_ack_age_us, 7U);
  EXPECT_TRUE(status.peers[0].required);
}

TEST(BackupPrimaryDeathTest, RoleMayNotNumberWhatDoesNotFollow) {
  Replica r(1);
  r.Lead(kTwo, {Entry(1, 1, "a")});
  EXPECT_DEATH(r.Step(LocalAppend{{Entry(2, 9, "x")}}), "the role numbered");
  EXPECT_DEATH(r.Step(LocalAppend{{Entry(1, 3, "x")}}), "the role numbered");
}

}  // namespace
}  // namespace assent::backup
