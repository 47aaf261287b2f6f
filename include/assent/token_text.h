#pragma once

#include <assent/ids.h>

#include <optional>
#include <string>
#include <string_view>

// A token as text, to be stored or typed, and to be read back as the same token.
namespace assent {

ASSENT_API std::string TokenText(
    const Token& token);  // "c1/100000001/17/64c0f3a1b2d4e"; birth_us in hexadecimal
// Exactly what TokenText makes.
ASSENT_API std::optional<Token> ParseTokenText(std::string_view text);

}  // namespace assent
