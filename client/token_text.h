#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"

// A token as text, to be stored or typed, and to be read back as the same token.
namespace assent {

std::string TokenText(const Token& token);  // "c1/100000001/17/64c0f3a1b2d4e"; birth_us in hexadecimal
// Exactly what TokenText makes.
std::optional<Token> ParseTokenText(std::string_view text);

}  // namespace assent
