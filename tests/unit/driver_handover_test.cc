// An operator's handovers without any fault, over a slow network that keeps what goes from one node to
// another in order, as connections do: no transaction fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sim/world.h"

namespace assent::sim {
namespace {

constexpr GroupId kC1{GroupKind::kCoordinator, 1};
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr NodeId kN1{1}, kN2{2}, kN3{3};
constexpr uint64_t kSecond = 1'000'000;

// One transaction after the other, each on keys of its own: reads here and writes there, in one request or in
// several; or reads alone.
class Caller {
 public:
  Caller(World& world, int number) : world_(world), number_(number), form_(number % 3) { Ask(OpenSession{}); }

  // Sends what is to be sent, if somebody is there to take it.
  void Step() {
    if (const auto reply = std::exchange(reply_, std::nullopt)) Take(*reply);
    if (!request_ || world_.now_us() < not_before_us_) return;
    const auto leader = world_.PrimaryNode(kC1);
    if (!leader) return;
    ClientRequest request = *std::exchange(request_, std::nullopt);
    sent_ = request;
    world_.Call(*leader, kC1, std::move(request), [this](auto answer) { reply_ = std::move(answer); });
  }
  int committed() const { return committed_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  void Ask(ClientRequest request) { request_ = std::move(request); }
  CommitTag Tag() { return {token_, world_.ViewOf(kC1)->epoch, 1, token_.seq}; }
  std::string Key(GroupId shard) const { return world_.KeyOn(shard, number_); }

  void Next() {
    ++token_.seq;
    not_before_us_ = world_.now_us() + world_.Random(100'000);
    if (form_ == 0) {
      Ask(Execute{
          Tag(), {GetOp{Key(kS1)}, AddOp{Key(kS1), 1, {}}, GetOp{Key(kS2)}, AddOp{Key(kS2), 1, {}}}, {}, {}});
    } else {
      Ask(Begin{});
    }
  }
  void Take(const ClientReply& reply) {
    if (const auto* opened = std::get_if<SessionOpened>(&reply)) {
      token_ = Token{kC1, opened->client, 0, opened->birth_us};
      Next();
    } else if (const auto* begun = std::get_if<Begun>(&reply)) {
      txn_ = begun->txn;
      key_ = begun->key;
      std::vector<Operation> work = {GetOp{Key(kS1)}, GetOp{Key(kS2)}};
      if (form_ == 1) work.emplace_back(AddOp{Key(kS2), 1, {}});
      Ask(Work{txn_, std::move(work), key_});
    } else if (const auto* done = std::get_if<WorkDone>(&reply)) {
      Ask(Commit{Tag(), txn_, {}, done->shards, key_});
    } else if (const auto* refusal = std::get_if<Refusal>(&reply)) {
      Again(*refusal);
    } else if (const auto* ending = std::get_if<Ending>(&reply)) {
      if (ending->outcome != Outcome::kCommitted) {
        failures_.push_back(ToString(ending->txn) + " " + std::string(ToString(ending->reason)) + " " +
                            ending->detail);
      }
      committed_ += ending->outcome == Outcome::kCommitted ? 1 : 0;
      Next();
    }
  }
  // As the client library: to the next primary, as the same attempt.
  void Again(const Refusal& refusal) {
    if (refusal.code != RefusalCode::kNotServing && refusal.code != RefusalCode::kStaleEpoch) {
      failures_.push_back("refused: " + refusal.detail);
    }
    if (auto* execute = std::get_if<Execute>(&sent_)) execute->tag.sent_to = world_.ViewOf(kC1)->epoch;
    if (auto* commit = std::get_if<Commit>(&sent_)) commit->tag.sent_to = world_.ViewOf(kC1)->epoch;
    Ask(sent_);
    not_before_us_ = world_.now_us() + 5'000;
  }

  World& world_;
  const int number_;
  const int form_;
  Token token_;
  TxnId txn_;
  uint64_t key_ = 0;
  std::optional<ClientRequest> request_;
  ClientRequest sent_;
  uint64_t not_before_us_ = 0;
  std::optional<ClientReply> reply_;
  int committed_ = 0;
  std::vector<std::string> failures_;
};

TEST(DriverHandOver, NoTransactionFailsWhateverIsUnderWay) {
  int committed = 0;
  for (uint64_t seed = 11; seed <= 40; ++seed) {
    World world(
        seed, {.groups = {{kC1, {kN1, kN2, kN3}, {}}, {kS1, {kN2, kN3, kN1}, {}}, {kS2, {kN3, kN1, kN2}, {}}},
               .delay_us_max = 2'000,
               .in_order = true});
    world.StartAll();
    ASSERT_TRUE(world.RunUntil([&] { return world.AllServe(); }, 10 * kSecond));
    std::vector<Caller> callers;
    for (int number = 0; number < 9; ++number) callers.emplace_back(world, number);
    const auto run_until = [&](const auto& done) {
      return world.RunUntil(
          [&] {
            for (Caller& caller : callers) caller.Step();
            return done();
          },
          20 * kSecond);
    };
    for (int round = 0; round < 12; ++round) {
      const GroupId group = std::vector{kC1, kS1, kS2}[world.Random(3)];
      backup::OperatorChange change;
      change.kind = backup::ChangeKind::kPromote;
      do {
        change.member = world.ViewOf(group)->members[world.Random(3)];
      } while (change.member.node == world.PrimaryNode(group));
      change.drain_us = 10 * kSecond;
      const NodeId old = *world.PrimaryNode(group);
      const NodeId slow = std::vector{kN1, kN2, kN3}[world.Random(3)];
      world.Slow(old, slow, 400'000);
      const uint64_t until_us = world.now_us() + world.Random(20'000);
      ASSERT_TRUE(run_until([&] { return world.now_us() >= until_us; }));
      world.Ask(old, group, change);
      ASSERT_TRUE(run_until([&] { return world.PrimaryNode(group) == change.member.node; }))
          << world.Describe();
      world.Slow(old, slow, 0);
      std::vector<int> before;
      for (const Caller& caller : callers) before.push_back(caller.committed());
      ASSERT_TRUE(run_until([&] {
        for (size_t i = 0; i < callers.size(); ++i) {
          if (callers[i].committed() == before[i]) return false;
        }
        return true;
      })) << world.Describe();
    }
    for (const Caller& caller : callers) {
      for (const std::string& failure : caller.failures())
        ADD_FAILURE() << "seed " << seed << ": " << failure;
      committed += caller.committed();
    }
  }
  EXPECT_GT(committed, 5'000);
}

// Else both would come again when their repetition is due only, and that the later the longer it took.
TEST(DriverHandOver, WhatWaitsForTheNewPrimaryIsAnsweredOrAskedAgainWhenItServes) {
  constexpr GroupId kC9{GroupKind::kCoordinator, 9};  // the test itself
  constexpr NodeId kN9{9};
  World world(1, {.groups = {{kS1, {kN1, kN2}, {}}}});
  world.StartAll();
  ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
  world.AddOutside(View{kC9, Epoch{1}, kN9, 1, {{kN9, Incarnation{1}}}});
  world.RunFor(kSecond);  // until the nodes know it
  world.record_sent = true;

  world.HoldLog(kN2, kS1, true);
  world.Ask(kN1, kS1, {{}, backup::ChangeKind::kPromote, world.ViewOf(kS1)->members[1], kSecond});
  const backup::ReplicationCore& next = world.Find(kN2, kS1)->replication();
  ASSERT_TRUE(world.RunUntil([&] { return next.role() == backup::Role::kPrimary; }, kSecond));
  const TxnId txn{kC9, Epoch{1}, 1};
  const Decide early{{txn, Age{1, txn}, false, txn, 0}, Decision::kAbort};
  world.Inject(kN2, {kC9, kN9, Epoch{1}, kS1, next.epoch(), early});
  world.RunFor(20'000);
  EXPECT_TRUE(world.Sent<EpochNews>().empty()) << "it could not answer";
  EXPECT_TRUE(world.Sent<DecideAck>().empty());

  world.HoldLog(kN2, kS1, false);
  ASSERT_TRUE(world.RunUntil([&] { return next.serving(); }, kSecond));
  world.RunFor(20'000);
  EXPECT_EQ(world.Sent<DecideAck>().size(), 1u);
  const auto news = world.Sent<EpochNews>();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news.front().first.from_epoch, next.epoch());
  EXPECT_EQ(news.front().first.to_group, kC9);
}

}  // namespace
}  // namespace assent::sim
