#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace assent::participant {

enum class LockMode : uint8_t { kShared = 1, kExclusive };

// One key, or the range [key, end) with an empty `end` for "to the last key". Ranges are shared only.
struct Lock {
  std::string key;
  LockMode mode = LockMode::kShared;
  bool is_range = false;
  std::string end;
  auto operator<=>(const Lock&) const = default;
};

using KeyRange = std::pair<std::string, std::string>;  // key, end

inline bool Covers(const std::string& start, const std::string& end, const std::string& key) {
  return start <= key && (end.empty() || key < end);
}
inline bool Covers(const KeyRange& range, const std::string& key) {
  return Covers(range.first, range.second, key);
}
inline KeyRange RangeOf(const Lock& lock) {
  return KeyRange(lock.key, lock.end);
}

// Locks as one owner holds or wants them. A question takes a few comparisons, however many locks there are.
class LockSet {
 public:
  // Whether `lock` is in it, or less than what is.
  bool Includes(const Lock& lock) const;
  // Whether another owner's `lock` may not be held beside these.
  bool ConflictsWith(const Lock& lock) const;
  bool WritesWithin(const KeyRange& range) const;

  void AddKey(const std::string& key, LockMode mode);  // exclusive: instead of a shared one
  // Ranges of one owner never overlap: a scan that goes on page by page holds one, not one a page. Returns
  // what the set now has in place of those that it returns in `absorbed`.
  KeyRange AddRange(const KeyRange& range, std::vector<KeyRange>& absorbed);
  void Add(const Lock& lock);

  const std::set<std::string>& read() const { return read_; }        // keys held shared
  const std::set<std::string>& written() const { return written_; }  // and exclusively
  const std::map<std::string, std::string>& ranges() const { return ranges_; }
  size_t size() const { return read_.size() + written_.size() + ranges_.size(); }
  std::vector<Lock> List() const;  // keys in order, then ranges in order

 private:
  std::set<std::string> read_;
  std::set<std::string> written_;
  std::map<std::string, std::string> ranges_;  // key -> end
};

}  // namespace assent::participant
