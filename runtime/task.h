#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace assent {

// A move-only void() callable. Up to 96 bytes are kept inside, so that posting an event with a shared pointer
// and a few ids allocates nothing; std::function would allocate past 16 and refuse move-only captures.
class Task {
 public:
  Task() = default;
  template <class Fn>
  requires(!std::is_same_v<std::decay_t<Fn>, Task> && std::is_invocable_v<std::decay_t<Fn>&>)
      Task(Fn&& fn) {  // NOLINT: implicit on purpose, as std::function
    using Held = std::decay_t<Fn>;
    if constexpr (sizeof(Held) <= kInline && alignof(Held) <= alignof(std::max_align_t) &&
                  std::is_nothrow_move_constructible_v<Held>) {
      ::new (static_cast<void*>(storage_)) Held(std::forward<Fn>(fn));
      ops_ = &kOps<Held>;
    } else {
      using Boxed = Box<Held>;
      ::new (static_cast<void*>(storage_)) Boxed{std::make_unique<Held>(std::forward<Fn>(fn))};
      ops_ = &kOps<Boxed>;
    }
  }
  Task(Task&& other) noexcept { Take(other); }
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Reset();
      Take(other);
    }
    return *this;
  }
  ~Task() { Reset(); }

  explicit operator bool() const { return ops_ != nullptr; }
  void operator()() { ops_->call(storage_); }

 private:
  static constexpr size_t kInline = 96;
  struct Ops {
    void (*call)(void*);
    void (*move)(void* from, void* to) noexcept;  // leaves `from` destroyed
    void (*destroy)(void*) noexcept;
  };
  template <class Held>
  struct Box {
    std::unique_ptr<Held> held;
    void operator()() { (*held)(); }
  };
  template <class Held>
  static constexpr Ops kOps{[](void* at) { (*static_cast<Held*>(at))(); },
                            [](void* from, void* to) noexcept {
                              ::new (to) Held(std::move(*static_cast<Held*>(from)));
                              static_cast<Held*>(from)->~Held();
                            },
                            [](void* at) noexcept { static_cast<Held*>(at)->~Held(); }};

  void Take(Task& other) noexcept {
    if (other.ops_ != nullptr) other.ops_->move(other.storage_, storage_);
    ops_ = std::exchange(other.ops_, nullptr);
  }
  void Reset() noexcept {
    if (ops_ != nullptr) std::exchange(ops_, nullptr)->destroy(storage_);
  }

  alignas(std::max_align_t) std::byte storage_[kInline];
  const Ops* ops_ = nullptr;
};

}  // namespace assent
