#include "store/snapshot_writer.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace assent {
namespace {

// Pages of the copy that SQLite holds before it writes them: few, so that the last step finds little
// left to write.
constexpr int kTargetCachePages = 256;

}  // namespace

Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Start(Store& store, const std::string& path) {
  ASSENT_RETURN_IF_ERROR(store.status());
  ASSENT_RETURN_IF_ERROR(RemoveDatabase(store.files_, path));
  auto target = OpenSqlite(path, store.vfs_, true);
  if (!target.ok()) return target.status();
  // No journal and no syncs on the way: until it is finished, the file counts for nothing.
  const int code =
      ExecSqlite(target->get(), "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=" +
                                    std::to_string(kTargetCachePages));
  if (code != SQLITE_OK) return SqliteError(target->get(), code, path, "setting it up");
  sqlite3_backup* backup = sqlite3_backup_init(target->get(), "main", store.db_.get(), "main");
  if (backup == nullptr) {
    return SqliteError(target->get(), sqlite3_extended_errcode(target->get()), path, "starting a snapshot");
  }
  return std::unique_ptr<SnapshotWriter>(new SnapshotWriter(store, path, std::move(*target), backup));
}

SnapshotWriter::SnapshotWriter(Store& store, std::string path, SqliteDb target, sqlite3_backup* backup)
    : store_(store), path_(std::move(path)), target_(std::move(target)), backup_(backup) {
  ++store_.snapshots_open_;
}

SnapshotWriter::~SnapshotWriter() {
  ASSENT_CHECK(store_.snapshots_open_ > 0, path_);
  Close();
  if (!done_) static_cast<void>(store_.files_.Remove(path_));  // replaced by the next snapshot if it stays
  --store_.snapshots_open_;
}

void SnapshotWriter::Close() {
  sqlite3_backup_finish(std::exchange(backup_, nullptr));
  target_.reset();
}

Result<bool> SnapshotWriter::Step(int pages) {
  ASSENT_CHECK(pages > 0, pages);
  if (done_) return true;
  ASSENT_RETURN_IF_ERROR(store_.status());
  if (!status_.ok()) return status_;
  ASSENT_CHECK(backup_ != nullptr && target_ != nullptr, path_);
  const int code = sqlite3_backup_step(backup_, pages);
  pages_left_ = sqlite3_backup_remaining(backup_);
  pages_total_ = sqlite3_backup_pagecount(backup_);
  if (code == SQLITE_OK) return false;
  if (code != SQLITE_DONE) {
    status_ = SqliteError(target_.get(), code, path_, "copying a snapshot");
    Close();
    return status_;
  }
  ASSENT_CHECK(pages_left_ == 0, path_, pages_left_);
  // R13: the step that ends the copy leaves the source's last committed state in it, whose `applied`
  // is the store's.
  at_ = store_.applied();
  Close();
  done_ = true;
  return true;
}

LogPosition SnapshotWriter::at() const {
  ASSENT_CHECK(done_, path_);
  return at_;
}

}  // namespace assent
