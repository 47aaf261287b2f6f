#include "runtime/loop.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "common/check.h"

namespace assent {

namespace {

// The condition variable's clock stands still while the machine is suspended, CLOCK_BOOTTIME does not: look
// again so often, and after a resume timers are late by no more than this.
constexpr uint64_t kSleepMax_us = 1'000'000;

uint64_t ReadClock(clockid_t clock) {
  timespec now{};
  ASSENT_CHECK(clock_gettime(clock, &now) == 0);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace

Loop::Loop(const LoopOptions& options) : options_(options) {}

Loop::~Loop() = default;

Instant Loop::Now() {
  return {.mono_us = ReadClock(CLOCK_BOOTTIME), .wall_us = ReadClock(CLOCK_REALTIME)};
}

bool Loop::Post(Task task) {
  return Enqueue(std::move(task), std::numeric_limits<size_t>::max());
}

bool Loop::TryPost(Task task) {
  return Enqueue(std::move(task), options_.queue_max);
}

bool Loop::Enqueue(Task task, size_t bound) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() + taken_left_.load(std::memory_order_relaxed) >= bound) return false;
    queue_.push_back(std::move(task));
    wake = std::exchange(asleep_, false);
  }
  if (wake) wake_.notify_one();
  return true;
}

size_t Loop::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size() + taken_left_.load(std::memory_order_relaxed);
}

TimerId Loop::PostAt(uint64_t mono_us, Task task) {
  ASSENT_CHECK(InLoop() || !running());
  const TimerId timer = last_timer_ = Next(last_timer_);
  timers_.emplace(std::pair{mono_us, timer}, std::move(task));
  timer_times_.emplace(timer, mono_us);
  return timer;
}

bool Loop::Cancel(TimerId timer) {
  ASSENT_CHECK(InLoop() || !running());
  const auto found = timer_times_.find(timer);
  if (found == timer_times_.end()) return false;
  timers_.erase({found->second, timer});
  timer_times_.erase(found);
  return true;
}

void Loop::SetIdleHook(Task hook) {
  ASSENT_CHECK(!running());
  hook_ = std::move(hook);
}

void Loop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    asleep_ = false;
  }
  wake_.notify_one();
}

void Loop::Run() {
  ASSENT_CHECK(!running());
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  std::vector<Task> taken;
  while (TakeQueue(taken)) {
    RunSlices(taken);
    taken.clear();
  }
}

bool Loop::TakeQueue(std::vector<Task>& taken) {
  std::unique_lock lock(mutex_);
  if (queue_.empty()) {
    if (stopping_) return false;
    asleep_ = true;
    const auto woken = [this] { return !asleep_; };
    if (timers_.empty()) {
      wake_.wait(lock, woken);
    } else {
      const uint64_t now_us = ReadClock(CLOCK_BOOTTIME);
      const uint64_t due_us = timers_.begin()->first.first;
      const uint64_t sleep_us = due_us > now_us ? std::min(due_us - now_us, kSleepMax_us) : 0;
      wake_.wait_for(lock, std::chrono::microseconds(sleep_us), woken);
    }
    asleep_ = false;
    if (!queue_.empty()) wakeups_.fetch_add(1, std::memory_order_relaxed);
  }
  taken.swap(queue_);
  taken_left_.store(taken.size(), std::memory_order_relaxed);
  return true;
}

void Loop::RunSlices(std::vector<Task>& taken) {
  size_t next = 0;
  do {
    const bool timers_ran = RunDueTimers();
    const size_t end = std::min(taken.size(), next + options_.slice_max);
    if (next == end && !timers_ran) return;
    const uint64_t end_us = ReadClock(CLOCK_BOOTTIME) + options_.slice_us;
    while (next < end) {
      taken_left_.store(taken.size() - next - 1, std::memory_order_relaxed);
      taken[next]();
      taken[next] = Task();  // what it holds (a caller to answer, say) goes now and not with the whole queue
      ++next;
      if (ReadClock(CLOCK_BOOTTIME) >= end_us) break;
    }
    if (hook_) hook_();
  } while (next < taken.size());
}

bool Loop::RunDueTimers() {
  if (timers_.empty()) return false;
  const uint64_t now_us = ReadClock(CLOCK_BOOTTIME);
  // Those that are due now, and not what they set in turn: a timer of zero must not keep posts
  // waiting for ever.
  const TimerId last = last_timer_;
  bool ran = false;
  for (auto timer = timers_.begin(); timer != timers_.end() && timer->first.first <= now_us;) {
    if (Raw(timer->first.second) > Raw(last)) {
      ++timer;
      continue;
    }
    const auto due = timers_.extract(timer);
    timer_times_.erase(due.key().second);
    auto task = std::move(due.mapped());
    task();
    ran = true;
    timer = timers_.begin();
  }
  return ran;
}

}  // namespace assent
