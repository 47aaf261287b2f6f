#pragma once

#include <assent/operations.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/ids.h"

// Operations (assent/operations.h) inside Assent: what it asks of them, and what becomes of them in the log.
namespace assent {

constexpr std::pair<CheckKind, CheckKind> RangeOf(CheckKind) {
  return {CheckKind::kExists, CheckKind::kVersion};
}

// One resulting write of a branch, as it is logged: blind deltas are logged as results (P7).
struct Write {
  static constexpr size_t kFields = 2;
  std::string key;
  std::optional<std::string> value;  // nullopt = delete
  bool operator==(const Write&) const = default;
};

// A read lock that a PREPARED record carries (P1, P3): one key, or the half-open range [key, end); an empty
// `end` of a range means "to the last key".
struct ReadLock {
  static constexpr size_t kFields = 3;
  std::string key;
  bool is_range = false;
  std::string end;
  bool operator==(const ReadLock&) const = default;
};

bool IsWrite(const Operation& operation);  // put, delete, add
// The key that the operation touches, or the prefix of a scan.
const std::string& KeyOf(const Operation& operation);
// Bytes that count against kBranchBytesMax.
size_t SizeOf(const Operation& operation);
// Bytes that count against kResultBytesMax: what the row takes in memory, which is more than on the wire.
size_t SizeOf(const ResultRow& row);
// What is wrong with `op.after`, or with sizes and limits; nullptr = nothing.
const char* ProblemOf(const ScanOp& op);
const char* ProblemOf(const Operation& operation);
const char* ProblemOf(const OperationResult& result);
// The smallest key that the scan may return. REQUIRES: ProblemOf(op) is nullptr.
std::string ScanStart(const ScanOp& op);
// The smallest string above all that start with `prefix`; empty if there is none.
std::string PrefixEnd(const std::string& prefix);

}  // namespace assent
