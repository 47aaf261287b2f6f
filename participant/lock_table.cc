#include "participant/lock_table.h"

#include <iterator>

#include "common/check.h"
#include "common/mutant.h"
#include "common/operations.h"

namespace assent::participant {

namespace {

// Is `end` PrefixEnd of some prefix of `start`?
bool EndsBehindAPrefix(const std::string& start, const std::string& end) {
  if (end.empty()) return true;
  std::string prefix = end;  // the shortest with that end
  prefix.back() = static_cast<char>(static_cast<unsigned char>(end.back()) - 1);
  return end.back() != '\0' && start.starts_with(prefix);
}

}  // namespace

LockTable::Owner& LockTable::Find(const TxnId& owner) {
  const auto found = owners_.find(owner);
  ASSENT_CHECK(found != owners_.end(), "no lock owner", ToString(owner));
  return found->second;
}

const LockTable::Owner& LockTable::Find(const TxnId& owner) const {
  const auto found = owners_.find(owner);
  ASSENT_CHECK(found != owners_.end(), "no lock owner", ToString(owner));
  return found->second;
}

bool LockTable::IsWaiting(const TxnId& owner) const {
  return Find(owner).wanted.has_value();
}

bool LockTable::Holds(const Owner& owner, const Lock& lock) {
  if (lock.is_range) return owner.ranges.contains(RangeOf(lock));
  const auto held = owner.keys.find(lock.key);
  return held != owner.keys.end() && held->second >= lock.mode;
}

void LockTable::Open(const TxnId& owner, const Age& age) {
  Owner opened;
  opened.id = owner;
  opened.age = age;
  const bool is_new = owners_.emplace(owner, std::move(opened)).second;
  ASSENT_CHECK(is_new, "lock owner opened twice", ToString(owner));
}

bool LockTable::Acquire(const TxnId& id, const Lock& lock) {
  ASSENT_CHECK(!lock.is_range || lock.mode == LockMode::kShared, "exclusive range", ToString(id));
  Owner& owner = Find(id);
  ASSENT_CHECK(!owner.wanted, "second waiting request of", ToString(id));
  ASSENT_CHECK(!owner.voted, "new lock after the vote of", ToString(id));
  if (Holds(owner, lock)) return true;
  if (Mutated(Mutant::kReadIgnoresPreparedLock) && lock.mode == LockMode::kShared && !lock.is_range) {
    const auto key = keys_.find(lock.key);
    if (key != keys_.end() && key->second.exclusive != nullptr && key->second.exclusive->voted) return true;
  }
  if (IsBlocked(owner, lock)) {
    Enqueue(owner, lock);
    return false;
  }
  Grant(owner, lock);
  return true;
}

void LockTable::SetVoted(const TxnId& id) {
  Owner& owner = Find(id);
  ASSENT_CHECK(!owner.wanted, "vote while waiting", ToString(id));
  owner.voted = true;
}

std::vector<TxnId> LockTable::Close(const TxnId& id) {
  Owner& owner = Find(id);
  Owners candidates;
  if (owner.wanted) {
    const Lock lost = *owner.wanted;
    Dequeue(owner);
    if (lost.is_range) {
      AddCandidates(RangeOf(lost), candidates);
    } else {
      AddCandidates(lost.key, lost.mode == LockMode::kExclusive, candidates);
    }
  }
  for (const auto& [name, mode] : owner.keys) {
    const auto key = keys_.find(name);
    if (mode == LockMode::kExclusive) {
      key->second.exclusive = nullptr;
      written_.erase(name);
    } else {
      key->second.shared.erase(&owner);
    }
    AddCandidates(name, mode == LockMode::kExclusive, candidates);
    EraseIfUnused(key);
  }
  for (const Range& range : owner.ranges) {
    ReleaseRange(owner, range);
    AddCandidates(range, candidates);
  }
  owners_.erase(id);

  // Oldest first, one pass is enough: a grant only ever takes away a waiter to put a holder of the same lock
  // in its place, so it makes nobody grantable whom the pass has left behind.
  std::vector<TxnId> granted;
  for (Owner* waiter : candidates) {
    if (IsBlocked(*waiter, *waiter->wanted)) continue;
    const Lock lock = *waiter->wanted;
    Dequeue(*waiter);
    Grant(*waiter, lock);
    granted.push_back(waiter->id);
  }
  return granted;
}

LockTable::Blockers LockTable::BlockersOf(const TxnId& waiter) const {
  const Owner& owner = Find(waiter);
  ASSENT_CHECK(owner.wanted.has_value(), "not waiting", ToString(waiter));
  Owners younger;
  VisitBlockers(owner, *owner.wanted, [&](Owner& blocker, bool) {
    if (OlderFirst{}(&owner, &blocker)) younger.insert(&blocker);
    return true;
  });
  Blockers blockers;
  for (const Owner* blocker : younger)
    (blocker->voted ? blockers.request : blockers.wound).push_back(blocker->id);
  return blockers;
}

bool LockTable::BlocksOlder(const TxnId& holder) const {
  const Owner& owner = Find(holder);
  bool blocks = false;
  VisitWaitersOn(owner, [&](const Owner& waiter) {
    blocks = OlderFirst{}(&waiter, &owner);
    return !blocks;
  });
  return blocks;
}

size_t LockTable::BlockedBy(const TxnId& holder) const {
  std::set<TxnId> blocked;
  VisitWaitersOn(Find(holder), [&](const Owner& waiter) {
    blocked.insert(waiter.id);
    return true;
  });
  return blocked.size();
}

std::vector<Lock> LockTable::HeldBy(const TxnId& id) const {
  const Owner& owner = Find(id);
  std::vector<Lock> held;
  held.reserve(owner.keys.size() + owner.ranges.size());
  for (const auto& [key, mode] : owner.keys) held.push_back(Lock{key, mode, false, {}});
  for (const auto& [key, end] : owner.ranges) held.push_back(Lock{key, LockMode::kShared, true, end});
  return held;
}

void LockTable::VisitBlockers(const Owner& owner, const Lock& lock, const BlockerVisitor& visit) const {
  if (lock.is_range) {
    VisitRangeBlockers(owner, RangeOf(lock), visit);
  } else {
    VisitKeyBlockers(owner, lock, visit);
  }
}

void LockTable::VisitKeyBlockers(const Owner& owner, const Lock& lock, const BlockerVisitor& visit) const {
  const bool exclusive = lock.mode == LockMode::kExclusive;
  if (const auto found = keys_.find(lock.key); found != keys_.end()) {
    const Key& key = found->second;
    if (key.exclusive != nullptr && key.exclusive != &owner && !visit(*key.exclusive, true)) return;
    if (exclusive) {
      for (Owner* holder : key.shared) {
        if (holder != &owner && !visit(*holder, true)) return;
      }
    }
    for (Owner* waiter : key.waiters) {
      if (!OlderFirst{}(waiter, &owner)) break;
      if ((exclusive || waiter->wanted->mode == LockMode::kExclusive) && !visit(*waiter, false)) return;
    }
  }
  if (!exclusive) return;
  const bool all =
      VisitRangesOver(lock.key, [&](Owner& holder) { return &holder == &owner || visit(holder, true); });
  if (!all) return;
  for (Owner* waiter : range_waiters_) {
    if (!OlderFirst{}(waiter, &owner)) break;
    if (Covers(RangeOf(*waiter->wanted), lock.key) && !visit(*waiter, false)) return;
  }
}

bool LockTable::VisitRangesOver(const std::string& key,
                                const std::function<bool(Owner& holder)>& visit) const {
  if (ranges_.empty()) return true;
  const auto visit_end = [&](const std::string& end) {
    const auto found = ranges_.find(end);
    if (found == ranges_.end()) return true;
    for (const auto& [start, holders] : found->second) {
      if (start > key) break;
      for (Owner* holder : holders) {
        if (!visit(*holder)) return false;
      }
    }
    return true;
  };
  if (!visit_end({})) return false;
  for (size_t size = 1; size <= key.size(); ++size) {
    // A prefix that ends so has the end of the one before it.
    if (key[size - 1] != '\xff' && !visit_end(PrefixEnd(key.substr(0, size)))) return false;
  }
  for (auto end = other_ends_.upper_bound(key); end != other_ends_.end(); ++end) {
    if (!visit_end(end->first)) return false;
  }
  return true;
}

void LockTable::VisitRangeBlockers(const Owner& owner, const Range& range,
                                   const BlockerVisitor& visit) const {
  for (auto key = written_.lower_bound(range.first); key != written_.end() && Covers(range, *key); ++key) {
    Owner* holder = keys_.find(*key)->second.exclusive;
    if (holder != &owner && !visit(*holder, true)) return;
  }
  for (auto name = waited_.lower_bound(range.first); name != waited_.end() && Covers(range, *name); ++name) {
    for (Owner* waiter : keys_.find(*name)->second.waiters) {
      if (!OlderFirst{}(waiter, &owner)) break;
      if (waiter->wanted->mode == LockMode::kExclusive && !visit(*waiter, false)) return;
    }
  }
}

bool LockTable::IsBlocked(const Owner& owner, const Lock& lock) const {
  bool blocked = false;
  VisitBlockers(owner, lock, [&](Owner&, bool) {
    blocked = true;
    return false;
  });
  return blocked;
}

void LockTable::VisitWaitersOn(const Owner& holder,
                               const std::function<bool(const Owner& waiter)>& visit) const {
  for (const auto& [name, mode] : holder.keys) {
    for (const Owner* waiter : keys_.find(name)->second.waiters) {
      const bool conflict = mode == LockMode::kExclusive || waiter->wanted->mode == LockMode::kExclusive;
      if (waiter != &holder && conflict && !visit(*waiter)) return;
    }
    if (mode != LockMode::kExclusive) continue;
    for (const Owner* waiter : range_waiters_) {
      if (waiter != &holder && Covers(RangeOf(*waiter->wanted), name) && !visit(*waiter)) return;
    }
  }
  for (const Range& range : holder.ranges) {
    for (auto name = waited_.lower_bound(range.first); name != waited_.end() && Covers(range, *name);
         ++name) {
      for (const Owner* waiter : keys_.find(*name)->second.waiters) {
        const bool conflict = waiter->wanted->mode == LockMode::kExclusive;
        if (waiter != &holder && conflict && !visit(*waiter)) return;
      }
    }
  }
}

void LockTable::Grant(Owner& owner, const Lock& lock) {
  if (lock.is_range) {
    owner.ranges.insert(RangeOf(lock));
    ranges_[lock.end][lock.key].insert(&owner);
    if (!EndsBehindAPrefix(lock.key, lock.end)) ++other_ends_[lock.end];
    return;
  }
  Key& key = keys_[lock.key];
  if (lock.mode == LockMode::kExclusive) {
    key.shared.erase(&owner);  // an upgrade, if it held that
    key.exclusive = &owner;
    written_.insert(lock.key);
  } else {
    key.shared.insert(&owner);
  }
  owner.keys[lock.key] = lock.mode;
}

void LockTable::ReleaseRange(Owner& owner, const Range& range) {
  const auto& [start, end] = range;
  const auto same_end = ranges_.find(end);
  const auto held = same_end->second.find(start);
  held->second.erase(&owner);
  if (held->second.empty()) same_end->second.erase(held);
  if (same_end->second.empty()) ranges_.erase(same_end);
  if (EndsBehindAPrefix(start, end)) return;
  const auto other = other_ends_.find(end);
  if (--other->second == 0) other_ends_.erase(other);
}

void LockTable::Enqueue(Owner& owner, const Lock& lock) {
  owner.wanted = lock;
  ++waiter_count_;
  if (lock.is_range) {
    range_waiters_.insert(&owner);
    return;
  }
  keys_[lock.key].waiters.insert(&owner);
  waited_.insert(lock.key);
}

void LockTable::Dequeue(Owner& owner) {
  if (owner.wanted->is_range) {
    range_waiters_.erase(&owner);
  } else {
    const auto key = keys_.find(owner.wanted->key);
    key->second.waiters.erase(&owner);
    if (key->second.waiters.empty()) waited_.erase(key->first);
    EraseIfUnused(key);
  }
  owner.wanted.reset();
  --waiter_count_;
}

void LockTable::EraseIfUnused(Keys::iterator key) {
  const Key& state = key->second;
  if (state.exclusive == nullptr && state.shared.empty() && state.waiters.empty()) keys_.erase(key);
}

void LockTable::AddCandidates(const std::string& name, bool exclusive, Owners& candidates) const {
  if (const auto key = keys_.find(name); key != keys_.end()) {
    // Nobody behind the first exclusive waiter can be granted: all conflict with it, waiting or holding.
    for (Owner* waiter : key->second.waiters) {
      candidates.insert(waiter);
      if (waiter->wanted->mode == LockMode::kExclusive) break;
    }
  }
  if (!exclusive) return;
  for (Owner* waiter : range_waiters_) {
    if (Covers(RangeOf(*waiter->wanted), name)) candidates.insert(waiter);
  }
}

void LockTable::AddCandidates(const Range& range, Owners& candidates) const {
  for (auto name = waited_.lower_bound(range.first); name != waited_.end() && Covers(range, *name); ++name) {
    AddCandidates(*name, false, candidates);
  }
}

void LockTable::CheckInvariants() const {
  size_t held = 0;
  size_t waiting = 0;
  for (const auto& [id, owner] : owners_) {
    ASSENT_CHECK(id == owner.id);
    CheckOwner(owner);
    held += owner.keys.size() + owner.ranges.size();
    waiting += owner.wanted ? 1u : 0u;
  }
  ASSENT_CHECK(waiting == waiter_count_, "waiters", waiting, waiter_count_);
  size_t indexed_held = 0;
  size_t indexed_waiting = range_waiters_.size();
  for (const auto& [name, key] : keys_) {
    indexed_held += key.shared.size() + (key.exclusive != nullptr ? 1u : 0u);
    indexed_waiting += key.waiters.size();
    ASSENT_CHECK(key.exclusive == nullptr || key.shared.empty(), "shared and exclusive");  // P1
    ASSENT_CHECK(waited_.contains(name) == !key.waiters.empty());
  }
  for (const auto& [end, starts] : ranges_) {
    for (const auto& [start, holders] : starts) {
      ASSENT_CHECK(!holders.empty());
      indexed_held += holders.size();
      const Range range(start, end);
      for (auto key = keys_.lower_bound(start); key != keys_.end() && Covers(range, key->first); ++key) {
        const Owner* writer = key->second.exclusive;
        ASSENT_CHECK((writer != nullptr) == written_.contains(key->first));
        if (writer == nullptr) continue;
        ASSENT_CHECK(holders.size() == 1 && *holders.begin() == writer,
                     "range and writer in conflict");  // P1
      }
    }
  }
  ASSENT_CHECK(held == indexed_held, "locks held", held, indexed_held);
  ASSENT_CHECK(waiting == indexed_waiting, "waiters", waiting, indexed_waiting);
}

void LockTable::CheckOwner(const Owner& owner) const {
  for (const auto& [name, mode] : owner.keys) {
    const auto key = keys_.find(name);
    ASSENT_CHECK(key != keys_.end());
    ASSENT_CHECK(mode == LockMode::kExclusive ? key->second.exclusive == &owner
                                              : key->second.shared.contains(const_cast<Owner*>(&owner)));
  }
  if (!owner.wanted) return;
  ASSENT_CHECK(!owner.voted, "a voted owner waits", ToString(owner.id));
  size_t blockers = 0;
  VisitBlockers(owner, *owner.wanted, [&](Owner& blocker, bool) {
    ++blockers;
    ASSENT_CHECK(blocker.voted || OlderFirst{}(&blocker, &owner), "waits for a younger one",  // P2
                 ToString(owner.id), ToString(blocker.id));
    return true;
  });
  ASSENT_CHECK(blockers > 0, "waits for nobody", ToString(owner.id));
}

}  // namespace assent::participant
