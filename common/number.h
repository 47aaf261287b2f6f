#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assent {

// A value that `add` works on leads with a decimal integer: all of the value, or up to its first blank; the
// rest behind the blank is kept. "100", "-5", "100 opened 2026-11-02".
std::optional<int64_t> LeadingNumber(std::string_view value);
// Replaces the leading number, and moves the rest only if the new one has another length.
void SetLeadingNumber(std::string& value, int64_t number);
// nullopt if the sum does not fit 64 bits.
std::optional<int64_t> CheckedAdd(int64_t a, int64_t b);

}  // namespace assent
