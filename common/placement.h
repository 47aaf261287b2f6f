#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"

// Which shard holds a key: key -> one of 1,024 hash slots -> shard, by a table in the directory.
namespace assent {

inline constexpr uint32_t kSlots = 1024;

// FNV-1a (64 bit) of the key, or of its tag where it has one: the bytes between the first '{' and the next
// '}', if there are any. So `{alice}/cart` and `{alice}/orders` lie on one shard. Fixed for ever: data
// lies by it.
uint32_t SlotOf(std::string_view key);
// The slot that all keys with this prefix share: known only if the prefix holds a whole tag.
std::optional<uint32_t> SlotOfPrefix(std::string_view prefix);

class Placement {
 public:
  Placement() = default;
  // `shard_of_slot` has kSlots entries.
  explicit Placement(std::vector<GroupId> shard_of_slot);
  // Slots dealt out evenly, in runs, over `shards` (at least one).
  static Placement Even(const std::vector<GroupId>& shards);

  bool empty() const { return shard_of_slot_.empty(); }
  GroupId ShardOf(std::string_view key) const { return shard_of_slot_[SlotOf(key)]; }
  // Those that may hold keys with this prefix, in order.
  std::vector<GroupId> ShardsOfPrefix(std::string_view prefix) const;
  const std::vector<GroupId>& shards() const { return shards_; }  // all, in order
  const std::vector<GroupId>& slots() const { return shard_of_slot_; }

 private:
  std::vector<GroupId> shard_of_slot_;
  std::vector<GroupId> shards_;
};

}  // namespace assent
