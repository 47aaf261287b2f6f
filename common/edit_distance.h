#pragma once

#include <cstddef>
#include <string_view>

namespace assent {

// How many letters are to be inserted, removed or replaced to make one of the other: for "did you mean".
size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace assent
