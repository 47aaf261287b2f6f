#include "runtime/transport/byte_budget.h"

#include "common/check.h"

namespace assent {

bool ByteBudget::TryTake(size_t bytes) {
  size_t taken = taken_.load();
  while (taken + bytes <= bytes_max_) {
    if (taken_.compare_exchange_weak(taken, taken + bytes)) return true;
  }
  return false;
}

bool ByteBudget::Take(size_t bytes, std::chrono::milliseconds timeout) {
  ASSENT_CHECK(bytes <= bytes_max_, bytes, bytes_max_);
  if (TryTake(bytes)) return true;
  std::unique_lock lock(mutex_);
  ++waiters_;  // before it looks again: whoever gives after that look sees it
  bool taken = false;
  given_.wait_for(lock, timeout, [&] { return closed_ || (taken = TryTake(bytes)); });
  --waiters_;
  return taken;
}

void ByteBudget::Give(size_t bytes) {
  taken_ -= bytes;
  if (waiters_ == 0) return;
  const std::lock_guard lock(mutex_);
  given_.notify_all();
}

void ByteBudget::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  given_.notify_all();
}

}  // namespace assent
