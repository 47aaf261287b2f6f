#include "common/base64.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace assent {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string Base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = i; j < i + 3; ++j) {
      three = three << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u);
    }
    const size_t digits = std::min<size_t>(bytes.size() - i, 3) + 1;
    for (size_t j = 0; j < 4; ++j) out += j < digits ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

std::optional<std::string> ParseBase64(std::string_view base64) {
  std::string bytes;
  uint32_t bits = 0;
  size_t count = 0;
  for (const char c : base64.substr(0, base64.find('='))) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  // Padding that is missing, or too much of it, and bits behind the last byte.
  return Base64(bytes) == base64 ? std::optional(std::move(bytes)) : std::nullopt;
}

}  // namespace assent
