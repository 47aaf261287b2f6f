#include "driver/replica.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/overloaded.h"

namespace assent {
namespace {

// Records that nobody waits for share a force with those that come within this time (R10 is about records
// that somebody waits for).
constexpr uint64_t kAppendDelayUs = 5'000;
// Messages that wait for this primary to serve: as many as a coordinator repeats to a shard at once (C7).
constexpr size_t kEarlyMax = 256;

// True where no message, lock or client waits for the record to be replicated, so that it may share
// the next force.
bool CanWait(const LogRecord& record) {
  return std::visit(
      [](const auto& r) {
        using R = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<R, BranchDecided> || std::is_same_v<R, Ended> ||
                      std::is_same_v<R, MarkRaised> || std::is_same_v<R, HorizonRaised> ||
                      std::is_same_v<R, TokenCommitted>) {
          return true;  // P5, C4, C8, C5: acknowledged behind the client's back
        } else {
          return false;
        }
      },
      record);
}

// The answer of a mutant that does not serve, and answers all the same.
std::optional<Message> AnswerAsMutant(const Message& message) {
  if (const auto* inquire = std::get_if<Inquire>(&message);
      Mutated(Mutant::kAbortedAnsweredWhileReplaying) && inquire != nullptr && !inquire->unprepared) {
    Decide presumed;
    presumed.header.txn = inquire->txn;
    presumed.decision = Decision::kAbort;
    return presumed;
  }
  if (const auto* decide = std::get_if<Decide>(&message); Mutated(Mutant::kUnknownCommitAcknowledged) &&
                                                          decide != nullptr &&
                                                          decide->decision == Decision::kCommit) {
    return DecideAck{decide->header.txn, Decision::kCommit};
  }
  return std::nullopt;
}

// Whether branches are in doubt by records up to `lsn`. Reads them all: to count situations only.
bool HoldsPreparedUpTo(const StateReader& store, Lsn lsn) {
  bool holds = false;
  store.Scan(Table::kPrepared, {}, {}, [&](std::string_view, const Row& row) {
    holds = row.lsn <= lsn;
    return !holds;
  });
  return holds;
}

}  // namespace

Replica::Replica(ReplicaConfig config, ReplicaHost& host, LogPort& log, std::unique_ptr<Store> store,
                 RoleFactory make_role, InstallNote install_note)
    : config_(std::move(config)),
      host_(host),
      port_(log),
      log_(log),
      state_(config_.replication.group, std::move(make_role), std::move(store), config_.checkpoint_bytes),
      replication_(config_.replication, log_),
      snapshots_(config_.snapshots, config_.replication.group, *this, host_, port_, state_,
                 std::move(install_note)),
      outbox_(host_, config_.replication.group, [this] { return replication_.LeaseHolds(LeaseClock()); }) {}

void Replica::Start(const LogPosition& confirmed, const std::string& confirmed_by) {
  if (halted_) return;
  started_ = true;
  snapshots_.RemoveFile();
  // A core that could not take the log in must not take part as if it were empty: halt (G7).
  HaltUnless(state_.Rebuild(log_));
  if (halted_) return;
  backup::Started started = config_.started;
  started.last = log_.last();
  started.confirmed = confirmed;
  started.confirmed_by = confirmed_by;
  started.applied = state_.store().applied().lsn;
  Enqueue(backup::Event(started));
  Run();
}

LogPosition Replica::confirmed() const {
  if (halted_ || !started_) return {};
  const Lsn lsn = replication_.replicated();
  const auto epoch = log_.EpochAt(lsn);
  return epoch ? LogPosition{*epoch, lsn} : LogPosition{};  // none: a snapshot is being installed above it
}

Status Replica::Close() {
  if (halted_ || state_.find_role() == nullptr) return {};
  FlushAppends();
  ApplyToStore(/*force=*/true);
  if (halted_) return Status(StatusCode::kIo, halt_reason_);
  const auto synced = state_.store().Checkpoint();
  return synced.ok() ? Status() : synced.status();
}

// ---- What happened ----

void Replica::OnMessage(Envelope envelope) {
  if (halted_ || !started_) return;
  const GroupId from = envelope.from_group;
  const NodeId node = envelope.from_node;
  std::visit(
      [&](auto& message) {
        using M = std::decay_t<decltype(message)>;
        if constexpr (OneOf<M, ReplicaMessage>) {
          if (from != group()) return;
          Enqueue(backup::Event(
              backup::Received{node, envelope.from_epoch, envelope.to_epoch, std::move(message)}));
        } else if constexpr (std::is_same_v<M, EpochNews>) {
          if (from == group()) {
            Enqueue(backup::Event(backup::PeerEpoch{node, envelope.from_epoch}));
          } else {
            host_.LearnEpoch(from, envelope.from_epoch);
          }
        } else {
          static_assert(OneOf<M, ToShard> || OneOf<M, ToCoordinator>,
                        "a message to the driver: handle it here");
          // R2. A sender that believes in a newer epoch than ours has heard of a view that we have not.
          if (auto answer = role_serves_ ? std::nullopt : AnswerAsMutant(envelope.message)) {
            AnswerWith(envelope, std::move(*answer));
          } else if (envelope.to_epoch > replication_.epoch()) {
            Reached(Situation::kNewerEpochHeard);
            Enqueue(backup::Event(backup::PeerEpoch{node, envelope.to_epoch}));
          } else if (envelope.to_epoch < replication_.epoch() ||
                     replication_.role() != backup::Role::kPrimary) {
            Reached(Situation::kStaleGroupMessage);
            AnswerWith(envelope, EpochNews{});
          } else {
            Early received{node, {from, envelope.from_epoch, Message(std::move(message))}};
            if (role_serves_) {
              GiveToRole(std::move(received));
            } else if (early_.size() < kEarlyMax) {
              early_.push_back(std::move(received));
            }
          }
        }
      },
      envelope.message);
  Run();
}

// Only primaries let their roles speak.
void Replica::GiveToRole(Early message) {
  assent::Received& received = message.received;
  if (heard_leaders_.Hear(host_, received.from, {message.node, received.epoch})) {
    Reached(Situation::kLeaderHeardOf);
    host_.LearnEpoch(received.from, received.epoch);
  }
  Enqueue(RoleEvent(std::move(received)));
}

void Replica::AnswerWith(const Envelope& envelope, Message message) {
  Tell(envelope.from_group, {envelope.from_node, envelope.from_epoch}, std::move(message));
}

void Replica::Tell(GroupId to, const Leader& leader, Message message) {
  host_.Transmit(leader.node, EnvelopeFrom(replication_.epoch(), to, leader.epoch, std::move(message)));
}

Envelope Replica::EnvelopeFrom(Epoch epoch, GroupId to, Epoch to_epoch, Message message) const {
  Envelope envelope;
  envelope.from_group = group();
  envelope.from_node = config_.replication.self;
  envelope.from_epoch = epoch;
  envelope.to_group = to;
  envelope.to_epoch = to_epoch;
  envelope.message = std::move(message);
  return envelope;
}

void Replica::OnClient(RequestId id, ClientRequest request) {
  // The answer of one that handed the group over would wait for a lease in vain.
  if (!role_serves_ || halted_ || replication_.handed_over()) {
    host_.AnswerClient(id, Refusal{RefusalCode::kNotServing, ToString(group()) + " does not serve here now",
                                   replication_.epoch()});
    return;
  }
  // G8: what is open goes on to its end.
  const bool is_new = std::holds_alternative<Execute>(request) || std::holds_alternative<Begin>(request);
  if (is_new && !disk_low_.empty() && IsLastToServe()) {
    host_.AnswerClient(id, Refusal{RefusalCode::kOverloaded, disk_low_, replication_.epoch()});
    return;
  }
  outbox_.Open(id, request);
  Enqueue(RoleEvent(ClientCall{id, std::move(request)}));
  Run();
}

void Replica::OnClientGone(RequestId id) {
  if (!outbox_.Close(id) || halted_) return;  // answered, as far as the core is concerned
  Enqueue(RoleEvent(ClientGone{id}));
  Run();
}

void Replica::OnForeign(ForeignReply reply) {
  // A reply from an epoch before: a branch on its list may have committed, and been forgotten, since it was
  // asked for (P6).
  if (!role_serves_ || halted_ || reply.epoch != replication_.epoch()) return;
  Enqueue(RoleEvent(std::move(reply)));
  Run();
}

void Replica::OnGroupEpoch(GroupId group, Epoch epoch) {
  if (!role_serves_ || halted_) return;
  Enqueue(RoleEvent(GroupEpoch{group, epoch}));
  Run();
}

void Replica::OnReplicationEvent(backup::Event event) {
  if (const auto* change = std::get_if<backup::OperatorChange>(&event)) {
    if (halted_ || !started_) {
      const std::string why = halted_ ? "has stopped: " + halt_reason_ : "is starting; try again later";
      return host_.AnswerOperator(
          change->id, Status(StatusCode::kUnavailable, ToString(group()) + " on this node " + why));
    }
    open_changes_.insert(change->id);
  }
  if (halted_) return;
  if (const auto* cas = std::get_if<backup::CasDone>(&event)) EndQuiet(cas->outcome);
  Enqueue(std::move(event));
  Run();
}

void Replica::OnLogDone(const LogDone& done) {
  if (halted_) return;
  if (!done.status.ok()) {  // R7
    const bool full = done.status.code() == StatusCode::kDiskFull;
    return Halt("the log failed: " + done.status.ToString() +
                    (full ? ". Nothing acknowledged is lost: make room, and this replica goes on by itself"
                          : ". Restart this node: what its disk holds decides"),
                full);
  }
  switch (done.what) {
    case LogDone::What::kForced:
      log_.Durable(done.durable.lsn);
      Enqueue(backup::Event(backup::ForceDone{done.durable.lsn}));
      if (Mutated(group().kind == GroupKind::kShard ? Mutant::kVoteBeforeBackupsAck
                                                    : Mutant::kClientAnsweredBeforeBackup) &&
          role_serves_) {
        Enqueue(RoleEvent(Replicated{done.durable.lsn}));
      }
      break;
    case LogDone::What::kTruncated: {
      // R4: a role core that took in what went is discarded.
      const LogPosition after = *std::exchange(truncating_, std::nullopt);
      HaltUnless(state_.Rebuild(log_));
      Enqueue(backup::Event(backup::TruncateDone{after}));
      break;
    }
    case LogDone::What::kTrimmed:
      log_.Trimmed();
      if (kCountsSituations && state_.find_store() != nullptr &&
          HoldsPreparedUpTo(state_.store(), log_.base().lsn)) {
        Reached(Situation::kTrimmedPastPrepared);
      }
      return;
    case LogDone::What::kReset:
      log_.Reset();
      HaltUnless(state_.Rebuild(log_));
      Enqueue(backup::Event(backup::SnapshotInstalled{snapshots_.FinishInstallation()}));
      break;
  }
  Run();
}

void Replica::OnTime() {
  if (halted_ || !started_) return;
  const uint64_t now_us = host_.Now().mono_us;
  SeeToViews(now_us);
  if (role_serves_ && state_.role().NextDeadline() <= now_us) Enqueue(RoleEvent(Tick{}));
  if (replication_.NextDeadline() <= LeaseClock()) Enqueue(backup::Event(backup::Tick{}));
  Run();
}

// R5: CLOCK_BOOTTIME, which nobody sets, is what beacons, leases and grace periods are measured with.
uint64_t Replica::LeaseClock() {
  const Instant now = host_.Now();
  return Mutated(Mutant::kWallClockLease) ? now.wall_us : now.mono_us;
}

uint64_t Replica::ReplicationDeadline() const {
  const uint64_t deadline = replication_.NextDeadline();
  if (!Mutated(Mutant::kWallClockLease) || deadline == UINT64_MAX) return deadline;
  const Instant now = host_.Now();
  return now.mono_us + (deadline - std::min(deadline, now.wall_us));
}

uint64_t Replica::NextDeadline() const {
  if (halted_ || !started_) return UINT64_MAX;
  if (snapshots_.HasWork()) return 0;
  uint64_t deadline = std::min(
      {ReplicationDeadline(), append_deadline_us_, persist_at_us_, propose_at_us_, state_.ApplyDeadline()});
  if (role_serves_) deadline = std::min(deadline, state_.find_role()->NextDeadline());
  return deadline;
}

void Replica::Flush() {
  if (halted_ || !started_) return;
  const uint64_t now_us = host_.Now().mono_us;
  if (append_now_ || append_deadline_us_ <= now_us) {
    FlushAppends();
    Run();
  }
  snapshots_.Step();
  ApplyToStore(/*force=*/false);
  CheckpointAndTrim();
}

// ---- Events and effects ----

void Replica::Run() {
  if (running_) return;  // an effect came back to us: the loop below is at work
  running_ = true;
  while (!queue_.empty() && !halted_) {
    const auto event = std::move(queue_.front());
    queue_.pop_front();
    if (const auto* role_event = std::get_if<RoleEvent>(&event)) {
      if (role_serves_) StepRole(*role_event);
    } else {
      FlushAppends();  // replication numbers its own records behind the role's
      StepReplication(std::get<backup::Event>(event));
    }
  }
  if (halted_) queue_.clear();
  running_ = false;
}

void Replica::StepRole(const RoleEvent& event) {
  RoleEffects effects;
  state_.role().Step(host_.Now(), event, effects);
  // A read that failed was answered "not there": nothing that may follow from it is done (R7).
  HaltUnless(state_.store().status());
  for (RoleEffect& effect : effects) {
    if (halted_) return;
    host_.BeforeEffect(effect);
    std::visit([this](auto& e) { Perform(e); }, effect);
  }
  TellIfQuiet();
}

void Replica::StepReplication(const backup::Event& event) {
  backup::Effects effects;
  replication_.Step(LeaseClock(), event, effects);
  HaltUnless(log_.status());
  for (backup::Effect& effect : effects) {
    if (halted_) return;
    std::visit([this](auto& e) { Perform(e); }, effect);
  }
  outbox_.LetGoWhatWaited();
  TellIfQuiet();
}

void Replica::Halt(const std::string& why, bool for_room) {
  if (halted_) return;
  halted_ = true;
  halted_for_room_ = for_room;
  halt_reason_ = why;
  StopServing();
  for (const RequestId id : std::exchange(open_changes_, {})) {
    host_.AnswerOperator(id, Status(StatusCode::kUnavailable, ToString(group()) + " has stopped: " + why +
                                                                  ". The change may be made or not: look"));
  }
  host_.Report(group(), why, /*halted=*/true);
}

void Replica::StopServing() {
  role_serves_ = false;
  draining_ = false;
  early_.clear();
  outbox_.Lose();
}

void Replica::HaltUnless(const Status& status) {
  if (!status.ok()) Halt(status.ToString(), status.code() == StatusCode::kDiskFull);
}

// Where another replica can lead, this one goes on until its disk is full; it then halts, and comes back when
// there is room. The last one must not get there.
bool Replica::IsLastToServe() const {
  const size_t needed = std::max<size_t>(config_.replication.replicas_min, 1);
  return replication_.view() && replication_.view()->members.size() <= needed;
}

// ---- Role effects ----

void Replica::Perform(Append& effect) {
  ASSENT_CHECK(Raw(effect.lsn) == Raw(log_.last().lsn) + appended_.size() + 1, "role core and log disagree",
               effect.lsn, log_.last().lsn);
  if (!CanWait(effect.record)) {
    append_now_ = true;
  } else if (appended_.empty()) {
    append_deadline_us_ = host_.Now().mono_us + kAppendDelayUs;
  }
  appended_.push_back(LogEntry{LogPosition{replication_.epoch(), effect.lsn},
                               std::make_shared<const std::string>(EncodeRecord(effect.record))});
}

void Replica::CountLogBytes(std::span<const LogEntry> entries) {
  for (const LogEntry& entry : entries) log_bytes_ += entry.payload->size();
}

void Replica::FlushAppends() {
  if (appended_.empty()) return;
  append_now_ = false;
  append_deadline_us_ = UINT64_MAX;
  CountLogBytes(appended_);
  log_.Append(appended_);
  port_.Submit(AppendToLog{appended_});
  StepReplication(backup::LocalAppend{std::exchange(appended_, {})});
}

void Replica::Perform(Send& effect) {
  const auto leader = heard_leaders_.LeaderOf(host_, effect.to);
  if (!leader) return;  // lost; the core repeats what matters
  outbox_.Leave(std::pair(
      leader->node, EnvelopeFrom(replication_.epoch(), effect.to, leader->epoch, std::move(effect.message))));
}

void Replica::Perform(Answer& effect) {
  outbox_.Leave(std::move(effect));
}

void Replica::Perform(CallForeign& effect) {
  effect.epoch = replication_.epoch();
  outbox_.Leave(std::move(effect));
}

// Messages that wait for the lease would be lost with it.
void Replica::TellIfQuiet() {
  if (!draining_ || !outbox_.IsEmpty() || !state_.role().IsQuiet()) return;
  draining_ = false;
  if (proposal_) return LetGoProposal();
  Enqueue(backup::Event(backup::Drained{}));
}

void Replica::Perform(assent::Report& effect) {
  if (effect.halt) return Halt(effect.text);
  host_.Report(group(), effect.text, /*halted=*/false);
}

// ---- Replication effects ----

void Replica::Perform(backup::AppendToLog& effect) {
  CountLogBytes(effect.entries);
  log_.Append(effect.entries);
  HaltUnless(state_.ApplyRecords(effect.entries));
  if (!halted_) port_.Submit(AppendToLog{std::move(effect.entries)});
}

void Replica::Perform(backup::TruncateLog& effect) {
  truncating_ = effect.after;
  log_.Truncate(effect.after.lsn);
  port_.Submit(TruncateLog{effect.after.lsn});
}

void Replica::Perform(backup::SendTo& effect) {
  Message message;
  std::visit([&](auto& one) { message = std::move(one); }, effect.message);
  host_.Transmit(effect.to, EnvelopeFrom(effect.epoch, group(), effect.epoch, std::move(message)));
}

void Replica::Perform(backup::AnswerStaleEpoch& effect) {
  host_.Transmit(effect.to, EnvelopeFrom(effect.epoch, group(), Epoch{}, EpochNews{}));
}

void Replica::Perform(backup::ReplicatedUpTo& effect) {
  if (role_serves_) Enqueue(RoleEvent(Replicated{effect.lsn}));
}

void Replica::Perform(backup::Halt& effect) {
  Halt(effect.text);
}

void Replica::Perform(backup::Drain& effect) {
  draining_ = effect.begun && role_serves_;
  if (role_serves_) Enqueue(RoleEvent(Draining{effect.begun}));
}

void Replica::Perform(backup::OperatorReply& effect) {
  open_changes_.erase(effect.id);
  host_.AnswerOperator(effect.id, effect.status);
}

void Replica::Perform(backup::StartSnapshot& effect) {
  ApplyToStore(/*force=*/true);
  if (!halted_) snapshots_.Start(effect.to);
}

void Replica::Perform(backup::ReadSnapshot& effect) {
  snapshots_.Read(effect);
}

void Replica::Perform(backup::StopSnapshot&) {
  snapshots_.StopSource();
}

void Replica::Perform(backup::WriteSnapshot& effect) {
  snapshots_.Write(effect.piece);
}

// ---- The store ----

void Replica::ApplyToStore(bool force) {
  // Also while a truncation is carried out: what it takes is not replicated (R4).
  if (halted_ || state_.find_role() == nullptr) return;
  const Lsn replicated =
      Mutated(Mutant::kAppliedBeforeReplicated) ? log_.last().lsn : replication_.replicated();
  HaltUnless(state_.ApplyReplicated(log_, replicated, host_.Now().mono_us, force));
}

void Replica::CheckpointAndTrim() {
  if (halted_ || state_.find_store() == nullptr) return;
  const auto done = state_.MaybeCheckpoint(log_bytes_);
  if (!done.ok()) return HaltUnless(done.status());
  if (*done) log_bytes_ = 0;
  if (kCountsSituations && *done && HoldsPreparedUpTo(state_.store(), state_.store().synced().lsn)) {
    Reached(Situation::kCheckpointWithPrepared);
  }
  // R13: the log goes only below what is synced; R6: nor while a learner, or a snapshot for one, needs it.
  if (!*done || snapshots_.IsSending()) return;
  const Store& store = state_.store();
  const Lsn kept = (Mutated(Mutant::kTrimBelowUnsyncedCheckpoint) ? store.applied() : store.synced()).lsn;
  const Lsn keep_after = std::min(kept, replication_.TrimLimit());
  if (keep_after > log_.base().lsn) port_.Submit(TrimLog{Next(keep_after)});
}

}  // namespace assent
