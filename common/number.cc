#include "common/number.h"

#include <charconv>

namespace assent {

std::optional<int64_t> LeadingNumber(std::string_view value) {
  const std::string_view head = value.substr(0, value.find(' '));
  int64_t number = 0;
  const auto [end, error] = std::from_chars(head.data(), head.data() + head.size(), number);
  if (error != std::errc{} || end != head.data() + head.size()) return std::nullopt;
  return number;
}

void SetLeadingNumber(std::string& value, int64_t number) {
  value.replace(0, value.find(' '), std::to_string(number));  // npos: all of it
}

std::optional<int64_t> CheckedAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

}  // namespace assent
