#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "common/client_api.h"
#include "common/operations.h"

// Operations that clients ran, and the results that they saw: the input of the checker (checker.h), recorded
// by the workload (workload.h).
//
// Each write of a key puts a value that no other write of that key puts, so that a value names its writer.
// A key in `list_keys` holds the comma-separated elements that its writers appended, each once: a list in
// which an element stands twice shows a transaction that took effect twice.
namespace assent::checker {

inline constexpr uint64_t kNever = UINT64_MAX;

// A read of one key, also by a `check` that held. `version`: what the store said, 0 = it did not say.
struct Read {
  std::string key;
  std::optional<std::string> value;  // nullopt = absent
  uint64_t version = 0;
};

// `value`: nullopt = delete.
struct Write {
  std::string key;
  std::optional<std::string> value;
};

// All rows with the prefix, up to `truncated`: then the store may hold more beyond the last one.
struct Scan {
  std::string prefix;
  std::vector<ResultRow> rows;
  bool truncated = false;
};

using Event = std::variant<Read, Write, Scan>;

// One attempt at a transaction. An aborted one may list reads that never were consistent: they are not
// looked at. One of unknown outcome either happened, at some time after `invoke_ns`, or never did.
struct Transaction {
  uint32_t client = 0;
  uint64_t invoke_ns = 0;         // monotonic, before the first call
  uint64_t complete_ns = kNever;  // after the last answer; kNever if the outcome is unknown
  Outcome outcome = Outcome::kUnknown;
  std::vector<Event> events;  // in the order of the operations
};

struct History {
  std::vector<Transaction> transactions;
  std::set<std::string> list_keys;
};

// The elements of a list value; none if it is absent or empty.
std::vector<std::string_view> ListElements(std::string_view value);

// One line for people: "T12 (client 3, 1.203-1.310 ms, committed): r(k1)=a@5 w(k1)=b".
std::string Describe(const History& history, size_t transaction);

}  // namespace assent::checker
