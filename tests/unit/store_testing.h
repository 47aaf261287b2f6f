#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/overlay.h"
#include "common/state.h"
#include "store/store.h"

namespace assent {

inline const StoreIdentity kIdentity{"7b0c2d7e-cluster", {GroupKind::kShard, 1}};

inline LogPosition At(uint64_t epoch, uint64_t lsn) {
  return {Epoch{epoch}, Lsn{lsn}};
}
inline Mutation Set(Table table, std::string key, std::string value, uint64_t lsn) {
  return {table, std::move(key), std::move(value), Lsn{lsn}};
}
inline Mutation Erase(Table table, std::string key, uint64_t lsn) {
  return {table, std::move(key), std::nullopt, Lsn{lsn}};
}

// All rows of all tables.
using Contents = std::map<std::pair<Table, std::string>, Row>;

inline Contents ContentsOf(const StateReader& reader) {
  Contents contents;
  for (const Table table : kTables) {
    reader.Scan(table, "", "", [&](std::string_view key, const Row& row) {
      contents[{table, std::string(key)}] = row;
      return true;
    });
  }
  return contents;
}

// A history of records, each of which changes a few rows of any tables, and the contents after each of them.
class RandomHistory {
 public:
  explicit RandomHistory(uint64_t seed, uint64_t keys = 40, size_t value_bytes_max = 300)
      : random_(seed), keys_(keys), value_bytes_max_(value_bytes_max) {
    contents_.emplace_back();
  }

  // The changes of the next record.
  std::vector<Mutation> Next() {
    const Lsn lsn{contents_.size()};
    contents_.push_back(contents_.back());
    std::vector<Mutation> changes;
    for (uint64_t n = random_() % 4; n > 0; --n) {
      const Table table = kTables[random_() % std::size(kTables)];
      std::string key = "k" + std::to_string(random_() % keys_);
      if (random_() % 8 == 0) key += std::string("\0\xff", 2);
      if (random_() % 3 == 0) {
        changes.push_back({table, key, std::nullopt, lsn});
        contents_.back().erase({table, key});
      } else {
        const std::string value(random_() % value_bytes_max_, static_cast<char>(random_()));
        changes.push_back({table, key, value, lsn});
        contents_.back()[{table, key}] = Row{value, lsn};
      }
    }
    return changes;
  }

  const Contents& After(Lsn lsn) const { return contents_.at(Raw(lsn)); }
  uint64_t last() const { return contents_.size() - 1; }

 private:
  std::mt19937_64 random_;
  uint64_t keys_;
  size_t value_bytes_max_;
  std::vector<Contents> contents_;
};

inline void Take(Overlay& overlay, std::vector<Mutation> changes) {
  for (Mutation& change : changes) {
    if (change.value) {
      overlay.Put(change.table, std::move(change.key), *std::move(change.value), change.lsn);
    } else {
      overlay.Delete(change.table, std::move(change.key), change.lsn);
    }
  }
}

}  // namespace assent
