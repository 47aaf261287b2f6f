// Votes and decisions: R1, P3, P5, P6, P9.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantTwoPhase, OneShotFromPrepareToAcknowledgement) {
  Shard shard;
  shard.Given("a", "1");
  EXPECT_EQ(shard.Prepare(1, {Get("r"), Scan("s/"), Add("a", 1)}), Lines{"3:Prepared(1) w=a r=r,s/"});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.Last<VoteReply>().results[2].number, 2);
  EXPECT_EQ(shard.Value("a"), "1");
  EXPECT_EQ(shard.Commit(1), Lines{"4:Decided(1) commit"});
  EXPECT_EQ(shard.Value("a"), "2");
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) commit"});
  EXPECT_EQ(shard.core().gauges().branches, 0u);
}

TEST(ParticipantTwoPhase, YesLeavesOnlyWhenPreparedIsReplicated) {  // R1, P3
  Shard shard;
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"2:Prepared(1) w=a"});
  EXPECT_EQ(shard.Prepare(2, {Put("b", "x")}), Lines{"3:Prepared(2) w=b"});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{}) << "repeated";
  EXPECT_EQ(shard.ReplicateTo(2), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.ReplicateTo(3), Lines{"c1<Yes(2)"});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.Last<VoteReply>().results.size(), 1u) << "with its results";
}

TEST(ParticipantTwoPhase, PreparedSaysAllThatTheBranchNeeds) {  // P3
  Shard shard;
  shard.Prepare(1, {Get("r"), Put("w", "x"), Delete("d")});
  const auto& record = std::get<Prepared>(shard.log().back().second);
  EXPECT_EQ(record.txn, Txn(1));
  EXPECT_EQ(record.age, (Age{1, Txn(1)}));
  EXPECT_EQ(record.mode, CommitMode::kCoordinator);
  ASSERT_EQ(record.participants.size(), 4u);
  EXPECT_EQ(record.participants[1], (Participant{"", kS2, true}));
  EXPECT_EQ(record.writes, (std::vector<Write>{{"d", std::nullopt}, {"w", "x"}}));
  EXPECT_EQ(record.read_locks, (std::vector<ReadLock>{{"r", false, ""}}));
}

TEST(ParticipantTwoPhase, InteractivePreparesWhenItsLastOperationMatches) {  // P3
  Shard shard;
  shard.Operate(1, 1, {Get("a"), Put("a", "x")});
  EXPECT_EQ(shard.Prepare(1, {}, {.last = 2}), Lines{"2:Prepared(1) w=a"});
  shard.Operate(2, 1, {Put("b", "x")});
  EXPECT_EQ(shard.Prepare(2, {}, {.last = 2}), Lines{"c1<No(2) branch lost"});
  shard.Operate(3, 1, {Put("c", "x")});
  EXPECT_EQ(shard.Prepare(3, {}, {.branch = {Epoch{9}, 1}, .last = 1}), Lines{"c1<No(3) branch lost"});
}

TEST(ParticipantTwoPhase, NothingKnownAndNothingToDoIsANoNeverReadOnly) {  // P3
  Shard shard;
  EXPECT_EQ(shard.Prepare(1, {}, {.may_release = true}), Lines{"c1<No(1) branch lost"});
}

TEST(ParticipantTwoPhase, HalfABranchAfterAFailoverVotesNo) {  // P3
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Restart();
  EXPECT_EQ(shard.Prepare(1, {}, {.branch = {Epoch{1}, 1}, .last = 1}), Lines{"c1<No(1) branch lost"});
}

TEST(ParticipantTwoPhase, RepeatedPrepareAfterAFailoverVotesYesAgain) {  // P3: whatever the epoch
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Prepare(1, {}, {.last = 1});
  shard.Replicate();
  shard.Restart();
  EXPECT_EQ(shard.Prepare(1, {}, {.branch = {Epoch{1}, 1}, .last = 1}), Lines{"c1<Yes(1)"});
}

TEST(ParticipantTwoPhase, PrepareWaitsForItsLocksAndCanBeWoundedMeanwhile) {  // P2
  Shard shard;
  shard.Operate(3, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Prepare(5, {Put("b", "y"), Put("a", "y")}), Lines{});
  EXPECT_EQ(shard.Prepare(5, {Put("b", "y"), Put("a", "y")}), Lines{}) << "repeated while it waits";
  EXPECT_EQ(shard.Operate(1, 1, {Put("b", "z")}), (Lines{"c1<No(5) wounded", "c1<Done(1) 1"}));
}

TEST(ParticipantTwoPhase, ReadOnlyVotesAndLetsGoIfAllLocksWereGranted) {  // P9
  Shard shard;
  shard.Operate(1, 1, {Get("a")});
  EXPECT_EQ(shard.Prepare(1, {}, {.may_release = true, .last = 1}), Lines{"c1<ReadOnly(1)"});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "x")}), Lines{"c1<Done(2) 1"});
  EXPECT_EQ(shard.Prepare(1, {}, {.may_release = true, .last = 1}), Lines{"c1<No(1) branch lost"});
}

TEST(ParticipantTwoPhase, ReadOnlyWithWritesElsewherePreparesItsReadLocks) {  // P9
  Shard shard;
  EXPECT_EQ(shard.Prepare(1, {Get("a")}), Lines{"2:Prepared(1) r=a"});
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "x")}), Lines{}) << "held until the decision";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Yes(1)"});
  EXPECT_EQ(shard.Commit(1), (Lines{"3:Decided(1) commit", "c1<Done(2) 1"}));
}

TEST(ParticipantTwoPhase, BranchNamedAsWritingNeverVotesReadOnly) {  // P8 may ask it, so it leaves a trace
  Shard shard;
  Prepare message;
  message.header = Header(1);
  message.operations = {Get("a")};
  message.participants = {Participant{"", kS1, true}};
  message.may_release = true;
  EXPECT_EQ(shard.From(kC1, message), Lines{"2:Prepared(1) r=a"});
}

TEST(ParticipantTwoPhase, DecisionFreesLocksAtOnceAndIsAcknowledgedWhenReplicated) {  // P5
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Operate(2, 1, {Put("a", "y")});
  EXPECT_EQ(shard.Commit(1), (Lines{"3:Decided(1) commit", "c1<Done(2) 1"}));
  EXPECT_EQ(shard.Commit(1), Lines{}) << "repeated";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) commit"}) << "once";
  EXPECT_EQ(shard.Commit(1), Lines{"c1<Ack(1) commit"});
}

TEST(ParticipantTwoPhase, CommitAppliesOnce) {  // P6
  Shard shard;
  shard.Given("n", "1");
  shard.Prepare(1, {Add("n", 1)});
  shard.Replicate();
  shard.Commit(1);
  shard.Prepare(2, {Add("n", 1)});
  shard.Replicate();
  shard.Commit(2);
  shard.Commit(1);
  shard.Commit(2);
  EXPECT_EQ(shard.Value("n"), "3");
  EXPECT_EQ(shard.Prepare(1, {Add("n", 1)}), Lines{}) << "a late duplicate starts nothing";
  EXPECT_EQ(shard.Operate(1, 1, {Add("n", 1)}), Lines{});
}

TEST(ParticipantTwoPhase, VersionIsTheCommittingRecord) {
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Commit(1);
  shard.Replicate();
  shard.Operate(2, 1, {Get("a")});
  EXPECT_EQ(shard.Last<OperateReply>().results[0].rows, (std::vector<ResultRow>{{"a", "x", 3}}));
}

TEST(ParticipantTwoPhase, AbortThatOvertakesItsPrepareLeavesATombstone) {  // P6
  Shard shard;
  EXPECT_EQ(shard.Abort(1), Lines{"2:Decided(1) abort"});
  EXPECT_EQ(shard.Abort(1), Lines{});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<No(1) below mark"});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) abort"});
  EXPECT_EQ(shard.Abort(1), Lines{"c1<Ack(1) abort"});
  shard.Restart();
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<No(1) below mark"});
  EXPECT_EQ(shard.Operate(1, 1, {Put("a", "x")}), Lines{"c1<Aborted(1) below mark"});
}

TEST(ParticipantTwoPhase, AbortOfAPreparedBranchFreesAndForgetsItsWrites) {
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  EXPECT_EQ(shard.Abort(1), Lines{"3:Decided(1) abort"});
  EXPECT_EQ(shard.Value("a"), "(none)");
  EXPECT_EQ(shard.Operate(2, 1, {Put("a", "y")}), Lines{"c1<Done(2) 1"});
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) abort"});
  EXPECT_EQ(shard.Prepare(1, {Put("a", "x")}), Lines{"c1<No(1) below mark"});
}

TEST(ParticipantTwoPhase, AbortEndsUnpreparedWorkWithoutWords) {
  Shard shard;
  shard.Operate(1, 1, {Put("a", "x")});
  shard.Operate(2, 1, {Put("a", "y")});
  EXPECT_EQ(shard.Abort(1), (Lines{"2:Decided(1) abort", "c1<Done(2) 1"}));
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Ack(1) abort"});
}

TEST(ParticipantTwoPhase, DecisionsNeverReverse) {  // I-A2, G1
  Shard shard;
  shard.Prepare(1, {Put("a", "x")});
  shard.Replicate();
  shard.Commit(1);
  EXPECT_EQ(shard.Abort(1), Lines{}) << "presumed by a coordinator that has ended it: no effect, and no ack";
  EXPECT_EQ(shard.Value("a"), "x");
  shard.Abort(2);
  shard.Replicate();
  EXPECT_EQ(shard.Commit(2), Lines{"REPORT"}) << "and no ack";
}

TEST(ParticipantTwoPhase, CommitOfAnUnknownTransactionIsDamage) {  // P6, G7
  Shard shard;
  EXPECT_EQ(shard.Commit(1), Lines{"REPORT"});
  shard.Operate(2, 1, {Put("a", "x")});
  EXPECT_EQ(shard.Commit(2), Lines{"REPORT"}) << "it never voted";
}

TEST(ParticipantTwoPhase, FullLogVotesNo) {  // G8
  Shard shard({.unreplicated_bytes_max = 1'000});
  shard.Prepare(1, {Put("a", std::string(1'000, 'x'))});
  EXPECT_EQ(shard.Prepare(2, {Put("b", "x")}), Lines{"c1<No(2) overloaded"});
  EXPECT_EQ(shard.Abort(3), Lines{}) << "no tombstone now; it will be said again";
  EXPECT_EQ(shard.Commit1(4, {Put("c", "x")}), Lines{});
  shard.Replicate();
  EXPECT_EQ(shard.Prepare(5, {Put("b", "x")}), Lines{"3:Prepared(5) w=b"});
}

TEST(ParticipantTwoPhase, StoreThatDoesNotTakeChangesStopsNewVotes) {  // G8
  Shard shard({.overlay_bytes_max = 2'000});
  shard.Given("a", std::string(3'000, 'x'));
  EXPECT_EQ(shard.Prepare(1, {Put("b", "x")}), Lines{"c1<No(1) overloaded"});
  EXPECT_EQ(shard.Commit1(2, {Put("b", "x")}), Lines{"3:Refused 2#1"}) << "refusals still can be told";
  EXPECT_EQ(shard.Replicate(), Lines{"c1<Refused(2) 2#1 overloaded"});
  shard.Flush();
  EXPECT_EQ(shard.Prepare(3, {Put("b", "x")}), Lines{"4:Prepared(3) w=b"});
}

TEST(ParticipantTwoPhase, ReadsThatMakeTheRecordTooLargeAreANo) {  // a segment must hold it
  Shard shard({.step_work_max = 1'000'000});
  std::vector<Operation> operations = {Put("a", "x")};
  for (int i = 1'000; i < 1'600; ++i) operations.push_back(Scan(std::string(1'000, 'p') + std::to_string(i)));
  EXPECT_EQ(shard.Prepare(1, operations), Lines{"c1<No(1) too large"});
  operations.resize(500);
  EXPECT_EQ(shard.Prepare(2, operations).size(), 1u) << "Prepared";
  EXPECT_LT(EncodeRecord(shard.log().back().second).size(), 3u << 20);
}

}  // namespace
}  // namespace assent::participant
