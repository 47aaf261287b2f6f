#pragma once

#include <assent/xid.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"

namespace assent {

// The ids of branches at resource managers (assent/xid.h). All of a transaction's branches have one gtrid.
// Some databases compare no more than gtrid and bqual, and some show each other's branches to everybody, so
// these two are unique by themselves, among all clusters, and say whose they are. Both are printable ASCII.
//
//   format_id   kXidFormat
//   gtrid       <cluster: 32 hex digits>.c<group>.<epoch in hex>.<sequence in hex>
//   bqual       <resource manager>.<branch>
//
// As text, which is what PREPARE TRANSACTION takes: <format_id>_<base64 of gtrid>_<base64 of bqual>.
inline constexpr int32_t kXidFormat = 1'095'978'580;  // "ASNT"
inline constexpr size_t kXidPartBytesMax = 64;        // gtrid and bqual, each; XA's bounds

// What the id of one of our branches says.
struct BranchXid {
  std::string cluster;  // ClusterDigits of its uuid
  TxnId txn;
  std::string resource_manager;
  uint32_t branch = 0;  // from 1
  bool operator==(const BranchXid&) const = default;
};

// What a resource manager may be called: 1 to 48 letters, digits, '-', '_' and '.'. With a branch number
// that makes a bqual.
inline constexpr size_t kManagerNameBytesMax = 48;
bool IsManagerName(std::string_view name);

// 32 lower-case hex digits; `uuid`: as a configuration has it, 36 characters of either case.
std::string ClusterDigits(std::string_view uuid);

// Epochs of more than 32 bits, and sequences of more than 60, have no xid: for them XidOf must not be called.
inline constexpr uint64_t kXidEpochMax = (uint64_t{1} << 32) - 1;
inline constexpr uint64_t kXidSeqMax = (uint64_t{1} << 60) - 1;
bool HasXid(const TxnId& txn);

Xid XidOf(const BranchXid& branch);

// Accept exactly what XidOf makes, and ToString of it; nullopt: somebody else's.
std::optional<BranchXid> ParseXid(const Xid& xid);
std::optional<BranchXid> ParseXid(std::string_view text);

}  // namespace assent
