// Calls that wait for the loop: each gets its own answer, and their number is bounded.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/call_gate.h"
#include "runtime/loop.h"

namespace assent {
namespace {

constexpr uint64_t kHour_us = 3'600'000'000;

TEST(CallGateAnswer, ReachesItsOwnCaller) {
  Loop loop;
  CallGate gate(100);
  std::thread runner([&] { loop.Run(); });
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; n < 500; ++n) {
        auto reply = gate.Call<std::string>(kHour_us, [&](ReplyTo<std::string> reply_to) {
          return loop.TryPost([reply_to = std::move(reply_to), i, n]() mutable {
            reply_to(std::to_string(i) + "/" + std::to_string(n));
          });
        });
        ASSERT_TRUE(reply.ok());
        ASSERT_EQ(*reply, std::to_string(i) + "/" + std::to_string(n));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  loop.Stop();
  runner.join();
  EXPECT_EQ(gate.waiting(), 0U);
}

TEST(CallGateAnswer, LateOneFindsNobody) {
  CallGate gate(1);
  ReplyTo<std::string> late;
  const auto reply = gate.Call<std::string>(1, [&](ReplyTo<std::string> reply_to) {
    late = std::move(reply_to);
    return true;
  });
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(late("too late"));
  EXPECT_FALSE(late("twice"));
}

TEST(CallGateAnswer, DroppedRequestReleasesTheCaller) {
  CallGate gate(1);
  const auto reply = gate.Call<int>(kHour_us, [](ReplyTo<int> reply_to) {
    ReplyTo<int> dropped = std::move(reply_to);
    return true;
  });
  EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable);

  // As when the loop has stopped and refuses the post.
  Loop stopped;
  stopped.Stop();
  const auto refused = gate.Call<int>(kHour_us, [&](ReplyTo<int> reply_to) {
    return stopped.TryPost([r = std::move(reply_to)]() mutable { r(1); });
  });
  EXPECT_EQ(refused.status().code(), StatusCode::kOverloaded);
}

TEST(CallGateBound, CallersPastItAreRefusedAndCloseReleasesTheRest) {
  CallGate gate(3);
  std::vector<ReplyTo<int>> kept(3);
  std::vector<std::thread> callers;
  for (auto& keep : kept) {
    callers.emplace_back([&] {
      const auto reply = gate.Call<int>(kHour_us, [&](ReplyTo<int> reply_to) {
        keep = std::move(reply_to);
        return true;
      });
      EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable);
    });
  }
  while (gate.waiting() < 3) std::this_thread::yield();
  bool started = false;
  const auto refused = gate.Call<int>(kHour_us, [&](ReplyTo<int>) { return started = true; });
  EXPECT_EQ(refused.status().code(), StatusCode::kOverloaded);
  EXPECT_FALSE(started);

  gate.Close();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(gate.waiting(), 0U);
  EXPECT_EQ(gate.Call<int>(kHour_us, [&](ReplyTo<int>) { return started = true; }).status().code(),
            StatusCode::kUnavailable);
  EXPECT_FALSE(started);
}

}  // namespace
}  // namespace assent
