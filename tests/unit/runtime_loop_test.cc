// The loop: order of posts, timers between them, bounds, the end, its clock.
#include <gtest/gtest.h>

#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

#include "runtime/loop.h"

namespace assent {
namespace {

TEST(LoopOrder, PostsRunInOrder) {
  Loop loop;
  std::vector<int> ran;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(loop.Post([&ran, i] { ran.push_back(i); }));
  ASSERT_TRUE(loop.Post([&] { loop.Stop(); }));
  loop.Run();
  ASSERT_EQ(ran.size(), 1'000U);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
}

TEST(LoopOrder, PostsFromManyThreadsAllRunEachThreadsInOrder) {
  Loop loop;
  constexpr int kThreads = 4, kPosts = 20'000;
  std::vector<int> next(kThreads, 0);
  int left = kThreads * kPosts;
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        ASSERT_TRUE(loop.Post([&, t, i] {
          EXPECT_TRUE(loop.InLoop());
          EXPECT_EQ(next[static_cast<size_t>(t)]++, i);
          if (--left == 0) loop.Stop();
        }));
      }
    });
  }
  loop.Run();
  for (std::thread& poster : posters) poster.join();
  EXPECT_EQ(left, 0);
  EXPECT_EQ(next, std::vector<int>(kThreads, kPosts));
}

TEST(LoopOrder, ManyPostsCostOneWakeup) {
  Loop loop;
  std::binary_semaphore reached(0), go(0);
  std::thread runner([&] { loop.Run(); });
  ASSERT_TRUE(loop.Post([&] {
    reached.release();
    go.acquire();
  }));
  reached.acquire();  // the loop is busy, not asleep: what is posted now wakes nobody
  const uint64_t before = loop.wakeups();
  EXPECT_LE(before, 1U);
  int ran = 0;
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(loop.Post([&] { ++ran; }));
  EXPECT_EQ(loop.queued(), 1'000U);
  ASSERT_TRUE(loop.Post([&] { loop.Stop(); }));
  go.release();
  runner.join();
  EXPECT_EQ(ran, 1'000);
  EXPECT_EQ(loop.wakeups(), before);
}

constexpr uint64_t kHourUs = 3'600'000'000;  // no slice takes so long

TEST(LoopHook, RunsOncePerSliceAndAfterTimersBeforeSleeping) {
  Loop loop({.slice_max = 10, .slice_us = kHourUs});
  std::vector<int> at;  // how much had run at each hook
  int ran = 0;
  loop.SetIdleHook([&] { at.push_back(ran); });
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(loop.Post([&] { ++ran; }));
  ASSERT_TRUE(loop.Post([&] { loop.PostAt(Loop::Now().mono_us + 2'000, [&] { loop.Stop(); }); }));
  loop.Run();
  EXPECT_EQ(at, (std::vector<int>{10, 20, 25, 25}));
}

TEST(LoopTimers, RunByTimeThenByOrderAndNotBefore) {
  Loop loop;
  std::vector<int> ran;
  const uint64_t now = Loop::Now().mono_us;
  const auto add = [&](uint64_t in_us, int name) {
    loop.PostAt(now + in_us, [&, in_us, name] {
      EXPECT_GE(Loop::Now().mono_us, now + in_us);
      ran.push_back(name);
    });
  };
  add(3'000, 5);
  add(1'000, 2);
  add(1'000, 3);
  add(0, 1);
  add(2'000, 4);
  loop.PostAt(now + 3'001, [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(ran, (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(LoopTimers, CancelledTimerDoesNotRun) {
  Loop loop;
  bool ran = false;
  const TimerId timer = loop.PostAt(Loop::Now().mono_us, [&] { ran = true; });
  EXPECT_TRUE(loop.Cancel(timer));
  EXPECT_FALSE(loop.Cancel(timer));
  TimerId last{};
  last = loop.PostAt(Loop::Now().mono_us, [&] {
    EXPECT_FALSE(loop.Cancel(last));  // it is running
    loop.Stop();
  });
  loop.Run();
  EXPECT_FALSE(ran);
}

TEST(LoopTimers, TimerThatSetsItselfAgainDoesNotStarvePosts) {
  Loop loop;
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    loop.PostAt(0, [&] { again(); });
  };
  loop.PostAt(0, [&] { again(); });
  ASSERT_TRUE(loop.Post([&] { loop.Stop(); }));
  loop.Run();
  EXPECT_EQ(rounds, 1);
}

// A post may take as long as it likes; the next one then waits for timers and hook.
TEST(LoopTimers, PostsThatTakeLongDoNotDelayThemEither) {
  Loop loop({.slice_us = 0});
  int ran = 0, at_timer = -1;
  std::vector<int> at_hook;
  loop.SetIdleHook([&] { at_hook.push_back(ran); });
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(loop.Post([&] {
      if (++ran == 2) loop.PostAt(0, [&] { at_timer = ran; });
      if (ran == 5) loop.Stop();
    }));
  }
  loop.Run();
  EXPECT_EQ(at_timer, 2);
  EXPECT_EQ(at_hook, (std::vector<int>{1, 2, 3, 4, 5}));
}

TEST(LoopTimers, LongQueueDoesNotDelayThemByMoreThanASlice) {
  Loop loop({.slice_max = 10, .slice_us = kHourUs});
  int ran = 0, at_timer = -1;
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(loop.Post([&] {
      if (++ran == 5) loop.PostAt(0, [&] { at_timer = ran; });
      if (ran == 1'000) loop.Stop();
    }));
  }
  loop.Run();
  EXPECT_EQ(at_timer, 10);
}

TEST(LoopBound, TryPostIsRefusedWhenFullAndPostIsNot) {
  Loop loop({.queue_max = 3});
  int ran = 0;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(loop.TryPost([&] { ++ran; }));
  EXPECT_FALSE(loop.TryPost([&] { ++ran; }));
  EXPECT_TRUE(loop.Post([&] {
    ++ran;
    loop.Stop();
  }));
  EXPECT_EQ(loop.queued(), 4U);
  loop.Run();
  EXPECT_EQ(ran, 4);
}

TEST(LoopBound, WhatWasTakenButNotRunStillCounts) {
  Loop loop({.queue_max = 20, .slice_max = 10});
  bool refused = false;
  ASSERT_TRUE(loop.Post([&] { refused = !loop.TryPost([] {}); }));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(loop.Post([] {}));
  ASSERT_TRUE(loop.Post([&] { loop.Stop(); }));
  loop.Run();
  EXPECT_TRUE(refused);
}

TEST(LoopStop, RunsWhatWasPostedBeforeAndRefusesTheRest) {
  Loop loop;
  auto held = std::make_shared<int>(1);
  bool ran = false;
  loop.Stop();
  EXPECT_FALSE(loop.Post([&, held] { ran = true; }));
  EXPECT_EQ(held.use_count(), 1);
  loop.Run();
  EXPECT_FALSE(ran);

  Loop other;
  ASSERT_TRUE(other.Post([&] { other.Stop(); }));
  ASSERT_TRUE(other.Post([&] { ran = true; }));
  other.Run();
  EXPECT_TRUE(ran);
}

TEST(LoopStop, WakesSleepingLoop) {
  Loop loop;
  std::binary_semaphore running(0);
  ASSERT_TRUE(loop.Post([&] { running.release(); }));
  std::thread runner([&] { loop.Run(); });
  running.acquire();
  loop.Stop();
  runner.join();
}

TEST(LoopClock, IsBootTimeAndNeverFalls) {
  const Instant first = Loop::Now();
  const Instant second = Loop::Now();
  EXPECT_GE(second.mono_us, first.mono_us);
  EXPECT_GT(first.wall_us, 1'600'000'000'000'000U);
}

TEST(TaskOwnership, MoveOnlySmallAndLargeCaptures) {
  auto counted = std::make_shared<int>(0);
  struct Large {
    std::shared_ptr<int> count;
    char filling[200] = {};
    void operator()() { ++*count; }
  };
  {
    Task small = [counted, only = std::make_unique<int>(1)] { *counted += *only; };
    Task large = Large{counted};
    EXPECT_EQ(counted.use_count(), 3);
    Task moved = std::move(small);
    EXPECT_FALSE(static_cast<bool>(small));  // NOLINT: what a moved-from Task is, is the point
    moved();
    moved = std::move(large);
    EXPECT_EQ(counted.use_count(), 2);
    moved();
  }
  EXPECT_EQ(*counted, 2);
  EXPECT_EQ(counted.use_count(), 1);
}

}  // namespace
}  // namespace assent
