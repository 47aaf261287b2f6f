#include "store/sqlite_handle.h"

#include <cerrno>
#include <system_error>

#include "common/check.h"

namespace assent {

Status SqliteError(sqlite3* db, int code, const std::string& path, const std::string& doing) {
  ASSENT_CHECK(code != SQLITE_OK, path, doing);
  const int errno_of_call = db == nullptr ? 0 : sqlite3_system_errno(db);
  const std::string what = path + ": " + doing + ": ";
  const auto because = [&] { return std::string(db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db)); };
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return Status(
          StatusCode::kDamaged,
          what + because() +
              ". The file is damaged: move this replica's directory away and restart the node; the replica "
              "is filled again from its peers");
    case SQLITE_FULL:
      return Status(StatusCode::kDiskFull,
                    what + "the disk is full. Free some space, and the replica goes on by itself");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status(StatusCode::kUnavailable,
                    what + "another process has the file open. Stop that process first");
    default:
      break;
  }
  if (code == SQLITE_IOERR_DATA || code == SQLITE_IOERR_CORRUPTFS) {
    return Status(
        StatusCode::kDamaged,
        what +
            "a page does not match its checksum. The file is damaged: move this replica's directory away "
            "and restart the node; the replica is filled again from its peers");
  }
  // SQLite maps ENOSPC to SQLITE_FULL, but not a quota.
  if (errno_of_call == EDQUOT || errno_of_call == ENOSPC) {
    return Status(StatusCode::kDiskFull,
                  what + "the disk or the quota is full. Free some space, and the replica goes on by itself");
  }
  const std::string cause = errno_of_call == 0 ? "" : ": " + std::generic_category().message(errno_of_call);
  return Status(StatusCode::kIo, what + because() + cause + " (SQLite code " + std::to_string(code) + ")");
}

Result<SqliteDb> OpenSqlite(const std::string& path, const std::string& vfs, bool create) {
  sqlite3* raw = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0);
  // SQLite may take a name that begins with "file:" for a URI.
  const std::string name = path.starts_with("file:") ? "./" + path : path;
  int code = sqlite3_open_v2(name.c_str(), &raw, flags, vfs.c_str());
  SqliteDb db(raw);
  if (code != SQLITE_OK) return SqliteError(raw, code, path, "opening");
  // SQLite opens a file that it may not write for reading only, and fails later, when it locks it.
  if (sqlite3_db_readonly(raw, "main") == 1) {
    return Status(StatusCode::kIo,
                  path + ": opening: " + std::generic_category().message(EACCES) +
                      ": this process may not write the file. Give it back its owner and mode 0600");
  }
  // A snapshot comes from elsewhere: nothing that its schema names may run, and cells are checked
  // as they are read.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  code = ExecSqlite(raw,
                    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; "
                    "PRAGMA cell_size_check=ON; PRAGMA wal_autocheckpoint=0");
  if (code != SQLITE_OK) return SqliteError(raw, code, path, "setting it up");
  return db;
}

int ExecSqlite(sqlite3* db, const std::string& sql) {
  return sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
}

Result<std::string> QueryText(sqlite3* db, const std::string& path, const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, nullptr);
  const SqliteStatement statement(raw);
  if (code != SQLITE_OK) return SqliteError(db, code, path, sql);
  code = sqlite3_step(raw);
  if (code == SQLITE_DONE) return std::string();
  if (code != SQLITE_ROW) return SqliteError(db, code, path, sql);
  return std::string(ColumnBlob(raw, 0));
}

int BindBlob(sqlite3_stmt* statement, int index, std::string_view bytes) {
  if (bytes.empty()) return sqlite3_bind_zeroblob(statement, index, 0);
  return sqlite3_bind_blob64(statement, index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

std::string_view ColumnBlob(sqlite3_stmt* statement, int column) {
  const void* data = sqlite3_column_blob(statement, column);  // before the size, as SQLite wants it
  const int bytes = sqlite3_column_bytes(statement, column);
  return data == nullptr ? std::string_view()
                         : std::string_view(static_cast<const char*>(data), static_cast<size_t>(bytes));
}

}  // namespace assent
