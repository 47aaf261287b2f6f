#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"

// Output of the commands. Data goes to stdout; progress, warnings and errors to stderr.
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
  kAbsent = 7,  // `get` of a key that is not there: an answer, and no error
};
ExitCode ExitCodeOf(const Status& status);
// The worse of two results. From best to worst: ok, absent, aborted (nothing took effect), usage, error,
// unavailable, mixed, unknown (something may have taken effect).
ExitCode Worse(ExitCode a, ExitCode b);

enum class Format : uint8_t { kTable, kJson, kCsv };

// Prints "assent: what" to stderr, or {"error": "what"} where ErrorsFollow was told JSON; returns `code`.
ExitCode Fail(ExitCode code, std::string_view what);
ExitCode Fail(const Status& status);
// The same for what is no error: {"note": "what"}.
void Note(std::string_view what);
void ErrorsFollow(const Format& format);  // which outlives all that is printed

// Makes std::cout write to descriptor 1 by itself, so that the reason of a failure is known. For main.
void TakeOverStdout();
// After a flush: 0, or the errno of the first write to stdout that failed.
int OutputError();

// Rows under named columns: an aligned table, a JSON array of objects, or CSV with a header line. Names are
// upper case in tables; in JSON and CSV lower case, with _ for what is no
// letter or digit.
//
// Bytes (keys, values) lose nothing: in a table they are escaped (Cell in cli/text.h). In JSON they are a
// string; where they are no UTF-8, null, and `<name>_base64` has them. In CSV they are as they are; where
// they are no UTF-8 or have a zero byte, empty, and the column `<name>_base64`, behind all others, has them.
class Table {
 public:
  struct Column {
    Column(const char* its_name) : name(its_name) {}  // NOLINT(google-explicit-constructor): lists of names
    Column(const char* its_name, const char* in_json) : name(its_name), machine_name(in_json) {}

    std::string name;
    std::string machine_name;  // in JSON and CSV, if another one
    bool is_bytes = false;
  };
  static Column BytesColumn(const char* name);

  enum class Kind : uint8_t { kText, kNumber, kBytes, kList, kNone };
  struct Cell {
    Kind kind = Kind::kText;
    std::string text;
    std::string machine_text;       // kNumber: the number
    std::vector<std::string> list;  // kList: an array in JSON, "a; b" elsewhere
  };
  static Cell Number(uint64_t number);
  static Cell Number(int64_t number);
  static Cell Text(std::string text);
  static Cell Bytes(std::string bytes);
  static Cell List(std::vector<std::string> list);
  static Cell Duration(uint64_t us);  // a number of milliseconds in JSON and CSV
  static Cell None();                 // "-"; null in JSON, empty in CSV

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  void Print(Format format) const;

 private:
  void PrintAligned() const;
  void PrintJson() const;
  void PrintCsv() const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

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
