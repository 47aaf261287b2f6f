// Two shards and a coordinator, each with a backup, on three nodes: transfers by clients that retry and give
// up, while processes die (at any effect, with the power or without), restart, and lose, repeat and reorder
// each other's messages. After healing: every transaction has ended, each token took effect as its client was
// told, and once; the sum is what it was; replicas are equal, and are what their logs say.
//
//   ASSENT_SEEDS=1000 ASSENT_FIRST_SEED=1 driver_random_test
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "sim/world.h"

namespace assent::sim {
namespace {

constexpr GroupId kC1{GroupKind::kCoordinator, 1};
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr GroupId kGroups[] = {kC1, kS1, kS2};
constexpr NodeId kNodes[] = {NodeId{1}, NodeId{2}, NodeId{3}};
constexpr uint64_t kMs = 1'000;
constexpr uint64_t kSecond = 1'000'000;
constexpr int kAccounts = 4;  // on each shard

struct Told {
  Token token;
  std::string marker;  // a key that the transfer adds 1 to
  Outcome outcome = Outcome::kUnknown;
};

// One client: a session, and one transfer after the other.
class Client {
 public:
  Client(World& world, uint64_t number) : world_(world), number_(number) {}

  void Go() { Send(); }
  void Stop() { stopping_ = true; }
  bool idle() const { return idle_; }
  const std::vector<Told>& told() const { return told_; }

 private:
  void Begin() {
    if (stopping_) {
      idle_ = true;
      return;
    }
    ++seq_;
    attempt_ = 1;
    request_ = Execute{};
    const std::string marker = "m" + std::to_string(number_) + "." + std::to_string(seq_);
    told_.push_back({Token{kC1, *client_, seq_, birth_us_}, marker, Outcome::kUnknown});
    const auto account = [this] {
      return world_.KeyOn(world_.Chance(0.5) ? kS1 : kS2, static_cast<int>(world_.Random(kAccounts)));
    };
    const auto amount = static_cast<int64_t>(world_.Random(100));
    request_.operations = {AddOp{account(), -amount, {}}, AddOp{account(), amount, {}}};
    if (world_.Chance(0.7)) {
      request_.operations.push_back(AddOp{marker, 1, {}});
    } else {
      told_.back().marker.clear();
    }
    Send();
  }

  void Send() {
    const uint64_t call = ++call_;
    const NodeId to = kNodes[world_.Random(2)];  // of those with a replica of c1
    const auto reply = [this, call](std::optional<ClientReply> answer) {
      if (call != call_) return;  // given up
      ++call_;
      answer ? Take(*answer) : Later();
    };
    if (!client_) {
      world_.Call(to, kC1, OpenSession{}, reply);
    } else {
      request_.tag = CommitTag{told_.back().token, epoch_, attempt_, seq_ > 3 ? seq_ - 3 : 0};
      world_.Call(to, kC1, request_, reply);
    }
    world_.After(400 * kMs, [this, call] {
      if (call != call_) return;
      ++call_;
      Later();
    });
  }
  void Later() {
    world_.After(5 * kMs + world_.Random(40 * kMs), [this] {
      if (!client_ && stopping_) {
        idle_ = true;
      } else {
        Send();
      }
    });
  }

  void Take(const ClientReply& reply) {
    if (const auto* opened = std::get_if<SessionOpened>(&reply)) {
      client_ = opened->client;
      birth_us_ = opened->birth_us;
      epoch_ = opened->epoch;
      return Begin();
    }
    if (const auto* ending = std::get_if<Ending>(&reply)) {
      if (ending->outcome == Outcome::kUnknown) return Later();
      if (ending->birth_us != 0) birth_us_ = ending->birth_us;
      if (ending->outcome == Outcome::kAborted && IsTransient(ending->reason) && attempt_ < 5) {
        ++attempt_;
        return Later();
      }
      told_.back().outcome = ending->outcome;
      return Begin();
    }
    const auto& refusal = std::get<Refusal>(reply);
    if (refusal.code == RefusalCode::kStaleEpoch) {
      epoch_ = refusal.epoch;
      return Send();
    }
    EXPECT_TRUE(refusal.code == RefusalCode::kNotServing || refusal.code == RefusalCode::kOverloaded)
        << static_cast<int>(refusal.code) << " " << refusal.detail;
    Later();
  }

  World& world_;
  const uint64_t number_;
  std::optional<ClientId> client_;
  uint64_t birth_us_ = 0;
  Epoch epoch_{};
  uint64_t seq_ = 0;
  uint32_t attempt_ = 1;
  Execute request_;
  uint64_t call_ = 0;
  bool stopping_ = false;
  bool idle_ = false;
  std::vector<Told> told_;
};

struct Totals {
  uint64_t committed = 0, aborted = 0, crashes = 0, at_effect = 0, messages = 0, epochs = 0, trims = 0;
  uint64_t longest_heal_us = 0;
};

bool IsAtRest(World& world) {
  for (const GroupId group : kGroups) {
    const Replica* primary = world.Primary(group);
    if (primary == nullptr) return false;
    const RoleCore* role = primary->state().find_role();
    if (group == kC1) {
      const auto* core = static_cast<const CoordinatorCore*>(role);
      if (core->live_count() != 0 || core->unended_count() != 0) return false;
    } else {
      if (static_cast<const participant::ParticipantCore*>(role)->gauges().branches != 0) return false;
    }
    if (!world.AreEqual(group)) return false;
  }
  return true;
}

int64_t NumberAt(World& world, GroupId shard, const std::string& key) {
  const auto value = world.Value(*world.Primary(shard), key);
  return value ? std::atoll(value->c_str()) : 0;
}

void RunSeed(uint64_t seed, Totals& totals) {
  World world(seed, {.groups = {{kC1, {kNodes[0], kNodes[1]}, {}},
                                {kS1, {kNodes[1], kNodes[2]}, {}},
                                {kS2, {kNodes[2], kNodes[0]}, {}}},
                     .loss = 0.02,
                     .duplication = 0.02,
                     .delay_us_max = 1'000,
                     .force_us_max = 1'000,
                     .directory_trouble = 0.1,
                     .segment_bytes = 1 << 13,
                     .checkpoint_bytes = 1 << 15});
  world.StartAll();
  std::vector<std::unique_ptr<Client>> clients;
  for (uint64_t i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(world, i));
    clients.back()->Go();
  }
  const uint64_t end_us = world.now_us() + 5 * kSecond;
  while (world.now_us() < end_us) {
    world.RunFor(world.Random(500 * kMs));
    const NodeId node = kNodes[world.Random(3)];
    switch (world.Random(6)) {
      case 0:
        if (world.IsUp(node)) world.Crash(node, world.Chance(0.5));
        break;
      case 1:
      case 2:
        if (world.IsUp(node)) world.CrashAtEffect(node, 1 + world.Random(300), world.Chance(0.5));
        break;
      case 3: {
        const NodeId other = kNodes[world.Random(3)];
        if (other == node) break;
        world.Cut(node, other, true);
        world.After(world.Random(150 * kMs), [&world, node, other] { world.Cut(node, other, false); });
        break;
      }
      default:
        break;
    }
    for (const NodeId down : kNodes) {
      if (!world.IsUp(down) && world.Chance(0.5)) world.Start(down);
    }
  }

  // Heal.
  const uint64_t healed_us = world.now_us();
  world.options().loss = world.options().duplication = world.options().directory_trouble = 0;
  for (const NodeId node : kNodes) world.CrashAtEffect(node, 0, false);  // disarmed
  world.RunFor(200 * kMs);
  world.StartAll();
  for (const auto& client : clients) client->Stop();
  const auto all_idle = [&] {
    return std::all_of(clients.begin(), clients.end(), [](const auto& c) { return c->idle(); });
  };
  ASSERT_TRUE(world.RunUntil(all_idle, 60 * kSecond)) << "clients without an answer\n" << world.Describe();
  while (!IsAtRest(world)) {
    world.RunFor(50 * kMs);
    ASSERT_LT(world.now_us() - healed_us, 120 * kSecond) << "not at rest\n" << world.Describe();  // I-A5, G6
  }
  totals.longest_heal_us = std::max(totals.longest_heal_us, world.now_us() - healed_us);

  // Audit.
  int64_t sum = 0;
  for (const GroupId shard : {kS1, kS2}) {
    for (int i = 0; i < kAccounts; ++i) sum += NumberAt(world, shard, world.KeyOn(shard, i));
  }
  EXPECT_EQ(sum, 0) << "I-A1";
  for (const auto& client : clients) {
    for (const Told& told : client->told()) {
      ASSERT_NE(told.outcome, Outcome::kUnknown);
      ++(told.outcome == Outcome::kCommitted ? totals.committed : totals.aborted);
      if (told.marker.empty()) continue;
      const int64_t effects = NumberAt(world, world.placement().ShardOf(told.marker), told.marker);
      EXPECT_EQ(effects, told.outcome == Outcome::kCommitted ? 1 : 0) << ToString(told.token);  // I-X1, I-D1
    }
  }
  for (const GroupId group : kGroups) {
    for (const NodeId node : kNodes) {
      if (world.Find(node, group) != nullptr) world.CheckState(node, group);  // I-D2, I-C1
    }
  }
  const World::Counts& counts = world.counts();
  totals.crashes += counts.crashes;
  totals.at_effect += counts.at_effect;
  totals.messages += counts.messages;
  totals.epochs += counts.epochs;
  totals.trims += counts.trims;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(DriverRandom, TransfersSurviveCrashesRestartsAndALossyNetwork) {
  const uint64_t first = FromEnvironment("ASSENT_FIRST_SEED", 1);
  const uint64_t count = FromEnvironment("ASSENT_SEEDS", 300);
  Totals totals;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RunSeed(seed, totals);
    if (HasFailure()) break;
  }
  std::printf(
      "seeds %llu..%llu: %llu committed, %llu aborted; %llu crashes (%llu at an effect), %llu epochs, "
      "%llu messages, %llu trims; at rest within %.1f s of healing\n",
      static_cast<unsigned long long>(first), static_cast<unsigned long long>(first + count - 1),
      static_cast<unsigned long long>(totals.committed), static_cast<unsigned long long>(totals.aborted),
      static_cast<unsigned long long>(totals.crashes), static_cast<unsigned long long>(totals.at_effect),
      static_cast<unsigned long long>(totals.epochs), static_cast<unsigned long long>(totals.messages),
      static_cast<unsigned long long>(totals.trims), static_cast<double>(totals.longest_heal_us) / 1e6);
  EXPECT_GT(totals.committed, 0u);
  EXPECT_GT(totals.at_effect, 0u);
}

}  // namespace
}  // namespace assent::sim
