#pragma once

#include <cstdio>
#include <cstdlib>

// A broken local contract: prints where and what, and ends the process. For bugs only; failures that a peer,
// a disk or a user can cause are a Status, and outcomes that the protocol allows are a domain enum.
#define ASSENT_CHECK(condition, ...)                                                         \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: check failed: %s. " __VA_OPT__("%s"), __FILE__, __LINE__, \
                   #condition __VA_OPT__(, ::assent::CheckText(__VA_ARGS__).c_str()));       \
      std::fprintf(stderr, "\n");                                                            \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#include <string>
#include <string_view>
#include <type_traits>

namespace assent {

// Values of a failed check, in order, separated by blanks: ASSENT_CHECK(a == b, "lsn", a, b).
template <typename... Args>
std::string CheckText(const Args&... args) {
  std::string out;
  auto add = [&out](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if (!out.empty()) out += ' ';
    if constexpr (std::is_enum_v<T>) {
      out += std::to_string(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      out += std::to_string(value);
    } else {
      out += std::string_view(value);
    }
  };
  (add(args), ...);
  return out;
}

}  // namespace assent
