#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "common/operations.h"
#include "participant/lock_set.h"

namespace assent::participant {

// Sets of owners by the range that they hold or want. A search finds the ranges that cover a key, and looks
// at no others.
//
// Sorted by end, then by start. A scan's range ends behind all keys with some prefix of its start, so where
// it covers a key its end is that of one of the key's own prefixes: a search goes from one such end to the
// next, and skips those between. `other_ends_` counts ranges of no such form; a search looks at each of their
// ends behind the key.
template <typename Owners>
class RangeIndex {
 public:
  using Owner = typename Owners::value_type;

  void Insert(const KeyRange& range, Owner owner) {
    const auto& [start, end] = range;
    ends_[end][start].insert(owner);
    if (!EndsBehindAPrefix(start, end)) ++other_ends_[end];
  }
  void Erase(const KeyRange& range, Owner owner) {
    const auto& [start, end] = range;
    const auto same_end = ends_.find(end);
    const auto same = same_end->second.find(start);
    same->second.erase(owner);
    if (same->second.empty()) same_end->second.erase(same);
    if (same_end->second.empty()) ends_.erase(same_end);
    if (EndsBehindAPrefix(start, end)) return;
    const auto other = other_ends_.find(end);
    if (--other->second == 0) other_ends_.erase(other);
  }

  // Calls visit(owners) for each range over `key`, perhaps twice; false if that was, and then no more.
  template <typename Visit>
  bool VisitOver(const std::string& key, const Visit& visit) const {
    const auto visit_end = [&](const auto& starts) {
      for (const auto& [start, owners] : starts) {
        if (start > key) break;
        if (!visit(owners)) return false;
      }
      return true;
    };
    auto end = ends_.begin();
    if (end != ends_.end() && end->first.empty() && !visit_end((end++)->second)) return false;
    end = ends_.upper_bound(key);
    while (end != ends_.end()) {
      const auto [in_end, in_key] =
          std::mismatch(end->first.begin(), end->first.end(), key.begin(), key.end());
      const std::string common(key.begin(), in_key);
      if (end->first == PrefixEnd(key.substr(0, common.size() + 1)) && !visit_end(end->second)) return false;
      const std::string behind =
          PrefixEnd(common);  // the next that is the end of a prefix of the key, or more
      if (behind.empty()) break;
      end = ends_.lower_bound(behind);
    }
    for (auto other = other_ends_.upper_bound(key); other != other_ends_.end(); ++other) {
      if (!visit_end(ends_.at(other->first))) return false;
    }
    return true;
  }
  // Calls visit(range, owners) for all, in an order that depends on the ranges alone.
  template <typename Visit>
  void VisitAll(const Visit& visit) const {
    for (const auto& [end, starts] : ends_) {
      for (const auto& [start, owners] : starts) visit(KeyRange(start, end), owners);
    }
  }

 private:
  // Is `end` PrefixEnd of some prefix of `start`?
  static bool EndsBehindAPrefix(const std::string& start, const std::string& end) {
    if (end.empty()) return true;
    std::string prefix = end;  // the shortest with that end
    prefix.back() = static_cast<char>(static_cast<unsigned char>(end.back()) - 1);
    return end.back() != '\0' && start.starts_with(prefix);
  }

  std::map<std::string, std::map<std::string, Owners>> ends_;
  std::map<std::string, size_t> other_ends_;
};

}  // namespace assent::participant
