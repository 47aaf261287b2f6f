#pragma once

#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "backup/log_reader.h"
#include "common/log_entry.h"
#include "driver/log_port.h"

namespace assent {

// A replica's log as its cores see it: what the files hold durably, and over it, in memory, the tail that was
// appended and may not be there yet. Recent durable entries stay in memory too, so that a backup in step is
// served without reading files. Loop thread.
//
// Where the log begins and ends, and its epochs, are kept here and change only by the calls below: the log
// thread trims and resets the files at any time, also in the middle of a core's step, which must
// not see it (backup/log_reader.h).
class LogView final : public backup::LogReader {
 public:
  // The log is as it was opened: all of it durable. `port` outlives this.
  explicit LogView(const LogPort& port);

  // They continue last(); the caller submits them to the port.
  void Append(std::span<const LogEntry> entries);
  // Drops what is above `after` from the tail; the caller submits the truncation.
  void Truncate(Lsn after);
  // The files were Reset to `base`.
  void Reset();
  // The files were trimmed.
  void Trimmed();
  // Everything up to `lsn` is durable: the tail may forget it, but for the last kTailBytes.
  void Durable(Lsn lsn);

  LogPosition last() const { return last_; }
  std::optional<Epoch> EpochAt(Lsn lsn) const override;
  std::vector<LogEntry> Read(Lsn from, size_t bytes_max) const override;
  LogPosition base() const override { return base_; }
  const LogPort& port() const { return port_; }
  // The first failure of a read, which backup/ takes for "nothing there": the replica must halt (R7, G7).
  const Status& status() const { return status_; }

 private:
  const LogPort& port_;
  std::deque<LogEntry> tail_;  // contiguous, ends at last_
  size_t tail_bytes_ = 0;      // with what an entry costs beside its payload
  LogPosition base_;
  LogPosition last_;
  std::vector<LogPosition> epoch_starts_;  // behind base_: the first record of each run of one epoch
  mutable Status status_;
};

}  // namespace assent
