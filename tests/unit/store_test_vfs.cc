#include "store_test_vfs.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <new>

#include "temp_directory.h"

namespace assent {
namespace {

constexpr size_t kSector = 512;

struct TestFile {
  sqlite3_file base;
  sqlite3_file* real;
  const char* path;  // as SQLite keeps it while the file is open
};

sqlite3_file* Real(sqlite3_file* file) {
  return reinterpret_cast<TestFile*>(file)->real;
}
sqlite3_vfs* Base(sqlite3_vfs* vfs) {
  return static_cast<sqlite3_vfs*>(vfs->pAppData);
}

int Close(sqlite3_file* file) {
  return Real(file)->pMethods->xClose(Real(file));
}
int Read(sqlite3_file* file, void* out, int bytes, sqlite3_int64 offset) {
  return Real(file)->pMethods->xRead(Real(file), out, bytes, offset);
}
int Write(sqlite3_file* file, const void* data, int bytes, sqlite3_int64 offset) {
  if (TestDisk::Get().ExitsNow()) {
    Real(file)->pMethods->xWrite(Real(file), data, std::min(bytes, static_cast<int>(kSector)), offset);
  }
  if (const int code = TestDisk::Get().OnChange(); code != SQLITE_OK) return code;
  return Real(file)->pMethods->xWrite(Real(file), data, bytes, offset);
}
int Truncate(sqlite3_file* file, sqlite3_int64 bytes) {
  if (const int code = TestDisk::Get().OnChange(); code != SQLITE_OK) return code;
  return Real(file)->pMethods->xTruncate(Real(file), bytes);
}
int Sync(sqlite3_file* file, int) {
  if (const int code = TestDisk::Get().OnChange(); code != SQLITE_OK) return code;
  TestDisk::Get().MarkDurable(reinterpret_cast<TestFile*>(file)->path);
  return SQLITE_OK;
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
int SectorSize(sqlite3_file*) {
  return kSector;
}
int DeviceCharacteristics(sqlite3_file*) {
  return 0;
}  // promises nothing, torn writes included

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

int Open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  auto* mine = new (file) TestFile{};
  mine->real = reinterpret_cast<sqlite3_file*>(mine + 1);
  mine->path = name == nullptr ? "" : name;
  mine->real->pMethods = nullptr;
  const int code = Base(vfs)->xOpen(Base(vfs), name, mine->real, flags, out_flags);
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

}  // namespace

TestDisk& TestDisk::Get() {
  static TestDisk disk;
  return disk;
}

const char* TestDisk::VfsName() {
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs* below = sqlite3_vfs_find(nullptr);
    sqlite3_vfs mine = *below;
    mine.iVersion = 1;
    mine.szOsFile = static_cast<int>(sizeof(TestFile)) + below->szOsFile;
    mine.zName = "test-disk";
    mine.pAppData = below;
    mine.xOpen = Open;
    mine.xDelete = Delete;
    mine.xAccess = Access;
    mine.xFullPathname = FullPathname;
    return mine;
  }();
  if (sqlite3_vfs_find(vfs.zName) == nullptr) sqlite3_vfs_register(&vfs, 0);
  return vfs.zName;
}

void TestDisk::Reset() {
  *this = TestDisk();
}

void TestDisk::FailAt(uint64_t change, int sqlite_code, bool once) {
  fail_at_ = change;
  fail_code_ = sqlite_code;
  once_ = once;
}

int TestDisk::OnChange() {
  const uint64_t change = changes_++;
  if (change == exit_at_) ::_exit(9);
  if (change == fail_at_ || (change > fail_at_ && !once_)) return fail_code_;
  return SQLITE_OK;
}

void TestDisk::MarkDurable(const std::string& path) {
  durable_[path] = ReadFile(path);
}

void TestDisk::CutPower(std::mt19937_64& random) {
  for (const auto& [path, durable] : durable_) {
    if (!std::filesystem::exists(path)) continue;
    const std::string written = ReadFile(path);
    std::string left(random() % 2 == 0 ? durable.size() : written.size(), '\0');
    // Sometimes nothing or all of what was not synced is left, else a share of it.
    const uint64_t keep_percent = random() % 3 == 0 ? 0 : random() % 101;
    for (size_t at = 0; at < left.size(); at += kSector) {
      const bool is_written = random() % 100 < keep_percent && at < written.size();  // else: not cut off yet
      const std::string& from = is_written ? written : durable;
      if (at >= from.size()) continue;
      const size_t bytes = std::min({kSector, left.size() - at, from.size() - at});
      left.replace(at, bytes, from, at, bytes);
    }
    WriteFile(path, left);
  }
}

}  // namespace assent
