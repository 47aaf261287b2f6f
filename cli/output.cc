#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

namespace assent::cli {
namespace {

std::string Cased(std::string text, int (*fn)(int)) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [fn](unsigned char c) { return static_cast<char>(fn(c)); });
  return text;
}

std::string CsvCell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

// Length of the well-formed UTF-8 sequence at `at`; 0 if there is none. Control characters are none of ours.
size_t Utf8Length(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = byte(at);
  if (first >= 0x20 && first < 0x7f) return 1;
  const size_t length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first >= 0xf5 || at + length > bytes.size()) return 0;
  for (size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

ExitCode ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kOk;
    case StatusCode::kInvalid:
      return kUsage;
    case StatusCode::kUnavailable:
    case StatusCode::kOverloaded:
      return kUnavailable;
    case StatusCode::kNotFound:
    case StatusCode::kConflict:
    case StatusCode::kDamaged:
    case StatusCode::kIo:
    case StatusCode::kDiskFull:
    case StatusCode::kForeign:
      return kError;
  }
  return kError;
}

ExitCode Fail(ExitCode code, std::string_view what) {
  std::cout.flush();
  std::cerr << "assent: " << what << '\n';
  return code;
}

ExitCode Fail(const Status& status) {
  return Fail(ExitCodeOf(status), status.message());
}

void Table::Print(Format format) const {
  switch (format) {
    case Format::kTable: {
      std::vector<size_t> widths;
      for (const auto& column : columns_) widths.push_back(column.size());
      for (const auto& row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].text.size());
      }
      const auto print = [&](const auto& text_of) {
        std::string line;
        for (size_t i = 0; i < columns_.size(); ++i) {
          std::string text = text_of(i);
          if (i + 1 < columns_.size()) text.resize(widths[i] + 2, ' ');
          line += text;
        }
        std::cout << line << '\n';
      };
      print([&](size_t i) { return Cased(columns_[i], std::toupper); });
      for (const auto& row : rows_) print([&](size_t i) { return row[i].text; });
      break;
    }
    case Format::kJson: {
      auto out = nlohmann::ordered_json::array();
      for (const auto& row : rows_) {
        nlohmann::ordered_json object;
        for (size_t i = 0; i < columns_.size(); ++i) {
          std::string name = Cased(columns_[i], std::tolower);
          std::replace(name.begin(), name.end(), ' ', '_');
          if (row[i].is_none) {
            object[name] = nullptr;
          } else if (row[i].is_number) {
            object[name] = std::stoll(row[i].text);
          } else {
            object[name] = row[i].text;
          }
        }
        out.push_back(std::move(object));
      }
      std::cout << out.dump(2) << '\n';
      break;
    }
    case Format::kCsv: {
      for (size_t i = 0; i < columns_.size(); ++i) {
        std::cout << (i == 0 ? "" : ",") << CsvCell(Cased(columns_[i], std::tolower));
      }
      std::cout << '\n';
      for (const auto& row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) std::cout << (i == 0 ? "" : ",") << CsvCell(row[i].text);
        std::cout << '\n';
      }
      break;
    }
  }
  std::cout.flush();
}

std::string Printable(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    const size_t length = Utf8Length(bytes, i);
    if (length > 0) {
      out += bytes.substr(i, length);
      i += length;
    } else {
      const auto byte = static_cast<unsigned char>(bytes[i++]);
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string Grouped(int64_t number) {
  std::string digits = std::to_string(number);
  const size_t first = digits[0] == '-' ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

std::string ShortDuration(uint64_t us) {
  char buffer[32];
  const unsigned long long seconds = us / 1'000'000;
  if (us < 1'000'000) {
    std::snprintf(buffer, sizeof buffer, "%llums", static_cast<unsigned long long>(us / 1000));
  } else if (seconds < 60) {
    std::snprintf(buffer, sizeof buffer, "%llus", seconds);
  } else if (seconds < 3600) {
    std::snprintf(buffer, sizeof buffer, "%llum%02llu", seconds / 60, seconds % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%lluh%02llu", seconds / 3600, seconds / 60 % 60);
  }
  return buffer;
}

bool StdoutIsTerminal() {
  return isatty(STDOUT_FILENO) == 1;
}

bool UseColour() {
  return StdoutIsTerminal() && std::getenv("NO_COLOR") == nullptr;
}

void Progress::Show(const std::string& text) {
  if (isatty(STDERR_FILENO) != 1) return;
  std::cerr << "\r\x1b[K" << text << std::flush;
  shown_ = true;
}

void Progress::Clear() {
  if (!shown_) return;
  std::cerr << "\r\x1b[K" << std::flush;
  shown_ = false;
}

}  // namespace assent::cli
