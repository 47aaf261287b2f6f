#include "store/statements.h"

#include <string>

#include "common/check.h"
#include "store/schema.h"

namespace assent {
namespace {

std::string Sql(StatementKind kind, Table table) {
  const std::string name = TableName(table);
  switch (kind) {
    case StatementKind::kGet:
      return "SELECT lsn, v FROM " + name + " WHERE k = ?1";
    case StatementKind::kScanRange:
      return "SELECT k, lsn, v FROM " + name + " WHERE k >= ?1 AND k < ?2 ORDER BY k";
    case StatementKind::kScanOnward:
      return "SELECT k, lsn, v FROM " + name + " WHERE k >= ?1 ORDER BY k";
    case StatementKind::kUpsert:
      return "INSERT INTO " + name +
             " (k, lsn, v) VALUES (?1, ?2, ?3) "
             "ON CONFLICT (k) DO UPDATE SET lsn = excluded.lsn, v = excluded.v";
    case StatementKind::kDelete:
      return "DELETE FROM " + name + " WHERE k = ?1";
  }
  ASSENT_CHECK(false, "statement", kind);
  return {};
}

}  // namespace

StatementLoan StatementCache::Borrow(StatementKind kind, Table table) {
  const auto row = static_cast<size_t>(table) - 1;
  ASSENT_CHECK(row < slots_.size(), "table", table);
  ASSENT_CHECK(static_cast<size_t>(kind) < kKinds, "statement", kind);
  SqliteStatement& slot = slots_[row][static_cast<size_t>(kind)];
  if (slot != nullptr && sqlite3_stmt_busy(slot.get()) == 0) return StatementLoan(slot.get(), true);
  return Lend(slot, Sql(kind, table).c_str());
}

StatementLoan StatementCache::BorrowSetApplied() {
  return Borrow(set_applied_, "UPDATE applied SET epoch = ?1, lsn = ?2 WHERE id = 0");
}

StatementLoan StatementCache::Borrow(SqliteStatement& slot, const char* sql) {
  ASSENT_CHECK(slot == nullptr || sqlite3_stmt_busy(slot.get()) == 0, "on loan already", sql);
  if (slot != nullptr) return StatementLoan(slot.get(), true);
  return Lend(slot, sql);
}

StatementLoan StatementCache::Lend(SqliteStatement& slot, const char* sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
    return StatementLoan(nullptr, true);
  }
  if (slot != nullptr) return StatementLoan(raw, false);
  slot.reset(raw);
  return StatementLoan(raw, true);
}

}  // namespace assent
