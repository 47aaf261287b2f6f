#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <streambuf>

#include "cli/json.h"
#include "cli/text.h"
#include "common/base64.h"

namespace assent::cli {
namespace {

const Format* error_format = nullptr;

class StdoutBuffer final : public std::streambuf {
 public:
  StdoutBuffer() { setp(buffer_.data(), buffer_.data() + buffer_.size()); }
  int error() const { return error_; }

 protected:
  int_type overflow(int_type c) override {
    if (!Flush()) return traits_type::eof();
    return traits_type::eq_int_type(c, traits_type::eof()) ? traits_type::not_eof(c)
                                                           : sputc(traits_type::to_char_type(c));
  }
  int sync() override { return Flush() ? 0 : -1; }

 private:
  bool Flush() {
    for (const char* at = pbase(); at < pptr() && error_ == 0;) {
      const ssize_t written = write(STDOUT_FILENO, at, static_cast<size_t>(pptr() - at));
      if (written >= 0) {
        at += written;
      } else if (errno != EINTR) {
        error_ = errno;
      }
    }
    setp(buffer_.data(), buffer_.data() + buffer_.size());
    return error_ == 0;
  }

  std::array<char, 65'536> buffer_;
  int error_ = 0;
};

StdoutBuffer* stdout_buffer = nullptr;

std::string Cased(std::string text, int (*fn)(int)) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [fn](unsigned char c) { return static_cast<char>(fn(c)); });
  return text;
}

std::string MachineName(const Table::Column& column) {
  if (!column.machine_name.empty()) return column.machine_name;
  std::string name = Cased(column.name, std::tolower);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
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

// True for bytes that a reader of CSV takes for text.
bool IsCsvText(const std::string& bytes) {
  return bytes.find('\0') == std::string::npos && IsUtf8(bytes);
}

void PrintCsvLine(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) std::cout << (i == 0 ? "" : ",") << CsvCell(cells[i]);
  std::cout << '\n';
}

void PrintToStderr(const char* kind, std::string_view what) {
  std::cout.flush();
  if (error_format != nullptr && *error_format == Format::kJson) {
    std::cerr << ToText(Json{{kind, what}}, -1) << '\n';
  } else {
    std::cerr << "assent: " << Harmless(what) << '\n';
  }
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

ExitCode Worse(ExitCode a, ExitCode b) {
  constexpr ExitCode kFromBadToWorse[] = {kOk,    kAbsent,      kAborted, kUsage,
                                          kError, kUnavailable, kMixed,   kUnknown};
  const auto rank = [&](ExitCode code) {
    return std::find(std::begin(kFromBadToWorse), std::end(kFromBadToWorse), code);
  };
  return rank(a) < rank(b) ? b : a;
}

void ErrorsFollow(const Format& format) {
  error_format = &format;
}

ExitCode Fail(ExitCode code, std::string_view what) {
  PrintToStderr("error", what);
  return code;
}

void Note(std::string_view what) {
  PrintToStderr("note", what);
}

ExitCode Fail(const Status& status) {
  return Fail(ExitCodeOf(status), status.message());
}

void TakeOverStdout() {
  if (stdout_buffer != nullptr) return;
  stdout_buffer =
      new StdoutBuffer;  // never deleted: std::cout is flushed after the last static object is gone
  std::cout.rdbuf(stdout_buffer);
}

int OutputError() {
  std::cout.flush();
  if (stdout_buffer != nullptr) return stdout_buffer->error();
  return std::cout.good() ? 0 : EIO;
}

Table::Column Table::BytesColumn(const char* name) {
  Column column(name);
  column.is_bytes = true;
  return column;
}

Table::Cell Table::Number(uint64_t number) {
  return {Kind::kNumber, std::to_string(number), std::to_string(number), {}};
}
Table::Cell Table::Number(int64_t number) {
  return {Kind::kNumber, std::to_string(number), std::to_string(number), {}};
}
Table::Cell Table::Text(std::string text) {
  return {Kind::kText, std::move(text), {}, {}};
}
Table::Cell Table::Bytes(std::string bytes) {
  return {Kind::kBytes, std::move(bytes), {}, {}};
}
Table::Cell Table::List(std::vector<std::string> list) {
  std::string text;
  for (const std::string& item : list) text += (text.empty() ? "" : "; ") + item;
  return {Kind::kList, std::move(text), {}, std::move(list)};
}
Table::Cell Table::Duration(uint64_t us) {
  return {Kind::kNumber, ShortDuration(us), std::to_string(us / 1000), {}};
}
Table::Cell Table::None() {
  return {Kind::kNone, "-", {}, {}};
}

void Table::Print(Format format) const {
  switch (format) {
    case Format::kTable:
      PrintAligned();
      break;
    case Format::kJson:
      PrintJson();
      break;
    case Format::kCsv:
      PrintCsv();
      break;
  }
  std::cout.flush();
}

void Table::PrintAligned() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines[0].push_back(Cased(column.name, std::toupper));
  for (const auto& row : rows_) {
    lines.emplace_back();
    for (const Cell& cell : row) {
      lines.back().push_back(cell.kind == Kind::kBytes ? cli::Cell(cell.text) : Harmless(cell.text));
    }
  }
  std::vector<size_t> widths(columns_.size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Columns(line[i]));
  }
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      std::cout << line[i];
      if (i + 1 < line.size()) std::cout << std::string(widths[i] + 2 - Columns(line[i]), ' ');
    }
    std::cout << '\n';
  }
}

void Table::PrintJson() const {
  Json out = Json::array();
  for (const auto& row : rows_) {
    Json object = Json::object();
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string name = MachineName(columns_[i]);
      switch (row[i].kind) {
        case Kind::kText:
          object[name] = row[i].text;
          break;
        case Kind::kNumber:
          object[name] = Json::parse(row[i].machine_text);
          break;
        case Kind::kBytes:
          SetBytes(object, name, row[i].text);
          break;
        case Kind::kList:
          object[name] = row[i].list;
          break;
        case Kind::kNone:
          object[name] = nullptr;
          break;
      }
    }
    out.push_back(std::move(object));
  }
  std::cout << ToText(out) << '\n';
}

void Table::PrintCsv() const {
  std::vector<std::string> line;
  for (const Column& column : columns_) line.push_back(MachineName(column));
  for (const Column& column : columns_) {
    if (column.is_bytes) line.push_back(MachineName(column) + "_base64");
  }
  PrintCsvLine(line);
  for (const auto& row : rows_) {
    line.clear();
    for (const Cell& cell : row) {
      const bool hidden = cell.kind == Kind::kNone || (cell.kind == Kind::kBytes && !IsCsvText(cell.text));
      line.push_back(hidden ? "" : cell.kind == Kind::kNumber ? cell.machine_text : cell.text);
    }
    for (size_t i = 0; i < row.size(); ++i) {
      if (columns_[i].is_bytes) line.push_back(IsCsvText(row[i].text) ? "" : Base64(row[i].text));
    }
    PrintCsvLine(line);
  }
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
