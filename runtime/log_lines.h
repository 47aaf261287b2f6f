#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

// Lines for people to read, written by a thread of their own. A logging thread never waits for the reader:
// not for a pipe whose other end stands still, nor for a terminal that was stopped. Lines that do not fit
// meanwhile are dropped and counted, and the count is written where they would have stood.
namespace assent {

class LogLines {
 public:
  // Writes to `fd`, which stays open as long as this lives. Keeps up to `bytes_max` that are not written yet.
  explicit LogLines(int fd, size_t bytes_max = 1 << 20);
  ~LogLines();  // what cannot be written at once is lost
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  // Any thread. `line` ends with its newline.
  void Add(std::string_view line);
  // Waits until all that was added before is written. False: not within `timeout`.
  bool Flush(std::chrono::milliseconds timeout);
  uint64_t lost() const;  // lines, so far

  // From here to the end of the process all that glog logs goes to `fd` this way, and an abort (a failed
  // check, an exception that nobody took) waits a moment for the lines before it. Once only, before
  // other threads log.
  static void TakeOver(int fd);
  // Flush() of the lines that TakeOver() took over; without it there is nothing to do.
  static void FlushTaken(std::chrono::milliseconds timeout);

 private:
  void Run();
  bool Write(std::string_view text);  // false: the reader cannot be written to, or this ends

  const int fd_;
  const size_t bytes_max_;
  // Lines added, and the number that the thread is done with. Atomic for the handler of an abort, which may
  // not wait for a mutex.
  std::atomic<uint64_t> added_{0};
  std::atomic<uint64_t> done_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable written_;
  // By mutex_:
  std::string queue_;
  uint64_t lost_ = 0;
  uint64_t lost_told_ = 0;
  bool stopping_ = false;

  std::thread thread_;

  friend void AwaitLinesOnAbort(int signal);
};

}  // namespace assent
