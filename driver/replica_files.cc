#include "driver/replica_files.h"

#include <algorithm>
#include <utility>

#include "common/coverage.h"
#include "common/mutant.h"

namespace assent {
namespace {

constexpr const char* kNoteName = "installing";

std::string NotePath(const std::string& directory) {
  return directory + "/" + kNoteName;
}

Result<bool> HasNote(wal::FileSystem& files, const std::string& directory) {
  const auto names = files.List(directory);
  if (!names.ok()) return names.status();
  return std::find(names->begin(), names->end(), kNoteName) != names->end();
}

Status SyncNote(wal::FileSystem& files, const std::string& directory) {
  return Mutated(Mutant::kNoDirectorySync) ? Status() : files.SyncDirectory(directory);  // R7
}

Status RemoveNote(wal::FileSystem& files, const std::string& directory) {
  ASSENT_RETURN_IF_ERROR(files.Remove(NotePath(directory)));
  return SyncNote(files, directory);
}

}  // namespace

InstallNote MakeInstallNote(wal::FileSystem& files, const std::string& directory) {
  InstallNote note;
  note.make = [&files, directory]() -> Status {
    const auto made = files.Create(NotePath(directory));
    // It is there already if an installation failed and the replica lives on.
    if (!made.ok() && made.status().code() != StatusCode::kConflict) return made.status();
    return SyncNote(files, directory);
  };
  note.remove = [&files, directory] { return RemoveNote(files, directory); };
  return note;
}

Result<OpenedReplica> OpenReplicaFiles(wal::FileSystem& files, const ReplicaPlaces& places,
                                       const StoreIdentity& identity, const StoreOptions& store_options,
                                       wal::LogOptions log_options) {
  OpenedReplica opened;
  auto store = Store::Open(places.store, identity, store_options);
  if (!store.ok()) return store.status();
  opened.store = std::move(store).value();
  const LogPosition applied = opened.store->applied();

  // A snapshot was being installed: the log does not lead to the store, and is worth nothing (R6).
  const auto installing = HasNote(files, places.directory);
  if (!installing.ok()) return installing.status();
  log_options.known_acknowledged = *installing ? Lsn{} : applied.lsn;
  auto log = wal::Log::Open(files, places.log, std::move(log_options));
  if (!log.ok()) return log.status();
  opened.log = std::move(log->log);
  opened.facts = log->facts;
  if (*installing) {
    Reached(Situation::kInstallationFinishedOnOpen);
    ASSENT_RETURN_IF_ERROR(opened.log->Reset(applied));
    ASSENT_RETURN_IF_ERROR(RemoveNote(files, places.directory));
  }
  if (opened.log->base().lsn > applied.lsn) {
    return Status(StatusCode::kDamaged,
                  places.directory + ": the log begins behind LSN " +
                      std::to_string(Raw(opened.log->base().lsn)) + ", but the store ends at " +
                      std::to_string(Raw(applied.lsn)) +
                      ": records between them are lost. Restore both from one copy, or remove this replica's "
                      "directory and add the replica anew");
  }
  // A log that ends before the store was refused when it was opened.
  if (const auto epoch = opened.log->EpochAt(applied.lsn); epoch != applied.epoch) {
    return Status(StatusCode::kDamaged,
                  places.directory + ": the store is the state at " + ToString(applied) +
                      ", but the log has " +
                      (epoch ? ToString(LogPosition{*epoch, applied.lsn}) : std::string("nothing")) +
                      " there: they are of different copies. Restore both from one copy, or remove this "
                      "replica's directory and add the replica anew");
  }
  return opened;
}

}  // namespace assent
