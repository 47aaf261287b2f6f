#include "common/overlay.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace assent {

void Overlay::Change(Table table, std::string key, std::optional<std::string> value, Lsn lsn) {
  ASSENT_CHECK(order_.empty() || order_.back().lsn <= lsn, "lsn fell", order_.back().lsn, lsn);
  const size_t bytes = key.size() + (value ? value->size() : 0);
  bytes_ += bytes;
  const auto row = rows_.try_emplace(RowPlace(table, std::move(key))).first;
  row->second.all.push_back(Version{lsn, std::move(value)});
  order_.push_back({lsn, row, bytes});
}

std::optional<Row> Overlay::Get(Table table, std::string_view key) const {
  const auto row = rows_.find(std::pair(table, key));
  if (row == rows_.end()) return store_.Get(table, key);
  const Version& last = row->second.all.back();
  if (!last.value) return std::nullopt;
  return Row{*last.value, last.lsn};
}

void Overlay::Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const {
  auto mine = rows_.lower_bound(std::pair(table, from));
  const auto in_range = [&] {
    return mine != rows_.end() && mine->first.first == table && (to.empty() || mine->first.second < to);
  };
  // Visits my next row, unless it is a delete; false when the visitor has had enough.
  const auto visit_mine = [&] {
    const Version& last = mine->second.all.back();
    const bool more = !last.value || visit(mine->first.second, Row{*last.value, last.lsn});
    ++mine;
    return more;
  };
  bool more = true;
  store_.Scan(table, from, to, [&](std::string_view key, const Row& row) {
    while (more && in_range() && mine->first.second < key) more = visit_mine();
    if (!more) return false;
    if (in_range() && mine->first.second == key) {
      more = visit_mine();
    } else {
      more = visit(key, row);
    }
    return more;
  });
  while (more && in_range()) more = visit_mine();
}

std::vector<Mutation> Overlay::Collect(Lsn through) const {
  std::vector<Mutation> batch;
  for (const auto& [lsn, row, bytes] : order_) {
    if (lsn > through) break;
    // A row stands in the batch once: at its last version up to `through`.
    const auto& versions = row->second;
    const auto last = std::prev(std::upper_bound(versions.begin(), versions.all.end(), through,
                                                 [](Lsn a, const Version& b) { return a < b.lsn; }));
    if (last->lsn == lsn) {
      batch.push_back(Mutation{row->first.first, row->first.second, last->value, last->lsn});
    }
  }
  std::sort(batch.begin(), batch.end(), [](const Mutation& a, const Mutation& b) {
    return a.table != b.table ? a.table < b.table : a.key < b.key;
  });
  const auto same_row = [](const Mutation& a, const Mutation& b) {
    return a.table == b.table && a.key == b.key;
  };
  batch.erase(std::unique(batch.begin(), batch.end(), same_row), batch.end());
  return batch;
}

Lsn Overlay::LastWithin(Lsn through, size_t changes_max, size_t bytes_max) const {
  size_t changes = 0;
  size_t bytes = 0;
  Lsn record = order_.empty() ? through : order_.front().lsn;  // whose changes are being counted
  Lsn whole = record;                                          // up to here they fit, or it is the first
  for (const OneChange& change : order_) {
    if (change.lsn > through) break;
    if (change.lsn != record) whole = std::exchange(record, change.lsn);
    bytes += change.bytes;
    if (++changes > changes_max || bytes > bytes_max) return whole;
  }
  return through;
}

void Overlay::Forget(Lsn through) {
  while (!order_.empty() && order_.front().lsn <= through) {
    const auto row = order_.front().row;
    Versions& versions = row->second;
    Version& oldest = versions.all[versions.forgotten];
    bytes_ -= order_.front().bytes;
    oldest.value.reset();
    if (++versions.forgotten == versions.all.size()) {
      rows_.erase(row);
    } else if (versions.forgotten * 2 > versions.all.size()) {  // a row that never comes to rest
      versions.all.erase(versions.all.begin(), versions.begin());
      versions.forgotten = 0;
    }
    order_.pop_front();
  }
}

}  // namespace assent
