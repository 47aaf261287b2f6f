#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>

#include "common/ids.h"
#include "common/status.h"
#include "store/store.h"

namespace assent {

// Copies a store into a file of its own, a few pages a step, while the store goes on being written (R6). It
// uses SQLite's online backup on the *writing* connection: writes between two steps go into the copy as well,
// so the copy never starts over, and once done it is the whole state at one log position (R13). Nothing is
// synced: the file is for this process to read.
//
//   Start --> Step* --> done: the file is complete
//               |
//               +--> failed: the destructor removes the file
//
// A failure here (a full disk, say) is not the store's, unless store.status() says so. Same thread as the
// store, which outlives this.
class SnapshotWriter {
 public:
  // Replaces what is at `path`.
  static Result<std::unique_ptr<SnapshotWriter>> Start(Store& store, const std::string& path);
  // Not done: the incomplete file is removed.
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  // Copies up to `pages` (4 KiB each, at least 1). True: the snapshot is complete.
  Result<bool> Step(int pages);

  // The position that the finished snapshot is the state at. Step has returned true.
  LogPosition at() const;
  // Rough, for progress: pages still to copy, and of how many. 0 before the first Step.
  int pages_left() const { return pages_left_; }
  int pages_total() const { return pages_total_; }

 private:
  SnapshotWriter(Store& store, std::string path, SqliteDb target, sqlite3_backup* backup);
  void Close();

  Store& store_;
  const std::string path_;
  SqliteDb target_;  // both null once finished or failed
  sqlite3_backup* backup_;
  Status status_;
  bool done_ = false;
  LogPosition at_;
  int pages_left_ = 0;
  int pages_total_ = 0;
};

}  // namespace assent
