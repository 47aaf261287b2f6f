#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace assent {

// Bytes that many threads may hold together (G8). Any thread.
class ByteBudget {
 public:
  explicit ByteBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Waits until `bytes` more fit. False: not within `timeout`, or closed. REQUIRES: `bytes` <= bytes_max.
  bool Take(size_t bytes, std::chrono::milliseconds timeout);
  void Give(size_t bytes);
  void Close();  // for good: releases who waits
  size_t taken() const { return taken_.load(); }

 private:
  bool TryTake(size_t bytes);

  const size_t bytes_max_;
  std::atomic<size_t> taken_{0};
  std::atomic<int> waiters_{0};
  std::mutex mutex_;
  std::condition_variable given_;
  bool closed_ = false;  // by mutex_
};

// A share of a budget, given back at the end. Empty at first.
class BudgetShare {
 public:
  BudgetShare() = default;
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() {
    if (budget_ != nullptr) budget_->Give(bytes_);
  }
  // REQUIRES: empty. False: `budget` has no room.
  bool Take(ByteBudget& budget, size_t bytes, std::chrono::milliseconds timeout) {
    if (!budget.Take(bytes, timeout)) return false;
    budget_ = &budget;
    bytes_ = bytes;
    return true;
  }

 private:
  ByteBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace assent
