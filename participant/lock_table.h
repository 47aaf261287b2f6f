#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/operations.h"

// Locks of one shard: strict two-phase locking (P1) with wound-wait (P2). It decides who holds, who waits and
// who is in the way; it ends nobody. The core above wounds whom BlockersOf names, and calls Close.
//
// Keys have shared and exclusive locks, ranges [key, end) shared ones. An exclusive lock on a key conflicts
// with a range that covers it, whether the key exists or not, so there are no phantoms.
//
// A request is granted when it conflicts with no holder and with no *older* waiter. Waiters thus stand in
// order of age, not of arrival: an older request goes ahead of the younger waiters that it conflicts with, so
// there is no younger waiter ahead of it to be wounded. This serves P2's purpose, "never wait for somebody
// younger": all edges from a waiter lead to somebody older, or to a younger holder that has voted, and that
// one waits for no lock. So there is no cycle, upgrades included: of two shared holders that both want the
// key exclusively, the older wounds the younger.
//
//   P1  No two owners hold conflicting locks.
//   P2  A waiter waits for older owners, or for younger ones that have voted; once Close was called for all
//   that
//       BlockersOf(waiter).wound named.
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

class LockTable {
 public:
  // The younger owners in a waiter's way, oldest first.
  struct Blockers {
    std::vector<TxnId> wound;    // not voted: to be ended here and now
    std::vector<TxnId> request;  // voted: only their coordinator may still end them
  };

  LockTable() = default;
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;

  // `owner` is not known yet. Owners of equal age are ordered by id.
  void Open(const TxnId& owner, const Age& age);
  // True if `owner` holds the lock now, or did before. Otherwise it waits: it has one waiting request at a
  // time, which is granted, or ended with its owner, by Close.
  bool Acquire(const TxnId& owner, const Lock& lock);
  // From now on the owner cannot be wounded here: prepared, or its one-phase commit is appended. It does not
  // wait.
  void SetVoted(const TxnId& owner);
  // Frees all that `owner` holds, takes back what it waits for, and forgets it. Returns whose requests are
  // granted by that, oldest first.
  std::vector<TxnId> Close(const TxnId& owner);

  Blockers BlockersOf(const TxnId& waiter) const;
  // True while somebody older waits for what `holder` has.
  bool BlocksOlder(const TxnId& holder) const;
  // How many requests wait for what `holder` has.
  size_t BlockedBy(const TxnId& holder) const;
  bool Has(const TxnId& owner) const { return owners_.contains(owner); }
  bool IsWaiting(const TxnId& owner) const;
  std::vector<Lock> HeldBy(const TxnId& owner) const;  // keys in order, then ranges in order
  size_t owner_count() const { return owners_.size(); }
  size_t waiter_count() const { return waiter_count_; }

  // Aborts the process unless the indexes agree, no conflicting locks are held, each waiter is blocked, and
  // none is blocked by a younger owner that has not voted (P1, P2).
  void CheckInvariants() const;

 private:
  using Range = std::pair<std::string, std::string>;  // key, end
  struct Owner {
    TxnId id;
    Age age;
    bool voted = false;
    std::map<std::string, LockMode> keys;
    std::set<Range> ranges;
    std::optional<Lock> wanted;
  };
  struct OlderFirst {
    bool operator()(const Owner* a, const Owner* b) const {
      return a->age != b->age ? a->age < b->age : a->id < b->id;
    }
  };
  using Owners = std::set<Owner*, OlderFirst>;
  struct Key {
    Owner* exclusive = nullptr;
    Owners shared;
    Owners waiters;
  };
  using Keys = std::map<std::string, Key>;
  // Called with somebody in the way; false = no need to go on.
  using BlockerVisitor = std::function<bool(Owner& blocker, bool holds)>;

  static bool Covers(const Range& range, const std::string& key) {
    return range.first <= key && (range.second.empty() || key < range.second);
  }
  static Range RangeOf(const Lock& lock) { return Range(lock.key, lock.end); }

  Owner& Find(const TxnId& owner);
  const Owner& Find(const TxnId& owner) const;
  static bool Holds(const Owner& owner, const Lock& lock);
  // Holders in conflict and older waiters in conflict, in an order that depends on the locks alone.
  void VisitBlockers(const Owner& owner, const Lock& lock, const BlockerVisitor& visit) const;
  void VisitKeyBlockers(const Owner& owner, const Lock& lock, const BlockerVisitor& visit) const;
  void VisitRangeBlockers(const Owner& owner, const Range& range, const BlockerVisitor& visit) const;
  // Held ranges over `key`; a holder may be visited twice. False if `visit` was.
  bool VisitRangesOver(const std::string& key, const std::function<bool(Owner& holder)>& visit) const;
  bool IsBlocked(const Owner& owner, const Lock& lock) const;
  // Waiters that conflict with a lock of `holder`; false from `visit` = no need to go on.
  void VisitWaitersOn(const Owner& holder, const std::function<bool(const Owner& waiter)>& visit) const;
  void Grant(Owner& owner, const Lock& lock);
  void ReleaseRange(Owner& owner, const Range& range);
  void Enqueue(Owner& owner, const Lock& lock);
  void Dequeue(Owner& owner);
  void EraseIfUnused(Keys::iterator key);
  // Those whose turn may have come when a lock or a wait on `key`, or within `range`, has gone.
  void AddCandidates(const std::string& key, bool exclusive, Owners& candidates) const;
  void AddCandidates(const Range& range, Owners& candidates) const;
  void CheckOwner(const Owner& owner) const;

  std::map<TxnId, Owner> owners_;
  Keys keys_;                      // held or waited for
  std::set<std::string> waited_;   // keys of keys_ that have waiters
  std::set<std::string> written_;  // keys of keys_ that are held exclusively
  // Held, by end and then by start. A scan's range ends behind all keys with some prefix of its start, so
  // those over a key are found by the ends of the key's own prefixes. `other_ends_` counts ranges that do
  // not, each of whose ends is looked at for each key.
  std::map<std::string, std::map<std::string, Owners>> ranges_;
  std::map<std::string, size_t> other_ends_;
  Owners range_waiters_;
  size_t waiter_count_ = 0;
};

}  // namespace assent::participant
