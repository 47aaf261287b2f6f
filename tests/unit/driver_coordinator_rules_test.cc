// As driver_rules_test, of a coordinator.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/coordinator.h"
#include "sim/world.h"

namespace assent::sim {
namespace {

constexpr GroupId kC1{GroupKind::kCoordinator, 1};
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr NodeId kN1{1}, kN2{2}, kN3{3};
constexpr uint64_t kMs = 1'000;
constexpr uint64_t kSecond = 1'000'000;

class DriverOfACoordinator : public testing::Test {
 protected:
  DriverOfACoordinator()
      : world(1,
              {.groups = {{kC1, {kN1, kN2}, {kN3}}, {kS1, {kN2}, {}}, {kS2, {kN2}, {}}}, .foreign = true}) {
    world.StartAll();
    EXPECT_TRUE(world.RunUntil([&] { return world.AllServe(); }, 5 * kSecond));
    world.RunFor(kSecond);
  }
  Execute Transfer(uint64_t seq) {
    Execute request;
    request.tag.token = Token{kC1, ClientId{1ull << 32 | 1}, seq, 1'800'000'000'000'000};
    request.tag.sent_to = world.ViewOf(kC1)->epoch;
    request.operations = {AddOp{world.KeyOn(kS1, 0), -1, {}}, AddOp{world.KeyOn(kS2, 0), 1, {}}};
    return request;
  }
  void Call(ClientRequest request) {
    world.Call(kN1, kC1, std::move(request), [this](auto reply) { replies.push_back(std::move(reply)); });
  }
  World world;
  std::vector<std::optional<ClientReply>> replies;
};

TEST_F(DriverOfACoordinator, CallIsAnsweredOnceAndThenForgotten) {
  for (uint64_t seq = 1; seq <= 20; ++seq) {
    Call(Transfer(seq));
    ASSERT_TRUE(world.RunUntil([&] { return replies.size() == seq; }, 10 * kSecond));
    EXPECT_EQ(std::get<Ending>(replies.back().value()).outcome, Outcome::kCommitted);
  }
  world.BreakDisk(kN1, kC1, 1, wal::MemoryFileSystem::Fault::kError);
  Call(Transfer(21));
  world.RunFor(100 * kMs);
  ASSERT_TRUE(world.Find(kN1, kC1)->halted());
  EXPECT_EQ(world.counts().stray_answers, 0u);  // G8: only open calls are remembered
}

TEST_F(DriverOfACoordinator, R7OpenCommitOfAHaltedReplicaIsUnknownAndLaterOnesAreRefused) {
  world.HoldLog(kN2, kS1, true);  // no vote comes
  Call(Transfer(1));
  Call(Begin{});
  world.RunFor(50 * kMs);
  ASSERT_EQ(replies.size(), 1u);
  const TxnId begun = std::get<Begun>(replies[0].value()).txn;
  Call(Work{begun, {PutOp{world.KeyOn(kS1, 3), "x"}}});
  replies.clear();
  world.HoldLog(kN1, kC1, true);
  Call(Transfer(2));
  world.RunFor(50 * kMs);
  world.BreakDisk(kN1, kC1, 1, wal::MemoryFileSystem::Fault::kError);
  world.HoldLog(kN1, kC1, false);
  world.HoldLog(kN2, kS1, false);
  world.RunFor(200 * kMs);
  ASSERT_TRUE(world.Find(kN1, kC1)->halted());
  ASSERT_GE(replies.size(), 2u);
  size_t unknown = 0;
  for (const auto& reply : replies) {
    if (const auto* ending = std::get_if<Ending>(&reply.value())) {
      EXPECT_EQ(ending->outcome, Outcome::kUnknown);  // I-U1
      ++unknown;
    }
  }
  EXPECT_EQ(unknown, 2u);
  replies.clear();
  Call(Transfer(3));
  world.RunFor(10 * kMs);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(std::get<Refusal>(replies[0].value()).code, RefusalCode::kNotServing);
  // An operator is told, too.
  const auto change = world.Change(kN1, kC1, backup::ChangeKind::kAddReplica, kN3, kSecond);
  ASSERT_TRUE(change.has_value());
  EXPECT_EQ(change->code(), StatusCode::kUnavailable);
}

TEST_F(DriverOfACoordinator, ServeAgainAnswersOpenCallsUnknownAndTheRetryFindsTheOutcome) {
  world.HoldLog(kN2, kS1, true);
  Call(Transfer(1));
  const auto added = world.Change(kN1, kC1, backup::ChangeKind::kAddReplica, kN3, 10 * kSecond);
  ASSERT_TRUE(added && added->ok());
  world.RunFor(10 * kMs);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(std::get<Ending>(replies[0].value()).outcome, Outcome::kUnknown);
  world.HoldLog(kN2, kS1, false);
  replies.clear();
  world.RunFor(kSecond);
  Call(Transfer(1));
  ASSERT_TRUE(world.RunUntil([&] { return !replies.empty(); }, 15 * kSecond));
  EXPECT_EQ(std::get<Ending>(replies[0].value()).outcome, Outcome::kCommitted);
  world.RunFor(kSecond);  // C2: the client is answered before the shards
  EXPECT_EQ(world.Value(*world.Primary(kS1), world.KeyOn(kS1, 0)), "-1");
}

// P6: a list that an earlier epoch asked for holds what committed since, and was forgotten; the process is
// the same, the core that gets the answer is not.
TEST_F(DriverOfACoordinator, ListOfAResourceManagerIsForTheEpochThatAskedForIt) {
  const std::string name(kForeignNames[0]);
  Execute request = Transfer(1);
  request.foreign = {{name, "row marker"}};
  Call(request);
  ASSERT_TRUE(world.RunUntil([&] { return !replies.empty(); }, 10 * kSecond));
  const Ending ending = std::get<Ending>(replies[0].value());
  ASSERT_EQ(ending.outcome, Outcome::kCommitted);
  world.RunFor(kSecond);  // C2: and then it is told
  ASSERT_EQ(world.foreign().at(name).Committed("marker"), 1u);

  ForeignReply list;
  list.resource_manager = name;
  list.verb = ForeignVerb::kRecover;
  list.reached = true;
  list.prepared = {ending.txn};
  list.epoch = world.ViewOf(kC1)->epoch;
  const auto added = world.Change(kN1, kC1, backup::ChangeKind::kAddReplica, kN3, 10 * kSecond);
  ASSERT_TRUE(added && added->ok());
  ASSERT_GT(world.ViewOf(kC1)->epoch, list.epoch);
  for (int i = 0; i < 1'000; ++i) {  // longer than from one scan to the next
    world.RunFor(5 * kMs);
    world.Find(kN1, kC1)->OnForeign(list);
  }
  EXPECT_EQ(world.foreign().at(name).contradiction(), "");
}

TEST_F(DriverOfACoordinator, CallBeforeServingIsRefused) {
  replies.clear();
  world.Call(kN2, kC1, Begin{}, [this](auto reply) { replies.push_back(std::move(reply)); });
  world.RunFor(10 * kMs);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(std::get<Refusal>(replies[0].value()).code, RefusalCode::kNotServing);
}

}  // namespace
}  // namespace assent::sim
