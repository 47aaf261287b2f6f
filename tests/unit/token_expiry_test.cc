// C5, C6: coordinator and shard together, where a one-phase commit's token grows old while
// its answer is lost.
#include <gtest/gtest.h>

#include "client/outcome.h"
#include "coordinator_testing.h"
#include "participant_testing.h"

namespace assent {
namespace {

using coordinator::Harness;
using coordinator::kGroup;
using coordinator::kHour;
using coordinator::kMs;
using coordinator::kS1;
using coordinator::kSecond;
using participant::Shard;

struct ShardAndCoordinator {
  Harness c;
  Shard s;
  const std::string key = coordinator::KeyOn(kS1);

  ShardAndCoordinator() {
    c.now.wall_us += 50 * kSecond;
    c.Restart(2);  // with this clock
    c.Pass(7'500 * kMs);
    c.Replicate();
    c.Clear();
  }
  Execute AddOne(const Token& token) {
    Execute request;
    request.tag = CommitTag{token, c.epoch_, 1, 0};
    request.operations.push_back(AddOp{key, 1, std::nullopt});
    return request;
  }
  std::vector<Message> FromShard() {
    std::vector<Message> back;
    for (const RoleEffect& effect : s.effects()) {
      if (const auto* send = std::get_if<Send>(&effect)) back.push_back(send->message);
    }
    return back;
  }
  // The coordinator's messages arrive; so do the shard's answers, also those once its records are
  // replicated, if `both_ways`.
  void Exchange(bool both_ways) {
    std::vector<Message> said;
    for (const RoleEffect& effect : c.effects) {
      const auto* send = std::get_if<Send>(&effect);
      if (send != nullptr && send->to == kS1) said.push_back(send->message);
    }
    std::erase_if(c.effects,
                  [](const RoleEffect& effect) { return !std::holds_alternative<Answer>(effect); });
    std::vector<Message> back;
    const auto hear = [&] {
      for (Message& message : FromShard()) back.push_back(std::move(message));
    };
    for (const Message& message : said) {
      s.From(kGroup, message);
      hear();
    }
    s.Replicate();
    hear();
    if (!both_ways) return;
    for (Message& message : back) c.From(kS1, std::move(message));
  }
};

TEST(TokenExpiry, HorizonDoesNotPassACommitWhoseAnswerIsLost) {  // G4
  ShardAndCoordinator both;
  const Token token{kGroup, ClientId{7}, 1, both.c.now.wall_us - kHour + 100 * kMs};
  const RequestId call = both.c.Call(both.AddOne(token));
  both.Exchange(false);
  ASSERT_EQ(both.s.Value(both.key), "1");
  for (int i = 0; i < 60; ++i) {  // resends, the horizon and marks go on
    both.c.Pass(100 * kMs);
    both.c.Replicate();
    both.Exchange(false);
    both.s.Wait(100 * kMs);
    both.s.Replicate();
  }
  ASSERT_FALSE(both.c.Answered(call));
  for (int i = 0; i < 40 && !both.c.Answered(call); ++i) {
    both.c.Pass(100 * kMs);
    both.Exchange(true);
  }
  const Ending ending = both.c.AnswerTo<Ending>(call);
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_TRUE(ending.repeated);
}

}  // namespace
}  // namespace assent
