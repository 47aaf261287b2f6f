#pragma once

#include <assent/export.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace assent {

// The global id of a branch at a resource manager, as The XA Specification (X/Open 1991, 4.2) has it. An
// application prepares under the one that enlisting gives (Transaction::Enlist), and builds none itself.
struct Xid {
  static constexpr size_t kFields = 3;
  int32_t format_id = 0;  // 1095978580
  std::string gtrid;      // printable, up to 64 bytes; the same for all branches of a transaction
  std::string bqual;      // printable, up to 64 bytes
  bool operator==(const Xid&) const = default;
};

// What PREPARE TRANSACTION takes: <format_id>_<base64 of gtrid>_<base64 of bqual>.
ASSENT_API std::string ToString(const Xid& xid);

// A branch that the application may open at a resource manager.
struct EnlistedBranch {
  static constexpr size_t kFields = 4;
  std::string resource_manager;
  uint32_t branch = 0;  // from 1
  Xid xid{};
  std::string kind{};  // as configured: "postgresql", "mariadb", "thrift"
};

}  // namespace assent
