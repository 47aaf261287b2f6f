#pragma once

#include <map>
#include <mutex>

#include "wal/file.h"

namespace assent::wal {

// Files of the operating system. Any thread. Keeps the directories open that it synced: a few
// for each replica.
class PosixFileSystem final : public FileSystem {
 public:
  PosixFileSystem() = default;
  ~PosixFileSystem() override;
  PosixFileSystem(const PosixFileSystem&) = delete;
  PosixFileSystem& operator=(const PosixFileSystem&) = delete;

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<std::unique_ptr<File>> Create(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status CreateDirectory(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status SyncDirectory(const std::string& directory) override;

 private:
  Result<int> OpenDirectory(const std::string& path);

  std::mutex mutex_;
  std::map<std::string, int> directories_;  // by mutex_: their descriptors
};

}  // namespace assent::wal
