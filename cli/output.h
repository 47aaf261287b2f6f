#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"

// What the commands print. Data goes to stdout; progress, warnings and errors to stderr.
namespace assent::cli {

// Exit codes of every command; scripts rely on them.
enum ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kAborted = 3,
  kUnknown = 4,
  kMixed = 5,  // participants ended differently
  kUnavailable = 6,
};
ExitCode ExitCodeOf(const Status& status);

// Prints "assent: what" to stderr, and returns `code`.
ExitCode Fail(ExitCode code, std::string_view what);
ExitCode Fail(const Status& status);

enum class Format : uint8_t { kTable, kJson, kCsv };

// Rows under named columns, printed as an aligned table, a JSON array of objects, or CSV with a header line.
// In JSON a cell made by Number() is a number.
class Table {
 public:
  struct Cell {
    std::string text;
    bool is_number = false;
    bool is_none = false;
  };
  static Cell Number(uint64_t number) { return {std::to_string(number), true}; }
  static Cell Number(int64_t number) { return {std::to_string(number), true}; }
  static Cell Text(std::string text) { return {std::move(text), false}; }
  static Cell None() { return {"-", false, true}; }  // null in JSON, empty in CSV

  explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // Column names are upper case in tables, lower case in JSON and CSV.
  void Print(Format format) const;

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// Bytes as text: printable UTF-8 as it is, everything else as \xNN.
std::string Printable(std::string_view bytes);
// 1234567 -> "1,234,567".
std::string Grouped(int64_t number);
// "412ms", "7s", "4m12", "3h05".
std::string ShortDuration(uint64_t us);

bool StdoutIsTerminal();
bool UseColour();  // a terminal, and no NO_COLOR

// One line on stderr that is rewritten as work goes on; silent where stderr is no terminal.
class Progress {
 public:
  ~Progress() { Clear(); }
  void Show(const std::string& text);
  void Clear();

 private:
  bool shown_ = false;
};

}  // namespace assent::cli
