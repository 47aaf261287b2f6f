// Slots of keys and tags, which are fixed for ever, and the placement that deals slots out to shards.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/placement.h"

namespace assent {
namespace {

GroupId Shard(uint16_t number) {
  return {GroupKind::kShard, number};
}

// The definition, anew: FNV-1a of all the bytes, folded.
uint32_t PlainSlot(std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  return static_cast<uint32_t>((hash ^ (hash >> 32)) % 1024);
}

TEST(Slot, IsFixedForEver) {     // data lies by it: these numbers never change
  EXPECT_EQ(SlotOf("a"), 192u);  // FNV-1a of "a" is af63dc4c8601ec8c
  for (const char* key : {"", "a", "account/00000001", "\x80\xff"}) EXPECT_EQ(SlotOf(key), PlainSlot(key));
}

TEST(Slot, OfATaggedKeyIsTheTags) {
  EXPECT_EQ(SlotOf("{alice}/cart"), SlotOf("{alice}/orders"));
  EXPECT_EQ(SlotOf("cart/{alice}"), SlotOf("alice"));
  EXPECT_EQ(SlotOf("{a}{b}"), SlotOf("a"));
  EXPECT_EQ(SlotOf("{a{b}"), SlotOf("a{b"));
}

TEST(Slot, WithoutAWholeTagIsTheKeys) {
  for (const char* key : {"{}x", "{x", "x}", "}x{", "{", "{}{a}"}) {
    EXPECT_EQ(SlotOf(key), PlainSlot(key)) << key;
    EXPECT_FALSE(SlotOfPrefix(key)) << key;
  }
  EXPECT_FALSE(SlotOfPrefix(""));
}

TEST(Slot, OfAPrefixIsThatOfEveryKeyBehindIt) {
  ASSERT_TRUE(SlotOfPrefix("{alice}/"));
  for (const char* rest : {"", "x", "{bob}", "}", "{"}) {
    EXPECT_EQ(SlotOfPrefix("{alice}/"), SlotOf("{alice}/" + std::string(rest)));
  }
}

TEST(Slot, SpreadsEvenly) {
  std::map<uint32_t, int> keys_of;
  for (int i = 0; i < 100 * static_cast<int>(kSlots); ++i) ++keys_of[SlotOf("account/" + std::to_string(i))];
  EXPECT_EQ(keys_of.size(), kSlots);
  for (const auto& [slot, keys] : keys_of) {
    EXPECT_LT(slot, kSlots);
    EXPECT_GT(keys, 40) << slot;
    EXPECT_LT(keys, 180) << slot;
  }
}

TEST(Placement, EvenDealsSlotsOutInRuns) {
  const Placement placement = Placement::Even({Shard(1), Shard(2), Shard(3)});
  const auto& slots = placement.slots();
  ASSERT_EQ(slots.size(), kSlots);
  EXPECT_TRUE(std::is_sorted(slots.begin(), slots.end()));
  for (const uint16_t shard : {uint16_t{1}, uint16_t{2}, uint16_t{3}}) {
    const auto held = std::count(slots.begin(), slots.end(), Shard(shard));
    EXPECT_GE(held, kSlots / 3);
    EXPECT_LE(held, kSlots / 3 + 1);
  }
  EXPECT_EQ(placement.shards(), (std::vector<GroupId>{Shard(1), Shard(2), Shard(3)}));
  EXPECT_FALSE(placement.empty());
  EXPECT_TRUE(Placement().empty());
}

TEST(Placement, KeysAndPrefixesLieWhereTheirSlotDoes) {
  const Placement placement = Placement::Even({Shard(1), Shard(2)});
  EXPECT_EQ(placement.ShardOf("{alice}/cart"), placement.slots()[SlotOf("alice")]);
  EXPECT_EQ(placement.ShardsOfPrefix("{alice}/"), std::vector<GroupId>{placement.ShardOf("{alice}/cart")});
  EXPECT_EQ(placement.ShardsOfPrefix("acc"), placement.shards());
}

TEST(Placement, OfTheWrongSizeIsABug) {
  EXPECT_DEATH(Placement(std::vector<GroupId>(3)), "check failed");
  EXPECT_DEATH(Placement::Even({}), "check failed");
}

}  // namespace
}  // namespace assent
