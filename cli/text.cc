#include "cli/text.h"

#include <algorithm>
#include <cstdint>

namespace assent::cli {
namespace {

// Length of the well-formed UTF-8 sequence at `at`; 0 if there is none (Unicode 15, table 3-7).
size_t Utf8Length(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || at + length > bytes.size()) return 0;
  for (size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(at + 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool too_high = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || too_high ? 0 : length;
}

// DEL and the two sets of control codes: a terminal may obey them.
bool IsControl(std::string_view bytes, size_t at, size_t length) {
  const auto first = static_cast<unsigned char>(bytes[at]);
  if (length == 1) return first < 0x20 || first == 0x7f;
  return length == 2 && first == 0xc2 && static_cast<unsigned char>(bytes[at + 1]) < 0xa0;
}

void AppendEscaped(std::string& out, char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    default:
      out += "\\x";
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
  }
}

// Control characters and what is no UTF-8 escaped, and with a backslash before each of `escaped`; those of
// `kept` stay as they are.
std::string Escape(std::string_view bytes, std::string_view escaped, std::string_view kept) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = Utf8Length(bytes, i);
    if (escaped.find(bytes[i]) != std::string_view::npos) {
      out += '\\';
      out += bytes[i++];
    } else if (kept.find(bytes[i]) != std::string_view::npos) {
      out += bytes[i++];
    } else if (length > 0 && !IsControl(bytes, i, length)) {
      out += bytes.substr(i, length);
      i += length;
    } else {
      for (const size_t end = i + std::max<size_t>(length, 1); i < end; ++i) AppendEscaped(out, bytes[i]);
    }
  }
  return out;
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = Utf8Length(bytes, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string Printable(std::string_view bytes) {
  return Escape(bytes, "\\", "");
}

std::string InDoubleQuotes(std::string_view bytes) {
  return '"' + Escape(bytes, "\\\"", "") + '"';
}

std::string Cell(std::string_view bytes) {
  const bool unclear = bytes.empty() || bytes.front() == ' ' || bytes.back() == ' ' || bytes.front() == '"' ||
                       bytes.find("  ") != std::string_view::npos ||
                       bytes.find(" = ") != std::string_view::npos;
  return unclear ? InDoubleQuotes(bytes) : Printable(bytes);
}

std::string ShellWord(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + '\'';
}

std::string Harmless(std::string_view text) {
  return Escape(text, "", "\n\\");
}

size_t Columns(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace assent::cli
