// Ids: their text, their order, next and previous.
#include <gtest/gtest.h>

#include <random>

#include "common/ids.h"

namespace assent {
namespace {

constexpr GroupId kCoordinator{GroupKind::kCoordinator, 7};

TEST(IdsText, IsAsPeopleWriteIt) {
  EXPECT_EQ(ToString(GroupId{GroupKind::kShard, 2}), "s2");
  EXPECT_EQ(ToString(kCoordinator), "c7");
  EXPECT_EQ(ToString(NodeId{12}), "n12");
  EXPECT_EQ(ToString(TxnId{{GroupKind::kCoordinator, 1}, Epoch{4}, 0x93e4}), "c1.4.93e4");
  EXPECT_EQ(ToString(LogPosition{Epoch{4}, Lsn{1234}}), "(e4, 1234)");
  EXPECT_EQ(ToString(Token{kCoordinator, ClientId{0x100000001}, 17, 5}), "c7/100000001/17");
}

TEST(IdsText, RoundTrips) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t shift = random() % 64;
    const GroupId group{random() % 2 == 0 ? GroupKind::kCoordinator : GroupKind::kShard,
                        static_cast<uint16_t>(random() >> shift)};
    EXPECT_EQ(ParseGroupId(ToString(group)), group);
    const NodeId node{static_cast<uint32_t>(random() >> shift)};
    EXPECT_EQ(ParseNodeId(ToString(node)), node);
    const TxnId txn{{GroupKind::kCoordinator, group.number}, Epoch{random() >> shift}, random() >> shift};
    EXPECT_EQ(ParseTxnId(ToString(txn)), txn);
  }
  const TxnId largest{{GroupKind::kCoordinator, UINT16_MAX}, Epoch{UINT64_MAX}, UINT64_MAX};
  EXPECT_EQ(ParseTxnId(ToString(largest)), largest);
}

TEST(IdsText, NothingElseIsAccepted) {
  for (const char* text :
       {"", "s", "c", "x1", "S1", "s-1", "s+1", "s 1", "s1 ", "s01", "s1x", "s65536", "1"}) {
    EXPECT_FALSE(ParseGroupId(text)) << text;
  }
  for (const char* text : {"", "n", "m1", "n-1", "n01", "n1 ", "n4294967296", "n0x1"}) {
    EXPECT_FALSE(ParseNodeId(text)) << text;
  }
  for (const char* text : {"", "c1", "c1.4", "c1.4.", "c1..9", ".4.9", "s1.4.9", "c1.4.9.", "c1.04.9",
                           "c1.4.09", "c1.4.9F", "c1.4.g", "c1.-4.9", "c1.4.10000000000000000"}) {
    EXPECT_FALSE(ParseTxnId(text)) << text;
  }
}

TEST(IdsOrder, IsByEpochThenNumber) {  // C3, C8: below a mark means by (epoch, seq)
  const auto txn = [](uint64_t epoch, uint64_t seq) { return TxnId{kCoordinator, Epoch{epoch}, seq}; };
  EXPECT_LT(txn(1, 9), txn(2, 1));
  EXPECT_LT(txn(2, 1), txn(2, 2));
  EXPECT_LT((LogPosition{Epoch{1}, Lsn{9}}), (LogPosition{Epoch{2}, Lsn{1}}));
  EXPECT_LT((Age{5, txn(9, 9)}), (Age{6, txn(1, 1)}));  // P2: time first, then the id
  EXPECT_LT((Age{5, txn(1, 1)}), (Age{5, txn(1, 2)}));
  EXPECT_FALSE(TxnId{}.valid());
  EXPECT_FALSE(Token{}.valid());
  EXPECT_TRUE(txn(1, 1).valid());
}

TEST(Ids, NextAndPrevious) {
  EXPECT_EQ(Next(Epoch{1}), Epoch{2});
  EXPECT_EQ(Previous(Lsn{5}), Lsn{4});
  EXPECT_EQ(Raw(Incarnation{7}), 7u);
}

}  // namespace
}  // namespace assent
