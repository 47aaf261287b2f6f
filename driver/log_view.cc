#include "driver/log_view.h"

#include <algorithm>
#include <iterator>

#include "common/check.h"

namespace assent {
namespace {

// Enough for a backup that lags by a few forces; one that was away reads the files.
constexpr size_t kTailBytes = 4 << 20;

// With what the entry itself takes: records may be small, and many.
size_t BytesOf(const LogEntry& entry) {
  constexpr size_t kEntryBytes = 128;
  return entry.payload->size() + kEntryBytes;
}

}  // namespace

LogView::LogView(const LogPort& port) : port_(port), base_(port.log().base()), last_(port.log().last()) {
  // Epochs never fall (R9), so each run ends where a search by halves says.
  Lsn first = Next(base_.lsn);
  while (first <= last_.lsn) {
    const auto epoch = port.log().EpochAt(first);
    ASSENT_CHECK(epoch.has_value(), "no record at", first);
    epoch_starts_.push_back({*epoch, first});
    Lsn low = first;  // of this epoch
    Lsn high = Next(last_.lsn);
    while (Next(low) < high) {
      const Lsn middle{Raw(low) + (Raw(high) - Raw(low)) / 2};
      (port.log().EpochAt(middle) == epoch ? low : high) = middle;
    }
    first = high;
  }
}

void LogView::Append(std::span<const LogEntry> entries) {
  for (const LogEntry& entry : entries) {
    ASSENT_CHECK(entry.position.lsn == Next(last_.lsn), "gap in the log", entry.position.lsn, last_.lsn);
    if (epoch_starts_.empty() || entry.position.epoch != last_.epoch) epoch_starts_.push_back(entry.position);
    last_ = entry.position;
    tail_bytes_ += BytesOf(entry);
    tail_.push_back(entry);
  }
}

void LogView::Truncate(Lsn after) {
  if (last_.lsn <= after) return;
  while (!tail_.empty() && tail_.back().position.lsn > after) {
    tail_bytes_ -= BytesOf(tail_.back());
    tail_.pop_back();
  }
  const auto epoch = EpochAt(after);
  ASSENT_CHECK(epoch.has_value(), "truncated below the log's base", after);
  while (!epoch_starts_.empty() && epoch_starts_.back().lsn > after) epoch_starts_.pop_back();
  last_ = {*epoch, after};
}

void LogView::Reset() {
  tail_.clear();
  tail_bytes_ = 0;
  epoch_starts_.clear();
  base_ = last_ = port_.log().last();
}

void LogView::Trimmed() {
  base_ = port_.log().base();
  while (epoch_starts_.size() > 1 && epoch_starts_[1].lsn <= Next(base_.lsn)) {
    epoch_starts_.erase(epoch_starts_.begin());
  }
}

void LogView::Durable(Lsn lsn) {
  while (tail_bytes_ > kTailBytes && tail_.front().position.lsn <= lsn) {
    tail_bytes_ -= BytesOf(tail_.front());
    tail_.pop_front();
  }
}

std::optional<Epoch> LogView::EpochAt(Lsn lsn) const {
  if (lsn < base_.lsn || lsn > last_.lsn) return std::nullopt;
  if (lsn == base_.lsn) return base_.epoch;
  const auto next = std::upper_bound(epoch_starts_.begin(), epoch_starts_.end(), lsn,
                                     [](Lsn l, const LogPosition& start) { return l < start.lsn; });
  return std::prev(next)->epoch;
}

std::vector<LogEntry> LogView::Read(Lsn from, size_t bytes_max) const {
  if (from <= base_.lsn || from > last_.lsn) return {};
  if (tail_.empty() || from < tail_.front().position.lsn) {
    auto entries = port_.log().Read(from, bytes_max);
    if (entries.ok()) {
      // Files may hold, until a truncation is carried out, what is no longer of this log.
      const Lsn end = tail_.empty() ? Next(last_.lsn) : tail_.front().position.lsn;
      while (!entries->empty() && entries->back().position.lsn >= end) entries->pop_back();
      return std::move(entries).value();
    }
    const StatusCode code = entries.status().code();
    const bool passes = code == StatusCode::kNotFound || code == StatusCode::kUnavailable;
    if (!passes && status_.ok()) status_ = entries.status();
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
