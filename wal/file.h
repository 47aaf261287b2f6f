#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

// The log's view of a disk, small enough that a simulated one can stand under it. The real one: posix_file.h.
//
// Assumed of every implementation:
//   - a sector of kSectorBytes is written whole or not at all; several sectors of one write may survive a
//     crash as any subset until Sync() returned ok;
//   - creations, renames and removals may survive a crash as any subset until SyncDirectory() returned ok; a
//     rename happens whole or not at all;
//   - after a Sync() that failed nothing is known of what was written since the one before, not even that
//     reading it back shows what the disk holds. A caller never retries it (R7).
//
// Errors; messages name the operation and the path:
//   kDiskFull     ENOSPC and EDQUOT
//   kNotFound     the file is missing
//   kConflict     the file exists already
//   kUnavailable  the process or the system has no descriptor left to open it with (EMFILE, ENFILE): nothing
//                 was done, and the same call may succeed later
//   kIo           everything else
namespace assent::wal {

inline constexpr uint64_t kSectorBytes = 512;

// One open file. ReadAt and Size may be called from any thread, also while another one writes; WriteAt and
// Sync from one thread at a time.
class File {
 public:
  virtual ~File() = default;

  // Fills `out` from `offset` on. Returns how many bytes there were: fewer only at the file's end.
  virtual Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const = 0;
  // Writes all of `bytes` or fails; after a failure any part may have been written.
  virtual Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // Makes the contents and the length durable (fdatasync).
  virtual Status Sync() = 0;
  virtual Result<uint64_t> Size() const = 0;
};

enum class OpenMode : uint8_t { kReadOnly, kReadWrite };

// Files by path. May be called from any thread.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // A new, empty file, open for writing.
  virtual Result<std::unique_ptr<File>> Create(const std::string& path) = 0;
  // Replaces `to` if it exists.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  // Creates the directory itself, not its parents; ok if it is there already.
  virtual Status CreateDirectory(const std::string& path) = 0;
  // Names (not paths) of the regular files in `directory`, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // Makes earlier creations, renames and removals in `directory` durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;
};

}  // namespace assent::wal
