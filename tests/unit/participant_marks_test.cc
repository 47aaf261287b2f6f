// C8 at a shard, and the horizon of C5: what may be forgotten, and when.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

void CommitOne(Shard& shard, uint64_t seq) {
  shard.Prepare(seq, {Put("k" + std::to_string(seq), "x")});
  shard.Replicate();
  shard.Commit(seq);
  shard.Replicate();
}

TEST(ParticipantMarks, DecisionsAreKeptUntilTheMarkPasses) {  // C8
  Shard shard;
  CommitOne(shard, 1);
  CommitOne(shard, 3);
  shard.Wait(100 * kSecond);
  EXPECT_TRUE(shard.Decided(1));
  shard.News(3);
  EXPECT_TRUE(shard.Decided(1)) << "not before it is logged";
  EXPECT_EQ(shard.Wait(kSecond), Lines{"6:Mark(3)"});
  EXPECT_FALSE(shard.Decided(1));
  EXPECT_TRUE(shard.Decided(3));
}

TEST(ParticipantMarks, IdleShardLogsNothing) {
  Shard shard;
  shard.News(3);
  EXPECT_EQ(shard.Wait(kSecond), Lines{"2:Mark(3)"});
  shard.Replicate();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(shard.News(3), Lines{});
    EXPECT_EQ(shard.Wait(10 * kSecond), Lines{});
  }
  EXPECT_EQ(shard.core().NextDeadline(), UINT64_MAX);
}

TEST(ParticipantMarks, ManyDecisionsLogTheMarkEarly) {
  Shard shard({.mark_rows = 4});
  shard.News(3);
  for (uint64_t seq = 10; seq < 13; ++seq) shard.Abort(seq);
  EXPECT_EQ(shard.Abort(13), (Lines{"5:Decided(13) abort", "6:Mark(3)"})) << "without waiting for the tick";
}

TEST(ParticipantMarks, MarkNeverFalls) {  // C8
  Shard shard;
  shard.News(5);
  shard.Wait(kSecond);
  EXPECT_EQ(shard.News(3), Lines{});
  EXPECT_EQ(shard.Wait(kSecond), Lines{});
  EXPECT_EQ(shard.Prepare(4, {Put("a", "x")}, {.mark = 2}), Lines{"c1<No(4) below mark"});
}

TEST(ParticipantMarks, BelowItNewWorkIsRefused) {  // C8
  Shard shard;
  shard.News(5);
  EXPECT_EQ(shard.Operate(1, 1, {Put("a", "x")}), Lines{"c1<Aborted(1) below mark"});
  EXPECT_EQ(shard.Prepare(4, {Put("a", "x")}), Lines{"c1<No(4) below mark"});
  EXPECT_EQ(shard.Commit1(4, {Put("a", "x")}), Lines{"2:Refused 4#1"});
  EXPECT_EQ(shard.Prepare(5, {Put("a", "x")}), Lines{"3:Prepared(5) w=a"});
}

TEST(ParticipantMarks, WorkThatWaitsWhileItPassesVotesNo) {  // C8, P6: a second abort is answered by the mark
  Shard shard;
  shard.Prepare(4, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Prepare(5, {Put("a", "y")}), Lines{}) << "waits for the key";
  shard.News(6);
  EXPECT_EQ(shard.Wait(kSecond), Lines{"3:Mark(6)"});
  shard.Replicate();
  EXPECT_EQ(shard.Abort(4), (Lines{"4:Decided(4) abort", "c1<No(5) below mark"}));
  EXPECT_EQ(shard.Abort(5), Lines{"c1<Ack(5) abort"});
}

TEST(ParticipantMarks, BelowItAnUnknownCommitIsAcknowledgedOnceTheMarkIsReplicated) {  // P6, C8
  Shard shard;
  CommitOne(shard, 1);
  shard.News(3);
  shard.Wait(kSecond);
  EXPECT_EQ(shard.Commit(1), Lines{}) << "the mark could still be lost";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) commit"});
  EXPECT_EQ(shard.Commit(3), Lines{"REPORT"}) << "not below";
}

TEST(ParticipantMarks, MarkThatWasOnlySeenAcknowledgesNothing) {  // C8: a promise needs the record
  Shard shard;
  shard.News(3);
  EXPECT_EQ(shard.Commit(1), Lines{"REPORT"});
}

TEST(ParticipantMarks, BelowItAnAbortLeavesNoTombstone) {
  Shard shard;
  shard.News(3);
  shard.Wait(kSecond);
  shard.Replicate();
  EXPECT_EQ(shard.Abort(1), Lines{"c1<Ack(1) abort"});
}

TEST(ParticipantMarks, PreparedBelowItStaysSoAndAsks) {  // C8, P4
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.News(5);
  shard.Wait(400'000);
  shard.Wait(600'000);
  shard.Replicate();
  EXPECT_EQ(shard.core().InDoubt(shard.now).size(), 1u);
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.Abort(1), Lines{"4:Decided(1) abort"});
  EXPECT_FALSE(shard.Decided(1)) << "nothing to remember below the mark";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) abort"});
}

TEST(ParticipantMarks, OneRecordDropsABoundedNumberOfRows) {  // G8
  Shard shard({.mark_rows = 1'000'000});
  for (uint64_t seq = 1; seq <= 1'500; ++seq) shard.Abort(seq);
  shard.Replicate();
  shard.News(2'000);
  EXPECT_EQ(shard.Wait(kSecond), Lines{"1502:Mark(1025)"});
  EXPECT_TRUE(shard.Decided(1'025));
  EXPECT_EQ(shard.Wait(100'000), Lines{"1503:Mark(2000)"});
  EXPECT_FALSE(shard.Decided(1'500));
}

TEST(ParticipantMarks, EachCoordinatorGroupHasItsOwn) {
  Shard shard;
  const GroupId c2{GroupKind::kCoordinator, 2};
  EXPECT_EQ(shard.From(c2, MarkNews{Txn(9), 0}), Lines{}) << "not its own group's";
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"2:Prepared(1) w=a"});
}

TEST(ParticipantMarks, HorizonDropsOldOutcomesAndRefusesTheirTokens) {  // C5
  Shard shard({.horizon_step_us = 1});
  shard.Commit1(1, {Put("a", "x")});
  shard.Replicate();
  shard.News(0, 5'000);  // not before its birth
  shard.Wait(kSecond);
  shard.Replicate();
  EXPECT_EQ(shard.Commit1(8, {Put("a", "y")}, {.token = 1}), Lines{"c1<Committed(8) 1#1 by(1)"});
  shard.News(0, 5'001);
  shard.Wait(kSecond);
  EXPECT_FALSE(shard.HasRow(Table::kOutcome, OutcomeKey(TokenOf(1))));
  shard.Replicate();
  EXPECT_EQ(shard.Commit1(9, {Put("a", "y")}, {.token = 1}), Lines{"c1<Refused(9) 1#1 token expired"});
  EXPECT_EQ(shard.Commit1(10, {Put("a", "y")}, {.token = 2}), Lines{"c1<Refused(10) 2#1 token expired"});
  EXPECT_EQ(shard.Value("a"), "x");
}

TEST(ParticipantMarks, SmallStepsOfTheHorizonAreNotLogged) {
  Shard shard;
  EXPECT_EQ(shard.News(0, 20 * kSecond), Lines{});
  EXPECT_EQ(shard.Wait(kSecond).size(), 1u);
  shard.News(0, 21 * kSecond);
  EXPECT_EQ(shard.Wait(kSecond), Lines{});
  shard.News(0, 30 * kSecond);
  EXPECT_EQ(shard.Wait(kSecond).size(), 1u);
}

TEST(ParticipantMarks, SweepForTheHorizonGoesOnOverRecordsAndRestarts) {  // C5, G8
  MapState store;
  for (uint64_t client = 1; client <= 2'500; ++client) {
    const Token token = TokenOf(1, client, client % 2 == 0 ? 100 : 9'000);
    store.Put(Table::kOutcome, OutcomeKey(token), EncodeRow(TokenOutcome{true, Txn(1), 0, 0, token.birth_us}),
              Lsn{1});
    store.Put(Table::kFloor, ClientKey(token), EncodeRow(ClientFloor{2, token.birth_us}), Lsn{1});
  }
  Shard shard({.horizon_step_us = 1}, store);
  shard.News(0, 5'000);
  EXPECT_EQ(shard.Wait(kSecond).size(), 1u);
  shard.Wait(100'000);
  shard.Replicate();
  shard.Flush();
  shard.Restart();
  size_t records = 0;
  for (int i = 0; i < 20; ++i) records += shard.Wait(kSecond).size();
  EXPECT_EQ(records, 3u);  // 5,000 rows, 1,024 at a time, two of five before
  for (uint64_t client = 1; client <= 2'500; ++client) {
    const Token token = TokenOf(1, client);
    ASSERT_EQ(shard.HasRow(Table::kOutcome, OutcomeKey(token)), client % 2 == 1);
    ASSERT_EQ(shard.HasRow(Table::kFloor, ClientKey(token)), client % 2 == 1);
  }
}

}  // namespace
}  // namespace assent::participant
