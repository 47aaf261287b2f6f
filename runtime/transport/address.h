#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status.h"

namespace assent {

struct Address {
  std::string host;  // a name or a numeric address, v4 or v6
  uint16_t port = 0;
  auto operator<=>(const Address&) const = default;
};
std::string ToString(const Address& address);  // "127.0.0.1:7401", "[::1]:7401"
Result<Address> ParseAddress(std::string_view text);
// False for a name other than "localhost": it may lead anywhere.
bool IsLoopback(const Address& address);
// 0.0.0.0, [::] and other ways to write them: to listen on, not to connect to.
bool IsUnspecified(const Address& address);

}  // namespace assent
