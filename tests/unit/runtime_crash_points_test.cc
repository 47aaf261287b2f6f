// Named places at which a node kills itself: each lies before its effect, and none but the armed one fires.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "runtime/crash_points.h"

namespace assent {
namespace {

constexpr GroupId kC1{GroupKind::kCoordinator, 1};
constexpr GroupId kS1{GroupKind::kShard, 1};

struct Sample {
  std::string point;  // before it; empty: none
  RoleEffect effect;
};

std::vector<Sample> Samples() {
  Ending committed;
  committed.outcome = Outcome::kCommitted;
  return {
      {"coordinator.before-prepare", Send{kS1, Prepare{}}},
      {"coordinator.before-prepare", CallForeign{"rm", ForeignVerb::kPrepare, {}}},
      {"participant.before-prepared", Append{Lsn{1}, Prepared{}}},
      {"participant.before-vote", Send{kC1, VoteReply{}}},
      {"coordinator.before-decision", Append{Lsn{1}, Committed{}}},
      {"coordinator.before-answer", Answer{RequestId{1}, committed}},
      {"coordinator.before-phase-two", Send{kS1, Decide{{}, Decision::kCommit}}},
      {"coordinator.before-phase-two", CallForeign{"rm", ForeignVerb::kCommit, {}}},
      {"coordinator.before-abort", Send{kS1, Decide{{}, Decision::kAbort}}},
      {"participant.before-decided", Append{Lsn{1}, BranchDecided{}}},
      {"participant.before-one-phase", Append{Lsn{1}, OnePhaseCommitted{}}},
      {"participant.before-ack", Send{kC1, DecideAck{}}},
      {"coordinator.before-end", Append{Lsn{1}, Ended{}}},
      {"", Append{Lsn{1}, EpochBegan{}}},
      {"", Answer{RequestId{1}, Ending{}}},
      {"", Send{kC1, Inquire{}}},
      {"", assent::Report{"text", false}},
  };
}

TEST(CrashPoints, EachHasANameAMeaningAndAnEffectBeforeWhichItLies) {
  std::set<std::string> seen;
  for (const Sample& sample : Samples()) seen.insert(sample.point);
  for (const CrashPoint& point : AllCrashPoints()) {
    EXPECT_FALSE(point.meaning.empty());
    EXPECT_TRUE(seen.contains(std::string(point.name))) << point.name;
  }
  EXPECT_EQ(seen.size(), AllCrashPoints().size() + 1);
}

TEST(CrashPoints, UnarmedAreInert) {
  CrashPoints points;
  for (const Sample& sample : Samples()) points.Before(sample.effect);
  EXPECT_FALSE(points.Arm("no.such-point", 1));
  for (const Sample& sample : Samples()) points.Before(sample.effect);
}

// Goes by every effect: first those that do not lie behind the point, then all.
void PassBy(const std::string& name) {
  CrashPoints points;
  if (!points.Arm(name, 1)) std::exit(2);
  for (const Sample& sample : Samples()) {
    if (sample.point != name) points.Before(sample.effect);
  }
  std::fputs("lived", stderr);
  for (const Sample& sample : Samples()) points.Before(sample.effect);
  std::exit(3);
}

void PassByThrice() {
  CrashPoints points;
  if (!points.Arm("participant.before-vote", 3)) std::exit(2);
  const RoleEffect vote = Send{kC1, VoteReply{}};
  points.Before(vote);
  points.Before(vote);
  std::fputs("lived", stderr);
  points.Before(vote);
  std::exit(3);
}

TEST(CrashPointsDeathTest, ArmedOneKillsTheProcessBeforeItsEffectAndNoOther) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(PassBy("participant.before-vote"), testing::KilledBySignal(SIGKILL), "lived");
  EXPECT_EXIT(PassBy("coordinator.before-decision"), testing::KilledBySignal(SIGKILL), "lived");
}

TEST(CrashPointsDeathTest, CountSaysAtTheHowManiethTime) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(PassByThrice(), testing::KilledBySignal(SIGKILL), "lived");
}

}  // namespace
}  // namespace assent
