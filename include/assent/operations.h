#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

// The operations of a transaction, and their results. Keys and values are bytes.
// kFields: the number of a struct's fields, for Assent's own codecs.
namespace assent {

inline constexpr size_t kKeyBytesMax = 1024;            // a key also has at least one byte
inline constexpr size_t kValueBytesMax = 256 * 1024;    //
inline constexpr size_t kBranchBytesMax = 1024 * 1024;  // keys and values of one branch together
inline constexpr size_t kBranchOperationsMax = 4096;    //
inline constexpr size_t kScanRowsMax = 4096;            // rows that one scan returns; more sets `truncated`
inline constexpr size_t kResultBytesMax = 1536 * 1024;  // all results of one request; fits a client frame

struct GetOp {
  static constexpr size_t kFields = 1;
  std::string key;
};
struct PutOp {
  static constexpr size_t kFields = 2;
  std::string key;
  std::string value;
};
struct DeleteOp {
  static constexpr size_t kFields = 1;
  std::string key;
};
// Aborts the transaction unless the key is as stated. A version is the one that a read returned.
enum class CheckKind : uint8_t { kExists = 1, kAbsent, kValue, kVersion };
struct CheckOp {
  static constexpr size_t kFields = 4;
  std::string key;
  CheckKind kind = CheckKind::kExists;
  std::string value;
  uint64_t version = 0;
};
// Adds to the decimal integer that leads the value; an absent key counts as 0. Aborts if
// the sum is below `floor` or does not fit 64 bits.
struct AddOp {
  static constexpr size_t kFields = 3;
  std::string key;
  int64_t delta = 0;
  std::optional<int64_t> floor;
};
// All rows whose key starts with `prefix`, in key order, up to `limit` (0 = kScanRowsMax). `after`, if not
// empty, starts with `prefix` too: only what comes behind it, so that a scan can go on where
// one was truncated.
struct ScanOp {
  static constexpr size_t kFields = 3;
  std::string prefix;
  uint32_t limit = 0;
  std::string after = {};
};

using Operation = std::variant<GetOp, PutOp, DeleteOp, CheckOp, AddOp, ScanOp>;

struct ResultRow {
  static constexpr size_t kFields = 3;
  std::string key;
  std::string value;
  uint64_t version =
      0;  // LSN of the record that wrote it, in its shard; 0 = written by this transaction itself
  bool operator==(const ResultRow&) const = default;
};

// get: the row, if found. scan: its rows. add: the sum in `number`. Others: empty.
struct OperationResult {
  static constexpr size_t kFields = 3;
  std::vector<ResultRow> rows;
  int64_t number = 0;
  bool truncated = false;
  bool operator==(const OperationResult&) const = default;
};

enum class Vote : uint8_t { kYes = 1, kNo, kReadOnly };  // read-only: it has ended, and changed nothing

// The part of a foreign resource manager in a transaction. Either the coordinator asks it to prepare
// `payload`; or the application has enlisted it in an interactive transaction, prepared there itself, and
// reports its vote.
struct ForeignWork {
  static constexpr size_t kFields = 6;
  std::string resource_manager;
  std::string payload{};        // handed to its prepare; not with `voted`
  std::optional<Vote> voted{};  // yes: prepared, durably, under the xid that enlisting gave
  uint32_t branch = 0;          // with `voted`: as enlisting gave it
  // With yes, each up to 128 bytes; a commit that is sent again may have others.
  std::string holder{};    // the session that keeps hold of the branch while it lives, where one does
  std::string evidence{};  // by which the end of the branch can be looked up later
};

}  // namespace assent
