#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wal/file.h"

// A file system in memory with the faults of a real one. It keeps two images, by sector: the cached one,
// which reads show, and the durable one, which a power cut leaves. Directories are flat: paths are looked up
// as they are.
namespace assent::wal {

// One file's contents, shared by its names and its open handles.
class MemoryInode {
 public:
  MemoryInode() = default;
  const std::string& cached() const { return cached_; }
  void Write(uint64_t offset, std::string_view bytes);
  void Sync();
  // A sync that fails: of what was dirty, only what `keep` says becomes durable, and all of it is clean from
  // now on: reads go on to show it, and no later sync writes it.
  void SyncAndLose(const std::function<bool()>& keep);
  // A power cut: of what is dirty, what `keep` says survives.
  void Crash(const std::function<bool()>& keep);
  // Cuts or lengthens the file; durable at once, as a journalling file system's metadata nearly is.
  void Resize(uint64_t size);
  // Both images, as if the medium had changed.
  void FlipBit(uint64_t offset, unsigned bit);

 private:
  enum class Sector : uint8_t {
    kClean,  // both images are the same
    kDirty,  // written since the last sync
    kLost,   // clean to those who ask, but not what the disk holds
  };

  void Keep(size_t sector);  // durable as it is cached
  void Lose(size_t sector);  // and the contrary

  std::string cached_;
  std::string durable_;  // may be shorter than the file: what is missing is zeros
  std::vector<Sector> sectors_;
  uint64_t durable_size_ = 0;
};

class MemoryFileSystem final : public FileSystem {
 public:
  // The fault of an effect (a write, sync, create, rename, remove or directory sync).
  enum class Fault : uint8_t {
    kNone,
    kStop,      // it does not happen, nor does anything after it: the process is dead
    kError,     // EIO; a write leaves a prefix, a sync what `keep` says
    kDiskFull,  // ENOSPC, with a prefix of a write left behind
  };

  MemoryFileSystem() = default;
  // A deep copy: files that are open in `other` are not open here.
  MemoryFileSystem(const MemoryFileSystem& other);
  MemoryFileSystem& operator=(const MemoryFileSystem&) = delete;

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<std::unique_ptr<File>> Create(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status CreateDirectory(const std::string&) override { return Status(); }
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status SyncDirectory(const std::string& directory) override;
  // SQLite asks this of a file beside what File has. REQUIRES: the file exists.
  Status Truncate(const std::string& path, uint64_t size);

  // The `effect`th effect from now on, the next one being 1, has `fault`; then `then` is called.
  void Inject(uint64_t effect, Fault fault, std::function<void()> then = nullptr) {
    fault_ = fault;
    fault_at_ = effects_ + effect;
    after_fault_ = std::move(then);
  }
  // Asked before each effect, and told whether it is the sync of a file; true: the process is dead, and the
  // effect does not happen (kStop).
  void set_before_effect(std::function<bool(bool is_sync)> before) { before_effect_ = std::move(before); }
  void ClearFaults() {
    fault_at_ = 0;
    after_fault_ = nullptr;
    stopped_ = false;
  }
  bool stopped() const { return stopped_; }
  uint64_t effects() const { return effects_; }
  uint64_t syncs() const { return syncs_; }  // calls, failed ones included
  // Decides about unsynced sectors and directory entries when a sync fails.
  void set_keep(std::function<bool()> keep) { keep_ = std::move(keep); }
  // All files together. Nothing: no limit.
  void set_capacity(std::optional<uint64_t> bytes) { capacity_ = bytes; }
  uint64_t used() const;

  // A power cut, and the machine back: each unsynced sector and directory operation survives if
  // `keep` says so.
  void Crash(const std::function<bool()>& keep);
  // The files as they would be after a crash; of a process alone, or a power cut.
  MemoryFileSystem Found(bool power, const std::function<bool()>& keep) const;
  // Becomes what a reader of `other` sees below `from`, below `to`, and durable: as cp(1)
  // and a sync leave it.
  void CopyFrom(const MemoryFileSystem& other, const std::string& from, const std::string& to);
  // REQUIRES: the file exists.
  MemoryInode& inode(const std::string& path);
  std::vector<std::string> Paths() const;

 private:
  friend class MemoryFile;

  struct DirectoryOperation {  // from empty: a creation; to empty: a removal
    std::string from;
    std::string to;
    std::shared_ptr<MemoryInode> inode;
  };
  using Names = std::map<std::string, std::shared_ptr<MemoryInode>>;

  // Counts one effect and says what is to become of it.
  Fault NextEffect(bool is_sync = false);
  static void Perform(const DirectoryOperation& operation, Names& names);
  Status PerformCached(const std::string& what, DirectoryOperation operation);
  Status WriteTo(MemoryInode& inode, uint64_t offset, std::string_view bytes);
  Status SyncFile(MemoryInode& inode);

  Names cached_;
  Names durable_;
  std::vector<DirectoryOperation> pending_;
  std::optional<uint64_t> capacity_;
  std::function<bool()> keep_ = [] { return false; };
  std::function<bool(bool)> before_effect_;
  std::function<void()> after_fault_;
  Fault fault_ = Fault::kNone;
  uint64_t fault_at_ = 0;
  uint64_t effects_ = 0;
  uint64_t syncs_ = 0;
  bool stopped_ = false;
};

}  // namespace assent::wal
