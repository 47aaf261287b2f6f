#pragma once

#include <assent/ids.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// Strong identifiers beside those that applications see (assent/ids.h). Text forms are for people and logs;
// Parse* accepts exactly what ToString prints.
// kFields, RangeOf: see common/fields.h and common/encoding.h.
namespace assent {

enum class Lsn : uint64_t {};  // log sequence number within a group's log; the first record is 1, 0 = none.
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

constexpr std::pair<GroupKind, GroupKind> RangeOf(GroupKind) {
  return {GroupKind::kCoordinator, GroupKind::kShard};
}

// Where a record stands: which epoch wrote it, and its number. (0, 0) stands before the first record.
struct LogPosition {
  static constexpr size_t kFields = 2;
  Epoch epoch{};
  Lsn lsn{};
  auto operator<=>(const LogPosition&) const = default;
};

// Transaction age for wound-wait (P2): begin time by the coordinator's wall clock in microseconds, then the
// id. Smaller is older. A retry keeps the age of the attempt that it names.
struct Age {
  static constexpr size_t kFields = 2;
  uint64_t begin_us = 0;
  TxnId txn;
  auto operator<=>(const Age&) const = default;
};

// Both clocks of one moment. `mono_us`: CLOCK_BOOTTIME, for intervals. `wall_us`: CLOCK_REALTIME,
// for ages and births.
struct Instant {
  uint64_t mono_us = 0;
  uint64_t wall_us = 0;
};

std::string ToString(NodeId node);                  // "n1"
std::string ToString(const LogPosition& position);  // "(e4, 1234)"
std::optional<NodeId> ParseNodeId(std::string_view text);

}  // namespace assent
