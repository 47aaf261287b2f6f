#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/status.h"
#include "store/store.h"
#include "wal/log.h"

// A replica's log and store, as one: opened together, and replaced together by a snapshot. Over wal's files,
// so that a simulated disk can stand beneath.
namespace assent {

// How a replica takes the place of its store when a snapshot arrives (R6): a note that the log is to be
// thrown away is made durable before the store is replaced, and removed once the log was reset, so a crash
// between the two is seen.
struct InstallNote {
  std::function<Status()> make;
  std::function<Status()> remove;
};
// The note is a file in `directory`; `files` outlives it.
InstallNote MakeInstallNote(wal::FileSystem& files, const std::string& directory);

struct OpenedReplica {
  std::unique_ptr<Store> store;
  std::unique_ptr<wal::Log> log;
  wal::RecoveryFacts facts;
};

struct ReplicaPlaces {
  std::string directory;  // of the note
  std::string log;        // a directory
  std::string store;      // a file
};

// Opens or makes both, and finishes an installation that a crash interrupted. `log.known_acknowledged` is
// filled in from the store. kDamaged: the log does not lead on from the store; else
// as Store::Open and wal::Log::Open.
Result<OpenedReplica> OpenReplicaFiles(wal::FileSystem& files, const ReplicaPlaces& places,
                                       const StoreIdentity& identity, const StoreOptions& store_options,
                                       wal::LogOptions log_options);

}  // namespace assent
