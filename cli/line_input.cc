#include "cli/line_input.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <deque>
#include <fstream>
#include <string_view>
#include <utility>

namespace assent::cli {
namespace {

constexpr int kHistoryLinesMax = 1'000;
constexpr std::string_view kFirstWords[] = {"add",  "begin", "check", "commit",   "delete", "exit",   "get",
                                            "help", "put",   "quit",  "rollback", "scan",   "status", "txn"};

// Completes the first word of a line; of several that fit, what they have in common, and lists them.
unsigned char CompleteFirstWord(EditLine* editor, int) {
  const LineInfo* const line = el_line(editor);
  const std::string_view typed(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
  std::string common;
  std::string words;
  size_t count = 0;
  for (const std::string_view word : kFirstWords) {
    if (!word.starts_with(typed)) continue;
    const auto [end, other] = std::mismatch(common.begin(), common.end(), word.begin(), word.end());
    common = count++ == 0 ? word : std::string(common.begin(), end);
    words += (words.empty() ? "" : "  ") + std::string(word);
  }
  if (count == 0) return CC_REFRESH_BEEP;
  const std::string rest = common.substr(typed.size()) + (count == 1 ? " " : "");
  if (!rest.empty()) return el_insertstr(editor, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  FILE* out = nullptr;
  el_get(editor, EL_GETFP, 1, &out);
  std::fprintf(out, "\n%s\n", words.c_str());
  return CC_REDISPLAY;
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

void LineInput::CloseEditor::operator()(editline* editor) const {
  el_end(editor);
}

void LineInput::CloseLines::operator()(struct ::history* lines) const {
  history_end(lines);
}

LineInput::LineInput(Interrupts& interrupts, const std::string& history_file)
    : interrupts_(interrupts), is_terminal_(isatty(STDIN_FILENO) == 1) {
  if (!is_terminal_) return;
  // The editor takes characters apart by the locale; that of a bare environment knows ASCII alone.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  out_ = isatty(STDOUT_FILENO) == 1 ? stdout : stderr;  // prompts are no data
  editor_.reset(el_init("assent", stdin, out_, stderr));
  lines_.reset(history_init());
  HistEvent event;
  ::history(lines_.get(), &event, H_SETSIZE, kHistoryLinesMax);
  ::history(lines_.get(), &event, H_SETUNIQUE, 1);
  el_set(editor_.get(), EL_CLIENTDATA, this);
  el_set(
      editor_.get(), EL_GETCFN, +[](EditLine* editor, wchar_t* read) {
        LineInput* self = nullptr;
        el_get(editor, EL_CLIENTDATA, &self);
        return self->ReadCharacter(read);
      });
  el_set(
      editor_.get(), EL_PROMPT, +[](EditLine* editor) {
        LineInput* self = nullptr;
        el_get(editor, EL_CLIENTDATA, &self);
        return self->prompt_.data();
      });
  el_set(editor_.get(), EL_EDITOR, "emacs");
  el_set(editor_.get(), EL_SIGNAL, 1);  // those that Interrupts leaves: of windows, and of ^Z
  el_set(editor_.get(), EL_HIST, ::history, lines_.get());
  el_set(editor_.get(), EL_ADDFN, "complete-first-word", "completes the first word", CompleteFirstWord);
  el_set(editor_.get(), EL_BIND, "^I", "complete-first-word", nullptr);
  el_source(editor_.get(), nullptr);  // ~/.editrc
  if (!history_file.empty()) OpenHistory(history_file);
}

LineInput::~LineInput() {
  if (history_fd_ >= 0) close(history_fd_);
}

// A file of lines. Where it cannot be read or made, there is no history; nothing depends on it.
void LineInput::OpenHistory(const std::string& file) {
  std::deque<std::string> lines;
  size_t found = 0;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line); ++found) {
    lines.push_back(line);
    if (lines.size() > kHistoryLinesMax) lines.pop_front();
  }
  HistEvent event;
  for (const std::string& line : lines) ::history(lines_.get(), &event, H_ENTER, line.c_str());
  if (!lines.empty()) last_ = lines.back();
  // 0600: values are typed here.
  history_fd_ = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (history_fd_ < 0) return;
  (void)fchmod(history_fd_, 0600);
  if (found <= 2 * kHistoryLinesMax || ftruncate(history_fd_, 0) != 0) return;
  std::string kept;
  for (const std::string& line : lines) kept += line + "\n";
  [[maybe_unused]] const ssize_t written = write(history_fd_, kept.data(), kept.size());
}

LineInput::Line LineInput::Next(const char* prompt) {
  return is_terminal_ ? NextTyped(prompt) : NextPiped();
}

void LineInput::Remember(const std::string& line) {
  if (line.find_first_not_of(" \t") == std::string::npos || line == last_) return;
  HistEvent event;
  ::history(lines_.get(), &event, H_ENTER, line.c_str());
  const std::string whole = line + "\n";
  [[maybe_unused]] const ssize_t written = write(history_fd_, whole.data(), whole.size());
  last_ = line;
}

// For the editor: 1 = *read is a character, 0 = the end, -1 = a signal came, and the line is given up.
int LineInput::ReadCharacter(wchar_t* read) {
  std::mbstate_t state{};
  for (;;) {
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupts_.fd(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0) continue;  // a window that changes its size
    if (waits[1].revents != 0) {
      signal_ = interrupts_.Take();
      if (signal_ == 0) continue;
      const LineInfo* const line = el_line(editor_.get());
      given_up_.assign(line->buffer, line->lastchar);
      return -1;
    }
    char byte = 0;
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return 0;
    const size_t used = std::mbrtowc(read, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the rest of it is still to come
    if (used != static_cast<size_t>(-1)) return 1;
    el_beep(editor_.get());
    state = {};
  }
}

LineInput::Line LineInput::NextTyped(const char* prompt) {
  if (const int kept = interrupts_.TakeKept(); kept != 0 && kept != SIGINT) {
    return {Line::Kind::kInterrupted, {}, kept};
  }
  prompt_ = prompt;
  signal_ = 0;
  int count = 0;
  el_set(editor_.get(), EL_PREP_TERM, 1);  // before the prompt is shown: a ^D behind it is for the editor
  const char* const typed = el_gets(editor_.get(), &count);
  if (signal_ != 0) {
    std::fputs(signal_ == SIGINT ? "^C\n" : "\n", out_);
    std::fflush(out_);
    return {signal_ == SIGINT ? Line::Kind::kCancelled : Line::Kind::kInterrupted, given_up_, signal_};
  }
  if (typed == nullptr || count <= 0) {
    std::fputc('\n', out_);
    std::fflush(out_);
    return {};
  }
  std::string line(typed, static_cast<size_t>(count));
  if (line.ends_with('\n')) line.pop_back();
  line = WithoutReturn(std::move(line));
  Remember(line);
  return {Line::Kind::kText, std::move(line), 0};
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
