#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/status.h"

// SQLite's C interface, with owners and our errors.
namespace assent {

struct SqliteCloser {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using SqliteDb = std::unique_ptr<sqlite3, SqliteCloser>;
struct SqliteFinalizer {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using SqliteStatement = std::unique_ptr<sqlite3_stmt, SqliteFinalizer>;

// Our status for `code`, which the last call on `db` returned. Damage and a full disk have codes of their
// own, and messages that say what to do.
Status SqliteError(sqlite3* db, int code, const std::string& path, const std::string& doing);

// Opens `path` by the VFS named `vfs`, under EXCLUSIVE locking and with settings that suit files we
// do not trust.
Result<SqliteDb> OpenSqlite(const std::string& path, const std::string& vfs, bool create);

// Runs statements without parameters and ignores their rows.
int ExecSqlite(sqlite3* db, const std::string& sql);
// The first row's first column; empty if there is none.
Result<std::string> QueryText(sqlite3* db, const std::string& path, const std::string& sql);

// An empty blob, not SQL's NULL, for an empty `bytes`. These outlive the step.
int BindBlob(sqlite3_stmt* statement, int index, std::string_view bytes);
std::string_view ColumnBlob(sqlite3_stmt* statement, int column);

}  // namespace assent
