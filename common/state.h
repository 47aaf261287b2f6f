#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/ids.h"

// The durable state of a group, as its role core sees it: a few ordered tables of bytes. store/ keeps them in
// one SQLite file; common/overlay.h lays what is not there yet over it.
namespace assent {

// A table's number is part of the file format (docs/FORMAT.md). Keys are made by common/records.h.
enum class Table : uint8_t {
  kData = 1,      // user key -> value
  kPrepared = 2,  // TxnId -> encoded Prepared record: branches in doubt
  kDecided = 3,   // TxnId -> Decision: outcomes, tombstones and refusals, kept until the mark passes (C8)
  kMark = 4,      // coordinator group -> encoded MarkRaised (C8)
  kOutcome = 5,   // token's group, client, sequence -> encoded TokenOutcome (C5, C6)
  kFloor = 6,     // token's group, client -> encoded ClientFloor (C5)
  kDecision = 7,  // TxnId -> encoded Committed record that has no END yet (C4)
  kMeta = 8,      // text name -> bytes; a role's own odds and ends, such as the horizon
};
inline constexpr Table kTables[] = {Table::kData,    Table::kPrepared, Table::kDecided,  Table::kMark,
                                    Table::kOutcome, Table::kFloor,    Table::kDecision, Table::kMeta};

struct Row {
  std::string value;
  Lsn lsn{};  // of the record that wrote it; a user's "version"
  bool operator==(const Row&) const = default;
};

// Deterministic reads. An I/O failure is latched by the implementation and reads answer "not there" from then
// on; the driver looks at it before it performs any effect of the step, and halts the replica (R7).
class StateReader {
 public:
  virtual ~StateReader() = default;
  virtual std::optional<Row> Get(Table table, std::string_view key) const = 0;
  // Visits rows with from <= key, and key < to unless `to` is empty, in key order, until
  // `visit` returns false.
  using Visitor = std::function<bool(std::string_view key, const Row& row)>;
  virtual void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const = 0;
};

using RowPlace = std::pair<Table, std::string>;
struct RowPlaceLess {  // compares without making a string
  using is_transparent = void;
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    if (a.first != b.first) return a.first < b.first;
    return std::string_view(a.second) < std::string_view(b.second);
  }
};

// One change of a row, by the record at `lsn`.
struct Mutation {
  Table table{};
  std::string key;
  std::optional<std::string> value;  // nullopt = delete
  Lsn lsn{};
};

}  // namespace assent
