#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "cli/interrupts.h"
#include "common/status.h"

// Lines of standard input, from a person at a terminal or from a script. A line end is \n, or \r\n.
struct editline;  // of libedit
struct history;

namespace assent::cli {

inline constexpr size_t kLineBytesMax = 4 * 1024 * 1024;  // the longest put, all of it escaped, fits

class LineInput {
 public:
  struct Line {
    enum class Kind {
      kText,
      kEnd,
      kCancelled,    // ^C at a terminal: what was typed is void; `text` says what that was
      kInterrupted,  // by `signal`: leave
      kFailed,       // `text` says why
    };
    Kind kind = Kind::kEnd;
    std::string text;
    int signal = 0;
  };

  // `history_file` keeps what was typed; empty: none.
  LineInput(Interrupts& interrupts, const std::string& history_file);
  ~LineInput();

  bool is_terminal() const { return is_terminal_; }
  // The next line; `prompt` is shown at a terminal.
  Line Next(const char* prompt);

 private:
  struct CloseEditor {
    void operator()(editline* editor) const;
  };
  struct CloseLines {
    void operator()(struct ::history* lines) const;
  };

  Line NextTyped(const char* prompt);
  Line NextPiped();
  int ReadCharacter(wchar_t* read);
  void OpenHistory(const std::string& file);
  void Remember(const std::string& line);

  Interrupts& interrupts_;
  const bool is_terminal_;

  // At a terminal.
  std::FILE* out_ = nullptr;
  std::unique_ptr<struct ::history, CloseLines> lines_;
  std::unique_ptr<editline, CloseEditor> editor_;
  std::string prompt_;
  int signal_ = 0;        // that ended the line under way
  std::string given_up_;  // what it was then
  std::string last_;      // that was remembered
  int history_fd_ = -1;

  // For a script.
  std::string buffer_;  // read, and not yet given out, from begin_ on
  size_t begin_ = 0;
  bool ended_ = false;
};

// Where the history of typed lines is kept: $XDG_STATE_HOME/assent_history, else $HOME/.assent_history; empty
// where there is neither.
std::string HistoryFile();

}  // namespace assent::cli
