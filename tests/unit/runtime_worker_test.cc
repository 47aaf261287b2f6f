// A thread for tasks: in order, and its end.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/worker.h"

namespace assent {
namespace {

// A place where threads wait for each other.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();  // under the lock: who waits may end the gate's life at once
  }
  void Await() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

TEST(Worker, RunsTasksInTheOrderPostedOnAThreadOfItsOwn) {
  std::vector<int> ran;
  std::thread::id thread;
  Gate done;
  Worker worker;
  for (int i = 0; i < 100; ++i) worker.Post([&ran, i] { ran.push_back(i); });
  worker.Post([&] {
    thread = std::this_thread::get_id();
    done.Open();
  });
  done.Await();
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
  EXPECT_NE(thread, std::this_thread::get_id());
}

TEST(Worker, StopFinishesTheTaskThatRunsAndDropsTheOthers) {
  Gate posted;
  Gate running;
  Gate go_on;
  bool first = false;
  int others = 0;
  Worker worker;
  // While the first task waits all others gather, and are taken together.
  worker.Post([&] { posted.Await(); });
  worker.Post([&] {
    running.Open();
    go_on.Await();
    first = true;
  });
  worker.Post([&] { ++others; });
  posted.Open();
  running.Await();
  worker.Post([&] { ++others; });
  std::thread stopper([&] { worker.Stop(); });
  while (worker.Post([] {})) std::this_thread::yield();  // refused: Stop() has begun
  go_on.Open();
  stopper.join();
  EXPECT_TRUE(first);
  EXPECT_EQ(others, 0);
  worker.Stop();  // idempotent
  EXPECT_FALSE(worker.Post([] {}));
}

}  // namespace
}  // namespace assent
