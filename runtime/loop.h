#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "runtime/task.h"

// The one thread on which a node's protocol cores run. Any thread posts; the loop takes the whole queue at
// once, so many posts cost one wake-up, and runs it in slices, each followed by the hook in which the driver
// flushes what the slice brought about (its log batch, its outgoing messages).
//
// A mutex, a condition variable and an ordered map rather than Asio: the loop waits for no socket (threads
// that block do), so a reactor's epoll would cost a system call for each wake-up and bring nothing; a post to
// a running loop is 1 uncontended lock.
//
// Order: posts run in the order in which they were queued; timers by their time, equal times in the order
// set. Timers that are due run before each slice, so a long queue cannot delay them, and the beacons that
// they send, by more than a slice: that is over after so many posts, or so much time, whichever comes first.
namespace assent {

enum class TimerId : uint64_t {};  // 0: none

struct LoopOptions {
  size_t queue_max = 65'536;  // for TryPost(): past it the node answers "overloaded" instead of queueing
  size_t slice_max = 256;     // posts between two runs of timers and hook; at some 5 µs each about 1 ms
  uint64_t slice_us = 2'000;  // for those that take longer: after so long no further post begins
};

class Loop {
 public:
  explicit Loop(const LoopOptions& options = {});
  ~Loop();  // REQUIRES: Run() has returned, or was never called
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Both clocks now. CLOCK_BOOTTIME goes on while the machine is suspended, as the peer's clock does.
  static Instant Now();

  // Any thread. Queues without a bound: for what ends work already admitted (a force done, a reply). False
  // after Stop(): the task was destroyed unrun.
  bool Post(Task task);
  // Any thread. For new work from outside: false also when `queue_max` are waiting;
  // the caller answers overloaded.
  bool TryPost(Task task);

  // Loop thread only, or before Run(). Runs once at `mono_us` (CLOCK_BOOTTIME) or as soon after as may be.
  TimerId PostAt(uint64_t mono_us, Task task);
  // Loop thread only. False if it ran or was cancelled before.
  bool Cancel(TimerId timer);

  // Before Run(). Called on the loop thread after each slice of posts and after timers ran, before it sleeps.
  void SetIdleHook(Task hook);

  // Runs until Stop(): posts from before it still run, timers that are not due by then do not. Once only.
  void Run();
  void Stop();  // any thread

  bool InLoop() const { return std::this_thread::get_id() == thread_.load(std::memory_order_relaxed); }
  size_t queued() const;  // posts that wait
  uint64_t wakeups() const {
    return wakeups_.load(std::memory_order_relaxed);
  }  // times that it was woken to posts

 private:
  bool Enqueue(Task task, size_t bound);
  bool TakeQueue(
      std::vector<Task>& taken);  // sleeps until there is work; false: stopped, and nothing is left
  bool RunDueTimers();            // whether any ran
  void RunSlices(std::vector<Task>& taken);
  bool running() const { return thread_.load(std::memory_order_relaxed) != std::thread::id(); }

  const LoopOptions options_;
  std::atomic<std::thread::id> thread_{};
  std::atomic<uint64_t> wakeups_{0};
  std::atomic<size_t> taken_left_{0};  // of the queue that was taken, not run yet

  // The loop thread's alone:
  std::map<std::pair<uint64_t, TimerId>, Task> timers_;
  std::map<TimerId, uint64_t> timer_times_;
  TimerId last_timer_{};
  Task hook_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // By mutex_:
  std::vector<Task> queue_;
  bool asleep_ = false;
  bool stopping_ = false;
};

}  // namespace assent
