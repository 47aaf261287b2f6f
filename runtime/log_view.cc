#include "runtime/log_view.h"

#include "common/check.h"

namespace assent {
namespace {

// Enough for a backup that lags by a few forces; one that was away reads the files.
constexpr size_t kTailBytes = 4 << 20;

}  // namespace

LogView::LogView(const LogPort& port) : port_(port), last_(port.log().last()) {}

void LogView::Append(std::span<const LogEntry> entries) {
  for (const LogEntry& entry : entries) {
    ASSENT_CHECK(entry.position.lsn == Next(last_.lsn), "gap in the log", entry.position.lsn, last_.lsn);
    last_ = entry.position;
    tail_bytes_ += entry.payload->size();
    tail_.push_back(entry);
  }
}

void LogView::Truncate(Lsn after) {
  while (!tail_.empty() && tail_.back().position.lsn > after) {
    tail_bytes_ -= tail_.back().payload->size();
    tail_.pop_back();
  }
  if (last_.lsn > after) {
    const auto epoch = EpochAt(after);
    ASSENT_CHECK(epoch.has_value(), "truncated below the log's base", after);
    last_ = {*epoch, after};
  }
}

void LogView::Reset() {
  tail_.clear();
  tail_bytes_ = 0;
  last_ = port_.log().last();
}

void LogView::Durable(Lsn lsn) {
  while (tail_bytes_ > kTailBytes && tail_.front().position.lsn <= lsn) {
    tail_bytes_ -= tail_.front().payload->size();
    tail_.pop_front();
  }
}

std::optional<Epoch> LogView::EpochAt(Lsn lsn) const {
  if (lsn > last_.lsn) return std::nullopt;
  if (!tail_.empty() && lsn >= tail_.front().position.lsn) {
    return tail_[Raw(lsn) - Raw(tail_.front().position.lsn)].position.epoch;
  }
  return port_.log().EpochAt(lsn);
}

std::vector<LogEntry> LogView::Read(Lsn from, size_t bytes_max) const {
  if (from > last_.lsn) return {};
  if (tail_.empty() || from < tail_.front().position.lsn) {
    auto entries = port_.log().Read(from, bytes_max);
    if (entries.ok()) {
      // Files may hold, until a truncation is carried out, what is no longer of this log.
      const Lsn end = tail_.empty() ? Next(last_.lsn) : tail_.front().position.lsn;
      while (!entries->empty() && entries->back().position.lsn >= end) entries->pop_back();
      return std::move(entries).value();
    }
    if (entries.status().code() != StatusCode::kNotFound && status_.ok()) status_ = entries.status();
    return {};
  }
  std::vector<LogEntry> entries;
  size_t bytes = 0;
  for (size_t i = Raw(from) - Raw(tail_.front().position.lsn); i < tail_.size(); ++i) {
    bytes += tail_[i].payload->size();
    if (!entries.empty() && bytes > bytes_max) break;
    entries.push_back(tail_[i]);
  }
  return entries;
}

}  // namespace assent
