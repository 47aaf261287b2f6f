#include "runtime/call_gate.h"

#include <string>

namespace assent {

namespace internal {

void CallSlot::Break(StatusCode code, const char* why) {
  std::lock_guard lock(mutex_);
  if (settled_) return;
  settled_ = true;
  broken_ = Status(code, why);
  settled_cv_.notify_one();
}

void CallSlot::AwaitUntil(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (settled_cv_.wait_until(lock, deadline, [this] { return settled_; })) return;
  settled_ = true;
  broken_ = Status(StatusCode::kUnavailable, "no answer in time");
}

}  // namespace internal

Status CallGate::Enter(internal::CallSlot* slot) {
  std::lock_guard lock(mutex_);
  if (closed_) return {StatusCode::kUnavailable, "the node is stopping"};
  if (slots_.size() >= waiters_max_) {
    return {StatusCode::kOverloaded, std::to_string(waiters_max_) + " requests are waiting already; retry"};
  }
  slots_.insert(slot);
  return {};
}

void CallGate::Leave(internal::CallSlot* slot) {
  std::lock_guard lock(mutex_);
  slots_.erase(slot);
}

void CallGate::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  for (internal::CallSlot* slot : slots_) slot->Break(StatusCode::kUnavailable, "the node is stopping");
}

size_t CallGate::waiting() const {
  std::lock_guard lock(mutex_);
  return slots_.size();
}

}  // namespace assent
