#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "common/ids.h"

namespace assent::coordinator {

// C8, the coordinator's half: which ids may still matter to which shard. Owns no decision: the core tells it
// what became of each id.
//
// The mark for a shard is the smallest of
//   - the group's oldest undecided id, enlisted there or not: it may still commit;
//   - the oldest id that committed with a part there and that this shard has not acknowledged;
//   - the next id to be given out.
// Each id below it that committed was acknowledged there, and no other can commit any more. An id that a
// shard is stuck on holds back the mark of this shard only. Aborted ids hold back none.
class Marks {
 public:
  void OnBegun(const TxnId& txn) { live_.insert(live_.end(), txn); }
  // It was aborted, or decided by its only shard, or its COMMIT is replicated and Owe says who has yet to
  // learn of it.
  void OnSettled(const TxnId& txn) { live_.erase(txn); }
  void Owe(GroupId shard, const TxnId& txn) { owed_[shard].insert(txn); }
  void OnAcknowledged(GroupId shard, const TxnId& txn);

  // `next`: the next id to be given out.
  TxnId MarkFor(GroupId shard, const TxnId& next) const;

  const std::set<TxnId>& live() const { return live_; }
  bool Owes(GroupId shard, const TxnId& txn) const;

 private:
  std::set<TxnId> live_;
  std::map<GroupId, std::set<TxnId>> owed_;
};

}  // namespace assent::coordinator
