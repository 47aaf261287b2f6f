#pragma once

#include <assent/export.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Strong identifiers. Text forms are for people and logs; Parse* accepts exactly what ToString prints.
// kFields: the number of a struct's fields, for Assent's own codecs.
namespace assent {

enum class Epoch : uint64_t {};  // of a group's view; 0 = none. Rises by one at each view change (R3).

enum class GroupKind : uint8_t { kCoordinator = 1, kShard = 2 };

// A replicated log and the state machine above it. Text: "c1" (coordinator group 1), "s2" (shard 2).
struct GroupId {
  static constexpr size_t kFields = 2;
  GroupKind kind = GroupKind::kShard;
  uint16_t number = 0;
  auto operator<=>(const GroupId&) const = default;
};

// (coordinator group, epoch, sequence): unique for ever, since an epoch belongs to one process lifetime (R3)
// and sequences start at 1 in each. Ordered by (epoch, seq) within a coordinator group (C3, C8).
struct TxnId {
  static constexpr size_t kFields = 3;
  GroupId coordinator{GroupKind::kCoordinator, 0};
  Epoch epoch{};
  uint64_t seq = 0;
  auto operator<=>(const TxnId&) const = default;
  bool valid() const { return seq != 0; }
};

enum class ClientId : uint64_t {};  // handed out by a coordinator group: (epoch << 32) | counter

// Names one commit request of one client for ever (C5). `birth_us` is a time the coordinator
// group handed out.
struct Token {
  static constexpr size_t kFields = 4;
  GroupId coordinator{GroupKind::kCoordinator, 0};
  ClientId client{};
  uint64_t seq = 0;  // rises by one with each new request of the client; first is 1; 0 = no token
  uint64_t birth_us = 0;
  auto operator<=>(const Token&) const = default;
  bool valid() const { return seq != 0; }
};

ASSENT_API std::string ToString(GroupId group);       // "s1"
ASSENT_API std::string ToString(const TxnId& txn);    // "c1.4.93e4": group, epoch, sequence in hex
ASSENT_API std::string ToString(const Token& token);  // "c1/100000001/17"
ASSENT_API std::optional<GroupId> ParseGroupId(std::string_view text);
ASSENT_API std::optional<TxnId> ParseTxnId(std::string_view text);

}  // namespace assent
