#include "store/checkpoint_mark.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "store/sqlite_handle.h"

namespace assent {
namespace {

constexpr size_t kMarkBytes = 3 * sizeof(uint64_t);
constexpr size_t kPieceBytes = 64 * 1024;

sqlite3_file* WalOf(sqlite3* db) {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
  ASSENT_CHECK(file != nullptr && file->pMethods != nullptr, "the -wal is open");
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
  if (code != SQLITE_OK) return mark->Failed(mark->file(), code, "opening");
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

Status CheckpointMark::Failed(const sqlite3_file* file, int code, const std::string& doing) const {
  return SqliteError(nullptr, code, file == this->file() ? path_ : store_path_ + "-wal", doing);
}

Result<uint64_t> CheckpointMark::SizeOf(sqlite3_file* file) const {
  sqlite3_int64 bytes = 0;
  const int code = file->pMethods->xFileSize(file, &bytes);
  if (code != SQLITE_OK) return Failed(file, code, "reading its size");
  return static_cast<uint64_t>(bytes);
}

Status CheckpointMark::Sync(sqlite3_file* file) const {
  const int code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) return Failed(file, code, "syncing");
  return {};
}

Status CheckpointMark::Read() {
  const auto size = SizeOf(file());
  if (!size.ok()) return size.status();
  if (*size < kMarkBytes) return Write({});  // takes its room on the disk
  std::array<uint64_t, 3> words{};
  const int code = file()->pMethods->xRead(file(), words.data(), kMarkBytes, 0);
  if (code != SQLITE_OK) return Failed(file(), code, "reading");
  if (XXH3_64bits(words.data(), 2 * sizeof(uint64_t)) == words[2]) wal_ = {words[0], words[1]};
  // R7: the mark read may be an earlier process's writing that the disk does not have yet. Were it lost
  // later, the mark before it would name another -wal.
  return Sync(file());
}

Status CheckpointMark::Write(Wal wal) {
  ASSENT_CHECK(wal.bytes != 0 || wal.hash == 0, path_, wal.hash);
  std::array<uint64_t, 3> words{wal.bytes, wal.hash, 0};
  words[2] = XXH3_64bits(words.data(), 2 * sizeof(uint64_t));
  const int code = file()->pMethods->xWrite(file(), words.data(), kMarkBytes, 0);
  if (code != SQLITE_OK) return Failed(file(), code, "writing");
  ASSENT_RETURN_IF_ERROR(Sync(file()));
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
    if (code != SQLITE_OK) return Failed(wal, code, "reading");
    XXH3_64bits_update(state.get(), piece.get(), static_cast<size_t>(count));
  }
  return XXH3_64bits_digest(state.get());
}

Status CheckpointMark::Check(sqlite3* db) const {
  if (wal_.bytes == 0) return {};
  const auto size = SizeOf(WalOf(db));
  if (!size.ok()) return size.status();
  if (*size == 0) return {};  // all was copied, and only End is missing
  Reached(Situation::kCheckpointInterrupted);
  if (*size >= wal_.bytes) {
    const auto hash = HashOf(WalOf(db), wal_.bytes);
    if (!hash.ok()) return hash.status();
    if (*hash == wal_.hash) return {};
  }
  return SqliteError(nullptr, SQLITE_CORRUPT, store_path_,
                     "checking (a checkpoint was interrupted, and its -wal file has changed since)");
}

Status CheckpointMark::Begin(sqlite3* db) {
  const auto size = SizeOf(WalOf(db));
  if (!size.ok()) return size.status();
  if (*size == 0) return {};
  // R7: before the mark that vouches for it, or a power cut would leave a mark of what never was on the disk.
  ASSENT_RETURN_IF_ERROR(Sync(WalOf(db)));
  const auto hash = HashOf(WalOf(db), *size);
  if (!hash.ok()) return hash.status();
  return Write({*size, *hash});
}

Status CheckpointMark::End(sqlite3* db) {
  if (wal_.bytes == 0) return {};
  ASSENT_RETURN_IF_ERROR(Sync(WalOf(db)));
  return Write({});
}

}  // namespace assent
