#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/state.h"

namespace assent {

using Rows = std::map<RowPlace, Row, RowPlaceLess>;

// A store in memory, for tests of role cores: what store/ keeps in SQLite.
class MapState final : public StateReader {
 public:
  std::optional<Row> Get(Table table, std::string_view key) const override {
    const auto row = rows_.find(std::pair(table, key));
    if (row == rows_.end()) return std::nullopt;
    return row->second;
  }
  void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const override {
    for (auto row = rows_.lower_bound(std::pair(table, from)); row != rows_.end(); ++row) {
      const auto& [row_table, key] = row->first;
      if (row_table != table || (!to.empty() && key >= to)) return;
      if (!visit(key, row->second)) return;
    }
  }
  void Apply(const std::vector<Mutation>& batch) {
    for (const Mutation& change : batch) {
      if (change.value) {
        rows_[{change.table, change.key}] = Row{*change.value, change.lsn};
      } else {
        rows_.erase({change.table, change.key});
      }
    }
  }
  void Put(Table table, std::string key, std::string value, Lsn lsn) {
    rows_[{table, std::move(key)}] = Row{std::move(value), lsn};
  }
  const Rows& rows() const { return rows_; }

 private:
  Rows rows_;
};

// All rows that `state` shows, to compare two of them.
inline Rows AllRows(const StateReader& state) {
  Rows rows;
  for (const Table table : kTables) {
    state.Scan(table, {}, {}, [&](std::string_view key, const Row& row) {
      rows.emplace_hint(rows.end(), RowPlace(table, key), row);
      return true;
    });
  }
  return rows;
}

}  // namespace assent
