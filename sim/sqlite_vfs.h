#pragma once

#include <memory>
#include <string>

#include "sim/memory_file.h"
#include "store/files.h"

// SQLite on a simulated disk: a VFS over MemoryFileSystem, and what else a store needs of one.
namespace assent::sim {

// The name of the VFS. It serves paths below what SimulatedDisk objects stand for, and no others.
const char* SimulatedVfs();

// Mounts `files` at `root` ("/n1/s1") for as long as this lives. One thread.
class SimulatedDisk final : public StoreFiles {
 public:
  SimulatedDisk(std::string root, wal::MemoryFileSystem& files);
  ~SimulatedDisk() override;
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  Result<bool> Exists(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status SyncFile(const std::string& path) override;
  Status SyncDirectory(const std::string& directory) override;

 private:
  const std::string root_;
  wal::MemoryFileSystem& files_;
};

}  // namespace assent::sim
