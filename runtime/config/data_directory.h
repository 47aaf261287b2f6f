#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "directory/directory.h"
#include "directory/identity_record.h"

// The data directory of a node (docs/FORMAT.md, "The data directory"):
//
//   <data>/lock                       held with flock(2) while a node runs; names its pid
//   <data>/identity                   cluster, node
//   <data>/starts.<number>            how many processes began on these files; the id of the files
//   <data>/<group>/identity           of a replica: cluster, group, node, incarnation, directory, epoch
//   <data>/<group>/log/               the log (wal/)
//   <data>/<group>/state.sqlite       the store (store/)
//   <data>/<group>/snapshot.sqlite    a snapshot under way
//
// It owns the lock, the identity files and the number of starts, and hands out the other paths.
//
// Guarantees:
//   R3   A replica's incarnation is drawn when its directory is made and never changes: a directory without
//        its identity is another replica. Highest epoch seen and incarnation are in one file, replaced whole.
//   R7   tmp + fsync + rename + directory fsync; the update returns once it is durable.
//   I-R4 The highest epoch never falls.
namespace assent {

struct ReplicaIdentity {
  GroupId group;
  Incarnation incarnation{};
  DirectoryIncarnation
      directory{};        // of the directory this replica belongs to (R12); 0 until it has seen one
  Epoch highest_epoch{};  // of a view of this group that the replica has seen (R3, R12)
  // Log and store were made. From then on a missing one is damage: what this replica has acknowledged is
  // gone, and it must not come back under its old incarnation.
  bool formed = false;
  bool operator==(const ReplicaIdentity&) const = default;
};

// Tells files of a node from older ones (R3).
struct NodeFiles {
  uint64_t files = 0;   // drawn when the data directory was made, or first counted
  uint64_t starts = 0;  // of processes that were registered, or about to be
};

class DataDirectory {
 public:
  // Opens or creates, and takes the lock. Errors: kUnavailable (another process runs here; the message names
  // its pid), kForeign (another cluster's or node's, a newer format), kDamaged, kIo, kDiskFull.
  static Result<std::unique_ptr<DataDirectory>> Open(const std::string& path, const std::string& cluster,
                                                     NodeId node);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  // How many starts were counted. `fresh`: drawn at random by the caller, for a directory whose starts never
  // were. kDamaged: two numbers are there.
  Result<NodeFiles> ReadStarts(uint64_t fresh);
  // One more than ReadStarts told, durably; on a full disk, too.
  Status CountStart(const NodeFiles& read);

  // Reads a replica's identity, or makes its directory and one with `fresh`, drawn at random by the caller,
  // as its incarnation. kDamaged: the replica's files are there without an identity, or a formed one lacks
  // its log or store.
  Result<ReplicaIdentity> OpenReplica(GroupId group, Incarnation fresh);
  // The identity of a replica that is there. kNotFound, kDamaged, kForeign, kIo.
  Result<ReplicaIdentity> ReadReplica(GroupId group) const;
  // R12: replicas here that the adoption names, and that know the directory it succeeds, belong to `next`
  // from now on. kForeign: a replica knows that directory, and is not named.
  Status Follow(const Adoption& adoption, DirectoryIncarnation next);
  // Replaces the identity durably. Group, incarnation and `formed` stay once given, and the epoch does not
  // fall (I-R4): a caller that breaks this has a bug. After a failure (R7) the replica must stop: which of
  // the two holds is not known.
  Status UpdateReplica(const ReplicaIdentity& identity);

  std::string LockPath() const;
  std::string ReplicaPath(GroupId group) const;
  std::string LogPath(GroupId group) const;       // a directory; it exists after OpenReplica
  std::string StorePath(GroupId group) const;     // a file
  std::string SnapshotPath(GroupId group) const;  // a file beside the store, for a snapshot under way
  // Groups that have a directory here, configured or not, in order.
  Result<std::vector<GroupId>> Replicas() const;

  // The directories that the replicas here belong to (R12): none before the first has seen one, and one from
  // then on, unless replicas were put together from several clusters' files. Replicas whose identity cannot
  // be read are passed over.
  Result<std::set<DirectoryIncarnation>> KnownDirectories() const;

  const std::string& path() const { return path_; }
  NodeId node() const { return node_; }

 private:
  DataDirectory(std::string path, std::string cluster, NodeId node);
  Status TakeLock();
  Status OpenIdentity();
  Status WriteReplica(const ReplicaIdentity& identity) const;
  std::string StartsPath(uint64_t starts) const;

  const std::string path_;
  const std::string cluster_;
  const NodeId node_;
  int lock_ = -1;
};

}  // namespace assent
