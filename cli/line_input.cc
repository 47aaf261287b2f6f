#include "cli/line_input.h"

#include <fcntl.h>
#include <poll.h>
#include <readline/history.h>
#include <readline/readline.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <utility>

namespace assent::cli {
namespace {

constexpr int kHistoryLinesMax = 1'000;
constexpr const char* kFirstWords[] = {"add",  "begin", "check", "commit",   "delete", "exit",   "get",
                                       "help", "put",   "quit",  "rollback", "scan",   "status", "txn"};

// What readline's callbacks say of the line that is being typed; it knows no user pointer.
struct Typed {
  bool done = false;
  bool end = false;
  std::string text;
} typed;

void OnTyped(char* line) {
  typed.done = true;
  typed.end = line == nullptr;
  typed.text = line == nullptr ? "" : line;
  std::free(line);
  rl_callback_handler_remove();
}

char* NextFirstWord(const char* text, int state) {
  static size_t next = 0;
  if (state == 0) next = 0;
  while (next < std::size(kFirstWords)) {
    const char* const word = kFirstWords[next++];
    if (std::strncmp(word, text, std::strlen(text)) == 0) return strdup(word);
  }
  return nullptr;
}

char** Complete(const char* text, int start, int) {
  rl_attempted_completion_over = 1;  // no file names
  return start == 0 ? rl_completion_matches(text, NextFirstWord) : nullptr;
}

std::string WithoutReturn(std::string line) {
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace

std::string HistoryFile() {
  for (const auto& [variable, name] :
       {std::pair("XDG_STATE_HOME", "/assent_history"), std::pair("HOME", "/.assent_history")}) {
    const char* const directory = std::getenv(variable);
    if (directory != nullptr && directory[0] == '/') return std::string(directory) + name;
  }
  return {};
}

LineInput::LineInput(Interrupts& interrupts, std::string history)
    : interrupts_(interrupts), history_(std::move(history)), is_terminal_(isatty(STDIN_FILENO) == 1) {
  if (!is_terminal_) return;
  if (isatty(STDOUT_FILENO) != 1) rl_outstream = stderr;  // prompts are no data
  rl_readline_name = "assent";
  rl_attempted_completion_function = Complete;
  using_history();
  stifle_history(kHistoryLinesMax);
  if (history_.empty()) return;
  read_history(history_.c_str());
  // 0600: values are typed here. Where it cannot be made, there is no history; nothing depends on it.
  const int fd = open(history_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  (void)fchmod(fd, 0600);
  close(fd);
}

LineInput::~LineInput() {
  if (is_terminal_ && !history_.empty()) history_truncate_file(history_.c_str(), kHistoryLinesMax);
}

LineInput::Line LineInput::Next(const char* prompt) {
  return is_terminal_ ? NextTyped(prompt) : NextPiped();
}

void LineInput::Remember(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos) return;
  const HIST_ENTRY* const last =
      history_length > 0 ? history_get(history_base + history_length - 1) : nullptr;
  if (last != nullptr && line == last->line) return;
  add_history(line.c_str());
  if (!history_.empty()) append_history(1, history_.c_str());  // at once: a kill loses nothing
}

LineInput::Line LineInput::NextTyped(const char* prompt) {
  if (const int kept = interrupts_.TakeKept(); kept == SIGINT) {
    pasted_.clear();
  } else if (kept != 0) {
    return {Line::Kind::kInterrupted, {}, kept};
  }
  if (pasted_.empty()) {
    typed = {};
    rl_callback_handler_install(prompt, OnTyped);
    while (!typed.done) {
      pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}};
      if (poll(waits, 2, -1) < 0) continue;  // a window that changes its size
      if (waits[1].revents != 0) {
        const int signal = interrupts_.Take();
        if (signal == 0) continue;
        Line line{signal == SIGINT ? Line::Kind::kCancelled : Line::Kind::kInterrupted, rl_line_buffer,
                  signal};
        rl_free_line_state();
        rl_callback_sigcleanup();
        rl_callback_handler_remove();
        std::fputs(signal == SIGINT ? "^C\n" : "\n", rl_outstream);
        std::fflush(rl_outstream);
        return line;
      }
      rl_callback_read_char();
    }
    if (typed.end) {
      std::fputc('\n', rl_outstream);
      std::fflush(rl_outstream);
      return {};
    }
    // What is pasted arrives as one line with line ends in it.
    for (size_t begin = 0; begin <= typed.text.size();) {
      const size_t end = std::min(typed.text.find('\n', begin), typed.text.size());
      pasted_.push_back(WithoutReturn(typed.text.substr(begin, end - begin)));
      Remember(pasted_.back());
      begin = end + 1;
    }
  }
  Line line{Line::Kind::kText, std::move(pasted_.front()), 0};
  pasted_.pop_front();
  return line;
}

LineInput::Line LineInput::NextPiped() {
  for (size_t searched = begin_;;) {
    if (const int kept = interrupts_.TakeKept(); kept != 0) return {Line::Kind::kInterrupted, {}, kept};
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos || (ended_ && begin_ < buffer_.size())) {
      Line line{Line::Kind::kText, WithoutReturn(buffer_.substr(begin_, end - begin_)), 0};
      begin_ = end == std::string::npos ? buffer_.size() : end + 1;
      return line;
    }
    if (ended_) return {};
    buffer_.erase(0, std::exchange(begin_, 0));
    searched = buffer_.size();
    if (buffer_.size() > kLineBytesMax) {
      return {Line::Kind::kFailed, "a line of more than " + std::to_string(kLineBytesMax) + " bytes", 0};
    }
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0) continue;
    if (waits[1].revents != 0) {
      if (const int signal = interrupts_.Take(); signal != 0) return {Line::Kind::kInterrupted, {}, signal};
    }
    if (waits[0].revents == 0) continue;
    std::array<char, 65'536> piece;
    const ssize_t got = read(STDIN_FILENO, piece.data(), piece.size());
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
      return {Line::Kind::kFailed, "reading the input: " + std::string(std::strerror(errno)), 0};
    }
    if (got == 0) ended_ = true;
    if (got > 0) buffer_.append(piece.data(), static_cast<size_t>(got));
  }
}

}  // namespace assent::cli
