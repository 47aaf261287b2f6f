#pragma once

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <utility>

#include "common/state.h"
#include "store/sqlite_handle.h"

namespace assent {

enum class StatementKind : uint8_t { kGet, kScanRange, kScanOnward, kUpsert, kDelete };

// A prepared statement on loan: reset when it is given back, so that no read transaction stays
// open behind it.
class StatementLoan {
 public:
  StatementLoan(sqlite3_stmt* statement, bool cached) : statement_(statement), cached_(cached) {}
  StatementLoan(StatementLoan&& other) noexcept
      : statement_(std::exchange(other.statement_, nullptr)), cached_(other.cached_) {}
  StatementLoan& operator=(StatementLoan&&) = delete;
  ~StatementLoan() {
    if (statement_ == nullptr) return;
    if (cached_) {
      sqlite3_reset(statement_);
    } else {
      sqlite3_finalize(statement_);
    }
  }
  sqlite3_stmt* get() const { return statement_; }  // nullptr if it could not be prepared

 private:
  sqlite3_stmt* statement_;
  bool cached_;
};

// The statements of one connection, prepared when first wanted and kept: preparing costs several times what a
// point read does.
class StatementCache {
 public:
  explicit StatementCache(sqlite3* db) : db_(db) {}

  // One that is in use already (a scan within a scan) is not handed out again: a new one is made.
  StatementLoan Borrow(StatementKind kind, Table table);
  // Parameters: 1 epoch, 2 LSN.
  StatementLoan BorrowSetApplied();
  StatementLoan BorrowBegin() { return Borrow(begin_, "BEGIN"); }
  StatementLoan BorrowCommit() { return Borrow(commit_, "COMMIT"); }

 private:
  static constexpr size_t kKinds = 5;

  StatementLoan Borrow(SqliteStatement& slot, const char* sql);
  StatementLoan Lend(SqliteStatement& slot, const char* sql);

  sqlite3* db_;
  std::array<std::array<SqliteStatement, kKinds>, std::size(kTables)> slots_;
  SqliteStatement set_applied_;
  SqliteStatement begin_;
  SqliteStatement commit_;
};

}  // namespace assent
