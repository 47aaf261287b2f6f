#pragma once

#include <coroutine>
#include <exception>
#include <utility>

// Coroutines for simulated clients: code that waits for replies and reads from top to bottom.
namespace assent::sim {

// A coroutine that begins when awaited, and gives a T.
template <typename T>
class Flow {
 public:
  struct promise_type {
    T value{};
    std::coroutine_handle<> awaiting;
    Flow get_return_object() { return Flow(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) noexcept {
        return self.promise().awaiting ? self.promise().awaiting : std::noop_coroutine();
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(T result) { value = std::move(result); }
    void unhandled_exception() { std::terminate(); }
  };

  explicit Flow(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Flow(Flow&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Flow(const Flow&) = delete;
  Flow& operator=(Flow&&) = delete;
  Flow& operator=(const Flow&) = delete;
  ~Flow() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) {
    handle_.promise().awaiting = awaiting;
    return handle_;
  }
  T await_resume() { return std::move(handle_.promise().value); }

  // For the outermost one: runs it to its first wait.
  void Start() { handle_.resume(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace assent::sim
