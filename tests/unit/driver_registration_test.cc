// Old and copied files of a node, under the production driver (R3).
#include <gtest/gtest.h>

#include <optional>

#include "sim/world.h"

namespace assent::sim {
namespace {

constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr NodeId kN1{1}, kN2{2}, kCloneOfN2{102};
constexpr uint64_t kSecond = 1'000'000;

class DriverRegistration : public testing::Test {
 protected:
  DriverRegistration() : world_(7, Options()) {
    world_.StartAll();
    AwaitPair();
  }
  static WorldOptions Options() {
    WorldOptions options;
    options.groups = {{kS1, {kN1, kN2}, {}}};
    return options;
  }
  void AwaitPair() {
    const bool both = world_.RunUntil(
        [&] {
          return world_.Primary(kS1) != nullptr && world_.ViewOf(kS1)->members.size() == 2 &&
                 world_.TakesPart(kN1) && world_.TakesPart(kN2);
        },
        20 * kSecond);
    ASSERT_TRUE(both) << world_.Describe();
  }
  // Stops n2, copies its files, and lets it come to hold more than the copy does.
  std::shared_ptr<const World::Copy> CopyThenGoOn() {
    world_.Crash(kN2, false);
    const auto copy = world_.CopyFiles(kN2);
    world_.RunFor(4 * kSecond);  // n1 goes on without it
    world_.Start(kN2);
    AwaitPair();
    world_.RunFor(2 * kSecond);  // what it holds is registered
    return copy;
  }

  World world_;
};

TEST_F(DriverRegistration, R3OldFilesOfANodeAreRefusedAndMovedAsideItJoinsAgain) {
  const auto copy = CopyThenGoOn();
  world_.Crash(kN2, false);
  world_.PutBack(kN2, *copy, std::nullopt);
  world_.Start(kN2);
  EXPECT_TRUE(world_.RunUntil([&] { return !world_.IsUp(kN2); }, 5 * kSecond));
  EXPECT_NE(world_.Refusal(kN2).find("older than what n2 confirmed"), std::string::npos)
      << world_.Refusal(kN2);
  world_.WipeNode(kN2);
  world_.Start(kN2);
  AwaitPair();
}

TEST_F(DriverRegistration, R3OldReplicaAloneTakesNoPart) {
  const auto copy = CopyThenGoOn();
  world_.Crash(kN2, false);
  world_.PutBack(kN2, *copy, kS1);
  world_.Start(kN2);
  world_.RunFor(kSecond);
  ASSERT_TRUE(world_.IsRegistered(kN2));
  EXPECT_TRUE(world_.Find(kN2, kS1)->halted());
  EXPECT_NE(world_.Find(kN2, kS1)->halt_reason().find("was durable in them"), std::string::npos);
}

TEST_F(DriverRegistration, R3CopyNeverRunsBesideTheOriginal) {
  for (const bool same_machine : {true, false}) {
    world_.StartClone(kN2, same_machine);
    EXPECT_TRUE(world_.RunUntil([&] { return !world_.IsUp(kCloneOfN2); }, 10 * kSecond));
    EXPECT_NE(world_.Refusal(kCloneOfN2).find("n2 runs already at n2"), std::string::npos)
        << world_.Refusal(kCloneOfN2);
  }
  world_.Pause(kN2, 20 * kSecond);
  world_.StartClone(kN2, /*same_machine=*/false);
  EXPECT_TRUE(world_.RunUntil([&] { return !world_.IsUp(kCloneOfN2); }, 10 * kSecond));
  EXPECT_NE(world_.Refusal(kCloneOfN2).find("did not end in order"), std::string::npos)
      << world_.Refusal(kCloneOfN2);
}

TEST_F(DriverRegistration, R3RestartInPlaceLosesNoTimeToIt) {
  world_.Crash(kN2, false);
  world_.Start(kN2);
  EXPECT_TRUE(world_.RunUntil([&] { return world_.IsRegistered(kN2); }, kSecond / 10)) << world_.Describe();
}

TEST_F(DriverRegistration, R3DirectoryThatIsAwayStopsNobody) {
  world_.CutDirectory(kN1, true);
  world_.CutDirectory(kN2, true);
  world_.RunFor(30 * kSecond);
  EXPECT_TRUE(world_.Primary(kS1) != nullptr && world_.TakesPart(kN2)) << world_.Describe();
}

}  // namespace
}  // namespace assent::sim
