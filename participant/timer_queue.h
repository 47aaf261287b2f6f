#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/ids.h"

namespace assent::participant {

// One due time for each of a set of transactions. Times are mono_us.
class TimerQueue {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  void Set(const TxnId& txn, uint64_t due_us) {
    Cancel(txn);
    due_.emplace(txn, due_us);
    queue_.emplace(due_us, txn);
  }
  void Cancel(const TxnId& txn) {
    const auto found = due_.find(txn);
    if (found == due_.end()) return;
    queue_.erase({found->second, txn});
    due_.erase(found);
  }
  // Takes out the earliest that is due.
  std::optional<TxnId> PopDue(uint64_t now_us) {
    if (queue_.empty() || queue_.begin()->first > now_us) return std::nullopt;
    const TxnId txn = queue_.begin()->second;
    Cancel(txn);
    return txn;
  }
  uint64_t NextDue() const { return queue_.empty() ? kNever : queue_.begin()->first; }
  bool Has(const TxnId& txn) const { return due_.contains(txn); }
  size_t size() const { return due_.size(); }

 private:
  std::map<TxnId, uint64_t> due_;
  std::set<std::pair<uint64_t, TxnId>> queue_;
};

}  // namespace assent::participant
