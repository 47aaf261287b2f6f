#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backup/replication_events.h"
#include "driver/disk_reserve.h"
#include "driver/log_port.h"
#include "driver/replica_files.h"
#include "driver/replica_host.h"
#include "driver/snapshot_transfer.h"
#include "driver/state_machine.h"

namespace assent {

struct SnapshotConfig {
  // Beside the store, on the same file system.
  std::string store_path;
  std::string snapshot_path;
  wal::FileSystem* files = nullptr;  // where snapshot_path lies; outlives the replica
  StoreIdentity store_identity;
  StoreOptions store_options;
  // The disk that the store lies on, and the bytes of it that a snapshot leaves free.
  DiskSpaceFn disk_space = [] { return DiskSpace{UINT64_MAX, UINT64_MAX}; };
  uint64_t disk_reserve_bytes = 0;
};

// A replica's snapshots: out to a learner, a few pages a slice, and in from a primary (R6). Both are scratch
// files: it is no failure of the replica if one cannot be written. The long parts (to sync, check, put in
// place or end a large file) are done off the loop, which has beacons to answer (R11). Loop thread only.
class SnapshotExchange {
 public:
  // The replica, as this sees it.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void Enqueue(backup::Event event) = 0;  // for the replication core, by the next Run()
    virtual void Run() = 0;
    virtual void HaltUnless(const Status& status) = 0;
    virtual bool halted() const = 0;
  };

  // All outlive this. `log` is told to begin anew behind an installed snapshot.
  SnapshotExchange(const SnapshotConfig& config, GroupId group, Owner& owner, ReplicaHost& host, LogPort& log,
                   StateMachine& state, InstallNote install_note);

  // The file of what came in so far: a learner that died leaves it, and the next snapshot begins anew.
  void RemoveFile() { (void)config_.files->Remove(config_.snapshot_path); }

  // Out. All that is replicated was applied to the store.
  void Start(NodeId to);
  void Read(const backup::ReadSnapshot& read) { reads_.push_back(read); }
  void StopSource();
  bool IsSending() const { return out_ != nullptr; }
  bool HasWork() const;
  void Step();  // a bounded part of the work there is

  // In.
  void Write(const SnapshotPiece& piece);
  void StopSink();
  // The log was reset. Returns the state's position; the note that an installation is under way is gone.
  LogPosition FinishInstallation();

 private:
  Status RoomFor(uint64_t bytes) const;
  Status TakePiece(const SnapshotPiece& piece);
  void Refuse(LogPosition at, const Status& status);
  void Check(LogPosition at);
  void Install(LogPosition at);
  void OpenInstalled(LogPosition at, Result<std::unique_ptr<Store>> store);
  void EndOffLoop(std::unique_ptr<wal::File> file);

  const SnapshotConfig& config_;
  const GroupId group_;
  Owner& owner_;
  ReplicaHost& host_;
  LogPort& log_;
  StateMachine& state_;
  const InstallNote install_note_;

  std::unique_ptr<SnapshotSource> out_;
  std::vector<backup::ReadSnapshot> reads_;  // wait for the copy to be complete
  NodeId to_{};
  std::unique_ptr<SnapshotSink> in_;
  LogPosition installing_;
};

}  // namespace assent
