#include "wal/posix_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "common/check.h"

namespace assent::wal {
namespace {

Status ErrnoStatus(std::string_view operation, const std::string& path, int error) {
  StatusCode code = StatusCode::kIo;
  if (error == ENOSPC || error == EDQUOT) code = StatusCode::kDiskFull;
  if (error == ENOENT) code = StatusCode::kNotFound;
  if (error == EEXIST) code = StatusCode::kConflict;
  if (error == EMFILE || error == ENFILE) code = StatusCode::kUnavailable;
  return Status(code, std::string(operation) + " " + path + ": " + std::generic_category().message(error));
}

// Calls `call` until it is not interrupted by a signal.
template <typename Call>
auto RetryInterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {
    ASSENT_CHECK(descriptor_ >= 0, path_);
  }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  // All that matters was synced; close() has nothing to say about it.
  ~PosixFile() override { (void)::close(descriptor_); }

  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t count = RetryInterrupted([&] {
        return ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      });
      if (count < 0) return ErrnoStatus("read", path_, errno);
      if (count == 0) break;
      done += static_cast<size_t>(count);
    }
    return done;
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    ASSENT_CHECK(offset <= INT64_MAX - bytes.size(), path_, offset);  // an off_t has a sign
    while (!bytes.empty()) {
      const ssize_t count = RetryInterrupted(
          [&] { return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (count < 0) return ErrnoStatus("write", path_, errno);
      if (count == 0) return Status(StatusCode::kIo, "write " + path_ + ": nothing was written");
      bytes.remove_prefix(static_cast<size_t>(count));
      offset += static_cast<uint64_t>(count);
    }
    return Status();
  }

  // Not retried after an interruption either: an error that an interrupted fdatasync reported is lost (R7).
  Status Sync() override {
    if (::fdatasync(descriptor_) != 0) return ErrnoStatus("fdatasync", path_, errno);
    return Status();
  }

  Result<uint64_t> Size() const override {
    struct stat facts {};
    if (::fstat(descriptor_, &facts) != 0) return ErrnoStatus("stat", path_, errno);
    return static_cast<uint64_t>(facts.st_size);
  }

 private:
  const int descriptor_;
  const std::string path_;
};

Result<std::unique_ptr<File>> OpenWith(std::string_view operation, const std::string& path, int flags) {
  const int descriptor = RetryInterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0600); });
  if (descriptor < 0) return ErrnoStatus(operation, path, errno);
  return std::unique_ptr<File>(new PosixFile(descriptor, path));
}

}  // namespace

Result<std::unique_ptr<File>> PosixFileSystem::Open(const std::string& path, OpenMode mode) {
  return OpenWith("open", path, mode == OpenMode::kReadOnly ? O_RDONLY : O_RDWR);
}

Result<std::unique_ptr<File>> PosixFileSystem::Create(const std::string& path) {
  return OpenWith("create", path, O_RDWR | O_CREAT | O_EXCL);
}

Status PosixFileSystem::Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus("rename to " + to + " of", from, errno);
  return Status();
}

Status PosixFileSystem::Remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("remove", path, errno);
  return Status();
}

Status PosixFileSystem::CreateDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return Status();
  const int error = errno;
  struct stat facts {};
  if (error == EEXIST && ::stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) return Status();
  return ErrnoStatus("create directory", path, error);
}

Result<std::vector<std::string>> PosixFileSystem::List(const std::string& directory) {
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) return ErrnoStatus("list", directory, errno);
  std::vector<std::string> names;
  Status status;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(stream);
    if (entry == nullptr) {
      if (errno != 0) status = ErrnoStatus("list", directory, errno);
      break;
    }
    struct stat facts {};
    if (::fstatat(::dirfd(stream), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed since
      status = ErrnoStatus("stat in", directory, errno);
      break;
    }
    if (S_ISREG(facts.st_mode)) names.emplace_back(entry->d_name);
  }
  (void)::closedir(stream);
  if (!status.ok()) return status;
  std::sort(names.begin(), names.end());
  return names;
}

PosixFileSystem::~PosixFileSystem() {
  for (const auto& [path, descriptor] : directories_) (void)::close(descriptor);
}

Status PosixFileSystem::SyncDirectory(const std::string& directory) {
  const auto descriptor = OpenDirectory(directory);
  if (!descriptor.ok()) return descriptor.status();
  if (::fsync(*descriptor) != 0) return ErrnoStatus("fsync of directory", directory, errno);
  return Status();
}

// Once opened it stays: a creation, rename or removal must not wait for a descriptor to be synced (R7).
Result<int> PosixFileSystem::OpenDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto held = directories_.find(path);
  if (held != directories_.end()) {
    struct stat here {
    }, there{};
    const bool same = ::fstat(held->second, &here) == 0 && ::stat(path.c_str(), &there) == 0 &&
                      here.st_dev == there.st_dev && here.st_ino == there.st_ino;
    if (same) return held->second;
    (void)::close(held->second);  // another was put in its place
    directories_.erase(held);
  }
  const int descriptor =
      RetryInterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) return ErrnoStatus("open directory", path, errno);
  directories_.emplace(path, descriptor);
  return descriptor;
}

}  // namespace assent::wal
