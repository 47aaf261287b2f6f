#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "participant/lock_set.h"
#include "participant/range_index.h"

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
//       that BlockersOf(waiter).wound named.
//
// G8: the time of a call grows with the owners, the waiters or the locks of one owner, each of which is
// bounded, and with no product of two of them, except by the requests that it grants.
namespace assent::participant {

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
  // From now on the owner cannot be wounded here: prepared, or its one-phase commit is appended. It
  // does not wait.
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
  size_t waiter_count() const { return waiters_.size(); }
  // Owners, keys and ranges looked at so far by all calls: their cost, on any machine.
  uint64_t steps() const { return steps_; }

  // Aborts the process unless the indexes agree, no conflicting locks are held, each waiter is blocked, and
  // none is blocked by a younger owner that has not voted (P1, P2).
  void CheckInvariants() const;

 private:
  struct Owner {
    TxnId id;
    Age age;
    bool voted = false;
    LockSet held;
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
  using Visitor = std::function<bool(Owner& owner)>;  // false = no need to go on

  Owner& Find(const TxnId& owner);
  const Owner& Find(const TxnId& owner) const;
  // Holders of what conflicts with the lock, in an order that depends on the locks alone; one may
  // be visited twice.
  bool VisitHolders(const Owner& owner, const Lock& lock, const Visitor& visit) const;
  bool VisitWritersWithin(const KeyRange& range, const Visitor& visit) const;
  bool IsHeldByOthers(const Owner& owner, const Lock& lock) const;
  bool IsBehindOlder(const Owner& owner, const Lock& lock) const;  // that wait for what conflicts
  bool IsBlocked(const Owner& owner, const Lock& lock) const;
  // Waiters that conflict with a lock of `holder`; one may be visited twice.
  void VisitWaitersOn(const Owner& holder, const Visitor& visit) const;
  void Grant(Owner& owner, const Lock& lock);
  void Release(Owner& owner);
  void Enqueue(Owner& owner, const Lock& lock);
  void Dequeue(Owner& owner);
  void EraseIfUnused(Keys::iterator key);
  // Those whose turn may have come when what `owner` holds, or a wait for `lock`, has gone.
  void AddCandidatesBehind(const Owner& owner, Owners& candidates) const;
  void AddCandidatesBehind(const Lock& lock, Owners& candidates) const;
  void AddFirst(const Key& key, Owners& candidates) const;
  std::vector<TxnId> GrantAmong(const Owners& candidates);
  void CheckOwner(const Owner& owner) const;

  std::map<TxnId, Owner> owners_;
  Keys keys_;                                 // held or waited for
  std::map<std::string, const Key*> waited_;  // those that have waiters
  std::map<std::string, Owner*> written_;     // keys held exclusively
  Owners writers_;                            // that hold one
  RangeIndex<Owners> ranges_;                 // held
  RangeIndex<Owners> waited_ranges_;
  Owners waiters_;
  mutable uint64_t steps_ = 0;
};

}  // namespace assent::participant
