#include "participant/lock_set.h"

#include <algorithm>
#include <iterator>

namespace assent::participant {
namespace {

// The later of two ends; an empty one is behind all keys.
const std::string& Later(const std::string& a, const std::string& b) {
  return a.empty() || (!b.empty() && b < a) ? a : b;
}

}  // namespace

bool LockSet::Includes(const Lock& lock) const {
  if (!lock.is_range) {
    return written_.contains(lock.key) || (lock.mode == LockMode::kShared && read_.contains(lock.key));
  }
  auto range = ranges_.upper_bound(lock.key);
  if (range == ranges_.begin()) return false;
  --range;
  return Covers(range->first, range->second, lock.key) && Later(range->second, lock.end) == range->second;
}

bool LockSet::WritesWithin(const KeyRange& range) const {
  const auto key = written_.lower_bound(range.first);
  return key != written_.end() && Covers(range, *key);
}

bool LockSet::ConflictsWith(const Lock& lock) const {
  if (lock.is_range) return WritesWithin(RangeOf(lock));
  if (written_.contains(lock.key)) return true;
  if (lock.mode == LockMode::kShared) return false;
  if (read_.contains(lock.key)) return true;
  auto range = ranges_.upper_bound(lock.key);
  if (range == ranges_.begin()) return false;
  --range;
  return Covers(range->first, range->second, lock.key);
}

void LockSet::AddKey(const std::string& key, LockMode mode) {
  if (mode == LockMode::kShared) {
    read_.insert(key);
    return;
  }
  read_.erase(key);
  written_.insert(key);
}

KeyRange LockSet::AddRange(const KeyRange& range, std::vector<KeyRange>& absorbed) {
  KeyRange merged = range;
  auto next = ranges_.upper_bound(range.first);
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (Covers(before->first, before->second, range.first)) next = before;
  }
  while (next != ranges_.end() && Covers(merged, std::max(next->first, merged.first))) {
    merged = KeyRange(std::min(next->first, merged.first), Later(next->second, merged.second));
    absorbed.push_back(*next);
    next = ranges_.erase(next);
  }
  ranges_.insert(merged);
  return merged;
}

void LockSet::Add(const Lock& lock) {
  if (!lock.is_range) return AddKey(lock.key, lock.mode);
  std::vector<KeyRange> absorbed;
  AddRange(RangeOf(lock), absorbed);
}

std::vector<Lock> LockSet::List() const {
  std::vector<Lock> list;
  list.reserve(size());
  for (const std::string& key : read_) list.push_back(Lock{key, LockMode::kShared, false, {}});
  for (const std::string& key : written_) list.push_back(Lock{key, LockMode::kExclusive, false, {}});
  std::sort(list.begin(), list.end());
  for (const auto& [key, end] : ranges_) list.push_back(Lock{key, LockMode::kShared, true, end});
  return list;
}

}  // namespace assent::participant
