// The overlay: reads through to the store, batches of whole records, and a model at every LSN.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "common/overlay.h"

namespace assent {
namespace {

using Place = std::pair<Table, std::string>;
using Contents = std::map<Place, Row>;

// The store below: what was collected is applied to it.
class MapStore final : public StateReader {
 public:
  std::optional<Row> Get(Table table, std::string_view key) const override {
    const auto row = contents.find({table, std::string(key)});
    return row == contents.end() ? std::nullopt : std::optional(row->second);
  }
  void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const override {
    for (auto row = contents.lower_bound({table, std::string(from)}); row != contents.end(); ++row) {
      if (row->first.first != table || (!to.empty() && row->first.second >= to)) return;
      if (!visit(row->first.second, row->second)) return;
    }
  }
  void Apply(const std::vector<Mutation>& batch) {
    for (const Mutation& mutation : batch) {
      if (mutation.value) {
        contents[{mutation.table, mutation.key}] = Row{*mutation.value, mutation.lsn};
      } else {
        contents.erase({mutation.table, mutation.key});
      }
    }
  }
  Contents contents;
};

std::vector<std::pair<std::string, Row>> Scanned(const StateReader& reader, Table table,
                                                 const std::string& from, const std::string& to,
                                                 size_t rows_max = SIZE_MAX) {
  std::vector<std::pair<std::string, Row>> rows;
  reader.Scan(table, from, to, [&](std::string_view key, const Row& row) {
    rows.emplace_back(key, row);
    return rows.size() < rows_max;
  });
  return rows;
}

TEST(Overlay, ReadsThroughToTheStore) {
  MapStore store;
  store.contents[{Table::kData, "a"}] = Row{"old", Lsn{1}};
  Overlay overlay(store);
  EXPECT_EQ(overlay.Get(Table::kData, "a"), (Row{"old", Lsn{1}}));
  overlay.Put(Table::kData, "a", "new", Lsn{2});
  EXPECT_EQ(overlay.Get(Table::kData, "a"), (Row{"new", Lsn{2}}));
  EXPECT_FALSE(overlay.Get(Table::kMeta, "a"));
  overlay.Delete(Table::kData, "a", Lsn{3});
  EXPECT_FALSE(overlay.Get(Table::kData, "a"));
  EXPECT_TRUE(Scanned(overlay, Table::kData, "", "").empty());
  EXPECT_EQ(store.contents.size(), 1u);
}

TEST(Overlay, CollectGivesEachRowOnceAsOfThatLsn) {  // R13
  MapStore store;
  Overlay overlay(store);
  overlay.Put(Table::kData, "a", "1", Lsn{1});
  overlay.Put(Table::kPrepared, "t", "open", Lsn{2});
  overlay.Put(Table::kData, "a", "2", Lsn{3});
  overlay.Delete(Table::kPrepared, "t", Lsn{4});
  const auto early = overlay.Collect(Lsn{2});
  ASSERT_EQ(early.size(), 2u);
  EXPECT_EQ(early[0].value, "1");
  EXPECT_EQ(early[0].lsn, Lsn{1});
  EXPECT_EQ(early[1].value, "open");
  const auto late = overlay.Collect(Lsn{9});
  ASSERT_EQ(late.size(), 2u);
  EXPECT_EQ(late[0].value, "2");
  EXPECT_FALSE(late[1].value);  // written and ended within the batch: nothing is left to write
  EXPECT_TRUE(overlay.Collect(Lsn{0}).empty());
}

TEST(Overlay, TheLastChangeOfARecordCounts) {
  MapStore store;
  Overlay overlay(store);
  overlay.Put(Table::kData, "a", "1", Lsn{1});
  overlay.Put(Table::kData, "a", "2", Lsn{1});
  ASSERT_EQ(overlay.Collect(Lsn{1}).size(), 1u);
  EXPECT_EQ(overlay.Collect(Lsn{1})[0].value, "2");
  overlay.Forget(Lsn{1});
  EXPECT_EQ(overlay.change_count(), 0u);
  EXPECT_EQ(overlay.bytes(), 0u);
}

TEST(Overlay, PartsEndWithWholeRecords) {  // R13
  MapStore store;
  Overlay overlay(store);
  EXPECT_EQ(overlay.LastWithin(Lsn{9}, 1, 1), Lsn{9});
  overlay.Put(Table::kData, "a", "123", Lsn{1});  // 4 bytes each
  overlay.Put(Table::kData, "b", "123", Lsn{3});
  overlay.Put(Table::kData, "c", "123", Lsn{3});
  overlay.Put(Table::kData, "a", "456", Lsn{4});
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 4, 16), Lsn{4});
  EXPECT_EQ(overlay.LastWithin(Lsn{9}, 4, 16), Lsn{9}) << "records without changes";
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 3, 16), Lsn{3});
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 4, 15), Lsn{3});
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 2, 16), Lsn{1}) << "half a record";
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 4, 8), Lsn{1}) << "half a record";
  EXPECT_EQ(overlay.LastWithin(Lsn{3}, 3, 12), Lsn{3}) << "what is not replicated does not count";
  overlay.Forget(Lsn{1});
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 1, 100), Lsn{3}) << "one record is not divided";
  EXPECT_EQ(overlay.LastWithin(Lsn{4}, 100, 1), Lsn{3}) << "one record is not divided";
}

TEST(Overlay, FallingLsnsAreABug) {
  MapStore store;
  Overlay overlay(store);
  overlay.Put(Table::kData, "a", "1", Lsn{5});
  EXPECT_DEATH(overlay.Put(Table::kData, "b", "1", Lsn{4}), "lsn fell");
}

// Against a model that keeps the contents after each record: reads, scans of any range and length, and
// batches cut at any LSN, over a store that lags behind by any number of records.
TEST(OverlayRandom, EqualsTheModelAtEveryLsn) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    MapStore store;
    Overlay overlay(store);
    std::vector<Contents> after(1);  // [lsn]
    std::vector<std::set<Place>> changed(1);
    uint64_t applied = 0;
    const auto key = [&] {
      static const std::string kTails[] = {"", std::string(1, '\0'), "\xff", "x"};
      return "k" + std::to_string(random() % 12) + kTails[random() % 4];
    };
    const auto table = [&] { return kTables[random() % 3]; };
    for (int step = 0; step < 300; ++step) {
      after.push_back(after.back());
      changed.emplace_back();
      const Lsn lsn{after.size() - 1};
      for (uint64_t n = random() % 4; n > 0; --n) {
        const Place place(table(), key());
        changed.back().insert(place);
        if (random() % 3 == 0) {
          overlay.Delete(place.first, place.second, lsn);
          after.back().erase(place);
        } else {
          const std::string value = std::to_string(random() % 1000);
          overlay.Put(place.first, place.second, value, lsn);
          after.back()[place] = Row{value, lsn};
        }
      }
      MapStore model;
      model.contents = after.back();
      for (int i = 0; i < 4; ++i) {
        const Table t = table();
        const std::string k = key();
        ASSERT_EQ(overlay.Get(t, k), model.Get(t, k));
        const std::string from = random() % 4 == 0 ? "" : key();
        const std::string to = random() % 4 == 0 ? "" : key();
        const size_t rows_max = random() % 2 == 0 ? SIZE_MAX : 1 + random() % 5;
        ASSERT_EQ(Scanned(overlay, t, from, to, rows_max), Scanned(model, t, from, to, rows_max));
      }
      if (random() % 3 != 0) continue;
      const uint64_t through = applied + random() % (Raw(lsn) - applied + 1);
      const auto batch = overlay.Collect(Lsn{through});
      std::set<Place> expected;
      for (uint64_t l = applied + 1; l <= through; ++l) expected.insert(changed[l].begin(), changed[l].end());
      std::set<Place> got;
      for (size_t i = 0; i < batch.size(); ++i) {
        ASSERT_TRUE(got.emplace(batch[i].table, batch[i].key).second) << "a row twice";
        if (i > 0) {
          ASSERT_LT(Place(batch[i - 1].table, batch[i - 1].key), Place(batch[i].table, batch[i].key));
        }
      }
      ASSERT_EQ(got, expected);
      store.Apply(batch);
      ASSERT_EQ(store.contents, after[through]);
      overlay.Forget(Lsn{through});
      applied = through;
      for (const Table t : kTables) ASSERT_EQ(Scanned(overlay, t, "", ""), Scanned(model, t, "", ""));
      if (applied == Raw(lsn)) {
        ASSERT_EQ(overlay.change_count(), 0u);
        ASSERT_EQ(overlay.bytes(), 0u);
      }
    }
  }
}

}  // namespace
}  // namespace assent
