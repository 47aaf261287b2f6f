#include "coordinator/marks.h"

namespace assent::coordinator {

void Marks::OnAcknowledged(GroupId shard, const TxnId& txn) {
  const auto owed = owed_.find(shard);
  if (owed == owed_.end()) return;
  owed->second.erase(txn);
  if (owed->second.empty()) owed_.erase(owed);
}

TxnId Marks::MarkFor(GroupId shard, const TxnId& next) const {
  TxnId mark = next;
  if (!live_.empty() && *live_.begin() < mark) mark = *live_.begin();  // C8: enlisted there or not
  const auto owed = owed_.find(shard);
  if (owed != owed_.end() && *owed->second.begin() < mark) mark = *owed->second.begin();
  return mark;
}

bool Marks::Owes(GroupId shard, const TxnId& txn) const {
  const auto owed = owed_.find(shard);
  return owed != owed_.end() && owed->second.contains(txn);
}

}  // namespace assent::coordinator
