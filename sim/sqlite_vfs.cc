#include "sim/sqlite_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <new>
#include <utility>

#include "common/check.h"

namespace assent::sim {
namespace {

std::map<std::string, wal::MemoryFileSystem*>& Mounts() {
  static std::map<std::string, wal::MemoryFileSystem*> mounts;
  return mounts;
}

wal::MemoryFileSystem* DiskOf(std::string_view path) {
  for (const auto& [root, files] : Mounts()) {
    if (path.starts_with(root + "/")) return files;
  }
  return nullptr;
}

int CodeOf(const Status& status, int otherwise) {
  if (status.ok()) return SQLITE_OK;
  return status.code() == StatusCode::kDiskFull ? SQLITE_FULL : otherwise;
}

struct VfsFile {
  sqlite3_file base;  // first, as SQLite wants it
  wal::MemoryFileSystem* disk;
  wal::File* file;
  std::string* path;
  bool delete_on_close;
  bool is_new;  // a journal whose directory this handle has not synced yet
};

VfsFile& Of(sqlite3_file* file) {
  return *reinterpret_cast<VfsFile*>(file);
}

int Close(sqlite3_file* file) {
  VfsFile& f = Of(file);
  delete f.file;
  if (f.delete_on_close) (void)f.disk->Remove(*f.path);
  delete f.path;
  f.file = nullptr;
  f.path = nullptr;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 offset) {
  const auto size = static_cast<size_t>(bytes);
  const auto got = Of(file).file->ReadAt(static_cast<uint64_t>(offset), {static_cast<char*>(out), size});
  if (!got.ok()) return SQLITE_IOERR_READ;
  if (*got == size) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + *got, 0, size - *got);
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  return CodeOf(Of(file).file->WriteAt(static_cast<uint64_t>(offset),
                                       {static_cast<const char*>(bytes), static_cast<size_t>(count)}),
                SQLITE_IOERR_WRITE);
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  return CodeOf(Of(file).disk->Truncate(*Of(file).path, static_cast<uint64_t>(size)), SQLITE_IOERR_TRUNCATE);
}

// As SQLite's own VFS does: the first sync of a new journal also syncs its directory.
int Sync(sqlite3_file* file, int) {
  VfsFile& f = Of(file);
  const Status synced = f.file->Sync();
  if (!synced.ok()) return CodeOf(synced, SQLITE_IOERR_FSYNC);
  if (!std::exchange(f.is_new, false)) return SQLITE_OK;
  return CodeOf(f.disk->SyncDirectory(DirectoryOf(*f.path)), SQLITE_IOERR_DIR_FSYNC);
}

int Size(sqlite3_file* file, sqlite3_int64* size) {
  const auto bytes = Of(file).file->Size();
  if (!bytes.ok()) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(*bytes);
  return SQLITE_OK;
}

// One process has the file, so locks are all granted.
int Lock(sqlite3_file*, int) {
  return SQLITE_OK;
}
int CheckReservedLock(sqlite3_file*, int* held) {
  *held = 0;
  return SQLITE_OK;
}
int FileControl(sqlite3_file*, int, void*) {
  return SQLITE_NOTFOUND;
}
int SectorSize(sqlite3_file*) {
  return static_cast<int>(wal::kSectorBytes);
}
int Characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

constexpr sqlite3_io_methods kMethods = {1,
                                         Close,
                                         Read,
                                         Write,
                                         Truncate,
                                         Sync,
                                         Size,
                                         Lock,
                                         Lock,
                                         CheckReservedLock,
                                         FileControl,
                                         SectorSize,
                                         Characteristics,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr};

int Open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* flags_out) {
  VfsFile& f = Of(file);
  std::memset(&f, 0, sizeof f);
  if (path == nullptr) return SQLITE_CANTOPEN;  // temporary files stay in memory (temp_store)
  f.disk = DiskOf(path);
  if (f.disk == nullptr) return SQLITE_CANTOPEN;
  auto opened = f.disk->Open(path, wal::OpenMode::kReadWrite);
  if (!opened.ok() && (flags & SQLITE_OPEN_CREATE) != 0) {
    opened = f.disk->Create(path);
  }
  if (!opened.ok()) return CodeOf(opened.status(), SQLITE_CANTOPEN);
  f.file = std::move(opened).value().release();
  f.path = new std::string(path);
  f.delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  // New also if another process made it: that one may have died before it synced the directory.
  f.is_new = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  f.base.pMethods = &kMethods;
  if (flags_out != nullptr) *flags_out = flags;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs*, const char* path, int sync_directory) {
  wal::MemoryFileSystem* disk = DiskOf(path);
  if (disk == nullptr) return SQLITE_IOERR_DELETE;
  const Status removed = disk->Remove(path);
  if (removed.code() == StatusCode::kNotFound) return SQLITE_IOERR_DELETE_NOENT;
  if (!removed.ok()) return SQLITE_IOERR_DELETE;
  if (sync_directory == 0) return SQLITE_OK;
  return CodeOf(disk->SyncDirectory(DirectoryOf(path)), SQLITE_IOERR_DIR_FSYNC);
}

int Access(sqlite3_vfs*, const char* path, int, int* found) {
  wal::MemoryFileSystem* disk = DiskOf(path);
  *found = disk != nullptr && disk->Open(path, wal::OpenMode::kReadOnly).ok() ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs*, const char* path, int bytes, char* out) {
  sqlite3_snprintf(bytes, out, "%s", path);
  return SQLITE_OK;
}

// The same in each run: what SQLite draws salts from must not differ between two runs of one seed.
int Randomness(sqlite3_vfs*, int bytes, char* out) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 37 + 11);
  return bytes;
}

int Sleep(sqlite3_vfs*, int microseconds) {
  return microseconds;
}
int CurrentTime(sqlite3_vfs*, sqlite3_int64* now) {
  *now = 0;
  return SQLITE_OK;
}
int CurrentTimeOld(sqlite3_vfs*, double* now) {
  *now = 0;
  return SQLITE_OK;
}
int LastError(sqlite3_vfs*, int, char*) {
  return 0;
}

}  // namespace

const char* SimulatedVfs() {
  static constexpr const char* kName = "assent-simulated";
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs v{};
    v.iVersion = 2;
    v.szOsFile = sizeof(VfsFile);
    v.mxPathname = 512;
    v.zName = kName;
    v.xOpen = Open;
    v.xDelete = Delete;
    v.xAccess = Access;
    v.xFullPathname = FullPathname;
    v.xRandomness = Randomness;
    v.xSleep = Sleep;
    v.xCurrentTime = CurrentTimeOld;
    v.xGetLastError = LastError;
    v.xCurrentTimeInt64 = CurrentTime;
    return v;
  }();
  static const int registered = sqlite3_vfs_register(&vfs, 0);
  ASSENT_CHECK(registered == SQLITE_OK);
  return kName;
}

SimulatedDisk::SimulatedDisk(std::string root, wal::MemoryFileSystem& files)
    : root_(std::move(root)), files_(files) {
  ASSENT_CHECK(Mounts().emplace(root_, &files_).second, "mounted twice:", root_);
}

SimulatedDisk::~SimulatedDisk() {
  Mounts().erase(root_);
}

Result<bool> SimulatedDisk::Exists(const std::string& path) {
  return files_.Open(path, wal::OpenMode::kReadOnly).ok();
}
Status SimulatedDisk::Rename(const std::string& from, const std::string& to) {
  return files_.Rename(from, to);
}
Status SimulatedDisk::Remove(const std::string& path) {
  const Status removed = files_.Remove(path);
  return removed.code() == StatusCode::kNotFound ? Status() : removed;
}
Status SimulatedDisk::SyncFile(const std::string& path) {
  auto file = files_.Open(path, wal::OpenMode::kReadWrite);
  if (!file.ok()) return file.status();
  return (*file)->Sync();
}
Status SimulatedDisk::SyncDirectory(const std::string& directory) {
  return files_.SyncDirectory(directory);
}

}  // namespace assent::sim
