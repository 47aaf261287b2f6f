#include "participant/lock_table.h"

#include <algorithm>
#include <iterator>

#include "common/check.h"
#include "common/mutant.h"

namespace assent::participant {
namespace {

// Up to so many, each lock, or candidate, is looked up among the waiters; of more, one pass over
// the waiters is made.
constexpr size_t kFew = 16;

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

std::vector<Lock> LockTable::HeldBy(const TxnId& id) const {
  return Find(id).held.List();
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
  if (owner.held.Includes(lock)) return true;
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
    AddCandidatesBehind(lost, candidates);
  }
  AddCandidatesBehind(owner, candidates);
  Release(owner);
  owners_.erase(id);
  return GrantAmong(candidates);
}

// Oldest first, one pass is enough: a grant only ever takes away a waiter to put a holder of the same lock in
// its place, so it makes nobody grantable whom the pass has left behind.
std::vector<TxnId> LockTable::GrantAmong(const Owners& candidates) {
  std::vector<TxnId> granted;
  const auto grant = [&](Owner& waiter) {
    const Lock lock = *waiter.wanted;
    Dequeue(waiter);
    Grant(waiter, lock);
    granted.push_back(waiter.id);
  };
  if (candidates.size() <= kFew) {
    for (Owner* waiter : candidates) {
      if (!IsBlocked(*waiter, *waiter->wanted)) grant(*waiter);
    }
    return granted;
  }
  LockSet ahead;  // what the older ones go on waiting for
  size_t left = candidates.size();
  for (auto next = waiters_.begin(); next != waiters_.end() && left > 0;) {
    Owner& waiter = **next++;
    ++steps_;
    const bool is_candidate = candidates.contains(&waiter);
    left -= is_candidate ? 1u : 0u;
    if (is_candidate && !ahead.ConflictsWith(*waiter.wanted) && !IsHeldByOthers(waiter, *waiter.wanted)) {
      grant(waiter);
    } else {
      ahead.Add(*waiter.wanted);
    }
  }
  return granted;
}

LockTable::Blockers LockTable::BlockersOf(const TxnId& waiter) const {
  const Owner& owner = Find(waiter);
  ASSENT_CHECK(owner.wanted.has_value(), "not waiting", ToString(waiter));
  Owners younger;
  VisitHolders(owner, *owner.wanted, [&](Owner& blocker) {
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
  VisitWaitersOn(owner, [&](Owner& waiter) {
    blocks = OlderFirst{}(&waiter, &owner);
    return !blocks;
  });
  return blocks;
}

size_t LockTable::BlockedBy(const TxnId& holder) const {
  std::set<TxnId> blocked;
  VisitWaitersOn(Find(holder), [&](Owner& waiter) {
    blocked.insert(waiter.id);
    return true;
  });
  return blocked.size();
}

bool LockTable::VisitHolders(const Owner& owner, const Lock& lock, const Visitor& visit) const {
  const auto visit_other = [&](Owner* holder) {
    ++steps_;
    return holder == &owner || visit(*holder);
  };
  if (lock.is_range)
    return VisitWritersWithin(RangeOf(lock), [&](Owner& holder) { return visit_other(&holder); });
  const bool exclusive = lock.mode == LockMode::kExclusive;
  if (const auto found = keys_.find(lock.key); found != keys_.end()) {
    const Key& key = found->second;
    if (key.exclusive != nullptr && !visit_other(key.exclusive)) return false;
    if (exclusive && !std::all_of(key.shared.begin(), key.shared.end(), visit_other)) return false;
  }
  if (!exclusive) return true;
  return ranges_.VisitOver(lock.key, [&](const Owners& holders) {
    return std::all_of(holders.begin(), holders.end(), visit_other);
  });
}

// By the keys written there, unless there are more of those than writers in all.
bool LockTable::VisitWritersWithin(const KeyRange& range, const Visitor& visit) const {
  size_t left = writers_.size();
  auto key = written_.lower_bound(range.first);
  while (key != written_.end() && Covers(range, key->first)) {
    if (left-- == 0) {
      return std::all_of(writers_.begin(), writers_.end(), [&](Owner* writer) {
        ++steps_;
        return !writer->held.WritesWithin(range) || visit(*writer);
      });
    }
    if (!visit(*(key++)->second)) return false;
  }
  return true;
}

bool LockTable::IsHeldByOthers(const Owner& owner, const Lock& lock) const {
  return !VisitHolders(owner, lock, [](Owner&) { return false; });
}

bool LockTable::IsBehindOlder(const Owner& owner, const Lock& lock) const {
  const auto is_older = [&](const Owner* waiter) {
    ++steps_;
    return OlderFirst{}(waiter, &owner);
  };
  const auto has_older_writer = [&](const Key& key) {
    for (const Owner* waiter : key.waiters) {
      if (!is_older(waiter)) break;
      if (waiter->wanted->mode == LockMode::kExclusive) return true;
    }
    return false;
  };
  if (lock.is_range) {
    const KeyRange range = RangeOf(lock);
    for (auto key = waited_.lower_bound(lock.key); key != waited_.end() && Covers(range, key->first); ++key) {
      if (has_older_writer(*key->second)) return true;
    }
    return false;
  }
  const auto key = waited_.find(lock.key);
  if (lock.mode == LockMode::kShared) return key != waited_.end() && has_older_writer(*key->second);
  if (key != waited_.end() && is_older(*key->second->waiters.begin())) return true;
  return !waited_ranges_.VisitOver(lock.key,
                                   [&](const Owners& waiters) { return !is_older(*waiters.begin()); });
}

bool LockTable::IsBlocked(const Owner& owner, const Lock& lock) const {
  return IsHeldByOthers(owner, lock) || IsBehindOlder(owner, lock);
}

void LockTable::VisitWaitersOn(const Owner& holder, const Visitor& visit) const {
  const auto visit_other = [&](Owner* waiter) {
    ++steps_;
    return waiter == &holder || visit(*waiter);
  };
  const auto visit_writer = [&](Owner* waiter) {
    return waiter->wanted->mode != LockMode::kExclusive || visit_other(waiter);
  };
  if (holder.held.size() > kFew) {
    for (Owner* waiter : waiters_) {
      ++steps_;
      if (holder.held.ConflictsWith(*waiter->wanted) && !visit_other(waiter)) return;
    }
    return;
  }
  for (const std::string& name : holder.held.written()) {
    const Owners& waiters = keys_.find(name)->second.waiters;
    if (!std::all_of(waiters.begin(), waiters.end(), visit_other)) return;
    const bool all = waited_ranges_.VisitOver(
        name, [&](const Owners& scans) { return std::all_of(scans.begin(), scans.end(), visit_other); });
    if (!all) return;
  }
  for (const std::string& name : holder.held.read()) {
    const Owners& waiters = keys_.find(name)->second.waiters;
    if (!std::all_of(waiters.begin(), waiters.end(), visit_writer)) return;
  }
  for (const auto& [start, end] : holder.held.ranges()) {
    for (auto key = waited_.lower_bound(start); key != waited_.end() && Covers(start, end, key->first);
         ++key) {
      const Owners& waiters = key->second->waiters;
      if (!std::all_of(waiters.begin(), waiters.end(), visit_writer)) return;
    }
  }
}

void LockTable::Grant(Owner& owner, const Lock& lock) {
  if (lock.is_range) {
    std::vector<KeyRange> absorbed;
    const KeyRange range = owner.held.AddRange(RangeOf(lock), absorbed);
    for (const KeyRange& old : absorbed) ranges_.Erase(old, &owner);
    ranges_.Insert(range, &owner);
    return;
  }
  owner.held.AddKey(lock.key, lock.mode);
  Key& key = keys_[lock.key];
  if (lock.mode == LockMode::kExclusive) {
    key.shared.erase(&owner);  // an upgrade, if it held that
    key.exclusive = &owner;
    written_.emplace(lock.key, &owner);
    if (owner.held.written().size() == 1) writers_.insert(&owner);
  } else {
    key.shared.insert(&owner);
  }
}

void LockTable::Release(Owner& owner) {
  for (const std::string& name : owner.held.written()) {
    const auto key = keys_.find(name);
    key->second.exclusive = nullptr;
    written_.erase(name);
    EraseIfUnused(key);
  }
  writers_.erase(&owner);
  for (const std::string& name : owner.held.read()) {
    const auto key = keys_.find(name);
    key->second.shared.erase(&owner);
    EraseIfUnused(key);
  }
  for (const auto& [start, end] : owner.held.ranges()) ranges_.Erase(KeyRange(start, end), &owner);
  steps_ += owner.held.size();
}

void LockTable::Enqueue(Owner& owner, const Lock& lock) {
  owner.wanted = lock;
  waiters_.insert(&owner);
  if (lock.is_range) return waited_ranges_.Insert(RangeOf(lock), &owner);
  Key& key = keys_[lock.key];
  key.waiters.insert(&owner);
  waited_.emplace(lock.key, &key);
}

void LockTable::Dequeue(Owner& owner) {
  if (owner.wanted->is_range) {
    waited_ranges_.Erase(RangeOf(*owner.wanted), &owner);
  } else {
    const auto key = keys_.find(owner.wanted->key);
    key->second.waiters.erase(&owner);
    if (key->second.waiters.empty()) waited_.erase(key->first);
    EraseIfUnused(key);
  }
  waiters_.erase(&owner);
  owner.wanted.reset();
}

void LockTable::EraseIfUnused(Keys::iterator key) {
  const Key& state = key->second;
  if (state.exclusive == nullptr && state.shared.empty() && state.waiters.empty()) keys_.erase(key);
}

// Nobody behind the first exclusive waiter can be granted: all conflict with it, waiting or holding.
void LockTable::AddFirst(const Key& key, Owners& candidates) const {
  for (Owner* waiter : key.waiters) {
    ++steps_;
    candidates.insert(waiter);
    if (waiter->wanted->mode == LockMode::kExclusive) break;
  }
}

void LockTable::AddCandidatesBehind(const Lock& lock, Owners& candidates) const {
  if (!lock.is_range) {
    if (const auto key = waited_.find(lock.key); key != waited_.end()) AddFirst(*key->second, candidates);
    if (lock.mode != LockMode::kExclusive) return;
    waited_ranges_.VisitOver(lock.key, [&](const Owners& scans) {
      steps_ += scans.size();
      candidates.insert(scans.begin(), scans.end());
      return true;
    });
    return;
  }
  const KeyRange range = RangeOf(lock);
  for (auto key = waited_.lower_bound(lock.key); key != waited_.end() && Covers(range, key->first); ++key) {
    ++steps_;
    // One that waits behind a reader waits for whom that one waits for, or will wait for the reader.
    Owner* first = *key->second->waiters.begin();
    if (first->wanted->mode == LockMode::kExclusive) candidates.insert(first);
  }
}

void LockTable::AddCandidatesBehind(const Owner& owner, Owners& candidates) const {
  if (owner.held.size() > kFew) {
    VisitWaitersOn(owner, [&](Owner& waiter) {
      candidates.insert(&waiter);
      return true;
    });
    return;
  }
  for (const Lock& lock : owner.held.List()) AddCandidatesBehind(lock, candidates);
}

void LockTable::CheckInvariants() const {
  size_t held = 0;
  size_t waiting = 0;
  size_t writing = 0;
  for (const auto& [id, owner] : owners_) {
    ASSENT_CHECK(id == owner.id);
    CheckOwner(owner);
    held += owner.held.size();
    waiting += owner.wanted ? 1u : 0u;
    writing += owner.held.written().size();
  }
  ASSENT_CHECK(waiting == waiters_.size(), "waiters", waiting, waiters_.size());
  ASSENT_CHECK(writing == written_.size(), "written", writing, written_.size());
  size_t indexed_held = 0;
  size_t indexed_waiting = 0;
  for (const auto& [name, key] : keys_) {
    indexed_held += key.shared.size() + (key.exclusive != nullptr ? 1u : 0u);
    indexed_waiting += key.waiters.size();
    ASSENT_CHECK(key.exclusive == nullptr || key.shared.empty(), "shared and exclusive");  // P1
    const auto written = written_.find(name);
    ASSENT_CHECK((written == written_.end() ? nullptr : written->second) == key.exclusive);
    const auto waited = waited_.find(name);
    ASSENT_CHECK((waited == waited_.end() ? nullptr : waited->second) ==
                 (key.waiters.empty() ? nullptr : &key));
  }
  ranges_.VisitAll([&](const KeyRange& range, const Owners& holders) {
    ASSENT_CHECK(!holders.empty());
    indexed_held += holders.size();
    for (auto key = written_.lower_bound(range.first); key != written_.end() && Covers(range, key->first);
         ++key) {
      ASSENT_CHECK(holders.size() == 1 && *holders.begin() == key->second,
                   "range and writer in conflict");  // P1
    }
  });
  waited_ranges_.VisitAll([&](const KeyRange&, const Owners& waiters) { indexed_waiting += waiters.size(); });
  ASSENT_CHECK(held == indexed_held, "locks held", held, indexed_held);
  ASSENT_CHECK(waiting == indexed_waiting, "waiters", waiting, indexed_waiting);
}

void LockTable::CheckOwner(const Owner& owner) const {
  auto* const self = const_cast<Owner*>(&owner);
  ASSENT_CHECK(writers_.contains(self) == !owner.held.written().empty());
  for (const std::string& name : owner.held.written()) {
    const auto key = keys_.find(name);
    ASSENT_CHECK(key != keys_.end() && key->second.exclusive == &owner && !owner.held.read().contains(name));
  }
  for (const std::string& name : owner.held.read()) {
    const auto key = keys_.find(name);
    ASSENT_CHECK(key != keys_.end() && key->second.shared.contains(self));
  }
  if (!owner.wanted) return;
  ASSENT_CHECK(waiters_.contains(self));
  ASSENT_CHECK(!owner.voted, "a voted owner waits", ToString(owner.id));
  VisitHolders(owner, *owner.wanted, [&](Owner& blocker) {
    ASSENT_CHECK(blocker.voted || OlderFirst{}(&blocker, &owner), "waits for a younger one",  // P2
                 ToString(owner.id), ToString(blocker.id));
    return true;
  });
  ASSENT_CHECK(IsBlocked(owner, *owner.wanted), "waits for nobody", ToString(owner.id));
}

}  // namespace assent::participant
