#include <assent/token_text.h>

#include <charconv>
#include <cstdio>

namespace assent {

std::string TokenText(const Token& token) {
  char birth[17];
  std::snprintf(birth, sizeof birth, "%llx", static_cast<unsigned long long>(token.birth_us));
  return ToString(token) + '/' + birth;
}

std::optional<Token> ParseTokenText(std::string_view text) {
  const std::string_view whole = text;
  const auto part = [&] {
    const size_t end = text.find('/');
    const std::string_view head = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return head;
  };
  const auto number = [&](int base) {
    uint64_t value = 0;
    const std::string_view digits = part();
    (void)std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    return value;
  };
  const auto group = ParseGroupId(part());
  if (!group || group->kind != GroupKind::kCoordinator) return std::nullopt;
  Token token;
  token.coordinator = *group;
  token.client = ClientId{number(16)};
  token.seq = number(10);
  token.birth_us = number(16);
  // Text that from_chars makes nothing of shows here.
  return token.valid() && TokenText(token) == whole ? std::optional(token) : std::nullopt;
}

}  // namespace assent
