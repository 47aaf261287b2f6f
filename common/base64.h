#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assent {

std::string Base64(std::string_view bytes);                       // RFC 4648, padded
std::optional<std::string> ParseBase64(std::string_view base64);  // accepts exactly what Base64 prints

}  // namespace assent
