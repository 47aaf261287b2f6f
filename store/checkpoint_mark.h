#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/status.h"

// Tells, after a crash in the middle of a checkpoint, whether the -wal file is still what was being copied.
// Until all of it is copied, the pages of the database file are of several moments, and only the -wal makes
// one state of them. SQLite, which reads a -wal up to the first frame that is not sound, would play what is
// before that frame onto newer pages (G7).
//
//   Open --> Check --> { Begin --> SQLite's checkpoint, which leaves the -wal empty --> End }*
//
// It is a file of 24 bytes beside the store: length and hash of the -wal, and a checksum of these two; the
// length is 0 while no checkpoint is under way. A mark that does not match its checksum counts as none: only
// a crash before the first page was copied, or after the last, tears it.
//
// Calls block on the disk. A failure is the store's (R7): nothing is called after it.
namespace assent {

class CheckpointMark {
 public:
  // Opens, or makes, that of the store at `store_path`, a file of the SQLite VFS named `vfs`.
  static Result<std::unique_ptr<CheckpointMark>> Open(const std::string& store_path, const std::string& vfs);
  ~CheckpointMark();
  CheckpointMark(const CheckpointMark&) = delete;
  CheckpointMark& operator=(const CheckpointMark&) = delete;

  // kDamaged: a checkpoint was interrupted, and the -wal of `db` is neither what it was then nor empty.
  // REQUIRES of this and what follows: `db` has read its file, so that its -wal is open.
  Status Check(sqlite3* db) const;
  // Makes the -wal durable, and then what it is.
  Status Begin(sqlite3* db);
  // Makes the -wal's emptiness durable, and then that no checkpoint is under way.
  Status End(sqlite3* db);

 private:
  struct Wal {
    uint64_t bytes = 0;
    uint64_t hash = 0;
  };

  CheckpointMark(std::string store_path, const sqlite3_vfs& vfs);
  sqlite3_file* file() const { return reinterpret_cast<sqlite3_file*>(memory_.get()); }
  // In these three, `file` is this one or the -wal.
  Status Failed(const sqlite3_file* file, int code, const std::string& doing) const;
  Result<uint64_t> SizeOf(sqlite3_file* file) const;
  Status Sync(sqlite3_file* file) const;
  Status Read();
  Status Write(Wal wal);
  // Over the first `bytes`.
  Result<uint64_t> HashOf(sqlite3_file* wal, uint64_t bytes) const;

  const std::string store_path_;
  const std::string path_;  // SQLite's file keeps a pointer to it
  const std::unique_ptr<char[]> memory_;
  Wal wal_;
};

}  // namespace assent
