#include "store/checksum_vfs.h"

#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

namespace assent {
namespace {

constexpr size_t kCoveredBytes = static_cast<size_t>(kStorePageBytes - kPageChecksumBytes);

// The file of the VFS below follows in memory, as SQLite allots szOsFile bytes for both.
struct ChecksumFile {
  sqlite3_file base;  // first, since SQLite knows the file by it
  sqlite3_file* real;
};

sqlite3_file* Real(sqlite3_file* file) {
  return reinterpret_cast<ChecksumFile*>(file)->real;
}

uint64_t PageChecksum(const char* page, sqlite3_int64 offset) {
  return XXH3_64bits_withSeed(page, kCoveredBytes, static_cast<XXH64_hash_t>(offset));
}

bool IsPage(int bytes, sqlite3_int64 offset) {
  return bytes == kStorePageBytes && offset % kStorePageBytes == 0;
}

int Close(sqlite3_file* file) {
  return Real(file)->pMethods->xClose(Real(file));
}

int Read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 offset) {
  const int code = Real(file)->pMethods->xRead(Real(file), out, bytes, offset);
  // SQLite would take what is missing of a page for zeros; but it asks only for pages that were written once.
  if (code == SQLITE_IOERR_SHORT_READ && bytes == kStorePageBytes) return SQLITE_IOERR_DATA;
  if (code != SQLITE_OK) return code;
  if (IsPage(bytes, offset)) {
    const char* page = static_cast<const char*>(out);
    uint64_t stored = 0;
    std::memcpy(&stored, page + kCoveredBytes, sizeof stored);
    return stored == PageChecksum(page, offset) ? SQLITE_OK : SQLITE_IOERR_DATA;
  }
  // SQLite peeks at pieces of page 1 before it reads it as a page. A larger read of any other size comes from
  // a page size in a damaged header: our files have one page size.
  return bytes < 512 ? SQLITE_OK : SQLITE_IOERR_DATA;
}

int Write(sqlite3_file* file, const void* data, int bytes, sqlite3_int64 offset) {
  if (!IsPage(bytes, offset)) return SQLITE_IOERR_WRITE;  // would leave a page without a checksum
  std::array<char, kStorePageBytes> page;
  std::memcpy(page.data(), data, kCoveredBytes);
  const uint64_t checksum = PageChecksum(page.data(), offset);
  std::memcpy(page.data() + kCoveredBytes, &checksum, sizeof checksum);
  return Real(file)->pMethods->xWrite(Real(file), page.data(), bytes, offset);
}

int Truncate(sqlite3_file* file, sqlite3_int64 bytes) {
  return Real(file)->pMethods->xTruncate(Real(file), bytes);
}
int Sync(sqlite3_file* file, int flags) {
  return Real(file)->pMethods->xSync(Real(file), flags);
}
int FileSize(sqlite3_file* file, sqlite3_int64* bytes) {
  return Real(file)->pMethods->xFileSize(Real(file), bytes);
}
int Lock(sqlite3_file* file, int level) {
  return Real(file)->pMethods->xLock(Real(file), level);
}
int Unlock(sqlite3_file* file, int level) {
  return Real(file)->pMethods->xUnlock(Real(file), level);
}
int CheckReservedLock(sqlite3_file* file, int* out) {
  return Real(file)->pMethods->xCheckReservedLock(Real(file), out);
}
int FileControl(sqlite3_file* file, int op, void* arg) {
  return Real(file)->pMethods->xFileControl(Real(file), op, arg);
}
int SectorSize(sqlite3_file* file) {
  return Real(file)->pMethods->xSectorSize(Real(file));
}
int DeviceCharacteristics(sqlite3_file* file) {
  return Real(file)->pMethods->xDeviceCharacteristics(Real(file));
}

// Version 1: no shared memory, and no mapped reads that would go past Read.
constexpr sqlite3_io_methods kMethods = {1,
                                         Close,
                                         Read,
                                         Write,
                                         Truncate,
                                         Sync,
                                         FileSize,
                                         Lock,
                                         Unlock,
                                         CheckReservedLock,
                                         FileControl,
                                         SectorSize,
                                         DeviceCharacteristics,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr};

sqlite3_vfs* Base(sqlite3_vfs* vfs) {
  return static_cast<sqlite3_vfs*>(vfs->pAppData);
}

int Open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* base = Base(vfs);
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return base->xOpen(base, name, file, flags, out_flags);
  auto* mine = new (file) ChecksumFile{};
  mine->real = reinterpret_cast<sqlite3_file*>(mine + 1);
  mine->real->pMethods = nullptr;
  const int code = base->xOpen(base, name, mine->real, flags, out_flags);
  // SQLite calls xClose exactly if pMethods is set, even where xOpen failed.
  if (mine->real->pMethods != nullptr) mine->base.pMethods = &kMethods;
  return code;
}
int Delete(sqlite3_vfs* vfs, const char* name, int sync) {
  return Base(vfs)->xDelete(Base(vfs), name, sync);
}
int Access(sqlite3_vfs* vfs, const char* name, int flags, int* out) {
  return Base(vfs)->xAccess(Base(vfs), name, flags, out);
}
int FullPathname(sqlite3_vfs* vfs, const char* name, int bytes, char* out) {
  return Base(vfs)->xFullPathname(Base(vfs), name, bytes, out);
}
int Randomness(sqlite3_vfs* vfs, int bytes, char* out) {
  return Base(vfs)->xRandomness(Base(vfs), bytes, out);
}
int Sleep(sqlite3_vfs* vfs, int us) {
  return Base(vfs)->xSleep(Base(vfs), us);
}
int CurrentTime(sqlite3_vfs* vfs, double* out) {
  return Base(vfs)->xCurrentTime(Base(vfs), out);
}
int GetLastError(sqlite3_vfs* vfs, int bytes, char* out) {
  return Base(vfs)->xGetLastError(Base(vfs), bytes, out);
}

struct Registered {
  std::string name;
  sqlite3_vfs vfs{};
};

}  // namespace

Result<std::string> ChecksumVfs(const std::string& base) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Registered>> registered;  // SQLite keeps pointers: never freed
  const std::scoped_lock lock(mutex);
  auto& entry = registered[base];
  if (entry != nullptr) return entry->name;
  sqlite3_vfs* below = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  if (below == nullptr) return Status(StatusCode::kInvalid, "there is no SQLite VFS named \"" + base + "\"");
  auto mine = std::make_unique<Registered>();
  mine->name = "assent-checksum" + (base.empty() ? "" : ":" + base);
  sqlite3_vfs& vfs = mine->vfs;
  vfs.iVersion = 1;
  vfs.szOsFile = static_cast<int>(sizeof(ChecksumFile)) + below->szOsFile;
  vfs.mxPathname = below->mxPathname;
  vfs.zName = mine->name.c_str();
  vfs.pAppData = below;
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  const int code = sqlite3_vfs_register(&vfs, 0);
  if (code != SQLITE_OK)
    return Status(StatusCode::kIo, std::string("registering a VFS: ") + sqlite3_errstr(code));
  entry = std::move(mine);
  return entry->name;
}

}  // namespace assent
