#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/state.h"

namespace assent {

// A store in memory, for tests of role cores: what store/ keeps in SQLite.
class MapState final : public StateReader {
 public:
  std::optional<Row> Get(Table table, std::string_view key) const override {
    const auto row = rows_.find({table, std::string(key)});
    if (row == rows_.end()) return std::nullopt;
    return row->second;
  }
  void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const override {
    for (auto row = rows_.lower_bound({table, std::string(from)}); row != rows_.end(); ++row) {
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
  const std::map<std::pair<Table, std::string>, Row>& rows() const { return rows_; }

 private:
  std::map<std::pair<Table, std::string>, Row> rows_;
};

// All rows that `state` shows, to compare two of them.
inline std::map<std::pair<Table, std::string>, Row> AllRows(const StateReader& state) {
  std::map<std::pair<Table, std::string>, Row> rows;
  for (const Table table : kTables) {
    state.Scan(table, {}, {}, [&](std::string_view key, const Row& row) {
      rows[{table, std::string(key)}] = row;
      return true;
    });
  }
  return rows;
}

}  // namespace assent
