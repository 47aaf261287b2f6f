#include "sim/memory_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace assent::wal {
namespace {

Status Failed(StatusCode code, const std::string& what) {
  return Status(code, "injected: " + what);
}

}  // namespace

void MemoryInode::Write(uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  const uint64_t end = offset + bytes.size();
  if (offset == cached_.size()) {
    cached_.append(bytes);
  } else {
    if (end > cached_.size()) cached_.resize(end, '\0');
    std::memcpy(cached_.data() + offset, bytes.data(), bytes.size());
  }
  sectors_.resize((cached_.size() + kSectorBytes - 1) / kSectorBytes);
  for (uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    sectors_[sector] = Sector::kDirty;
  }
}

void MemoryInode::Keep(size_t sector) {
  const size_t at = sector * kSectorBytes;
  if (durable_.size() < at) durable_.resize(at, '\0');
  durable_.replace(at, kSectorBytes, cached_, at, kSectorBytes);
  sectors_[sector] = Sector::kClean;
}

void MemoryInode::Lose(size_t sector) {
  const size_t at = sector * kSectorBytes;
  const size_t bytes = std::min<size_t>(kSectorBytes, cached_.size() - at);
  const std::string durable = at < durable_.size() ? durable_.substr(at, bytes) : std::string();
  cached_.replace(at, bytes, durable + std::string(bytes - durable.size(), '\0'));
  sectors_[sector] = Sector::kClean;
}

void MemoryInode::Sync() {
  for (size_t i = 0; i < sectors_.size(); ++i) {
    if (sectors_[i] == Sector::kDirty) Keep(i);
  }
  durable_size_ = cached_.size();
}

void MemoryInode::SyncAndLose(const std::function<bool()>& keep) {
  for (size_t i = 0; i < sectors_.size(); ++i) {
    if (sectors_[i] != Sector::kDirty) continue;
    if (keep()) {
      Keep(i);
    } else {
      sectors_[i] = Sector::kLost;
    }
  }
}

void MemoryInode::Crash(const std::function<bool()>& keep) {
  uint64_t size = durable_size_;
  for (size_t i = 0; i < sectors_.size(); ++i) {
    if (sectors_[i] == Sector::kClean) continue;
    if (sectors_[i] == Sector::kDirty && keep()) {
      Keep(i);
      size = std::max(size, std::min<uint64_t>(cached_.size(), (i + 1) * kSectorBytes));
    } else {
      Lose(i);
    }
  }
  Resize(size);
}

void MemoryInode::FlipBit(uint64_t offset, unsigned bit) {
  if (durable_.size() <= offset) durable_.resize(offset + 1, '\0');
  for (std::string* image : {&cached_, &durable_}) {
    (*image)[offset] = static_cast<char>(static_cast<unsigned char>((*image)[offset]) ^ (1U << bit));
  }
}

void MemoryInode::Resize(uint64_t size) {
  cached_.resize(size, '\0');
  durable_.resize(std::min<uint64_t>(size, durable_.size()));
  sectors_.resize((size + kSectorBytes - 1) / kSectorBytes);
  durable_size_ = size;
}

class MemoryFile final : public File {
 public:
  MemoryFile(MemoryFileSystem& files, std::shared_ptr<MemoryInode> inode, OpenMode mode)
      : files_(files), inode_(std::move(inode)), mode_(mode) {}

  Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const override {
    const std::string& bytes = inode_->cached();
    if (offset >= bytes.size()) return size_t{0};
    const size_t count = std::min<size_t>(out.size(), bytes.size() - offset);
    std::memcpy(out.data(), bytes.data() + offset, count);
    return count;
  }

  Status WriteAt(uint64_t offset, std::string_view bytes) override {
    ASSENT_CHECK(mode_ == OpenMode::kReadWrite, "a write through a read-only handle");
    return files_.WriteTo(*inode_, offset, bytes);
  }

  Status Sync() override { return files_.SyncFile(*inode_); }
  Result<uint64_t> Size() const override { return uint64_t{inode_->cached().size()}; }

 private:
  MemoryFileSystem& files_;
  const std::shared_ptr<MemoryInode> inode_;
  const OpenMode mode_;
};

MemoryFileSystem::MemoryFileSystem(const MemoryFileSystem& other) : capacity_(other.capacity_) {
  ASSENT_CHECK(other.pending_.empty(), "copied with directory operations that are not durable");
  for (const auto& [path, inode] : other.cached_) {
    cached_[path] = durable_[path] = std::make_shared<MemoryInode>(*inode);
  }
}

MemoryFileSystem MemoryFileSystem::Found(bool power, const std::function<bool()>& keep) const {
  MemoryFileSystem found;
  Names names = cached_;
  if (power) {
    names = durable_;
    for (const DirectoryOperation& operation : pending_) {
      if (keep()) Perform(operation, names);
    }
  }
  for (const auto& [path, inode] : names) {
    found.cached_[path] = found.durable_[path] = std::make_shared<MemoryInode>(*inode);
    if (power) found.cached_[path]->Crash(keep);
  }
  return found;
}

void MemoryFileSystem::CopyFrom(const MemoryFileSystem& other, const std::string& from,
                                const std::string& to) {
  cached_.clear();
  pending_.clear();
  for (const auto& [path, inode] : other.cached_) {
    ASSENT_CHECK(path.starts_with(from), path, from);
    const auto copy = std::make_shared<MemoryInode>();
    copy->Write(0, inode->cached());
    copy->Sync();
    cached_[to + path.substr(from.size())] = copy;
  }
  durable_ = cached_;
}

MemoryFileSystem::Fault MemoryFileSystem::NextEffect(bool is_sync) {
  if (stopped_ || (before_effect_ && before_effect_(is_sync))) return Fault::kStop;
  const Fault fault = ++effects_ == fault_at_ ? fault_ : Fault::kNone;
  stopped_ = fault == Fault::kStop;
  if (fault != Fault::kNone && after_fault_) std::exchange(after_fault_, nullptr)();
  return fault;
}

void MemoryFileSystem::Perform(const DirectoryOperation& operation, Names& names) {
  if (!operation.from.empty()) {
    // An operation whose source did not survive does not happen either.
    if (names.erase(operation.from) == 0) return;
  }
  if (!operation.to.empty()) names[operation.to] = operation.inode;
}

Status MemoryFileSystem::PerformCached(const std::string& what, DirectoryOperation operation) {
  switch (NextEffect()) {
    case Fault::kStop:
      return Failed(StatusCode::kIo, "stopped at " + what);
    case Fault::kError:
      return Failed(StatusCode::kIo, what);
    case Fault::kDiskFull:
      return Failed(StatusCode::kDiskFull, what);
    case Fault::kNone:
      break;
  }
  Perform(operation, cached_);
  pending_.push_back(std::move(operation));
  return Status();
}

Result<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path, OpenMode mode) {
  const auto found = cached_.find(path);
  if (found == cached_.end()) return Status(StatusCode::kNotFound, "open " + path);
  return std::unique_ptr<File>(new MemoryFile(*this, found->second, mode));
}

Result<std::unique_ptr<File>> MemoryFileSystem::Create(const std::string& path) {
  if (cached_.contains(path)) return Status(StatusCode::kConflict, "create " + path);
  const auto inode = std::make_shared<MemoryInode>();
  ASSENT_RETURN_IF_ERROR(PerformCached("create " + path, {"", path, inode}));
  return std::unique_ptr<File>(new MemoryFile(*this, inode, OpenMode::kReadWrite));
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  const auto found = cached_.find(from);
  if (found == cached_.end()) return Status(StatusCode::kNotFound, "rename " + from);
  return PerformCached("rename " + from, {from, to, found->second});
}

Status MemoryFileSystem::Remove(const std::string& path) {
  if (!cached_.contains(path)) return Status(StatusCode::kNotFound, "remove " + path);
  return PerformCached("remove " + path, {path, "", nullptr});
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& [path, inode] : cached_) {
    if (path.starts_with(directory + "/")) names.push_back(path.substr(directory.size() + 1));
  }
  return names;
}

Status MemoryFileSystem::SyncDirectory(const std::string& directory) {
  ++syncs_;
  switch (NextEffect()) {
    case Fault::kStop:
      return Failed(StatusCode::kIo, "stopped at sync of " + directory);
    case Fault::kError:
    case Fault::kDiskFull:
      return Failed(StatusCode::kIo, "sync of " + directory);
    case Fault::kNone:
      break;
  }
  for (const DirectoryOperation& operation : pending_) Perform(operation, durable_);
  pending_.clear();
  return Status();
}

Status MemoryFileSystem::Truncate(const std::string& path, uint64_t size) {
  if (NextEffect() != Fault::kNone) return Failed(StatusCode::kIo, "truncation of " + path);
  inode(path).Resize(size);
  return Status();
}

Status MemoryFileSystem::WriteTo(MemoryInode& inode, uint64_t offset, std::string_view bytes) {
  const Fault fault = NextEffect();
  if (fault == Fault::kStop) return Failed(StatusCode::kIo, "stopped at a write");
  if (fault != Fault::kNone) {
    inode.Write(offset, bytes.substr(0, bytes.size() / 2));
    return Failed(fault == Fault::kError ? StatusCode::kIo : StatusCode::kDiskFull, "write");
  }
  const uint64_t growth =
      offset + bytes.size() - std::min<uint64_t>(inode.cached().size(), offset + bytes.size());
  if (capacity_ && growth > 0 && used() + growth > *capacity_) {
    const uint64_t missing = std::min(growth, used() + growth - *capacity_);
    inode.Write(offset, bytes.substr(0, bytes.size() - missing));
    return Failed(StatusCode::kDiskFull, "the disk is full");
  }
  inode.Write(offset, bytes);
  return Status();
}

Status MemoryFileSystem::SyncFile(MemoryInode& inode) {
  ++syncs_;
  switch (NextEffect(/*is_sync=*/true)) {
    case Fault::kStop:
      return Failed(StatusCode::kIo, "stopped at a sync");
    case Fault::kError:
    case Fault::kDiskFull:
      inode.SyncAndLose(keep_);
      return Failed(StatusCode::kIo, "sync");
    case Fault::kNone:
      break;
  }
  inode.Sync();
  return Status();
}

uint64_t MemoryFileSystem::used() const {
  uint64_t bytes = 0;
  for (const auto& [path, inode] : cached_) bytes += inode->cached().size();
  return bytes;
}

void MemoryFileSystem::Crash(const std::function<bool()>& keep) {
  ClearFaults();
  for (const DirectoryOperation& operation : pending_) {
    if (keep()) Perform(operation, durable_);
  }
  pending_.clear();
  cached_ = durable_;
  for (const auto& [path, inode] : cached_) inode->Crash(keep);
}

MemoryInode& MemoryFileSystem::inode(const std::string& path) {
  const auto found = cached_.find(path);
  ASSENT_CHECK(found != cached_.end(), path);
  return *found->second;
}

std::vector<std::string> MemoryFileSystem::Paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : cached_) paths.push_back(path);
  return paths;
}

}  // namespace assent::wal
