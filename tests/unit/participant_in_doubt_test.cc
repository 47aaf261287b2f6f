// Branches in doubt: P8, C7, and the wound requests of P2.
#include <gtest/gtest.h>

#include <algorithm>

#include "participant_testing.h"

namespace assent::participant {
namespace {

size_t Count(const Lines& lines, const std::string& line) {
  return static_cast<size_t>(std::count(lines.begin(), lines.end(), line));
}
Lines PeerAsks(Shard& shard, uint64_t seq) {
  return shard.From(kS2, PeerInquire{Txn(seq)});
}
Lines PeerSays(Shard& shard, uint64_t seq, Decision decision, GroupId peer = kS2) {
  return shard.From(peer, PeerOutcome{Txn(seq), decision});
}

TEST(ParticipantInDoubt, AsksItsCoordinatorWithBackoff) {  // P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Wait(1'500'000), Lines{"c1<Inquire(1)"});
  EXPECT_EQ(shard.Wait(900'000), Lines{}) << "not before half of 2 s";
  EXPECT_EQ(shard.Wait(3 * kSecond), Lines{"c1<Inquire(1)"});
  size_t asked = 0;
  for (int i = 0; i < 600; ++i) asked += Count(shard.Wait(kSecond), "c1<Inquire(1)");
  EXPECT_GE(asked, 200u);  // at most 2 s and half apart
  EXPECT_LE(asked, 600u);
}

TEST(ParticipantInDoubt, AsksTheOtherWritingShardsWhenTheCoordinatorIsSilent) {  // P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(shard.Wait(15 * kSecond), Lines{"c1<Inquire(1)"});
  // Not s3, which does not write, nor the foreign bank.
  EXPECT_EQ(shard.Wait(15 * kSecond), (Lines{"c1<Inquire(1)", "s2<PeerInquire(1)"}));
}

// Peers that have not voted refuse for good: a transaction that is merely slow would be ended.
TEST(ParticipantInDoubt, CoordinatorThatIsThereIsAskedAlone) {  // P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(shard.Wait(15 * kSecond), Lines{"c1<Inquire(1)"});
    shard.now.mono_us += 1'000;
    shard.News(0);
  }
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(shard.Wait(15 * kSecond), Lines{"c1<Inquire(1)"}) << "from now on silent";
  EXPECT_EQ(shard.Wait(15 * kSecond), (Lines{"c1<Inquire(1)", "s2<PeerInquire(1)"}));
}

TEST(ParticipantInDoubt, PeersWordSettlesAPreparedBranchOnly) {  // P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Prepare(2, {Put("b", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.From(kS2, PeerOutcome{Txn(1), std::nullopt}), Lines{});
  EXPECT_EQ(PeerSays(shard, 1, Decision::kCommit, GroupId{GroupKind::kShard, 3}), Lines{})
      << "it does not write";
  EXPECT_EQ(PeerSays(shard, 1, Decision::kCommit), Lines{"4:Decided(1) commit"});
  EXPECT_EQ(PeerSays(shard, 2, Decision::kAbort), Lines{"5:Decided(2) abort"});
  EXPECT_EQ(shard.Replicate(), Lines{});
  EXPECT_EQ(shard.Commit(1), Lines{"c1<Ack(1) commit"});
  shard.Operate(3, 1, {Put("c", "x")});
  EXPECT_EQ(PeerSays(shard, 3, Decision::kAbort), Lines{});
  EXPECT_EQ(PeerSays(shard, 9, Decision::kAbort), Lines{});
}

TEST(ParticipantInDoubt, PeerIsToldARecordedDecisionOnceItIsReplicated) {  // P8, R1
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(PeerAsks(shard, 1), Lines{"s2<PeerOutcome(1) unknown"}) << "in doubt as well";
  shard.Commit(1);
  EXPECT_EQ(PeerAsks(shard, 1), Lines{});
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Ack(1) commit", "s2<PeerOutcome(1) commit"}));
  EXPECT_EQ(PeerAsks(shard, 1), Lines{"s2<PeerOutcome(1) commit"});
}

TEST(ParticipantInDoubt, ShardThatHasNotVotedRefusesForGoodBeforeItAnswers) {  // P8
  Shard shard;
  EXPECT_EQ(PeerAsks(shard, 1), Lines{"2:Decided(1) abort"});
  EXPECT_EQ(PeerAsks(shard, 1), Lines{});
  EXPECT_EQ(shard.Replicate(), Lines{"s2<PeerOutcome(1) abort"});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<No(1) below mark"})
      << "it can not vote yes any more";
}

TEST(ParticipantInDoubt, UnpreparedWorkIsEndedForAPeerInDoubt) {  // P8
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(PeerAsks(shard, 1), (Lines{"c1<Aborted(1) below mark", "2:Decided(1) abort"}));
  EXPECT_EQ(shard.Replicate(), Lines{"s2<PeerOutcome(1) abort"});
}

TEST(ParticipantInDoubt,
     NothingKnownBelowTheMarkIsNoAnswer) {  // P8, C8: it may have been committed and forgotten
  Shard shard;
  shard.News(5);
  EXPECT_EQ(PeerAsks(shard, 4), Lines{"s2<PeerOutcome(4) unknown"});
  shard.Wait(kSecond);
  shard.Replicate();
  shard.Restart();
  EXPECT_EQ(PeerAsks(shard, 4), Lines{"s2<PeerOutcome(4) unknown"}) << "the mark is in the log";
  EXPECT_EQ(PeerAsks(shard, 5), Lines{"4:Decided(5) abort"}) << "not below";
}

TEST(ParticipantInDoubt, OnePhaseUnderWayIsNoAnswer) {
  Shard shard;
  shard.Commit1(1, {Put("a", "x")});
  EXPECT_EQ(PeerAsks(shard, 1), Lines{"s2<PeerOutcome(1) unknown"});
}

TEST(ParticipantInDoubt, OlderRequestAsksTheCoordinatorOfAVotedHolder) {  // P2
  Shard shard;
  shard.Prepare(5, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Operate(1, 1, {Put("a", "y")}), Lines{"c1<Wound(5)"});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{}) << "asked already";
  EXPECT_EQ(shard.Wait(100'000), Lines{"c1<Wound(5)"});
  EXPECT_EQ(shard.Wait(100'000), Lines{});
  EXPECT_EQ(shard.Wait(100'000), Lines{"c1<Wound(5)"}) << "backs off";
  EXPECT_EQ(shard.Abort(5), (Lines{"3:Decided(5) abort", "c1<Done(1) 1"}));
  EXPECT_EQ(shard.Wait(2 * kSecond), Lines{});
}

TEST(ParticipantInDoubt, YoungerWaiterAsksForNoWound) {  // P2
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Operate(5, 1, {Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Wait(400'000), Lines{});
}

TEST(ParticipantInDoubt, WoundRequestsEndWithTheWaiter) {  // P2
  Shard shard;
  shard.Prepare(5, {Put("a", "x")});
  shard.Replicate();
  shard.Operate(1, 1, {Put("a", "y")});
  shard.Abort(1);
  EXPECT_EQ(shard.Wait(100'000), Lines{});
}

TEST(ParticipantInDoubt, ManyAskInRoundsNotAtOnce) {  // C7
  Shard shard({.inquiries_per_round = 10});
  for (uint64_t seq = 1; seq <= 100; ++seq) shard.Prepare(seq, {Put("k" + std::to_string(seq), "x")});
  shard.Replicate();
  shard.Restart();
  shard.now.mono_us += 2 * kSecond;  // all are due
  size_t asked = 0;
  size_t rounds = 0;
  while (asked < 100 && rounds < 1'000) {
    shard.now.mono_us = std::max(shard.now.mono_us, shard.core().NextDeadline());
    const size_t now = shard.Wait(0).size();
    EXPECT_LE(now, 10u);
    asked += now;
    ++rounds;
  }
  EXPECT_GE(rounds, 10u);
  EXPECT_LE(shard.now.mono_us, 1'000 * kSecond + 10 * kSecond);
}

TEST(ParticipantInDoubt, CoordinatorsNewEpochIsAskedSoon) {  // P8
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  for (int i = 0; i < 10; ++i) shard.Wait(45 * kSecond);
  EXPECT_EQ(shard.Step(GroupEpoch{kC1, Epoch{2}}), Lines{});
  EXPECT_EQ(shard.Wait(30'000), Lines{"c1<Inquire(1)"}) << "and no peer yet";
}

TEST(ParticipantInDoubt, OperatorsSeeWhatWaitsAndForHowLong) {
  Shard shard;
  shard.Prepare(3, {Put("a", "x"), Get("r"), Scan("s/")});
  shard.Replicate();
  shard.Operate(7, 1, {Get("a")});
  shard.now.mono_us += 5;
  const auto list = shard.core().InDoubt(shard.now);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].txn, Txn(3));
  EXPECT_EQ(list[0].in_doubt_us, 5u);
  EXPECT_EQ(list[0].writes, 1u);
  EXPECT_EQ(list[0].locks, 3u);
  EXPECT_EQ(shard.core().BlockedBy(Txn(3)), 1u);
  EXPECT_EQ(list[0].participants.size(), 4u);
}

}  // namespace
}  // namespace assent::participant
