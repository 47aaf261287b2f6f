#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "common/status.h"

// Where a Thrift server thread waits for the loop's answer. The waiter may give up first (its deadline, the
// gate's end): the answer then finds nobody and is dropped, which is safe since both hold
// the meeting point together.
namespace assent {

class CallGate;

namespace internal {

// The meeting point, without the type of what is handed over.
class CallSlot {
 public:
  virtual ~CallSlot() = default;
  void Break(StatusCode code, const char* why);  // the waiter leaves with this, unless it was answered

 protected:
  friend class assent::CallGate;
  void AwaitUntil(std::chrono::steady_clock::time_point deadline);  // returns settled

  std::mutex mutex_;
  std::condition_variable settled_cv_;
  bool settled_ = false;  // answered, broken or given up: what comes later is dropped
  Status broken_;
};

template <class Reply>
class TypedCallSlot final : public CallSlot {
 public:
  bool Answer(Reply reply) {
    std::lock_guard lock(mutex_);
    if (settled_) return false;
    reply_ = std::move(reply);
    settled_ = true;
    settled_cv_.notify_one();
    return true;
  }

 private:
  friend class assent::CallGate;
  std::optional<Reply> reply_;
};

}  // namespace internal

// The right to answer one call, once. Move-only; destroyed without an answer (the loop stopped, a core
// dropped the request) it releases the waiter with kUnavailable. Any thread.
template <class Reply>
class ReplyTo {
 public:
  ReplyTo() = default;
  explicit ReplyTo(std::shared_ptr<internal::TypedCallSlot<Reply>> slot) : slot_(std::move(slot)) {}
  ReplyTo(ReplyTo&&) noexcept = default;
  ReplyTo& operator=(ReplyTo&& other) noexcept {
    if (this != &other) {
      Drop();
      slot_ = std::move(other.slot_);
    }
    return *this;
  }
  ~ReplyTo() { Drop(); }

  // False: nobody waits any more.
  bool operator()(Reply reply) {
    auto slot = std::exchange(slot_, nullptr);
    return slot != nullptr && slot->Answer(std::move(reply));
  }

 private:
  void Drop() {
    if (auto slot = std::exchange(slot_, nullptr))
      slot->Break(StatusCode::kUnavailable, "the node dropped the request");
  }
  std::shared_ptr<internal::TypedCallSlot<Reply>> slot_;
};

class CallGate {
 public:
  // Past `waiters_max` calls are refused with kOverloaded. REQUIRES: outlives its callers.
  explicit CallGate(size_t waiters_max) : waiters_max_(waiters_max) {}

  // Runs start(ReplyTo<Reply>), which passes the request on without blocking and says with a bool whether it
  // was taken (Loop::TryPost's answer), then waits. kOverloaded: refused, surely not run. kUnavailable: no
  // answer in time, dropped, or the gate closed; it may have run.
  template <class Reply, class Start>
  Result<Reply> Call(uint64_t timeout_us, Start&& start);

  void Close();            // releases all waiters, and refuses later calls
  size_t waiting() const;  // callers inside

 private:
  Status Enter(internal::CallSlot* slot);
  void Leave(internal::CallSlot* slot);

  const size_t waiters_max_;
  mutable std::mutex mutex_;
  bool closed_ = false;
  std::set<internal::CallSlot*> slots_;
};

template <class Reply, class Start>
Result<Reply> CallGate::Call(uint64_t timeout_us, Start&& start) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  auto slot = std::make_shared<internal::TypedCallSlot<Reply>>();
  if (Status entered = Enter(slot.get()); !entered.ok()) return entered;
  struct Exit {
    CallGate* gate;
    internal::CallSlot* slot;
    ~Exit() { gate->Leave(slot); }
  } exit{this, slot.get()};
  if (!start(ReplyTo<Reply>(slot)))
    return Status(StatusCode::kOverloaded, "too many requests are waiting; retry");
  slot->AwaitUntil(deadline);
  std::lock_guard lock(slot->mutex_);
  if (slot->reply_.has_value()) return *std::move(slot->reply_);
  return slot->broken_;
}

}  // namespace assent
