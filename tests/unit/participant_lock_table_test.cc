// P2: shared, exclusive and range locks; who waits, who is wounded, in how many steps; against a plain
// model.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
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

class LockTableRequests : public testing::Test {
 protected:
  void Open(uint64_t seq) { table_.Open(Txn(seq), Age{seq, Txn(seq)}); }
  bool Acquire(uint64_t seq, const Lock& lock) {
    if (!table_.Has(Txn(seq))) Open(seq);
    return table_.Acquire(Txn(seq), lock);
  }
  std::vector<TxnId> Close(uint64_t seq) { return table_.Close(Txn(seq)); }
  LockTable table_;
};

TEST_F(LockTableRequests, SharedLocksAreHeldTogether) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_TRUE(Acquire(2, S("k"))) << "again";
  table_.CheckInvariants();
}

TEST_F(LockTableRequests, ExclusiveWaitsForEachSharedHolder) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_FALSE(Acquire(3, X("k")));
  EXPECT_EQ(Close(1), Ids({}));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableRequests, RangeKeepsOutKeysThatDoNotExistYet) {
  EXPECT_TRUE(Acquire(1, R("a", "b")));
  EXPECT_FALSE(Acquire(2, X("a17")));
  EXPECT_TRUE(Acquire(3, X("b"))) << "the end is not within";
  EXPECT_TRUE(Acquire(4, S("a17b")));
  EXPECT_EQ(Close(1), Ids({2}));
}

TEST_F(LockTableRequests, RangeWithoutEndReachesTheLastKey) {
  EXPECT_TRUE(Acquire(1, R("m", "")));
  EXPECT_FALSE(Acquire(2, X("zzz")));
  EXPECT_TRUE(Acquire(3, X("lzz")));
}

TEST_F(LockTableRequests, RangeIsFoundByKeysOfAnyFormWithin) {
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

TEST_F(LockTableRequests, RangeWaitsForAWriterWithin) {
  EXPECT_TRUE(Acquire(1, X("a5")));
  EXPECT_FALSE(Acquire(2, R("a", "b")));
  EXPECT_TRUE(Acquire(3, R("b", "c")));
  EXPECT_EQ(Close(1), Ids({2}));
}

TEST_F(LockTableRequests, OwnLocksDoNotConflict) {
  EXPECT_TRUE(Acquire(1, X("a5")));
  EXPECT_TRUE(Acquire(1, R("a", "b")));
  EXPECT_TRUE(Acquire(1, X("a6")));
  EXPECT_TRUE(Acquire(1, S("a6")));
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{X("a5"), X("a6"), R("a", "b")}));
  table_.CheckInvariants();
}

TEST_F(LockTableRequests, LoneSharedHolderUpgrades) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(1, X("k")));
  EXPECT_FALSE(Acquire(2, S("k")));
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{X("k")}));
}

TEST_F(LockTableRequests, TwoUpgradesEndInAWoundNotADeadlock) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(2, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));  // waits for the older
  EXPECT_EQ(table_.BlockersOf(Txn(2)).wound, Ids({}));
  EXPECT_FALSE(Acquire(1, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(1)).wound, Ids({2}));
  EXPECT_EQ(Close(2), Ids({1}));
  table_.CheckInvariants();
}

TEST_F(LockTableRequests, YoungerHoldersAreToBeWoundedOlderAreNot) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_TRUE(Acquire(4, S("k")));
  EXPECT_TRUE(Acquire(5, S("k")));
  table_.SetVoted(Txn(5));
  EXPECT_FALSE(Acquire(3, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(3)).wound, Ids({4}));
  EXPECT_EQ(table_.BlockersOf(Txn(3)).request, Ids({5}));
}

TEST_F(LockTableRequests, OlderRequestGoesAheadOfYoungerWaiters) {
  EXPECT_TRUE(Acquire(1, X("k")));
  EXPECT_FALSE(Acquire(5, X("k")));
  EXPECT_FALSE(Acquire(3, X("k")));  // later, but older
  table_.CheckInvariants();
  EXPECT_EQ(Close(1), Ids({3}));
  EXPECT_EQ(Close(3), Ids({5}));
}

TEST_F(LockTableRequests, YoungerReaderDoesNotOvertakeAnOlderWriter) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));
  EXPECT_FALSE(Acquire(3, S("k")));
  EXPECT_EQ(Close(1), Ids({2}));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableRequests, EndOfAWaiterFreesThoseBehind) {
  EXPECT_TRUE(Acquire(1, S("k")));
  EXPECT_FALSE(Acquire(2, X("k")));
  EXPECT_FALSE(Acquire(3, S("k")));
  EXPECT_FALSE(Acquire(4, R("a", "z")));
  EXPECT_EQ(Close(2), Ids({3, 4}));
}

TEST_F(LockTableRequests, EndOfAWaitingRangeFreesWritersBehind) {
  EXPECT_TRUE(Acquire(1, X("a1")));
  EXPECT_FALSE(Acquire(2, R("a", "b")));
  EXPECT_FALSE(Acquire(3, X("a2")));
  EXPECT_EQ(Close(2), Ids({3}));
}

TEST_F(LockTableRequests, BlocksOlderOnlyWhileSomebodyOlderWaits) {
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

TEST_F(LockTableRequests, EqualAgesAreOrderedById) {
  table_.Open(Txn(8), Age{5, Txn(5)});  // a retry, and the attempt whose age it keeps
  table_.Open(Txn(5), Age{5, Txn(5)});
  EXPECT_TRUE(Acquire(5, X("k")));
  EXPECT_FALSE(Acquire(8, X("k")));
  EXPECT_EQ(table_.BlockersOf(Txn(8)).wound, Ids({}));
  EXPECT_EQ(Close(5), Ids({8}));
}

TEST_F(LockTableRequests, RangesOfOneOwnerAreHeldAsOne) {
  EXPECT_TRUE(Acquire(1, R("a", "b")));
  EXPECT_TRUE(Acquire(1, R("a5", "b"))) << "the next page: held already";
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{R("a", "b")}));
  EXPECT_TRUE(Acquire(1, R("c5", "d")));
  EXPECT_TRUE(Acquire(1, R("d", "e"))) << "beside it";
  EXPECT_TRUE(Acquire(1, R("c", "d"))) << "and all of it";
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{R("a", "b"), R("c", "d"), R("d", "e")}));
  EXPECT_TRUE(Acquire(1, R("a7", "")));
  EXPECT_EQ(table_.HeldBy(Txn(1)), (std::vector<Lock>{R("a", "")}));
  EXPECT_EQ(Close(1), Ids({}));
  table_.CheckInvariants();
  EXPECT_TRUE(Acquire(5, R("a", "b")));
  EXPECT_FALSE(Acquire(2, X("a7")));
  EXPECT_TRUE(Acquire(5, R("a5", "b"))) << "held already, whoever waits for it";
  EXPECT_EQ(Close(5), Ids({2}));
  table_.CheckInvariants();
}

// G8: what the limits admit takes steps in proportion to locks and waiters, not to their product. Before,
// these took up to 4.6 s each.
class LockTableSteps : public LockTableRequests {
 protected:
  static constexpr uint64_t kMany = 1'500;
  static constexpr uint64_t kLinear = 20 * kMany;
  static std::string KeyOf(uint64_t n) { return "k/" + std::to_string(1'000'000 + n); }
  static Lock ScanOf(uint64_t n) { return R(KeyOf(n), PrefixEnd(KeyOf(n))); }
  uint64_t Steps(const std::function<void()>& call) {
    const uint64_t before = table_.steps();
    call();
    return table_.steps() - before;
  }
};

TEST_F(LockTableSteps, EndOfManyScansThatManyWritersWaitFor) {
  for (uint64_t i = 0; i < kMany; ++i) ASSERT_TRUE(Acquire(1, ScanOf(i)));
  for (uint64_t i = 0; i < kMany; ++i) ASSERT_FALSE(Acquire(2 + i, X(KeyOf(i) + "/x")));
  EXPECT_LT(Steps([&] { EXPECT_EQ(table_.BlockedBy(Txn(1)), kMany); }), kLinear);
  EXPECT_LT(Steps([&] { EXPECT_EQ(Close(1).size(), kMany); }), kLinear);
}

TEST_F(LockTableSteps, EndOfManyWritesThatManyScansWaitFor) {
  for (uint64_t i = 0; i < kMany; ++i) ASSERT_TRUE(Acquire(1, X(KeyOf(i))));
  for (uint64_t i = 0; i < kMany; ++i) ASSERT_FALSE(Acquire(2 + i, R(KeyOf(i), PrefixEnd("k/"))));
  EXPECT_LT(Steps([&] { EXPECT_FALSE(table_.BlocksOlder(Txn(1))); }), kLinear);
  EXPECT_LT(Steps([&] { EXPECT_EQ(Close(1).size(), kMany); }), kLinear);
}

TEST_F(LockTableSteps, EndOfOneThatWritersAndScansWaitForInTurn) {
  ASSERT_TRUE(Acquire(1, R("k/", PrefixEnd("k/"))));
  ASSERT_TRUE(Acquire(1, X("k/")));
  for (uint64_t i = 0; i < kMany; ++i) {
    ASSERT_FALSE(Acquire(2 + 2 * i, X(KeyOf(i))));
    ASSERT_FALSE(Acquire(3 + 2 * i, R("k/", PrefixEnd(KeyOf(i)))));
  }
  EXPECT_LT(Steps([&] { EXPECT_EQ(Close(1).size(), kMany); }), kLinear)
      << "the writers; the scans wait for them";
  table_.CheckInvariants();
}

TEST_F(LockTableSteps, ScanBehindManyWritersLooksAtEachOnce) {
  for (uint64_t i = 0; i < 10 * kMany; ++i) ASSERT_TRUE(Acquire(1 + i % 10, X(KeyOf(i))));
  ASSERT_FALSE(Acquire(100, R("k/", PrefixEnd("k/"))));
  EXPECT_LT(Steps([&] { EXPECT_TRUE(table_.BlockersOf(Txn(100)).wound.empty()); }), 50u);
  EXPECT_LT(Steps([&] { EXPECT_TRUE(Acquire(50, R("l/", "l0"))); }), 50u);
}

TEST_F(LockTableSteps, ManyWritersQueueOnOneKey) {
  ASSERT_TRUE(Acquire(1, X("k")));
  const uint64_t steps = Steps([&] {
    for (uint64_t i = 0; i < kMany; ++i) {
      ASSERT_FALSE(Acquire(2 + i, X("k")));
      ASSERT_TRUE(table_.BlockersOf(Txn(2 + i)).wound.empty());
    }
  });
  EXPECT_LT(steps, kLinear);
}

// The same rules, without an index: every lock is compared with every other.
std::vector<Lock> Merged(std::vector<Lock> locks) {
  std::sort(locks.begin(), locks.end(),
            [](const Lock& a, const Lock& b) { return a.is_range != b.is_range ? b.is_range : a < b; });
  std::vector<Lock> merged;
  for (const Lock& lock : locks) {
    Lock* last = merged.empty() || !merged.back().is_range ? nullptr : &merged.back();
    if (last == nullptr || (!last->end.empty() && last->end <= lock.key)) {
      merged.push_back(lock);
    } else if (!last->end.empty() && (lock.end.empty() || lock.end > last->end)) {
      last->end = lock.end;
    }
  }
  return merged;
}

class NaiveTable {
 public:
  struct Owner {
    bool voted = false;
    std::vector<Lock> held;
    std::optional<Lock> wanted;
  };
  bool Acquire(uint64_t seq, const Lock& lock) {
    Owner& owner = owners_[seq];
    for (const Lock& held : Merged(owner.held)) {
      if (held == lock ||
          (lock.is_range && held.is_range && held.key <= lock.key &&
           (held.end.empty() || (lock.key < held.end && !lock.end.empty() && lock.end <= held.end))) ||
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
        ASSERT_EQ(table.HeldBy(Txn(other)), Merged(owner.held));
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
