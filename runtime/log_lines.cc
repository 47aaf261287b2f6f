#include "runtime/log_lines.h"

#include <glog/logging.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

namespace assent {
namespace {

// A pipe that is said to be writable takes this much at once without blocking (PIPE_BUF).
constexpr size_t kPieceBytes = 4096;
// How soon a thread that waits for a reader sees that this ends.
constexpr int kLookMs = 50;
constexpr std::chrono::milliseconds kLastWords{1'000};

class Sink final : public google::LogSink {
 public:
  explicit Sink(LogLines& lines) : lines_(lines) {}
  void send(google::LogSeverity severity, const char* /*full*/, const char* file, int line,
            const google::LogMessageTime& time, const char* message, size_t bytes) override {
    lines_.Add(ToString(severity, file, line, time, message, bytes) + '\n');
  }

 private:
  LogLines& lines_;
};

// Never destroyed: other threads may log until the process has ended.
LogLines* taken = nullptr;

}  // namespace

LogLines::LogLines(int fd, size_t bytes_max) : fd_(fd), bytes_max_(bytes_max), thread_([this] { Run(); }) {}

LogLines::~LogLines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogLines::Add(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + line.size() > bytes_max_) {
      ++lost_;
      return;
    }
    queue_ += line;
    added_.fetch_add(1);
  }
  wake_.notify_one();
}

bool LogLines::Flush(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const uint64_t added = added_;
  return written_.wait_for(lock, timeout, [&] { return done_ >= added; });
}

uint64_t LogLines::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void LogLines::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    std::string text = std::exchange(queue_, {});
    const uint64_t added = added_;
    const auto lines = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
    const uint64_t lost = lost_ - lost_told_;
    if (lost > 0) text += std::to_string(lost) + " log lines are lost here: nobody took them in time\n";
    lock.unlock();
    const bool whole = Write(text);
    lock.lock();
    (whole ? lost_told_ : lost_) += whole ? lost : lines;  // told of with what comes next
    done_ = added;
    written_.notify_all();
  }
}

bool LogLines::Write(std::string_view text) {
  while (!text.empty()) {
    pollfd writable{fd_, POLLOUT, 0};
    const int ready = poll(&writable, 1, kLookMs);
    if (ready <= 0) {
      const std::lock_guard lock(mutex_);
      if (stopping_) return false;
      continue;
    }
    const ssize_t wrote = write(fd_, text.data(), std::min(text.size(), kPieceBytes));
    if (wrote < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (wrote > 0) text.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

// On the thread that aborts, which may hold any mutex: only looks, and sleeps.
void AwaitLinesOnAbort(int /*signal*/) {
  const timespec pause{0, 10'000'000};
  for (auto left = kLastWords; left.count() > 0 && taken->done_ < taken->added_;
       left -= std::chrono::milliseconds(10)) {
    nanosleep(&pause, nullptr);
  }
}

void LogLines::TakeOver(int fd) {
  taken = new LogLines(fd);
  google::AddLogSink(new Sink(*taken));  // as long as the process
  // No files, and nothing to stderr from the threads that log.
  for (int severity = google::GLOG_INFO; severity < google::NUM_SEVERITIES; ++severity) {
    google::SetLogDestination(severity, "");
  }
  FLAGS_logtostderr = false;
  FLAGS_alsologtostderr = false;
  FLAGS_stderrthreshold = google::NUM_SEVERITIES;
  struct sigaction action {};
  action.sa_handler = &AwaitLinesOnAbort;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGABRT, &action, nullptr);
}

void LogLines::FlushTaken(std::chrono::milliseconds timeout) {
  if (taken != nullptr) (void)taken->Flush(timeout);
}

}  // namespace assent
