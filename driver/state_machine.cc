#include "driver/state_machine.h"

#include <utility>

#include "common/mutant.h"
#include "common/records.h"

namespace assent {
namespace {

// A batch of this many changes costs about half as much a row as one of ten; more gains little.
constexpr size_t kApplyChanges = 1024;
// Otherwise changes wait this long: an idle group's file follows its log, and a busy one's batches are large.
constexpr uint64_t kApplyDelayUs = 20'000;
// The most that one call gives to the store (but for one record that is larger): some 30 ms.
constexpr size_t kPartChanges = 2 * kApplyChanges;
constexpr size_t kPartBytes = 4 << 20;
constexpr size_t kReplayBytes = 1 << 20;

}  // namespace

StateMachine::StateMachine(GroupId group, RoleFactory make_role, std::unique_ptr<Store> store,
                           uint64_t checkpoint_bytes)
    : group_(group),
      make_role_(std::move(make_role)),
      checkpoint_bytes_(checkpoint_bytes),
      store_(std::move(store)) {}

Status StateMachine::Rebuild(const LogView& log) {
  role_ = make_role_(group_, *store_);
  ASSENT_RETURN_IF_ERROR(store_->status());  // G7: a core that could not read all must see no record
  apply_deadline_us_ = UINT64_MAX;
  Lsn next = Next(store_->applied().lsn);
  while (next <= log.last().lsn) {
    const auto entries = log.Read(next, kReplayBytes);
    if (entries.empty()) {
      return Status(StatusCode::kDamaged, ToString(group_) + ": the log cannot be read at LSN " +
                                              std::to_string(Raw(next)) + ": " + log.status().message());
    }
    ASSENT_RETURN_IF_ERROR(ApplyRecords(entries));
    next = Next(entries.back().position.lsn);
  }
  return store_->status();
}

Status StateMachine::ApplyRecords(std::span<const LogEntry> entries) {
  for (const LogEntry& entry : entries) {
    const auto record = DecodeRecord(*entry.payload);
    if (!record.ok()) {
      return Status(StatusCode::kDamaged, ToString(group_) + ": record " + ToString(entry.position) + ": " +
                                              record.status().message());
    }
    role_->Apply(entry.position.lsn, *record);
    ASSENT_RETURN_IF_ERROR(store_->status());
  }
  return {};
}

Status StateMachine::ApplyReplicated(const LogView& log, Lsn replicated, uint64_t now_us, bool force) {
  if (replicated <= store_->applied().lsn) return {};
  Overlay& overlay = role_->overlay();
  if (!force && overlay.change_count() < kApplyChanges) {
    if (apply_deadline_us_ == UINT64_MAX) apply_deadline_us_ = now_us + kApplyDelayUs;
    if (now_us < apply_deadline_us_) return {};
  }
  const Lsn through = force ? replicated : overlay.LastWithin(replicated, kPartChanges, kPartBytes);
  const auto epoch = log.EpochAt(through);
  apply_deadline_us_ = epoch && through < replicated ? now_us : UINT64_MAX;
  if (!epoch) return {};  // below the log's base: applied long ago
  auto batch = overlay.Collect(through);
  if (Mutated(Mutant::kTrimPastInDoubt)) {
    std::erase_if(batch,
                  [](const Mutation& change) { return change.table == Table::kPrepared && change.value; });
  }
  // R13: at most what is replicated
  ASSENT_RETURN_IF_ERROR(store_->ApplyBatch({*epoch, through}, batch));
  overlay.Forget(through);
  return {};
}

Result<bool> StateMachine::MaybeCheckpoint(uint64_t log_bytes) {
  // Rows that begin and end within a batch never reach SQLite, but the log keeps them until a checkpoint.
  if (store_->wal_bytes() < checkpoint_bytes_ && log_bytes < checkpoint_bytes_) return false;
  if (store_->applied() == store_->synced()) return false;
  if (Mutated(Mutant::kTrimBelowUnsyncedCheckpoint)) return true;
  const auto synced = store_->Checkpoint();
  if (!synced.ok()) return synced.status();
  return true;
}

void StateMachine::CloseStore() {
  apply_deadline_us_ = UINT64_MAX;
  role_.reset();
  store_.reset();
}

void StateMachine::OpenStore(std::unique_ptr<Store> store) {
  store_ = std::move(store);
}

}  // namespace assent
