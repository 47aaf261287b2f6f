#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"

// A small file that people can read and that shows damage:
//
//   assent <kind> <format>
//   <key> <value>            one line a field; values are any text without line breaks
//   check <16 hex digits>    XXH3-64 of all bytes before this line
namespace assent {

inline constexpr size_t kTextRecordBytesMax = 64 * 1024;

struct TextRecord {
  std::string kind;
  uint32_t format = 1;
  std::vector<std::pair<std::string, std::string>> fields;

  // The first field of that name.
  std::optional<std::string> Find(std::string_view key) const;
  std::optional<uint64_t> FindNumber(std::string_view key) const;  // decimal
  std::optional<uint64_t> FindHex(std::string_view key) const;     // 16 digits
};

std::string EncodeTextRecord(const TextRecord& record);
// kDamaged, or kForeign where the format is above `format_max`. `path` is for the message.
Result<TextRecord> DecodeTextRecord(std::string_view text, std::string_view kind, uint32_t format_max,
                                    const std::string& path);

std::string Hex16(uint64_t number);

}  // namespace assent
