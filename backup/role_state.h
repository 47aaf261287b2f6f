#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "common/check.h"
#include "common/ids.h"

// What a ReplicationCore knows in a role, and only in that: it begins anew with each epoch.
namespace assent::backup {

// Records that wait for something which comes in the order of the log, and how large they are.
class Backlog {
 public:
  void Add(Lsn lsn, size_t bytes) {
    records_.emplace_back(lsn, bytes);
    bytes_ += bytes;
  }
  void DropUpTo(Lsn lsn) {
    while (!records_.empty() && records_.front().first <= lsn) {
      bytes_ -= records_.front().second;
      records_.pop_front();
    }
  }
  void Clear() { *this = {}; }

  uint64_t bytes() const { return bytes_; }
  uint64_t BytesAbove(Lsn lsn) const {
    uint64_t bytes = 0;
    for (auto i = records_.rbegin(); i != records_.rend() && i->first > lsn; ++i) bytes += i->second;
    return bytes;
  }

  void CheckInvariants() const {
    ASSENT_CHECK(std::is_sorted(records_.begin(), records_.end()));
    uint64_t bytes = 0;
    for (const auto& [lsn, size] : records_) bytes += size;
    ASSENT_CHECK(bytes == bytes_, "a backlog miscounted", bytes, bytes_);
  }

 private:
  std::deque<std::pair<Lsn, size_t>> records_;
  uint64_t bytes_ = 0;
};

// Of a backup or learner.
struct Following {
  uint64_t heard_us = 0;        // when the last beacon of this epoch was taken in, or the epoch entered
  uint64_t beacon_sent_us = 0;  // when that was sent, by the primary's clock; 0 = none was
  Lsn matched{};                // R4: the prefix verified against this epoch's primary; volatile
  Lsn primary_replicated{};     // the highest Ship.replicated of this epoch
  Backlog unforced;             // appended in this epoch, not durable yet
};

}  // namespace assent::backup
