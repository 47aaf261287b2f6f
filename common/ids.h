#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// Strong identifiers. Text forms are for people and logs; Parse* accepts exactly what ToString prints.
// kFields, RangeOf: see common/fields.h and common/encoding.h.
namespace assent {

enum class Epoch : uint64_t {};  // of a group's view; 0 = none. Rises by one at each view change (R3).
enum class Lsn : uint64_t {};    // log sequence number within a group's log; the first record is 1, 0 = none.
enum class NodeId : uint32_t {};  // a process of the cluster; a group has at most one replica on a node, so
                                  // the pair (group, node) names a replica.
enum class Incarnation : uint64_t {
};  // drawn at random when a replica's data directory is made (R3); 0 = none.

template <typename Id>
constexpr auto Raw(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}
template <typename Id>
constexpr Id Next(Id id) {
  return static_cast<Id>(Raw(id) + 1);
}
template <typename Id>
constexpr Id Previous(Id id) {
  return static_cast<Id>(Raw(id) - 1);
}

enum class GroupKind : uint8_t { kCoordinator = 1, kShard = 2 };
constexpr std::pair<GroupKind, GroupKind> RangeOf(GroupKind) {
  return {GroupKind::kCoordinator, GroupKind::kShard};
}

// A replicated log and the state machine above it. Text: "c1" (coordinator group 1), "s2" (shard 2).
struct GroupId {
  static constexpr size_t kFields = 2;
  GroupKind kind = GroupKind::kShard;
  uint16_t number = 0;
  auto operator<=>(const GroupId&) const = default;
};

// Where a record stands: which epoch wrote it, and its number. (0, 0) stands before the first record.
struct LogPosition {
  static constexpr size_t kFields = 2;
  Epoch epoch{};
  Lsn lsn{};
  auto operator<=>(const LogPosition&) const = default;
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

// Transaction age for wound-wait (P2): begin time by the coordinator's wall clock in microseconds, then the
// id. Smaller is older. A retry keeps the age of the attempt that it names.
struct Age {
  static constexpr size_t kFields = 2;
  uint64_t begin_us = 0;
  TxnId txn;
  auto operator<=>(const Age&) const = default;
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

// Both clocks of one moment. `mono_us`: CLOCK_BOOTTIME, for intervals. `wall_us`: CLOCK_REALTIME,
// for ages and births.
struct Instant {
  uint64_t mono_us = 0;
  uint64_t wall_us = 0;
};

std::string ToString(GroupId group);                // "s1"
std::string ToString(NodeId node);                  // "n1"
std::string ToString(const TxnId& txn);             // "c1.4.93e4": group, epoch, sequence in hex
std::string ToString(const LogPosition& position);  // "(e4, 1234)"
std::string ToString(const Token& token);           // "c1/100000001/17"
std::optional<GroupId> ParseGroupId(std::string_view text);
std::optional<NodeId> ParseNodeId(std::string_view text);
std::optional<TxnId> ParseTxnId(std::string_view text);

}  // namespace assent
