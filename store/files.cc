#include "store/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace assent {
namespace {

Status Failed(const std::string& doing, const std::string& path) {
  const int error = errno;
  return Status(error == ENOSPC || error == EDQUOT ? StatusCode::kDiskFull : StatusCode::kIo,
                doing + " " + path + ": " + std::strerror(error));
}

class Posix final : public StoreFiles {
 public:
  Result<bool> Exists(const std::string& path) override {
    if (::access(path.c_str(), F_OK) == 0) return true;
    if (errno == ENOENT) return false;
    return Failed("looking for", path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (std::rename(from.c_str(), to.c_str()) != 0) return Failed("renaming " + from + " to", to);
    return {};
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("removing", path);
    return {};
  }

  Status SyncFile(const std::string& path) override { return Sync(path, O_RDONLY | O_CLOEXEC); }
  Status SyncDirectory(const std::string& directory) override {
    return Sync(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }

 private:
  static Status Sync(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags);
    if (fd < 0) return Failed("opening", path);
    Status status;
    if (::fsync(fd) != 0) status = Failed("syncing", path);
    ::close(fd);
    return status;
  }
};

}  // namespace

StoreFiles& PosixStoreFiles() {
  static Posix files;
  return files;
}

Status RemoveFilesBeside(StoreFiles& files, const std::string& path) {
  for (const char* suffix : {"-wal", "-shm", "-journal", "-checkpoint"})
    ASSENT_RETURN_IF_ERROR(files.Remove(path + suffix));
  return {};
}

Status RemoveDatabase(StoreFiles& files, const std::string& path) {
  ASSENT_RETURN_IF_ERROR(files.Remove(path));
  return RemoveFilesBeside(files, path);
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace assent
