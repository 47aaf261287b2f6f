#include "directory/text_record.h"

#include <xxhash.h>

#include <charconv>
#include <cstdio>

#include "common/check.h"

namespace assent {
namespace {

constexpr std::string_view kCheck = "check ";

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status Damaged(const std::string& path, const std::string& what) {
  return Status(StatusCode::kDamaged, path + ": " + what + ". The file is damaged");
}

}  // namespace

std::string Hex16(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

std::optional<std::string> TextRecord::Find(std::string_view key) const {
  for (const auto& [name, value] : fields) {
    if (name == key) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> TextRecord::FindNumber(std::string_view key) const {
  const auto value = Find(key);
  return value ? ParseNumber(*value, 10) : std::nullopt;
}

std::optional<uint64_t> TextRecord::FindHex(std::string_view key) const {
  const auto value = Find(key);
  return value && value->size() == 16 ? ParseNumber(*value, 16) : std::nullopt;
}

std::string EncodeTextRecord(const TextRecord& record) {
  std::string text = "assent " + record.kind + " " + std::to_string(record.format) + "\n";
  for (const auto& [key, value] : record.fields) {
    ASSENT_CHECK(key.find_first_of(" \n") == std::string::npos && value.find('\n') == std::string::npos, key,
                 value);
    text += key;
    text += ' ';
    text += value;
    text += '\n';
  }
  text += std::string(kCheck) + Hex16(XXH3_64bits(text.data(), text.size())) + "\n";
  ASSENT_CHECK(text.size() <= kTextRecordBytesMax, record.kind, text.size());
  return text;
}

Result<TextRecord> DecodeTextRecord(std::string_view text, std::string_view kind, uint32_t format_max,
                                    const std::string& path) {
  TextRecord record;
  const std::string head = "assent " + std::string(kind) + " ";
  const size_t line_end = text.find('\n');
  if (!text.starts_with(head) || line_end == std::string_view::npos) {
    return Damaged(path, "it does not begin with \"" + head + "\"");
  }
  // Before the checksum, which a newer format may compute otherwise.
  const auto format = ParseNumber(text.substr(head.size(), line_end - head.size()), 10);
  if (!format) return Damaged(path, "its format is not a number");
  if (*format > format_max) {
    return Status(StatusCode::kForeign, path + ": the file has format " + std::to_string(*format) +
                                            ", and this program knows formats up to " +
                                            std::to_string(format_max) + ". Run a newer assent");
  }
  record.kind = kind;
  record.format = static_cast<uint32_t>(*format);

  const size_t check_bytes = kCheck.size() + 17;  // 16 digits and the line's end
  if (text.size() < line_end + 1 + check_bytes) return Damaged(path, "it is cut short");
  const std::string_view covered = text.substr(0, text.size() - check_bytes);
  const std::string check = std::string(kCheck) + Hex16(XXH3_64bits(covered.data(), covered.size())) + "\n";
  if (text.substr(covered.size()) != check) return Damaged(path, "it does not match its checksum");

  std::string_view rest = covered.substr(line_end + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    const size_t blank = line.find(' ');
    if (end == std::string_view::npos || blank == std::string_view::npos)
      return Damaged(path, "a line lacks its value");
    record.fields.emplace_back(line.substr(0, blank), line.substr(blank + 1));
    rest.remove_prefix(end + 1);
  }
  return record;
}

}  // namespace assent
