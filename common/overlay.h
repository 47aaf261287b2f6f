#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/state.h"

namespace assent {

// Changes that records have made and that the store does not hold yet, ordered over the store (P7). A role
// core writes here as it applies records, and reads through here; the driver moves what is replicated, and
// only that, to the store (R13): Collect, store.Apply, Forget.
class Overlay final : public StateReader {
 public:
  // `store` is the state as of its applied LSN; it must outlive this.
  explicit Overlay(const StateReader& store) : store_(store) {}

  // LSNs never fall from call to call.
  void Put(Table table, std::string key, std::string value, Lsn lsn) {
    Change(table, std::move(key), std::move(value), lsn);
  }
  void Delete(Table table, std::string key, Lsn lsn) { Change(table, std::move(key), std::nullopt, lsn); }

  std::optional<Row> Get(Table table, std::string_view key) const override;
  void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const override;

  // All changes by records up to `through`, one a row (the last), in (table, key) order. A row
  // written and deleted again in between shows as a delete: only what is still open at the end of a
  // batch is written (R13).
  std::vector<Mutation> Collect(Lsn through) const;
  // The last record up to `through` with which Collect gives at most so many changes and so many bytes of
  // keys and values. The first record counts whatever it holds: the store takes whole records only (R13).
  Lsn LastWithin(Lsn through, size_t changes_max, size_t bytes_max) const;
  // Drops the changes by records up to `through`: the store has them now.
  void Forget(Lsn through);

  size_t change_count() const { return order_.size(); }
  size_t bytes() const { return bytes_; }  // of keys and values held: bounded by admission in the core (G8)

 private:
  struct Version {
    Lsn lsn{};
    std::optional<std::string> value;
  };
  // Oldest first. No deque: most rows have one version, for which a deque takes half a KiB.
  struct Versions {
    std::vector<Version> all;
    size_t forgotten = 0;  // of them, the first ones

    auto begin() const { return all.begin() + static_cast<std::ptrdiff_t>(forgotten); }
  };
  using Rows = std::map<RowPlace, Versions, RowPlaceLess>;
  struct OneChange {
    Lsn lsn{};
    Rows::iterator row;
    size_t bytes = 0;
  };

  void Change(Table table, std::string key, std::optional<std::string> value, Lsn lsn);

  const StateReader& store_;
  Rows rows_;                    // versions of a row in LSN order
  std::deque<OneChange> order_;  // each version, in LSN order
  size_t bytes_ = 0;
};

}  // namespace assent
