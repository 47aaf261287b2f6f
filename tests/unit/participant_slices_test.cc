// A step does a bounded amount of work: a long request, and many that become runnable at once, go on at the
// next Tick, which is wanted at once. With one operation for 4 units, 40 units are 10 operations.
#include <gtest/gtest.h>

#include "participant_testing.h"

namespace assent::participant {
namespace {

ParticipantConfig TenAStep() {
  ParticipantConfig config;
  config.step_work_max = 40;
  return config;
}

std::vector<Operation> Adds(int count, const std::string& key = "n") {
  std::vector<Operation> operations(static_cast<size_t>(count), Add(key, 1));
  return operations;
}

TEST(ParticipantSlices, LongRequestGoesOnAtTheNextTick) {
  Shard shard(TenAStep());
  EXPECT_EQ(shard.Operate(1, 1, Adds(35)), Lines{});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(shard.core().NextDeadline(), 0u);
    EXPECT_EQ(shard.Wait(0), Lines{});
  }
  EXPECT_EQ(shard.Wait(0), Lines{"c1<Done(1) 35"});
  EXPECT_EQ(shard.Last<OperateReply>().results.back().number, 35);
  EXPECT_GT(shard.core().NextDeadline(), shard.now.mono_us);
}

TEST(ParticipantSlices, OthersRunBetweenAndSeeNothingOfIt) {  // P1
  Shard shard(TenAStep());
  EXPECT_EQ(shard.Commit1(1, Adds(35)), Lines{});
  EXPECT_EQ(shard.Operate(2, 1, {Put("other", "x")}), Lines{"c1<Done(2) 1"});
  EXPECT_EQ(shard.Operate(3, 1, {Get("n")}), Lines{}) << "it waits for the lock";
  Lines lines;
  while (lines.empty()) lines = shard.Wait(0);
  EXPECT_EQ(lines, Lines{"2:OnePhase(1) w=n"});
  EXPECT_EQ(shard.Replicate(), (Lines{"c1<Committed(1) 1#1 by(1)", "c1<Done(3) 1"}));
  EXPECT_EQ(shard.Last<OperateReply>().results[0].rows[0].value, "35");
}

TEST(ParticipantSlices, RequestsTakeTurns) {
  Shard shard(TenAStep());
  EXPECT_EQ(shard.Operate(1, 1, Adds(95, "a")), Lines{});
  EXPECT_EQ(shard.Operate(2, 1, Adds(15, "b")), Lines{});
  EXPECT_EQ(shard.Wait(0), Lines{});
  EXPECT_EQ(shard.Wait(0), Lines{"c1<Done(2) 15"}) << "not behind all of the first";
}

TEST(ParticipantSlices, RepeatedMessageOfOneThatIsCutIsIgnored) {
  Shard shard(TenAStep());
  shard.Operate(1, 1, Adds(15));
  EXPECT_EQ(shard.Operate(1, 1, Adds(15)), Lines{"c1<Done(1) 15"}) << "what was left of it";
  EXPECT_EQ(shard.Last<OperateReply>().results.back().number, 15);
}

TEST(ParticipantSlices, OneThatIsCutCanBeWoundedOrRolledBack) {  // P2
  Shard shard(TenAStep());
  shard.Operate(5, 1, Adds(25));
  EXPECT_EQ(shard.Operate(1, 1, {Get("n")}), (Lines{"c1<Aborted(5) wounded", "c1<Done(1) 1"}));
  EXPECT_EQ(shard.Last<OperateReply>().results[0].rows.size(), 0u);
  shard.Operate(6, 1, Adds(25, "m"));
  EXPECT_EQ(shard.Abort(6), Lines{"2:Decided(6) abort"});
  EXPECT_EQ(shard.Wait(0), Lines{});
  EXPECT_GT(shard.core().NextDeadline(), shard.now.mono_us) << "nothing is left of them";
}

TEST(ParticipantSlices, ManyGrantedAtOnceRunInSeveralSteps) {
  Shard shard(TenAStep());
  shard.Operate(1, 1, {Put("a", "x")});
  for (uint64_t seq = 2; seq <= 31; ++seq) EXPECT_EQ(shard.Operate(seq, 1, {Get("a")}), Lines{});
  size_t done = shard.Abort(1).size() - 1;  // its tombstone
  EXPECT_LE(done, 10u);
  for (int step = 0; step < 3; ++step) {
    const size_t more = shard.Wait(0).size();
    EXPECT_LE(more, 10u);
    done += more;
  }
  EXPECT_EQ(done, 30u);
}

// Bytes count, too: each of these reads the whole value.
TEST(ParticipantSlices, ChecksOfALongValueAreCut) {
  Shard shard;
  shard.Given("k", std::string(kValueBytesMax, 'v'));
  std::vector<Operation> checks(200, Exists("k"));
  EXPECT_EQ(shard.Operate(1, 1, std::move(checks)), Lines{});
  int steps = 1;
  for (Lines lines; lines.empty(); ++steps) lines = shard.Wait(0);
  EXPECT_GT(steps, 10);
  EXPECT_LT(steps, 20);
}

}  // namespace
}  // namespace assent::participant
