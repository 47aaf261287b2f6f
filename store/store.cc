#include "store/store.h"

#include <sqlite3.h>

#include <cstdlib>
#include <utility>

#include "common/check.h"
#include "common/mutant.h"
#include "store/checkpoint_mark.h"
#include "store/checksum_vfs.h"
#include "store/schema.h"
#include "store/statements.h"

namespace assent {
namespace {

// SQLite's integers are signed, and so are LSNs and epochs on disk: neither reaches 2^63.
sqlite3_int64 Signed(uint64_t number) {
  ASSENT_CHECK(number <= INT64_MAX, number);
  return static_cast<sqlite3_int64>(number);
}

constexpr uint64_t kWalFrameBytes = kStorePageBytes + 24;

std::string IncomingPath(const std::string& path) {
  return path + ".incoming";
}

// The second half of a replacement. A file at IncomingPath is complete and durable, and from then on it is
// the store: what is left of the old one goes first, since SQLite would play an old -wal onto the new file.
// Repeated by Open after a crash at any point, it ends the same.
Status FinishReplacement(StoreFiles& files, const std::string& path) {
  const auto incoming = files.Exists(IncomingPath(path));
  if (!incoming.ok()) return incoming.status();
  if (!*incoming) return {};
  ASSENT_RETURN_IF_ERROR(RemoveFilesBeside(files, path));
  ASSENT_RETURN_IF_ERROR(
      files.SyncDirectory(DirectoryOf(path)));  // R7: gone before the new file has the name
  ASSENT_RETURN_IF_ERROR(files.Rename(IncomingPath(path), path));
  return files.SyncDirectory(DirectoryOf(path));  // R7
}

// Puts the complete file at `from` in the place of the store at `path`.
Status Replace(StoreFiles& files, const std::string& from, const std::string& path) {
  ASSENT_RETURN_IF_ERROR(files.SyncFile(from));
  ASSENT_RETURN_IF_ERROR(files.Rename(from, IncomingPath(path)));
  ASSENT_RETURN_IF_ERROR(files.SyncDirectory(DirectoryOf(path)));  // R7
  return FinishReplacement(files, path);
}

// Made aside and put in place whole, so that a store that exists is never half made.
Status CreateFile(StoreFiles& files, const std::string& path, const std::string& vfs,
                  const StoreIdentity& identity, uint64_t created_wall_us) {
  const std::string aside = path + ".creating";
  ASSENT_RETURN_IF_ERROR(RemoveDatabase(files, aside));
  auto db = OpenSqlite(aside, vfs, true);
  if (!db.ok()) return db.status();
  const Status made = CreateSchema(db->get(), aside, identity, created_wall_us);
  db->reset();  // the last connection checkpoints its -wal and removes it
  if (!made.ok()) {
    static_cast<void>(RemoveDatabase(files, aside));  // the first error is the one to tell
    return made;
  }
  return Replace(files, aside, path);
}

StoreFiles& FilesOf(const StoreOptions& options) {
  return options.files == nullptr ? PosixStoreFiles() : *options.files;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const std::string& path, const StoreIdentity& identity,
                                           const StoreOptions& options) {
  StoreFiles& files = FilesOf(options);
  const auto vfs = ChecksumVfs(options.vfs);
  if (!vfs.ok()) return vfs.status();
  ASSENT_RETURN_IF_ERROR(FinishReplacement(files, path));
  const auto exists = files.Exists(path);
  if (!exists.ok()) return exists.status();
  if (!*exists) ASSENT_RETURN_IF_ERROR(CreateFile(files, path, *vfs, identity, options.created_wall_us));

  auto db = OpenSqlite(path, *vfs, false);
  if (!db.ok()) return db.status();
  // Only Checkpoint copies pages, with its mark.
  sqlite3_db_config(db->get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  ASSENT_RETURN_IF_ERROR(CheckFileHeader(db->get(), path));
  // NORMAL: a commit is written to the -wal and not synced; the log holds it, and Checkpoint syncs (R13).
  std::string pragmas =
      "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-" + std::to_string(options.cache_bytes / 1024);
  if (options.pages_max != 0) pragmas += "; PRAGMA max_page_count=" + std::to_string(options.pages_max);
  const int code = ExecSqlite(db->get(), pragmas);
  if (code != SQLITE_OK) return SqliteError(db->get(), code, path, "setting it up");
  const auto mode = QueryText(db->get(), path, "PRAGMA journal_mode");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    return Status(StatusCode::kForeign,
                  path + ": the file is in journal mode " + *mode +
                      ", where Assent keeps it in wal: another program changed it. Move this "
                      "replica's directory away and restart the node");
  }
  ASSENT_RETURN_IF_ERROR(CheckSchema(db->get(), path, identity));
  auto mark = CheckpointMark::Open(path, *vfs);
  if (!mark.ok()) return mark.status();
  ASSENT_RETURN_IF_ERROR((*mark)->Check(db->get()));
  if (options.verify) ASSENT_RETURN_IF_ERROR(CheckAllPages(db->get(), path));
  const auto applied = ReadApplied(db->get(), path);
  if (!applied.ok()) return applied.status();

  std::unique_ptr<Store> store(new Store(path, std::move(*db), std::move(*mark), *vfs, files, *applied));
  // The rows read may be an earlier process's writing that the disk does not have yet.
  const auto synced = store->Checkpoint();
  if (!synced.ok()) return synced.status();
  ASSENT_CHECK(store->synced_ == store->applied_, path, store->synced_.lsn, store->applied_.lsn);
  return store;
}

Store::Store(std::string path, SqliteDb db, std::unique_ptr<CheckpointMark> mark, std::string vfs,
             StoreFiles& files, LogPosition applied)
    : path_(std::move(path)),
      db_(std::move(db)),
      mark_(std::move(mark)),
      statements_(std::make_unique<StatementCache>(db_.get())),
      vfs_(std::move(vfs)),
      files_(files),
      applied_(applied) {
  ASSENT_CHECK(db_ != nullptr && mark_ != nullptr, path_);
  // Also keeps SQLite from checkpoints of its own.
  sqlite3_wal_hook(
      db_.get(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Store*>(self)->wal_bytes_ = static_cast<uint64_t>(pages) * kWalFrameBytes;
        return SQLITE_OK;
      },
      this);
}

Store::~Store() {
  ASSENT_CHECK(snapshots_open_ == 0, path_);
  static_cast<void>(Checkpoint());  // where it fails, the next Open does it
}

Status Store::Fail(int sqlite_code, const std::string& doing) const {
  return Fail(SqliteError(db_.get(), sqlite_code, path_, doing));
}

Status Store::Fail(Status status) const {
  ASSENT_CHECK(!status.ok(), path_);  // or the store would go on after a failure (R7)
  if (status_.ok()) status_ = std::move(status);
  return status_;
}

std::optional<Row> Store::Get(Table table, std::string_view key) const {
  if (!status_.ok()) return std::nullopt;
  const auto loan = statements_->Borrow(StatementKind::kGet, table);
  if (loan.get() == nullptr) {
    static_cast<void>(Fail(sqlite3_extended_errcode(db_.get()), "preparing to read"));
    return std::nullopt;
  }
  BindBlob(loan.get(), 1, key);
  const int code = sqlite3_step(loan.get());
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW) {
    static_cast<void>(Fail(code, std::string("reading ") + TableName(table)));
    return std::nullopt;
  }
  return Row{std::string(ColumnBlob(loan.get(), 1)),
             Lsn{static_cast<uint64_t>(sqlite3_column_int64(loan.get(), 0))}};
}

void Store::Scan(Table table, std::string_view from, std::string_view to, const Visitor& visit) const {
  if (!status_.ok()) return;
  const auto loan =
      statements_->Borrow(to.empty() ? StatementKind::kScanOnward : StatementKind::kScanRange, table);
  if (loan.get() == nullptr) {
    static_cast<void>(Fail(sqlite3_extended_errcode(db_.get()), "preparing to scan"));
    return;
  }
  BindBlob(loan.get(), 1, from);
  if (!to.empty()) BindBlob(loan.get(), 2, to);
  int code = sqlite3_step(loan.get());
  Row row;
  while (code == SQLITE_ROW) {
    row.lsn = Lsn{static_cast<uint64_t>(sqlite3_column_int64(loan.get(), 1))};
    row.value = ColumnBlob(loan.get(), 2);
    // A nested read may have failed: then nothing more is true here either.
    if (!visit(ColumnBlob(loan.get(), 0), row) || !status_.ok()) return;
    code = sqlite3_step(loan.get());
  }
  if (code != SQLITE_DONE) static_cast<void>(Fail(code, std::string("scanning ") + TableName(table)));
}

Status Store::ApplyBatch(LogPosition through, std::span<const Mutation> mutations) {
  ASSENT_RETURN_IF_ERROR(status_);
  ASSENT_CHECK(through.epoch >= applied_.epoch && through.lsn >= applied_.lsn, path_, through.lsn,
               applied_.lsn);
  ASSENT_CHECK(through.lsn > applied_.lsn || (through == applied_ && mutations.empty()), path_, through.lsn);
  if (through == applied_) return {};
  int code = Run(statements_->BorrowBegin());
  if (code == SQLITE_OK) code = ApplyInTransaction(through, mutations);
  if (code == SQLITE_OK) code = Run(statements_->BorrowCommit());
  if (code != SQLITE_OK) {
    const Status failed = Fail(code, "applying up to LSN " + std::to_string(Raw(through.lsn)));
    ExecSqlite(db_.get(), "ROLLBACK");  // fails where SQLite has rolled back by itself
    return failed;
  }
  ASSENT_CHECK(sqlite3_get_autocommit(db_.get()) != 0, "the transaction is over", path_);
  applied_ = through;
  return {};
}

int Store::ApplyInTransaction(LogPosition through, std::span<const Mutation> mutations) {
  ASSENT_CHECK(sqlite3_get_autocommit(db_.get()) == 0, "a transaction is open", path_);
  for (const Mutation& mutation : mutations) {
    // Changes from below are in the file already; changes from above belong to a later transaction (R13).
    ASSENT_CHECK(mutation.lsn > applied_.lsn && mutation.lsn <= through.lsn, path_, mutation.lsn,
                 applied_.lsn, through.lsn);
    const auto loan =
        statements_->Borrow(mutation.value ? StatementKind::kUpsert : StatementKind::kDelete, mutation.table);
    if (loan.get() == nullptr) return sqlite3_extended_errcode(db_.get());
    BindBlob(loan.get(), 1, mutation.key);
    if (mutation.value) {
      sqlite3_bind_int64(loan.get(), 2, Signed(Raw(mutation.lsn)));
      BindBlob(loan.get(), 3, *mutation.value);
    }
    if (const int code = sqlite3_step(loan.get()); code != SQLITE_DONE) return code;
  }
  // R13: in the same transaction, so that every state the file can show is the whole state at its `applied`.
  const auto loan = statements_->BorrowSetApplied();
  if (loan.get() == nullptr) return sqlite3_extended_errcode(db_.get());
  sqlite3_bind_int64(loan.get(), 1, Signed(Raw(through.epoch)));
  sqlite3_bind_int64(loan.get(), 2, Signed(Raw(through.lsn)));
  return Run(loan);
}

int Store::Run(const StatementLoan& loan) const {
  if (loan.get() == nullptr) return sqlite3_extended_errcode(db_.get());
  const int code = sqlite3_step(loan.get());
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

// Why what this returns is synced (R13): at synchronous=NORMAL a checkpoint syncs the -wal, copies its frames
// to the database file, and syncs that if every frame was copied. So once all were, the database file alone
// holds all that was committed. No reader can keep it from copying all: this is the only connection, and its
// own statements are reset.
//
// Were a frame that was copied damaged later, the next open would play those before it onto newer pages, and
// show a state that never was (G7). So none stays behind (TRUNCATE), and while they are copied the mark knows
// what they were.
Result<LogPosition> Store::Checkpoint() {
  if (!status_.ok()) return status_;
  ASSENT_CHECK(sqlite3_get_autocommit(db_.get()) != 0, "no transaction is open", path_);
  ASSENT_CHECK(synced_.lsn <= applied_.lsn && synced_.epoch <= applied_.epoch, path_, synced_.lsn,
               applied_.lsn);
  if (Status begun = mark_->Begin(db_.get()); !begun.ok()) return Fail(std::move(begun));
  int in_wal = 0;
  int copied = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, &in_wal, &copied);
  if (code != SQLITE_OK) return Fail(code, "checkpointing");
  // Not reset statements, or a second connection: both are bugs here.
  ASSENT_CHECK(in_wal == copied, path_, in_wal, copied);
  if (Status ended = mark_->End(db_.get()); !ended.ok()) return Fail(std::move(ended));
  synced_ = applied_;
  wal_bytes_ = 0;
  return synced_;
}

Result<StoreDigest> Store::Digest(std::span<const Table> tables) const {
  StoreDigester digester(tables);
  const auto done = digester.Step(*this, UINT64_MAX);
  if (!done.ok()) return done.status();
  return digester.digest();
}

Result<uint64_t> Store::CopyBytes() const {
  const auto pages = QueryText(db_.get(), path_, "PRAGMA page_count");
  if (!pages.ok()) return pages.status();
  return kStorePageBytes * std::strtoull(pages->c_str(), nullptr, 10);
}

Result<LogPosition> Store::CheckSnapshot(const std::string& snapshot_path, const StoreIdentity& identity,
                                         const StoreOptions& options) {
  StoreFiles& files = FilesOf(options);
  const auto vfs = ChecksumVfs(options.vfs);
  if (!vfs.ok()) return vfs.status();
  const auto exists = files.Exists(snapshot_path);
  if (!exists.ok()) return exists.status();
  if (!*exists) return Status(StatusCode::kNotFound, snapshot_path + ": no snapshot there");
  // The snapshot came as one file; files that lie beside it under these names are not its own.
  ASSENT_RETURN_IF_ERROR(RemoveFilesBeside(files, snapshot_path));
  auto db = OpenSqlite(snapshot_path, *vfs, false);
  if (!db.ok()) return db.status();
  ASSENT_RETURN_IF_ERROR(CheckFileHeader(db->get(), snapshot_path));
  ASSENT_RETURN_IF_ERROR(CheckSchema(db->get(), snapshot_path, identity));
  ASSENT_RETURN_IF_ERROR(CheckAllPages(db->get(), snapshot_path));
  if (Mutated(Mutant::kSnapshotWithoutPrepared)) ExecSqlite(db->get(), "DELETE FROM prepared");
  return ReadApplied(db->get(), snapshot_path);
}

Status Store::InstallSnapshot(const std::string& snapshot_path, const std::string& store_path,
                              const StoreOptions& options) {
  if (DirectoryOf(snapshot_path) != DirectoryOf(store_path)) {
    return Status(StatusCode::kInvalid,
                  snapshot_path + ": a snapshot must lie in the directory of " + store_path);
  }
  return Replace(FilesOf(options), snapshot_path, store_path);
}

}  // namespace assent
