#include "store/checkpoint_mark.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/coverage.h"
#include "store/sqlite_handle.h"

namespace assent {
namespace {

constexpr size_t kMarkBytes = 3 * sizeof(uint64_t);
constexpr size_t kPieceBytes = 64 * 1024;

sqlite3_file* WalOf(sqlite3* db) {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
  return file;
}

}  // namespace

Result<std::unique_ptr<CheckpointMark>> CheckpointMark::Open(const std::string& store_path,
                                                             const std::string& vfs) {
  sqlite3_vfs* const found = sqlite3_vfs_find(vfs.c_str());
  if (found == nullptr) return Status(StatusCode::kInvalid, "there is no SQLite VFS named \"" + vfs + "\"");
  std::unique_ptr<CheckpointMark> mark(new CheckpointMark(store_path, *found));
  // As a -wal: its first sync then also syncs the directory, and it has the store's owner and mode (R7).
  const int code = found->xOpen(found, mark->path_.c_str(), mark->file(),
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL, nullptr);
  if (code != SQLITE_OK) return mark->Failed(code, "opening");
  ASSENT_RETURN_IF_ERROR(mark->Read());
  return mark;
}

CheckpointMark::CheckpointMark(std::string store_path, const sqlite3_vfs& vfs)
    : store_path_(std::move(store_path)),
      path_(store_path_ + "-checkpoint"),
      memory_(std::make_unique<char[]>(static_cast<size_t>(vfs.szOsFile))) {}

CheckpointMark::~CheckpointMark() {
  if (file()->pMethods != nullptr) file()->pMethods->xClose(file());
}

Status CheckpointMark::Failed(int code, const std::string& doing) const {
  return SqliteError(nullptr, code, path_, doing);
}

Status CheckpointMark::Read() {
  sqlite3_int64 size = 0;
  int code = file()->pMethods->xFileSize(file(), &size);
  if (code != SQLITE_OK) return Failed(code, "reading its size");
  if (size < static_cast<sqlite3_int64>(kMarkBytes)) return Write({});  // takes its room on the disk
  std::array<uint64_t, 3> words{};
  code = file()->pMethods->xRead(file(), words.data(), kMarkBytes, 0);
  if (code != SQLITE_OK) return Failed(code, "reading");
  if (XXH3_64bits(words.data(), 2 * sizeof(uint64_t)) == words[2]) wal_ = {words[0], words[1]};
  // R7: what was read may be an earlier process's writing that the disk does not have yet. Were it lost
  // later, the mark before it would name another -wal.
  code = file()->pMethods->xSync(file(), SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failed(code, "syncing");
  return {};
}

Status CheckpointMark::Write(Wal wal) {
  std::array<uint64_t, 3> words{wal.bytes, wal.hash, 0};
  words[2] = XXH3_64bits(words.data(), 2 * sizeof(uint64_t));
  int code = file()->pMethods->xWrite(file(), words.data(), kMarkBytes, 0);
  if (code != SQLITE_OK) return Failed(code, "writing");
  code = file()->pMethods->xSync(file(), SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failed(code, "syncing");
  wal_ = wal;
  return {};
}

Result<uint64_t> CheckpointMark::HashOf(sqlite3_file* wal, uint64_t bytes) const {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  const auto piece = std::make_unique<char[]>(kPieceBytes);
  for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
    const auto count = static_cast<int>(std::min<uint64_t>(kPieceBytes, bytes - at));
    const int code = wal->pMethods->xRead(wal, piece.get(), count, static_cast<sqlite3_int64>(at));
    if (code != SQLITE_OK) return Failed(code, "reading the -wal file");
    XXH3_64bits_update(state.get(), piece.get(), static_cast<size_t>(count));
  }
  return XXH3_64bits_digest(state.get());
}

Status CheckpointMark::Check(sqlite3* db) const {
  if (wal_.bytes == 0) return {};
  sqlite3_file* const wal = WalOf(db);
  sqlite3_int64 size = 0;
  const int code = wal->pMethods->xFileSize(wal, &size);
  if (code != SQLITE_OK) return Failed(code, "reading the -wal file's size");
  if (size == 0) return {};  // all was copied, and only End is missing
  Reached(Situation::kCheckpointInterrupted);
  const bool is_short = static_cast<uint64_t>(size) < wal_.bytes;
  const auto hash = is_short ? Result<uint64_t>(uint64_t{0}) : HashOf(wal, wal_.bytes);
  if (!hash.ok()) return hash.status();
  if (!is_short && *hash == wal_.hash) return {};
  return SqliteError(nullptr, SQLITE_CORRUPT, store_path_,
                     "checking (a checkpoint was interrupted, and its -wal file has changed since)");
}

Status CheckpointMark::Begin(sqlite3* db) {
  sqlite3_file* const wal = WalOf(db);
  sqlite3_int64 size = 0;
  int code = wal->pMethods->xFileSize(wal, &size);
  if (code != SQLITE_OK) return Failed(code, "reading the -wal file's size");
  if (size == 0) return {};
  // R7: before the mark that vouches for it, or a power cut would leave a mark of what never was on the disk.
  code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failed(code, "syncing the -wal file");
  const auto bytes = static_cast<uint64_t>(size);
  const auto hash = HashOf(wal, bytes);
  if (!hash.ok()) return hash.status();
  return Write({bytes, *hash});
}

Status CheckpointMark::End(sqlite3* db) {
  if (wal_.bytes == 0) return {};
  sqlite3_file* const wal = WalOf(db);
  const int code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failed(code, "syncing the -wal file");
  return Write({});
}

}  // namespace assent
