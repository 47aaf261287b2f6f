#pragma once

#include <cstdint>
#include <string>

#include "common/status.h"

// A SQLite VFS over another one that ends each 4 KiB page of a database file in a checksum (XXH3, 64 bit) of
// the rest of the page and of its place in the file, and verifies it at each read: bit rot, torn and
// misdirected writes come out as SQLITE_IOERR_DATA instead of as wrong rows (G7). SQLite leaves the last 8
// bytes of a page alone because the file reserves them. Not covered: a write that never happened, and pages
// still in the -wal, whose frames SQLite checks only when it recovers them.
//
// It has no shared memory, so a connection must use EXCLUSIVE locking to use WAL mode: no second one
// ever gets in.
namespace assent {

inline constexpr int kStorePageBytes = 4096;
inline constexpr int kPageChecksumBytes = 8;

// Registers it over the VFS `base` (empty = SQLite's default), once, and returns its name. kInvalid:
// no such VFS.
Result<std::string> ChecksumVfs(const std::string& base);

}  // namespace assent
