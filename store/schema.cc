#include "store/schema.h"

#include <array>
#include <cstring>
#include <iterator>
#include <string_view>

#include "common/check.h"
#include "store/checksum_vfs.h"
#include "store/sqlite_handle.h"

namespace assent {
namespace {

// Offsets in SQLite's database header (sqlite.org/fileformat2.html, section 1.3); numbers are big-endian.
constexpr std::string_view kSqliteMagic("SQLite format 3\0", 16);
constexpr size_t kUserVersionAt = 60;
constexpr size_t kApplicationIdAt = 68;
constexpr size_t kHeaderBytes = 100;

uint32_t BigEndian(const char* bytes) {
  uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

constexpr const char* NameOf(Table table) {
  switch (table) {
    case Table::kData:
      return "data";
    case Table::kPrepared:
      return "prepared";
    case Table::kDecided:
      return "decided";
    case Table::kMark:
      return "mark";
    case Table::kOutcome:
      return "outcome";
    case Table::kFloor:
      return "floor";
    case Table::kDecision:
      return "decision";
    case Table::kMeta:
      return "meta";
  }
  return nullptr;
}

// Numbered from 1 on: a file has the tables of kTables.
static_assert(NameOf(kTables[std::size(kTables) - 1]) != nullptr &&
                  NameOf(static_cast<Table>(std::size(kTables) + 1)) == nullptr,
              "kTables lacks a table");

// The statements as SQLite keeps them in sqlite_schema, in the order of their making.
std::string SchemaSql() {
  std::string sql =
      "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), format INTEGER NOT NULL, cluster TEXT NOT "
      "NULL, "
      "replica_group TEXT NOT NULL, created_us INTEGER NOT NULL);"
      "CREATE TABLE applied (id INTEGER PRIMARY KEY CHECK (id = 0), epoch INTEGER NOT NULL, lsn INTEGER NOT "
      "NULL);";
  for (const Table table : kTables) {
    sql += std::string("CREATE TABLE ") + TableName(table) +
           " (k BLOB PRIMARY KEY NOT NULL, lsn INTEGER NOT NULL, v BLOB NOT NULL) WITHOUT ROWID;";
  }
  return sql;
}

}  // namespace

const char* TableName(Table table) {
  const char* const name = NameOf(table);
  ASSENT_CHECK(name != nullptr, "table", table);
  return name;
}

Status CheckFileHeader(sqlite3* db, const std::string& path) {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  std::array<char, kHeaderBytes> bytes{};
  const int code = file->pMethods->xRead(file, bytes.data(), static_cast<int>(bytes.size()), 0);
  if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ)
    return SqliteError(db, code, path, "reading its header");
  if (std::string_view(bytes.data(), kSqliteMagic.size()) != kSqliteMagic ||
      BigEndian(&bytes[kApplicationIdAt]) != kStoreApplicationId) {
    return Status(StatusCode::kForeign,
                  path +
                      ": this is not an Assent store, or its first page is damaged. Point the "
                      "node at its own data directory, or move the file away");
  }
  const uint32_t format = BigEndian(&bytes[kUserVersionAt]);
  if (format > kStoreFormat) {
    return Status(StatusCode::kForeign, path + ": the file has format " + std::to_string(format) +
                                            ", and this program knows formats up to " +
                                            std::to_string(kStoreFormat) + ". Run a newer assent");
  }
  return {};
}

Status CreateSchema(sqlite3* db, const std::string& path, const StoreIdentity& identity,
                    uint64_t created_wall_us) {
  int code = ExecSqlite(db, "PRAGMA page_size=" + std::to_string(kStorePageBytes));
  int reserve = kPageChecksumBytes;
  if (code == SQLITE_OK) code = sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
  if (code == SQLITE_OK) {
    code = ExecSqlite(db, "BEGIN; PRAGMA application_id=" + std::to_string(kStoreApplicationId) +
                              "; PRAGMA user_version=" + std::to_string(kStoreFormat) + ";" + SchemaSql() +
                              "INSERT INTO applied VALUES (0, 0, 0)");
  }
  sqlite3_stmt* raw = nullptr;
  if (code == SQLITE_OK) {
    code = sqlite3_prepare_v2(db, "INSERT INTO header VALUES (0, ?1, ?2, ?3, ?4)", -1, &raw, nullptr);
  }
  const SqliteStatement insert(raw);
  if (code != SQLITE_OK) return SqliteError(db, code, path, "creating tables");
  const std::string group = ToString(identity.group);
  sqlite3_bind_int64(raw, 1, kStoreFormat);
  sqlite3_bind_text(raw, 2, identity.cluster.c_str(), static_cast<int>(identity.cluster.size()),
                    SQLITE_STATIC);
  sqlite3_bind_text(raw, 3, group.c_str(), static_cast<int>(group.size()), SQLITE_STATIC);
  sqlite3_bind_int64(raw, 4, static_cast<sqlite3_int64>(created_wall_us));
  code = sqlite3_step(raw);
  if (code != SQLITE_DONE) return SqliteError(db, code, path, "writing the header");
  code = ExecSqlite(db, "COMMIT; PRAGMA journal_mode=WAL");
  if (code != SQLITE_OK) return SqliteError(db, code, path, "creating tables");
  return {};
}

Status CheckSchema(sqlite3* db, const std::string& path, const StoreIdentity& identity) {
  const auto schema = QueryText(
      db, path, "SELECT group_concat(sql || ';', '') FROM (SELECT sql FROM sqlite_schema ORDER BY rowid)");
  if (!schema.ok()) return schema.status();
  if (*schema != SchemaSql()) {
    return Status(StatusCode::kDamaged,
                  path +
                      ": the tables are not those of an Assent store. Move this replica's "
                      "directory away and restart the node; it is filled again from its peers");
  }
  const auto cluster = QueryText(db, path, "SELECT cluster FROM header");
  if (!cluster.ok()) return cluster.status();
  if (*cluster != identity.cluster) {
    return Status(StatusCode::kForeign, path + ": the file belongs to cluster " + *cluster +
                                            ", and this node to " + identity.cluster +
                                            ". Point the node at its own data directory");
  }
  const auto group = QueryText(db, path, "SELECT replica_group FROM header");
  if (!group.ok()) return group.status();
  if (*group != ToString(identity.group)) {
    return Status(StatusCode::kForeign, path + ": the file belongs to group " + *group + ", not " +
                                            ToString(identity.group) +
                                            ". Put it back where it was taken from");
  }
  return {};
}

Status CheckAllPages(sqlite3* db, const std::string& path) {
  const auto verdict = QueryText(db, path, "PRAGMA quick_check(1)");
  if (!verdict.ok()) return verdict.status();
  if (*verdict != "ok") return SqliteError(db, SQLITE_CORRUPT, path, "checking (" + *verdict + ")");
  // Pages that are each whole, but not of one moment: a file copied while it was written to, for one.
  std::string newer;
  for (const Table table : kTables) {
    if (!newer.empty()) newer += " + ";
    newer +=
        std::string("EXISTS(SELECT 1 FROM ") + TableName(table) + " WHERE lsn > (SELECT lsn FROM applied))";
  }
  const auto tables = QueryText(db, path, "SELECT " + newer);
  if (!tables.ok()) return tables.status();
  if (*tables == "0") return {};
  return SqliteError(db, SQLITE_CORRUPT, path, "checking (rows are newer than the state that they are in)");
}

Result<LogPosition> ReadApplied(sqlite3* db, const std::string& path) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db, "SELECT epoch, lsn FROM applied WHERE id = 0", -1, &raw, nullptr);
  const SqliteStatement statement(raw);
  if (code == SQLITE_OK) code = sqlite3_step(raw);
  if (code == SQLITE_DONE) code = SQLITE_CORRUPT;  // the row is made with the file and never removed
  if (code != SQLITE_ROW) return SqliteError(db, code, path, "reading the applied position");
  return LogPosition{Epoch{static_cast<uint64_t>(sqlite3_column_int64(raw, 0))},
                     Lsn{static_cast<uint64_t>(sqlite3_column_int64(raw, 1))}};
}

}  // namespace assent
