#include "common/placement.h"

#include <set>
#include <utility>

#include "common/check.h"

namespace assent {
namespace {

std::optional<std::string_view> TagOf(std::string_view text) {
  const size_t open = text.find('{');
  if (open == std::string_view::npos) return std::nullopt;
  const size_t close = text.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return std::nullopt;
  return text.substr(open + 1, close - open - 1);
}

uint32_t HashSlot(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  return static_cast<uint32_t>((hash ^ (hash >> 32)) % kSlots);
}

}  // namespace

uint32_t SlotOf(std::string_view key) {
  return HashSlot(TagOf(key).value_or(key));
}

std::optional<uint32_t> SlotOfPrefix(std::string_view prefix) {
  const auto tag = TagOf(prefix);
  if (!tag) return std::nullopt;
  return HashSlot(*tag);
}

Placement::Placement(std::vector<GroupId> shard_of_slot) : shard_of_slot_(std::move(shard_of_slot)) {
  ASSENT_CHECK(shard_of_slot_.size() == kSlots, shard_of_slot_.size());
  const std::set<GroupId> distinct(shard_of_slot_.begin(), shard_of_slot_.end());
  shards_.assign(distinct.begin(), distinct.end());
}

Placement Placement::Even(const std::vector<GroupId>& shards) {
  ASSENT_CHECK(!shards.empty());
  std::vector<GroupId> table;
  table.reserve(kSlots);
  for (uint32_t slot = 0; slot < kSlots; ++slot) table.push_back(shards[slot * shards.size() / kSlots]);
  return Placement(std::move(table));
}

std::vector<GroupId> Placement::ShardsOfPrefix(std::string_view prefix) const {
  if (const auto slot = SlotOfPrefix(prefix)) return {shard_of_slot_[*slot]};
  return shards_;
}

}  // namespace assent
