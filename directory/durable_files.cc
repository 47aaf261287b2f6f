#include "directory/durable_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace assent {
namespace {

constexpr std::string_view kTemporaryPrefix = ".tmp.";

Status Failed(int error, const std::string& doing, const std::string& path) {
  StatusCode code = StatusCode::kIo;
  if (error == ENOSPC || error == EDQUOT) code = StatusCode::kDiskFull;
  if (error == ENOENT) code = StatusCode::kNotFound;
  if (error == EEXIST) code = StatusCode::kConflict;
  if (error == EMFILE || error == ENFILE) code = StatusCode::kUnavailable;
  return Status(code, doing + " " + path + ": " + std::strerror(error));
}

// True for errors that the file system returns before it does anything; after others (EIO, say) nobody knows.
bool IsRefusal(int error) {
  switch (error) {
    case EEXIST:
    case ENOENT:
    case ENOSPC:
    case EDQUOT:
    case EACCES:
    case EPERM:
    case EROFS:
    case EMLINK:
      return true;
    default:
      return false;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// A directory whose next change is to be made durable. Opened before the change: a change that then cannot be
// synced for want of a descriptor would pass for made when it is looked at again (R7).
class SyncedDirectory {
 public:
  explicit SyncedDirectory(const std::string& path)
      : path_(path), directory_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), error_(errno) {}
  Status opened() const { return directory_.open() ? Status() : Failed(error_, "opening", path_); }
  Status Sync() const {
    if (::fsync(directory_.get()) != 0) return Failed(errno, "syncing", path_);
    return {};
  }

 private:
  const std::string& path_;
  const Descriptor directory_;
  const int error_;
};

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// A written and synced file under a name of its own in `directory`; the name goes with this object, the file
// stays if it was given another.
class Temporary {
 public:
  explicit Temporary(const std::string& directory) : directory_(directory) {}
  ~Temporary() {
    if (fd_ < 0) return;
    ::unlink(path_.c_str());  // after a rename it is gone already
    ::close(fd_);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  Status Write(std::string_view contents) {
    ASSENT_RETURN_IF_ERROR(Create());
    while (!contents.empty()) {
      const ssize_t written = ::write(fd_, contents.data(), contents.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Failed(errno, "writing", path_);
      contents.remove_prefix(static_cast<size_t>(written));
    }
    if (::fsync(fd_) != 0) return Failed(errno, "syncing", path_);
    return {};
  }
  const std::string& path() const { return path_; }

 private:
  Status Create() {
    static std::atomic<uint64_t> counter{0};
    // Names may be taken by an earlier process of the same pid; each try takes the next.
    for (int tries = 0; tries < 1000; ++tries) {
      path_ = directory_ + "/" + std::string(kTemporaryPrefix) + std::to_string(::getpid()) + "." +
              std::to_string(counter.fetch_add(1));
      const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (fd < 0 && errno == EEXIST) continue;
      if (fd < 0) return Failed(errno, "creating", path_);
      // A cleaner that came in between has the lock, or had it and removed the name: take another.
      struct stat info {};
      if (::flock(fd, LOCK_EX | LOCK_NB) != 0 || ::fstat(fd, &info) != 0 || info.st_nlink == 0) {
        ::close(fd);
        continue;
      }
      fd_ = fd;
      return {};
    }
    return Status(StatusCode::kIo,
                  directory_ + ": too many temporary files of other processes; remove .tmp.* there");
  }

  const std::string directory_;
  std::string path_;
  int fd_ = -1;
};

}  // namespace

Result<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return Failed(errno, "opening", path);
  std::string contents(bytes_max + 1, '\0');
  size_t held = 0;
  while (held < contents.size()) {
    const ssize_t got = ::read(file.get(), contents.data() + held, contents.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed(errno, "reading", path);
    if (got == 0) break;
    held += static_cast<size_t>(got);
  }
  if (held > bytes_max) return Status(StatusCode::kDamaged, path + ": larger than any such file of Assent's");
  contents.resize(held);
  return contents;
}

Status CreateFileOnce(const std::string& path, std::string_view contents, bool* may_be_there) {
  const std::string directory = ParentOf(path);
  const SyncedDirectory synced(directory);
  ASSENT_RETURN_IF_ERROR(synced.opened());
  Temporary temporary(directory);
  ASSENT_RETURN_IF_ERROR(temporary.Write(contents));
  // R12: whole and durable before it has its name, and the name is given at most once.
  if (::link(temporary.path().c_str(), path.c_str()) != 0) {
    const int error = errno;
    if (may_be_there != nullptr && !IsRefusal(error)) *may_be_there = true;
    return Failed(error, "linking", path);
  }
  if (may_be_there != nullptr) *may_be_there = true;
  return synced.Sync();
}

Status ReplaceFile(const std::string& path, std::string_view contents) {
  const std::string directory = ParentOf(path);
  const SyncedDirectory synced(directory);
  ASSENT_RETURN_IF_ERROR(synced.opened());
  Temporary temporary(directory);
  ASSENT_RETURN_IF_ERROR(temporary.Write(contents));
  if (std::rename(temporary.path().c_str(), path.c_str()) != 0) return Failed(errno, "renaming to", path);
  return synced.Sync();
}

Status MakeDirectories(const std::string& path) {
  int made = ::mkdir(path.c_str(), 0700);
  if (made != 0 && errno == ENOENT) {
    const std::string parent = ParentOf(path);
    if (parent == path) return Failed(ENOENT, "creating the directory", path);
    ASSENT_RETURN_IF_ERROR(MakeDirectories(parent));
    made = ::mkdir(path.c_str(), 0700);  // once: there are places, such as /proc, where it is never found
  }
  if (made != 0) {
    const int error = errno;
    struct stat info {};
    if (error != EEXIST || ::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      const Status failed = Failed(error, "creating the directory", path);
      return error == EEXIST ? Status(StatusCode::kIo, path + ": exists and is not a directory") : failed;
    }
    return {};
  }
  return SyncDirectory(ParentOf(path));  // R7
}

Status SyncDirectory(const std::string& path) {
  const SyncedDirectory directory(path);
  ASSENT_RETURN_IF_ERROR(directory.opened());
  return directory.Sync();
}

Status Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno == ENOTEMPTY || errno == ENOTDIR ? EEXIST : errno;
    return Failed(error, "renaming to", to);
  }
  return SyncDirectory(ParentOf(to));
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (directory == nullptr) return Failed(errno, "opening", path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());  // NOLINT: the stream is this call's own
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) return Failed(errno, "reading", path);
  std::sort(names.begin(), names.end());
  return names;
}

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Failed(errno, "removing", path);
  return {};
}

std::string NumberedName(std::string_view prefix, uint64_t number) {
  char digits[21];
  std::snprintf(digits, sizeof digits, "%020llu", static_cast<unsigned long long>(number));
  return std::string(prefix) + digits;
}

std::optional<uint64_t> NumberInName(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || name.size() != 20) return std::nullopt;
  return number;
}

bool IsTemporary(std::string_view name) {
  return name.starts_with(kTemporaryPrefix);
}

Status RemoveStaleTemporaries(const std::string& directory) {
  const auto names = ListDirectory(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!IsTemporary(name)) continue;
    const std::string path = directory + "/" + name;
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.open() || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue;  // gone, or its writer lives
    ASSENT_RETURN_IF_ERROR(RemoveFile(path));
  }
  return {};
}

}  // namespace assent
