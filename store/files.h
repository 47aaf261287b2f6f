#pragma once

#include <string>

#include "common/status.h"

namespace assent {

// The calls of a file system that a store needs beyond SQLite's VFS: a simulated disk can stand beneath both.
class StoreFiles {
 public:
  virtual ~StoreFiles() = default;

  virtual Result<bool> Exists(const std::string& path) = 0;
  // Replaces `to` if it exists, whole or not at all.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // ok if there is no such file.
  virtual Status Remove(const std::string& path) = 0;
  // Makes the file's contents durable.
  virtual Status SyncFile(const std::string& path) = 0;
  // Makes earlier creations, renames and removals in `directory` durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;
};

StoreFiles& PosixStoreFiles();

// Removes the files that SQLite and the store keep beside the database at `path`; RemoveDatabase also
// removes that itself.
Status RemoveFilesBeside(StoreFiles& files, const std::string& path);
Status RemoveDatabase(StoreFiles& files, const std::string& path);

// "/a/b" -> "/a"; "b" -> ".".
std::string DirectoryOf(const std::string& path);

}  // namespace assent
