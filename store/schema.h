#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "common/ids.h"
#include "common/state.h"
#include "common/status.h"
#include "store/store.h"

// The contents of the file besides rows: format, identity and the one schema that a file of ours may have.
namespace assent {

inline constexpr uint32_t kStoreApplicationId = 0x41534E54;  // "ASNT", for file(1)
inline constexpr uint32_t kStoreFormat = 1;

const char* TableName(Table table);

// Looks at the first bytes of an open, existing file, before SQLite interprets any: kForeign for what is not
// ours or is of a newer format.
Status CheckFileHeader(sqlite3* db, const std::string& path);
// Makes tables and header in an empty file, and turns WAL mode on.
Status CreateSchema(sqlite3* db, const std::string& path, const StoreIdentity& identity,
                    uint64_t created_wall_us);
// kDamaged: the schema is not exactly ours. kForeign: another cluster's or group's.
Status CheckSchema(sqlite3* db, const std::string& path, const StoreIdentity& identity);
// kDamaged where SQLite finds the file unsound. Reads all of it.
Status CheckAllPages(sqlite3* db, const std::string& path);
Result<LogPosition> ReadApplied(sqlite3* db, const std::string& path);

}  // namespace assent
