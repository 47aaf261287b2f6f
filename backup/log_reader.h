#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/ids.h"
#include "common/log_entry.h"

namespace assent::backup {

// A ReplicationCore's view of its replica's log: the records held, durable or not, as of all effects
// performed and all LocalAppends stepped. Deterministic; the driver implements it over the tail in memory and
// the log's files.
class LogReader {
 public:
  virtual ~LogReader() = default;

  // The record before the first one held; (0, 0) in a log never trimmed or reset.
  virtual LogPosition base() const = 0;
  // The epoch of a record held, or of base(). Nothing for any other LSN.
  virtual std::optional<Epoch> EpochAt(Lsn lsn) const = 0;
  // Entries from `from` on, in order and without a gap: at least one, then up to about `bytes_max` of
  // payload. Empty if `from` is not held, or cannot be read now: the core asks again later.
  virtual std::vector<LogEntry> Read(Lsn from, size_t bytes_max) const = 0;
};

}  // namespace assent::backup
