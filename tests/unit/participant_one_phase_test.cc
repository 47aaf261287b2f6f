// C6 and the shard's part of C5: the token decides what may run, the record decides the transaction.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantOnePhase, RecordIsTheDecision) {
  Shard shard;
  EXPECT_EQ(shard.Commit1(1, {Put("a", "x"), Get("a")}), Lines{"2:OnePhase(1) w=a"});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Committed(1) 1#1 by(1)"});
  EXPECT_EQ(shard.Last<OnePhaseReply>().results.size(), 2u);
  EXPECT_EQ(shard.Last<OnePhaseReply>().content, 99u);
  EXPECT_EQ(shard.Value("a"), "x");
}

TEST(ParticipantOnePhase, LocksAreHeldUntilTheRecordIsReplicated) {  // C6, not P5
  Shard shard;
  shard.Commit1(5, {Put("a", "x")});
  EXPECT_EQ(shard.Operate(1, 1, {Get("a")}), Lines{}) << "older, but this is decided: no wound, no request";
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Committed(5) 5#1 by(5)", "c1<Done(1) 1"}));
  EXPECT_EQ(shard.Last<OperateReply>().results[0].rows[0].value, "x");
}

TEST(ParticipantOnePhase, InteractiveCommitsWhatItDid) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Operate(1, 2, {Put("b", "y")});
  EXPECT_EQ(shard.Commit1(1, {}, {.last = 2}), Lines{"2:OnePhase(1) w=a,b"});
}

TEST(ParticipantOnePhase, LostOperationsAreRefusedForGood) {  // P3, C6
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Commit1(1, {}, {.last = 2}), Lines{"2:Refused 1#1"});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Refused(1) 1#1 branch lost"});
  shard.Operate(2, 1, {Put("a", "x")});
  shard.Restart();
  EXPECT_EQ(shard.Commit1(2, {}, {.branch = {Epoch{1}, 1}, .last = 1}), Lines{"4:Refused 2#1"});
}

TEST(ParticipantOnePhase, NoIsAnsweredOnlyWhenTheRefusalIsReplicated) {  // C6
  Shard shard;
  shard.Given("n", "1");
  EXPECT_EQ(shard.Commit1(1, {AddAbove("n", -5, 0)}), Lines{"3:Refused 1#1"});
  EXPECT_EQ(shard.Commit1(1, {AddAbove("n", -5, 0)}), Lines{}) << "repeated";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Refused(1) 1#1 refused attempt"})
      << "the repeated one; one reply each";
  EXPECT_EQ(shard.Commit1(1, {AddAbove("n", -5, 0)}), Lines{"c1<Refused(1) 1#1 refused attempt"});
  EXPECT_EQ(shard.Commit1(1, {AddAbove("n", -5, 0)}, {.attempt = 2}), Lines{"4:Refused 1#2"});
}

TEST(ParticipantOnePhase, RepeatedCommitHasOneEffect) {  // I-X1
  Shard shard;
  shard.Given("n", "1");
  shard.Commit1(1, {Add("n", 1)});
  EXPECT_EQ(shard.Commit1(1, {Add("n", 1)}), Lines{}) << "while it is being replicated";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Committed(1) 1#1 by(1)"});
  EXPECT_EQ(shard.Commit1(1, {Add("n", 1)}), Lines{"c1<Committed(1) 1#1 by(1)"});
  EXPECT_EQ(shard.Commit1(8, {Add("n", 1)}, {.attempt = 2, .token = 1}), Lines{"c1<Committed(8) 1#2 by(1)"})
      << "a retry under another id";
  shard.Flush();
  shard.Restart();
  EXPECT_EQ(shard.Commit1(9, {Add("n", 1)}, {.attempt = 3, .token = 1}), Lines{"c1<Committed(9) 1#3 by(1)"});
  EXPECT_EQ(shard.Value("n"), "2");
}

TEST(ParticipantOnePhase, LiveTokenIsJoinedNeverRunBesideItself) {  // C5, C6
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Commit1(5, {Add("n", 1), Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Commit1(6, {Add("n", 1), Put("a", "y")}, {.attempt = 2, .token = 5}), Lines{});
  EXPECT_EQ(shard.Abort(1), (Lines{"2:Decided(1) abort", "3:OnePhase(5) w=a,n"}));
  EXPECT_EQ(shard.Replicate(),
            (Lines{"c1<Ack(1) abort", "c1<Committed(6) 5#2 by(5)", "c1<Committed(5) 5#1 by(5)"}));
  EXPECT_EQ(shard.Value("n"), "1");
}

TEST(ParticipantOnePhase, EndOfAJoinedTokenRefusesAllItsAttempts) {
  Shard shard;
  shard.Operate(3, 1, {Put("a", "x")});
  shard.Commit1(5, {Put("b", "y"), Put("a", "y")});
  shard.Commit1(6, {Put("b", "y"), Put("a", "y")}, {.attempt = 2, .token = 5});
  EXPECT_EQ(shard.Operate(1, 1, {Put("b", "z")}), (Lines{"2:Refused 5#2", "c1<Done(1) 1"}));
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Refused(5) 5#1 wounded", "c1<Refused(6) 5#2 wounded"}));
}

TEST(ParticipantOnePhase, ReadOnlyLeavesNoRecord) {
  Shard shard;
  shard.Given("a", "x");
  EXPECT_EQ(shard.Commit1(1, {Get("a")}), Lines{"c1<Committed(1) 1#1 by(1)"});
  EXPECT_EQ(shard.log().size(), 2u);
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{"c1<Done(2) 1"});
}

TEST(ParticipantOnePhase, ReadOnlyDoesNotShowAnUnreplicatedVersion) {  // R1
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Commit(1);
  EXPECT_EQ(shard.Commit1(2, {Get("a")}), Lines{});
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Committed(2) 2#1 by(2)", "c1<Ack(1) commit"}));
}

TEST(ParticipantOnePhase, SettleRefusesWhatNeverCame) {  // C6
  Shard shard;
  EXPECT_EQ(shard.Settle(9, 1, 1), Lines{"2:Refused 1#1"});
  EXPECT_EQ(shard.Settle(9, 1, 1), Lines{});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Refused(9) 1#1 refused attempt"});
  EXPECT_EQ(shard.Commit1(1, {Put("a", "x")}), Lines{"c1<Refused(1) 1#1 refused attempt"})
      << "the late attempt";
  EXPECT_EQ(shard.Commit1(2, {Put("a", "x")}, {.attempt = 2, .token = 1}), Lines{"3:OnePhase(2) w=a"})
      << "a higher one may run";
}

TEST(ParticipantOnePhase, SettleEndsWhatIsStillRunning) {  // C6
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Commit1(5, {Put("a", "y")});
  EXPECT_EQ(shard.Settle(9, 5, 1), Lines{"2:Refused 5#1"});
  EXPECT_EQ(shard.Replicate(),
            (Lines{"c1<Refused(5) 5#1 refused attempt", "c1<Refused(9) 5#1 refused attempt"}));
}

TEST(ParticipantOnePhase, SettleOfAnOlderAttemptWaitsForTheRunningOne) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Commit1(5, {Put("a", "y")}, {.attempt = 3});
  EXPECT_EQ(shard.Settle(9, 5, 2), Lines{});
  shard.Abort(1);
  EXPECT_EQ(shard.Replicate(),
            (Lines{"c1<Ack(1) abort", "c1<Committed(9) 5#2 by(5)", "c1<Committed(5) 5#3 by(5)"}));
}

TEST(ParticipantOnePhase, SettleOfAnAppendedCommitWaitsForItsReplication) {  // C6
  Shard shard;
  shard.Commit1(1, {Put("a", "x")});
  EXPECT_EQ(shard.Settle(9, 1, 1), Lines{});
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Committed(9) 1#1 by(1)", "c1<Committed(1) 1#1 by(1)"}));
  EXPECT_EQ(shard.Settle(10, 1, 1), Lines{"c1<Committed(10) 1#1 by(1)"});
}

TEST(ParticipantOnePhase, SettleEndsInteractiveWorkThatNeverCameToItsCommit) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Settle(1, 1, 1), Lines{"2:Refused 1#1"});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{"c1<Done(2) 1"});
}

TEST(ParticipantOnePhase, AcknowledgedTokensAreDroppedAndRefused) {  // C5
  Shard shard;
  shard.Commit1(1, {Put("a", "x")});
  shard.Commit1(2, {Put("b", "x")});
  EXPECT_TRUE(shard.HasRow(Table::kOutcome, OutcomeKey(TokenOf(1))));
  shard.Commit1(3, {Put("c", "x")}, {.acked_below = 2});
  shard.Replicate();
  EXPECT_FALSE(shard.HasRow(Table::kOutcome, OutcomeKey(TokenOf(1))));
  EXPECT_TRUE(shard.HasRow(Table::kOutcome, OutcomeKey(TokenOf(2))));
  EXPECT_EQ(shard.Commit1(9, {Put("a", "again")}, {.token = 1}), Lines{"c1<Refused(9) 1#1 token expired"});
  EXPECT_EQ(shard.Settle(10, 1, 1), Lines{"c1<Refused(10) 1#1 token expired"});
  EXPECT_EQ(shard.Value("a"), "x");
}

TEST(ParticipantOnePhase, FloorStopsBelowTheTokenThatCarriesIt) {  // C5: it is not acknowledged yet
  Shard shard;
  shard.Commit1(3, {Put("c", "x")}, {.acked_below = 100});
  shard.Replicate();
  EXPECT_EQ(shard.Commit1(3, {Put("c", "x")}), Lines{"c1<Committed(3) 3#1 by(3)"});
}

TEST(ParticipantOnePhase, TombstoneOrMarkRefusesTheAttempt) {  // P6, C8
  Shard shard;
  shard.Abort(1);
  EXPECT_EQ(shard.Commit1(1, {Put("a", "x")}), Lines{"3:Refused 1#1"});
  shard.News(5);
  EXPECT_EQ(shard.Commit1(2, {Put("a", "x")}), Lines{"4:Refused 2#1"});
  EXPECT_EQ(shard.Replicate(),
            (Lines{"c1<Ack(1) abort", "c1<Refused(1) 1#1 below mark", "c1<Refused(2) 2#1 below mark"}));
}

TEST(ParticipantOnePhase, NonsenseIsDropped) {
  Shard shard;
  CommitOnePhase message;
  message.header = Header(1);
  message.operations = {Put("a", "x")};
  message.attempt = 1;
  EXPECT_EQ(shard.From(kC1, message), Lines{}) << "no token";
  message.token = TokenOf(1);
  message.attempt = 0;
  EXPECT_EQ(shard.From(kC1, message), Lines{}) << "attempts start at 1";
  message.attempt = 1;
  message.token.coordinator.number = 2;
  EXPECT_EQ(shard.From(kC1, message), Lines{}) << "another group's token";
  shard.Prepare(1, {Put("a", "x")});
  EXPECT_EQ(shard.Commit1(1, {Put("a", "x")}), Lines{}) << "prepared already";
}

// Not from a coordinator of ours: a transaction is committed under one token.
TEST(ParticipantOnePhase, CommittingBranchIsNotTouchedUnderAnotherToken) {
  Shard shard;
  shard.Given("n", "1");
  shard.Commit1(1, {Add("n", 1)}, {.token = 11});
  EXPECT_EQ(shard.Commit1(1, {Add("n", 1)}, {.token = 12}), Lines{}) << "a token not seen before";
  shard.Commit1(2, {Put("b", "x")}, {.token = 13});
  EXPECT_EQ(shard.Commit1(1, {Add("n", 1)}, {.token = 13}), Lines{}) << "one that is live";
  EXPECT_EQ(shard.Settle(1, 14, 1), Lines{}) << "no answer could be true";
  shard.Replicate();
  EXPECT_EQ(shard.Value("n"), "2");
}

TEST(ParticipantOnePhase, WithheldAnswersAreBounded) {  // G8
  ParticipantConfig config;
  config.work_bytes_max = 100'000;
  Shard shard(config);
  shard.Given("n", "1");
  shard.Commit1(1, {AddAbove("n", -5, 0)}, {.token = 11});
  for (uint64_t seq = 2; seq < 5'000; ++seq) shard.Commit1(seq, {AddAbove("n", -5, 0)}, {.token = 11});
  const size_t answers = shard.Replicate().size();
  EXPECT_GE(answers, 100u);
  EXPECT_LT(answers, 2'000u);
}

}  // namespace
}  // namespace assent::participant
