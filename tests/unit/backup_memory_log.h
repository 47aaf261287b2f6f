#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backup/log_reader.h"
#include "common/check.h"
#include "common/ids.h"
#include "common/log_entry.h"

namespace assent::backup {

inline LogPosition At(uint64_t epoch, uint64_t lsn) {
  return {Epoch{epoch}, Lsn{lsn}};
}
inline LogEntry Entry(uint64_t epoch, uint64_t lsn, std::string payload) {
  return {At(epoch, lsn), std::make_shared<const std::string>(std::move(payload))};
}

// A log in memory, as the driver shows it to the core: what was appended, durable or not.
class MemoryLog : public LogReader {
 public:
  LogPosition base() const override { return base_; }
  std::optional<Epoch> EpochAt(Lsn lsn) const override {
    if (lsn == base_.lsn) return base_.epoch;
    if (lsn < base_.lsn || lsn > last().lsn) return std::nullopt;
    return entries_[Index(lsn)].position.epoch;
  }
  std::vector<LogEntry> Read(Lsn from, size_t bytes_max) const override {
    std::vector<LogEntry> out;
    size_t bytes = 0;
    for (Lsn lsn = from; lsn > base_.lsn && lsn <= last().lsn; lsn = Next(lsn)) {
      const LogEntry& entry = entries_[Index(lsn)];
      bytes += entry.payload->size();
      if (!out.empty() && bytes > bytes_max) break;
      out.push_back(entry);
    }
    return out;
  }

  LogPosition last() const { return entries_.empty() ? base_ : entries_.back().position; }
  const std::vector<LogEntry>& entries() const { return entries_; }
  const LogEntry* Find(Lsn lsn) const {
    return lsn > base_.lsn && lsn <= last().lsn ? &entries_[Index(lsn)] : nullptr;
  }
  void Append(const LogEntry& entry) {
    ASSENT_CHECK(entry.position.lsn == Next(last().lsn), "a gap", entry.position.lsn, last().lsn);
    ASSENT_CHECK(entry.position.epoch >= last().epoch, "R9", entry.position.epoch, last().epoch);
    entries_.push_back(entry);
  }
  void Truncate(LogPosition after) {
    ASSENT_CHECK(after.lsn >= base_.lsn && after.lsn <= last().lsn && EpochAt(after.lsn) == after.epoch);
    entries_.resize(Raw(after.lsn) - Raw(base_.lsn));
  }
  void Trim(Lsn up_to) {  // up_to becomes the base
    if (up_to <= base_.lsn) return;
    const LogPosition base{*EpochAt(up_to), up_to};
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(Raw(up_to) - Raw(base_.lsn)));
    base_ = base;
  }
  void Reset(LogPosition base) {
    entries_.clear();
    base_ = base;
  }

 private:
  size_t Index(Lsn lsn) const { return Raw(lsn) - Raw(base_.lsn) - 1; }

  LogPosition base_;
  std::vector<LogEntry> entries_;
};

}  // namespace assent::backup
