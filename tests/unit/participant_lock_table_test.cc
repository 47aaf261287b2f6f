#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "participant/lock_table.h"
#include "participant_testing.h"

namespace assent::participant {
namespace {

Lock S(std::string key) {
  return Lock{std::move(key), LockMode::kShared, false, {}};
}
Lock X(std::string key) {
  return Lock{std::move(key), LockMode::kExclusive, false, {}};
}
Lock R(std::string from, std::string end) {
  return Lock{std::move(from), LockMode::kShared, true, std::move(end)};
}

std::vector<TxnId> Ids(std::initializer_list<uint64_t> seqs) {
  std::vector<TxnId> ids;
  for (const uint64_t seq : seqs) ids.push_back(Txn(seq));
  return ids;
}

class LockTableTest : public testing::Test {
 protected:
  void Open(uint64_t seq) { table_.Open(Txn(seq), Age{seq, Txn(seq)}); }
  bool Acquire(uint64_t seq, const Lock& lock) {
    if (!table_.Has(Txn(seq))) Open(seq);
    return table_.Acquire(Txn(seq), lock);
  }
  std::vector<TxnId> Close(uint64_t seq) { return table_.Close(Txn(seq)); }
  LockTable table_;
};

TEST_F(LockTableTest, SharedLocksAreHeldTogether) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_TRUE(Acquire(2, S("k"))) << "again";
  table_.CheckInvariants();
}

TEST_F(LockTableTest, ExclusiveWaitsForEachSharedHolder) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_FALSE(Acquire(3, X("k")));
  EXPECT_EQ(Close(1), Ids({}));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableTest, RangeKeepsOutKeysThatDoNotExistYet) {
  EXPECT_TRUE(Acquire(1, R("a", "b")));
  EXPECT_FALSE(Acquire(2, X("a17")));
  EXPECT_TRUE(Acquire(3, X("b"))) << "the end is not within";
  EXPECT_TRUE(Acquire(4, S("a17b")));
  EXPECT_EQ(Close(1), Ids({2}));
}

TEST_F(LockTableTest, RangeWithoutEndReachesTheLastKey) {
  EXPECT_TRUE(Acquire(1, R("m", "")));
  EXPECT_FALSE(Acquire(2, X("zzz")));
  EXPECT_TRUE(Acquire(3, X("lzz")));
}

TEST_F(LockTableTest, RangeIsFoundByKeysOfAnyFormWithin) {
  EXPECT_TRUE(Acquire(1, R("ab", "ac")));
  EXPECT_TRUE(Acquire(1, R("c\xff\xff", "d")));
  EXPECT_TRUE(Acquire(1, R("k\xffm", "l"))) << "a scan of k\\xff, from a key on";
  EXPECT_TRUE(Acquire(1, R("p", "pzz"))) << "no prefix of its start ends there";
  uint64_t seq = 1;
  for (const char* key :
       {"ab", "ab\xff\xff", "c\xff\xff", "c\xff\xff\xff", "k\xffm", "k\xff\xff", "p", "pzy\xff"}) {
    EXPECT_FALSE(Acquire(++seq, X(key))) << key;
  }
  for (const char* key : {"aa\xff", "ac", "a", "c\xff", "d", "k\xffl", "l", "k", "o\xff", "pzz"}) {
    EXPECT_TRUE(Acquire(++seq, X(key))) << key;
  }
  table_.CheckInvariants();
  EXPECT_EQ(Close(1).size(), 8u);
  table_.CheckInvariants();
}

TEST_F(LockTableTest, RangeWaitsForAWriterWithin) {
  EXPECT_TRUE(Acquire(1, X("a5")));
  EXPECT_FALSE(Acquire(2, R("a", "b")));
  EXPECT_TRUE(Acquire(3, R("b", "c")));
  EXPECT_EQ(Close(1), Ids({2}));
}

TEST_F(LockTableTest, OwnLocksDoNotConflict) {
  EXPECT_TRUE(Acquire(1, X("a5")));
  EXPECT_TRUE(Acquire(1, R("a", "b")));
  EXPECT_TRUE(Acquire(1, X("a6")));
  EXPECT_TRUE(Acquire(1, S("a6")));
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{X("a5"), X("a6"), R("a", "b")}));
  table_.CheckInvariants();
}

TEST_F(LockTableTest, LoneSharedHolderUpgrades) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(1, X("k")));
  EXPECT_FALSE(Acquire(2, S("k")));
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{X("k")}));
}

TEST_F(LockTableTest, TwoUpgradesEndInAWoundNotADeadlock) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));  // waits for the older
  EXPECT_EQ(table_.BlockersOf(Txn(2)).wound, Ids({}));
  EXPECT_FALSE(Acquire(1, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(1)).wound, Ids({2}));
  EXPECT_EQ(Close(2), Ids({1}));
  table_.CheckInvariants();
}

TEST_F(LockTableTest, YoungerHoldersAreToBeWoundedOlderAreNot) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(4, S("k")));
  EXPECT_TRUE(Acquire(5, S("k")));
  table_.SetVoted(Txn(5));
  EXPECT_FALSE(Acquire(3, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(3)).wound, Ids({4}));
  EXPECT_EQ(table_.BlockersOf(Txn(3)).request, Ids({5}));
}

TEST_F(LockTableTest, OlderRequestGoesAheadOfYoungerWaiters) {
  EXPECT_TRUE(Acquire(1, X("k")));
  EXPECT_FALSE(Acquire(5, X("k")));
  EXPECT_FALSE(Acquire(3, X("k")));  // later, but older
  table_.CheckInvariants();
  EXPECT_EQ(Close(1), Ids({3}));
  EXPECT_EQ(Close(3), Ids({5}));
}

TEST_F(LockTableTest, YoungerReaderDoesNotOvertakeAnOlderWriter) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));
  EXPECT_FALSE(Acquire(3, S("k")));
  EXPECT_EQ(Close(1), Ids({2}));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableTest, EndOfAWaiterFreesThoseBehind) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));
  EXPECT_FALSE(Acquire(3, S("k")));
  EXPECT_FALSE(Acquire(4, R("a", "z")));
  EXPECT_EQ(Close(2), Ids({3, 4}));
}

TEST_F(LockTableTest, EndOfAWaitingRangeFreesWritersBehind) {
  EXPECT_TRUE(Acquire(1, X("a1")));
  EXPECT_FALSE(Acquire(2, R("a", "b")));
  EXPECT_FALSE(Acquire(3, X("a2")));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableTest, BlocksOlderOnlyWhileSomebodyOlderWaits) {
  EXPECT_TRUE(Acquire(5, X("k")));
  table_.SetVoted(Txn(5));
  EXPECT_FALSE(Acquire(7, S("k")));
  EXPECT_FALSE(table_.BlocksOlder(Txn(5)));
  EXPECT_FALSE(Acquire(2, R("a", "z")));
  EXPECT_TRUE(table_.BlocksOlder(Txn(5)));
  EXPECT_EQ(table_.BlockedBy(Txn(5)), 2u);
  Close(2);
  EXPECT_FALSE(table_.BlocksOlder(Txn(5)));
}

TEST_F(LockTableTest, EqualAgesAreOrderedById) {
  table_.Open(Txn(8), Age{5, Txn(5)});  // a retry, and the attempt whose age it keeps
  table_.Open(Txn(5), Age{5, Txn(5)});
  EXPECT_TRUE(Acquire(5, X("k")));
  EXPECT_FALSE(Acquire(8, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(8)).wound, Ids({}));
  EXPECT_EQ(Close(5), Ids({8}));
}

// The same rules, without an index: every lock is compared with every other.
class NaiveTable {
 public:
  struct Owner {
    bool voted = false;
    std::vector<Lock> held;
    std::optional<Lock> wanted;
  };
  bool Acquire(uint64_t seq, const Lock& lock) {
    Owner& owner = owners_[seq];
    for (const Lock& held : owner.held) {
      if (held == lock ||
          (!lock.is_range && !held.is_range && held.key == lock.key && held.mode >= lock.mode)) {
        return true;
      }
    }
    owner.wanted = lock;
    if (!Blockers(seq).empty()) return false;
    Grant(owner);
    return true;
  }
  std::vector<uint64_t> Blockers(uint64_t seq) const {
    std::vector<uint64_t> blockers;
    const Lock& lock = *owners_.at(seq).wanted;
    for (const auto& [other, owner] : owners_) {
      if (other == seq) continue;
      bool blocks = other < seq && owner.wanted && Conflict(*owner.wanted, lock);
      for (const Lock& held : owner.held) blocks = blocks || Conflict(held, lock);
      if (blocks) blockers.push_back(other);
    }
    return blockers;
  }
  std::vector<uint64_t> Close(uint64_t seq) {
    owners_.erase(seq);
    std::vector<uint64_t> granted;
    for (auto& [other, owner] : owners_) {
      if (!owner.wanted || !Blockers(other).empty()) continue;
      Grant(owner);
      granted.push_back(other);
    }
    return granted;
  }
  std::map<uint64_t, Owner> owners_;

 private:
  static bool Conflict(const Lock& a, const Lock& b) {
    if (a.mode == LockMode::kShared && b.mode == LockMode::kShared) return false;
    const auto covers = [](const Lock& range, const Lock& key) {
      return range.key <= key.key && (range.end.empty() || key.key < range.end);
    };
    if (a.is_range) return !b.is_range && covers(a, b);
    if (b.is_range) return covers(b, a);
    return a.key == b.key;
  }
  static void Grant(Owner& owner) {
    std::erase_if(owner.held, [&](const Lock& held) {
      return !held.is_range && !owner.wanted->is_range && held.key == owner.wanted->key;
    });
    owner.held.push_back(*owner.wanted);
    owner.wanted.reset();
  }
};

TEST(LockTableModel, AgreesWithTheNaiveOneOnRandomRuns) {
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    LockTable table;
    NaiveTable naive;
    const auto to_ids = [](const std::vector<uint64_t>& seqs) {
      std::vector<TxnId> ids;
      for (const uint64_t seq : seqs) ids.push_back(Txn(seq));
      return ids;
    };
    for (int step = 0; step < 300; ++step) {
      const uint64_t seq = 1 + pick(12);
      const bool known = naive.owners_.contains(seq);
      const bool idle = !known || (!naive.owners_[seq].wanted && !naive.owners_[seq].voted);
      if (idle && pick(10) < 7) {
        if (!known) table.Open(Txn(seq), Age{seq, Txn(seq)});
        std::string key(1, static_cast<char>('a' + pick(4)));
        if (pick(2) == 0) key += pick(4) == 0 ? '\xff' : static_cast<char>('a' + pick(3));
        const uint32_t kind = pick(6);
        // Scans of a prefix, some of them from a key within on, and ranges of no such form.
        const std::string ends[] = {"", PrefixEnd(key), PrefixEnd(key.substr(0, 1)),
                                    std::string(1, static_cast<char>(key[0] + 2))};
        const Lock lock = kind == 0 ? R(key, ends[pick(4)]) : kind <= 2 ? S(key) : X(key);
        const bool granted = table.Acquire(Txn(seq), lock);
        ASSERT_EQ(granted, naive.Acquire(seq, lock));
        if (granted) continue;
        LockTable::Blockers expected;
        for (const uint64_t blocker : naive.Blockers(seq)) {
          if (blocker < seq) continue;
          (naive.owners_[blocker].voted ? expected.request : expected.wound).push_back(Txn(blocker));
        }
        ASSERT_EQ(table.BlockersOf(Txn(seq)).wound, expected.wound);
        ASSERT_EQ(table.BlockersOf(Txn(seq)).request, expected.request);
        for (const TxnId& victim : expected.wound)
          ASSERT_EQ(table.Close(victim), to_ids(naive.Close(victim.seq)));
      } else if (idle && known && pick(2) == 0) {
        table.SetVoted(Txn(seq));
        naive.owners_[seq].voted = true;
      } else if (known) {
        ASSERT_EQ(table.Close(Txn(seq)), to_ids(naive.Close(seq)));
      }
      table.CheckInvariants();
      for (const auto& [other, owner] : naive.owners_) {
        std::vector<Lock> held = owner.held;
        std::sort(held.begin(), held.end(),
                  [](const Lock& a, const Lock& b) { return a.is_range != b.is_range ? b.is_range : a < b; });
        ASSERT_EQ(table.HeldBy(Txn(other)), held);
        ASSERT_EQ(table.IsWaiting(Txn(other)), owner.wanted.has_value());
        if (owner.wanted) continue;
        bool blocks_older = false;
        size_t blocked = 0;
        for (const auto& [waiter, state] : naive.owners_) {
          if (!state.wanted) continue;
          const auto blockers = naive.Blockers(waiter);
          const bool held_by_other = std::find(blockers.begin(), blockers.end(), other) != blockers.end();
          blocked += held_by_other ? 1u : 0u;
          blocks_older = blocks_older || (held_by_other && waiter < other);
        }
        ASSERT_EQ(table.BlocksOlder(Txn(other)), blocks_older);
        ASSERT_EQ(table.BlockedBy(Txn(other)), blocked);
      }
    }
  }
}

}  // namespace
}  // namespace assent::participant
