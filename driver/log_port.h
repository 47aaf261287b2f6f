#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "common/log_entry.h"
#include "common/status.h"
#include "wal/log.h"

namespace assent {

// The driver's commands to a replica's log. They are carried out in order, each answered by one LogDone,
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

}  // namespace assent
