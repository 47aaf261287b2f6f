#include "runtime/config/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "common/check.h"
#include "directory/durable_files.h"
#include "directory/text_record.h"

namespace assent {
namespace {

constexpr uint32_t kFormat = 1;
constexpr const char* kLockName = "lock";
constexpr const char* kIdentityName = "identity";
constexpr const char* kStartsKind = "starts";
constexpr const char* kStartsPrefix = "starts.";
constexpr const char* kLogName = "log";
constexpr const char* kStoreName = "state.sqlite";

std::string Away(const std::string& path) {
  return "Move " + path + " away and restart the node: the replica is filled again from its peers";
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

DataDirectory::DataDirectory(std::string path, std::string cluster, NodeId node)
    : path_(std::move(path)), cluster_(std::move(cluster)), node_(node) {}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

Result<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path,
                                                           const std::string& cluster, NodeId node) {
  ASSENT_RETURN_IF_ERROR(MakeDirectories(path));
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, cluster, node));
  ASSENT_RETURN_IF_ERROR(directory->TakeLock());
  ASSENT_RETURN_IF_ERROR(RemoveStaleTemporaries(path));
  ASSENT_RETURN_IF_ERROR(directory->OpenIdentity());
  return directory;
}

Status DataDirectory::TakeLock() {
  const std::string path = LockPath();
  const auto failed = [&](const char* doing) {
    const int error = errno;
    return Status(error == ENOSPC || error == EDQUOT ? StatusCode::kDiskFull : StatusCode::kIo,
                  std::string(doing) + " " + path + ": " + std::strerror(error));
  };
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return failed("opening");
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("locking");
    char holder[32] = {};
    const ssize_t got = ::pread(lock_, holder, sizeof holder - 1, 0);
    std::string pid(holder, got > 0 ? static_cast<size_t>(got) : 0);
    pid.erase(std::remove(pid.begin(), pid.end(), '\n'), pid.end());
    return Status(StatusCode::kUnavailable,
                  path_ + ": process " + (pid.empty() ? "(unknown)" : pid) +
                      " runs on this data directory. Stop it first, or give this node "
                      "another one");
  }
  // For people and the message above; the lock is what counts, so nothing is synced.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock_, 0) != 0 || ::pwrite(lock_, pid.data(), pid.size(), 0) < 0) return failed("writing");
  return {};
}

Status DataDirectory::OpenIdentity() {
  const std::string path = path_ + "/" + kIdentityName;
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok() && text.status().code() == StatusCode::kNotFound) {
    const auto names = ListDirectory(path_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (name == kLockName || name == "lost+found" || IsTemporary(name)) continue;
      if (ParseGroupId(name) || NumberInName(kStartsPrefix, name)) {
        return Status(StatusCode::kDamaged,
                      path + " is missing, but there are files of a node in " + path_ +
                          ". Put the file back from a copy, or move the directory away: the node "
                          "is filled again from its peers");
      }
      return Status(StatusCode::kForeign,
                    path_ + ": holds \"" + name +
                        "\", which is not Assent's. Set node.data to an empty or a new directory");
    }
    const TextRecord record{"node", kFormat, {{"cluster", cluster_}, {"node", ToString(node_)}}};
    return ReplaceFile(path, EncodeTextRecord(record));
  }
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, "node", kFormat, path);
  if (!record.ok()) return record.status();
  const std::string cluster = record->Find("cluster").value_or("");
  if (cluster != cluster_) {
    return Status(StatusCode::kForeign, path_ + ": this data belongs to cluster " + cluster +
                                            ", and the configuration to " + cluster_ +
                                            ". Set node.data to this cluster's own directory");
  }
  const std::string node = record->Find("node").value_or("");
  if (node != ToString(node_)) {
    return Status(StatusCode::kForeign, path_ + ": this data belongs to node " + node + ", not " +
                                            ToString(node_) + ". Set node.data to this node's own directory");
  }
  return {};
}

Result<NodeFiles> DataDirectory::ReadStarts(uint64_t fresh) {
  ASSENT_CHECK(fresh != 0);
  const auto names = ListDirectory(path_);
  if (!names.ok()) return names.status();
  std::vector<uint64_t> found;
  for (const std::string& name : *names) {
    if (const auto number = NumberInName(kStartsPrefix, name)) found.push_back(*number);
  }
  if (found.size() > 1) {
    return Status(StatusCode::kDamaged, StartsPath(found[0]) + " and " + StartsPath(found[1]) +
                                            ": these are two copies of a node's files, one put over the "
                                            "other. Put back one of them whole");
  }
  if (found.empty()) {
    const TextRecord record{kStartsKind, kFormat, {{"files", Hex16(fresh)}}};
    ASSENT_RETURN_IF_ERROR(CreateFileOnce(StartsPath(0), EncodeTextRecord(record)));
    found.push_back(0);
  }
  const std::string path = StartsPath(found[0]);
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, kStartsKind, kFormat, path);
  if (!record.ok()) return record.status();
  const NodeFiles read{record->FindHex("files").value_or(0), found[0]};
  if (read.files == 0) {
    return Status(StatusCode::kDamaged, path + ": a field is missing. The file is damaged");
  }
  return read;
}

// R3: durable before the start is registered, so a register never names one that these files do not know of;
// and not before the register was looked at, or old files would know of as many once they were refused often
// enough. The number is in the name, since a rename needs no room: a node starts on a full disk, too, and
// goes on when there is room (G8).
Status DataDirectory::CountStart(const NodeFiles& read) {
  return Rename(StartsPath(read.starts), StartsPath(read.starts + 1));
}

std::string DataDirectory::StartsPath(uint64_t starts) const {
  return path_ + "/" + NumberedName(kStartsPrefix, starts);
}

std::string DataDirectory::LockPath() const {
  return path_ + "/" + kLockName;
}
std::string DataDirectory::ReplicaPath(GroupId group) const {
  return path_ + "/" + ToString(group);
}
std::string DataDirectory::LogPath(GroupId group) const {
  return ReplicaPath(group) + "/" + kLogName;
}
std::string DataDirectory::StorePath(GroupId group) const {
  return ReplicaPath(group) + "/" + kStoreName;
}
std::string DataDirectory::SnapshotPath(GroupId group) const {
  return ReplicaPath(group) + "/snapshot.sqlite";
}

Result<std::vector<GroupId>> DataDirectory::Replicas() const {
  const auto names = ListDirectory(path_);
  if (!names.ok()) return names.status();
  std::vector<GroupId> groups;
  for (const std::string& name : *names) {
    if (const auto group = ParseGroupId(name)) groups.push_back(*group);
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

Result<std::set<DirectoryIncarnation>> DataDirectory::KnownDirectories() const {
  const auto groups = Replicas();
  if (!groups.ok()) return groups.status();
  std::set<DirectoryIncarnation> known;
  for (const GroupId group : *groups) {
    const auto identity = ReadReplica(group);
    if (identity.ok() && Raw(identity->directory) != 0) known.insert(identity->directory);
  }
  return known;
}

Result<ReplicaIdentity> DataDirectory::OpenReplica(GroupId group, Incarnation fresh) {
  ASSENT_CHECK(Raw(fresh) != 0);
  const std::string replica_path = ReplicaPath(group);
  ASSENT_RETURN_IF_ERROR(MakeDirectories(replica_path));
  ASSENT_RETURN_IF_ERROR(
      SyncDirectory(path_));  // R7: an earlier process may have made it and died before its sync
  ASSENT_RETURN_IF_ERROR(RemoveStaleTemporaries(replica_path));
  const auto names = ListDirectory(replica_path);
  if (!names.ok()) return names.status();
  if (!Contains(*names, kIdentityName)) {
    // R3: the identity comes first, so data without one has lost it, and nobody may vouch
    // for what it acknowledged.
    if (Contains(*names, kLogName) || Contains(*names, kStoreName)) {
      return Status(StatusCode::kDamaged, replica_path + "/identity is missing. " + Away(replica_path));
    }
    ASSENT_RETURN_IF_ERROR(WriteReplica(ReplicaIdentity{group, fresh, {}, {}, false}));
  }
  const auto identity = ReadReplica(group);
  if (!identity.ok()) return identity;
  if (identity->formed) {
    const auto log = ListDirectory(LogPath(group));
    const bool log_is_there = log.ok() && !log->empty();
    if (!log_is_there || !Contains(*names, kStoreName)) {
      return Status(StatusCode::kDamaged, replica_path + ": the " + (log_is_there ? kStoreName : kLogName) +
                                              " of this replica is gone. " + Away(replica_path));
    }
  }
  ASSENT_RETURN_IF_ERROR(MakeDirectories(LogPath(group)));
  ASSENT_RETURN_IF_ERROR(SyncDirectory(replica_path));  // R7: as above
  return identity;
}

Status DataDirectory::Follow(const Adoption& adoption, DirectoryIncarnation next) {
  const auto groups = Replicas();
  if (!groups.ok()) return groups.status();
  for (const GroupId group : *groups) {
    auto identity = ReadReplica(group);
    if (!identity.ok() || identity->directory != adoption.succeeds) continue;
    const Adoption::Heard self{group, {node_, identity->incarnation}};
    if (std::find(adoption.replicas.begin(), adoption.replicas.end(), self) == adoption.replicas.end()) {
      return Status(StatusCode::kForeign,
                    ReplicaPath(group) +
                        ": the directory that this replica knows was given up for lost, and "
                        "another one made without it (R12). Move " +
                        path_ + " aside: the node joins again, as a new replica of each group");
    }
    identity->directory = next;
    ASSENT_RETURN_IF_ERROR(UpdateReplica(*identity));
  }
  return {};
}

Status DataDirectory::UpdateReplica(const ReplicaIdentity& identity) {
  const auto held = ReadReplica(identity.group);
  if (!held.ok()) return held.status();
  ASSENT_CHECK(identity.incarnation == held->incarnation, identity.incarnation, held->incarnation);
  ASSENT_CHECK(identity.highest_epoch >= held->highest_epoch, identity.highest_epoch,
               held->highest_epoch);  // I-R4
  ASSENT_CHECK(identity.formed || !held->formed, ToString(identity.group));
  if (identity == *held) return {};
  return WriteReplica(identity);
}

Result<ReplicaIdentity> DataDirectory::ReadReplica(GroupId group) const {
  const std::string path = ReplicaPath(group) + "/" + kIdentityName;
  const auto damaged = [&](const std::string& what) {
    return Status(StatusCode::kDamaged, path + ": " + what + ". " + Away(ReplicaPath(group)));
  };
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, "replica", kFormat, path);
  if (!record.ok() && record.status().code() == StatusCode::kDamaged)
    return damaged("it does not read as it was written");
  if (!record.ok()) return record.status();
  const auto incarnation = record->FindHex("incarnation");
  const auto directory = record->FindHex("directory");
  const auto epoch = record->FindNumber("highest_epoch");
  const auto formed = record->Find("formed");
  if (!incarnation || *incarnation == 0 || !directory || !epoch || (formed != "yes" && formed != "no")) {
    return damaged("a field is missing");
  }
  // Copied from elsewhere: two replicas of one incarnation must never be (R3).
  if (record->Find("cluster") != cluster_ || record->Find("group") != ToString(group) ||
      record->Find("node") != ToString(node_)) {
    return Status(StatusCode::kForeign, path + ": belongs to group " + record->Find("group").value_or("?") +
                                            " on node " + record->Find("node").value_or("?") +
                                            " of cluster " + record->Find("cluster").value_or("?") +
                                            ". Put the directory back where it was taken from");
  }
  return ReplicaIdentity{group, Incarnation{*incarnation}, DirectoryIncarnation{*directory}, Epoch{*epoch},
                         formed == "yes"};
}

// R3, I-R4: one file, replaced whole, so that no crash shows an epoch of one time beside
// an incarnation of another.
Status DataDirectory::WriteReplica(const ReplicaIdentity& identity) const {
  const TextRecord record{"replica",
                          kFormat,
                          {{"cluster", cluster_},
                           {"group", ToString(identity.group)},
                           {"node", ToString(node_)},
                           {"incarnation", Hex16(Raw(identity.incarnation))},
                           {"directory", Hex16(Raw(identity.directory))},
                           {"highest_epoch", std::to_string(Raw(identity.highest_epoch))},
                           {"formed", identity.formed ? "yes" : "no"}}};
  return ReplaceFile(ReplicaPath(identity.group) + "/" + kIdentityName, EncodeTextRecord(record));
}

}  // namespace assent
