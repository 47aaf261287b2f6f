#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "common/state.h"
#include "common/status.h"
#include "store/digest.h"
#include "store/files.h"
#include "store/sqlite_handle.h"

// The state of one replica of one group, as one SQLite file (docs/FORMAT.md, "The SQLite file"). It owns the
// file and its -wal; it knows no log, view or clock, and decides nothing: its caller knows what is
// replicated, and so may be applied.
//
//   Open --> { Get, Scan, ApplyBatch, Checkpoint }* --> destructor        any failure --> failed, for good
//
// Guarantees:
//   R13 Each ApplyBatch is one SQLite transaction that also stores `applied`: the file, and any snapshot of
//       it, is the whole state at one log position, whatever subset of unsynced sectors a power cut kept.
//       synced() never names more than what fsync acknowledged.
//   R7  The first failure is latched: later writes return it, reads answer "not there", nothing is tried
//       again. The directory is synced after the file is made or replaced.
//   G7  Each page carries a checksum over itself and its place (store/checksum_vfs.h): a bad one
//       is kDamaged, never data.
//
// One connection reads, writes and checkpoints, under SQLite's EXCLUSIVE locking: SQLite 3.7.0 to 3.51.2 can
// corrupt a file that two connections write or checkpoint at the same instant (the WAL-reset bug). A second
// process gets kUnavailable.
//
// Thread: calls come from one thread at a time. All of them block on the disk; Checkpoint for as long as six
// fsyncs take, and Open with `verify` for as long as reading the whole file takes. The static ones may be
// called from any thread.
namespace assent {

class CheckpointMark;
class SnapshotWriter;
class StatementCache;
class StatementLoan;

// The owner of a file's state. Another's file is refused, not overwritten.
struct StoreIdentity {
  std::string cluster;
  GroupId group;
};

struct StoreOptions {
  bool verify = false;  // read and check the whole file on Open: after damage was suspected
  uint64_t cache_bytes =
      32ull * 1024 * 1024;       // of SQLite's page cache; per store, so bounded by groups per node (G8)
  uint64_t created_wall_us = 0;  // written into a file that is made; for people
  std::string vfs = {};          // name of the SQLite VFS below the checksums; empty = the default one
  StoreFiles* files = nullptr;   // what that VFS lacks; nullptr = POSIX. Outlives the store
  uint64_t pages_max = 0;        // SQLite's max_page_count: past it kDiskFull; 0 = SQLite's own
};

class Store final : public StateReader {
 public:
  // Opens or creates the file at `path`, whose directory exists, and finishes an InstallSnapshot that a crash
  // interrupted. It also makes durable what it finds: after it, synced() == applied().
  // Errors: kForeign (another cluster's, another group's, a newer format, no file of ours), kDamaged,
  // kUnavailable (another process has it open), kDiskFull, kIo.
  static Result<std::unique_ptr<Store>> Open(const std::string& path, const StoreIdentity& identity,
                                             const StoreOptions& options);
  // Checkpoints, if nothing has failed. No SnapshotWriter of this store is left.
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  std::optional<Row> Get(Table table, std::string_view key) const override;
  // `visit` may read this store, nested scans included, and must not write to it.
  void Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const override;

  // ok, or what failed first. Looked at after reads, whose answers count only while it is ok.
  const Status& status() const { return status_; }

  // Applies all of `mutations` and moves applied() to `through`, or does neither. Nothing may be in
  // `mutations` that is not replicated (R13), and they hold all that records in (applied(), `through`] left
  // changed, one a row. `through` is above applied(), or equal to it with nothing to apply.
  Status ApplyBatch(LogPosition through, std::span<const Mutation> mutations);

  // The position of the last record whose changes are in the file. (0, 0): none.
  LogPosition applied() const { return applied_; }
  // The part of it that survives a power cut: the log is trimmed only below it (R13). Never above applied().
  LogPosition synced() const { return synced_; }
  // Makes everything applied durable, and returns applied().
  Result<LogPosition> Checkpoint();
  // Bytes written since the last checkpoint. The caller checkpoints before this grows too large: the -wal
  // file is bounded by nothing else (G8).
  uint64_t wal_bytes() const { return wal_bytes_; }

  // Over all rows of `tables`, in one go (store/digest.h).
  Result<StoreDigest> Digest(std::span<const Table> tables) const;

  const std::string& path() const { return path_; }
  // How many bytes a copy of it takes.
  Result<uint64_t> CopyBytes() const;

  // Checks that a SnapshotWriter's file is whole and of `identity` (kDamaged, kForeign), which takes as long
  // as reading it all. Returns what it has applied.
  static Result<LogPosition> CheckSnapshot(const std::string& snapshot_path, const StoreIdentity& identity,
                                           const StoreOptions& options);
  // Replaces the store at `store_path`, which nobody has open, by a file in the same directory that was
  // checked; the latter is gone afterwards. A crash at any point leaves the old store or the new,
  // never a mixture.
  static Status InstallSnapshot(const std::string& snapshot_path, const std::string& store_path,
                                const StoreOptions& options);

 private:
  friend class SnapshotWriter;

  Store(std::string path, SqliteDb db, std::unique_ptr<CheckpointMark> mark, std::string vfs,
        StoreFiles& files, LogPosition applied);
  // Latches the error that SQLite just reported.
  Status Fail(int sqlite_code, const std::string& doing) const;
  Status Fail(Status status) const;
  int ApplyInTransaction(LogPosition through, std::span<const Mutation> mutations);
  int Run(const StatementLoan& loan) const;  // of a statement that returns no rows

  const std::string path_;
  const SqliteDb db_;
  const std::unique_ptr<CheckpointMark> mark_;
  const std::unique_ptr<StatementCache> statements_;  // of db_, so it goes first
  const std::string vfs_;
  StoreFiles& files_;
  LogPosition applied_;
  LogPosition synced_;
  uint64_t wal_bytes_ = 0;
  mutable Status status_;
  int snapshots_open_ = 0;
};

}  // namespace assent
