#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/task.h"

namespace assent {

// One thread that runs posted tasks in order: for calls that block and that the loop must not wait for.
class Worker {
 public:
  Worker() : thread_([this] { Run(); }) {}
  ~Worker() { Stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Any thread. False after Stop(): the task is dropped.
  bool Post(Task task) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return false;
      queue_.push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

  // Finishes the task that runs, drops the others. Idempotent.
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      queue_.clear();
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      std::vector<Task> tasks;
      tasks.swap(queue_);
      lock.unlock();
      for (Task& task : tasks) {
        if (stopping_) break;
        task();
      }
      tasks.clear();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> queue_;             // by mutex_
  std::atomic<bool> stopping_ = false;  // written by mutex_
  std::thread thread_;
};

}  // namespace assent
