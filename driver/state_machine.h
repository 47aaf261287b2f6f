#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/log_entry.h"
#include "common/role.h"
#include "driver/log_view.h"
#include "driver/replica_host.h"
#include "store/store.h"

namespace assent {

// A replica's state: its SQLite file, and the role core over it that has taken in the log up to its end.
// Moves what is replicated, and only that, from the core's overlay to the file (R13). Loop thread.
class StateMachine {
 public:
  // `store` holds the state at its applied position, which the log reaches (base <= applied <= last).
  // `checkpoint_bytes`: how far SQLite's -wal file grows between two checkpoints.
  StateMachine(GroupId group, RoleFactory make_role, std::unique_ptr<Store> store, uint64_t checkpoint_bytes);

  // Builds the role core anew from the store and the log (R4, and at the start).
  Status Rebuild(const LogView& log);
  // Records that go to the log and that the core did not append itself. kDamaged: a payload is no record.
  Status ApplyRecords(std::span<const LogEntry> entries);

  // Everything up to `replicated`, a record of `log` or of before its base, is replicated. `force` applies
  // all of it now; else a part of it, once enough has gathered or it has waited, and the next part at the
  // next call: the backlog of a group that had lost its backup is seconds of work for the loop.
  Status ApplyReplicated(const LogView& log, Lsn replicated, uint64_t now_us, bool force);
  // When ApplyReplicated wants to be called again; UINT64_MAX = not.
  uint64_t ApplyDeadline() const { return apply_deadline_us_; }
  // Syncs the file if enough was written to it since the last time, or to the log (`log_bytes`). True if it
  // did: the log may be trimmed.
  Result<bool> MaybeCheckpoint(uint64_t log_bytes);

  RoleCore& role() { return *role_; }
  const RoleCore* find_role() const {
    return role_.get();
  }  // nullptr while a snapshot takes the store's place
  Store& store() { return *store_; }
  const Store* find_store() const { return store_.get(); }  // as find_role()

  // For a snapshot's installation: closes the file, and takes the one that replaced it.
  void CloseStore();
  void OpenStore(std::unique_ptr<Store> store);

 private:
  const GroupId group_;
  const RoleFactory make_role_;
  const uint64_t checkpoint_bytes_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<RoleCore> role_;  // after store_: its overlay refers to it
  uint64_t apply_deadline_us_ = UINT64_MAX;
};

}  // namespace assent
