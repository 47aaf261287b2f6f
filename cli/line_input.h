#pragma once

#include <deque>
#include <optional>
#include <string>

#include "cli/interrupts.h"
#include "common/status.h"

// Lines of standard input, from a person at a terminal or from a script. A line end is \n, or \r\n.
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

  // `history`: the file that keeps what was typed; empty: none.
  LineInput(Interrupts& interrupts, std::string history);
  ~LineInput();

  bool is_terminal() const { return is_terminal_; }
  // The next line; `prompt` is shown at a terminal.
  Line Next(const char* prompt);

 private:
  Line NextTyped(const char* prompt);
  Line NextPiped();
  void Remember(const std::string& line);

  Interrupts& interrupts_;
  const std::string history_;
  const bool is_terminal_;
  std::deque<std::string> pasted_;  // the rest of what came in one piece
  std::string buffer_;              // read, and not yet given out, from begin_ on
  size_t begin_ = 0;
  bool ended_ = false;
};

// Where the history of typed lines is kept: $XDG_STATE_HOME/assent_history, else $HOME/.assent_history; empty
// where there is neither.
std::string HistoryFile();

}  // namespace assent::cli
