#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "common/log_entry.h"
#include "common/status.h"
#include "wal/log.h"

namespace assent {

// What the driver asks of a replica's log. Commands are carried out in order, each answered by one LogDone,
// except that appends which gathered while another command ran share one force and one answer (R10).
struct AppendToLog {
  std::vector<LogEntry> entries;
};
struct TruncateLog {
  Lsn after{};
};
struct TrimLog {
  Lsn below{};
};
struct ResetLog {
  LogPosition base;
};
using LogCommand = std::variant<AppendToLog, TruncateLog, TrimLog, ResetLog>;

struct LogDone {
  enum class What : uint8_t { kForced, kTruncated, kTrimmed, kReset };
  What what{};
  Status status;        // a failure is final: the log is poisoned (R7)
  LogPosition durable;  // the last durable record now
};

// The log as the driver sees it: commands out, LogDone in, reads of what is durable at any time. LogWriter is
// the real one; a simulated disk is another.
class LogPort {
 public:
  virtual ~LogPort() = default;
  virtual void Submit(LogCommand command) = 0;
  virtual const wal::Log& log() const = 0;
  virtual uint64_t forces() const = 0;  // how often a batch of records was made durable
};

// Carries out a replica's log commands on a thread of its own, so that the loop never waits for a disk.
class LogWriter final : public LogPort {
 public:
  using DoneFn = std::function<void(LogDone)>;  // called on the log thread

  LogWriter(std::unique_ptr<wal::Log> log, DoneFn done);
  ~LogWriter() override;  // finishes what was submitted, then ends the thread

  void Submit(LogCommand command) override;
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return forces_.load(std::memory_order_relaxed); }

 private:
  void Run();
  bool Prepare();
  void Perform(std::span<LogCommand> commands);

  const std::unique_ptr<wal::Log> log_;
  const DoneFn done_;
  std::atomic<uint64_t> forces_{0};
  bool disk_full_ = false;  // log thread: no segment can be made ahead of need, until a trim

  std::mutex mutex_;
  std::condition_variable wake_;
  // By mutex_:
  std::vector<LogCommand> queue_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace assent
