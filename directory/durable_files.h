#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

// Small files that are there whole or not at all, and durable once a call returns (R7): written under a
// temporary name in the same directory, synced, then given their own. Only their owner can read them (0600,
// directories 0700). Errors: kNotFound (ENOENT), kDiskFull, kIo; the message names path and cause.
namespace assent {

// kDamaged: larger than `bytes_max`, so not what we wrote.
Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max);

// Makes the file unless there is one: kConflict, and the file that is there stays (link(2) decides, R12).
// After any other error this call made none, unless `may_be_there`, which is only ever set to true.
Status CreateFileOnce(const std::string& path, std::string_view contents, bool* may_be_there = nullptr);
// Makes or replaces the file (rename(2)). After an error the old contents or the new are there.
Status ReplaceFile(const std::string& path, std::string_view contents);

// Makes the directory and those above it as needed.
Status MakeDirectories(const std::string& path);
Status SyncDirectory(const std::string& path);
// Needs no room on the disk. There must be no file `to`; a directory may take an empty one's place, and is
// answered kConflict where there is another.
Status Rename(const std::string& from, const std::string& to);
// Names in it, but for "." and "..", sorted. An entry that is there all the while is always named.
Result<std::vector<std::string>> ListDirectory(const std::string& path);
// ok if it is gone already. Not durable before the directory is synced.
Status RemoveFile(const std::string& path);

// Digits to a width that no number exceeds, so that names sort as numbers do.
std::string NumberedName(std::string_view prefix, uint64_t number);
std::optional<uint64_t> NumberInName(std::string_view prefix, std::string_view name);

bool IsTemporary(std::string_view name);
// Removes temporaries whose writer is gone: each writer holds an flock on its own, which ends
// with its process.
Status RemoveStaleTemporaries(const std::string& directory);

}  // namespace assent
