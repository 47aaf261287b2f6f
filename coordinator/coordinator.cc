#include "coordinator/coordinator.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/answer_timeout.h"
#include "common/check.h"
#include "common/overloaded.h"

// The two entrances, Apply and Step, and what all parts of the core use.
namespace assent::coordinator {

CoordinatorCore::CoordinatorCore(const CoordinatorConfig& config, const Placement& placement,
                                 const StateReader& store)
    : config_(config),
      placement_(placement),
      overlay_(store),
      tokens_(overlay_, config.limits.known_floors, config.times.horizon_step_us),
      resends_(config.times, config.seed) {
  ASSENT_CHECK(config_.group.kind == GroupKind::kCoordinator, ToString(config_.group));
  overlay_.Scan(Table::kDecision, "", "", [&](std::string_view key, const Row& row) {  // C4
    Result<LogRecord> record = DecodeRecord(row.value);
    ASSENT_CHECK(record.ok() && std::holds_alternative<Committed>(*record), "damaged decision",
                 ToString(ParseTxnKey(key)));
    ApplyCommitted(row.lsn, std::get<Committed>(*record));
    return true;
  });
}

void CoordinatorCore::Apply(Lsn lsn, const LogRecord& record) noexcept {
  ASSENT_CHECK(last_lsn_ == Lsn{} || lsn == Next(last_lsn_), "gap in the log", last_lsn_, lsn);
  last_lsn_ = lsn;
  std::visit(Overloaded{[](const EpochBegan&) {},
                        [&](const Committed& committed) {
                          overlay_.Put(Table::kDecision, TxnKey(committed.txn), EncodeRecord(record), lsn);
                          tokens_.OnCommitted(lsn, committed);
                          ApplyCommitted(lsn, committed);
                        },
                        [&](const Ended& ended) { ApplyEnded(lsn, ended); },
                        [&](const AttemptRefused& refused) { tokens_.OnRefused(lsn, refused); },
                        [&](const HorizonRaised& raised) { tokens_.OnHorizon(lsn, raised); },
                        [&](const TokenCommitted& by_shard) { tokens_.OnCommittedByShard(lsn, by_shard); },
                        [&](const NoneOf<CoordinatorRecord> auto&) {
                          ASSENT_CHECK(false, "a shard's record in a coordinator's log", Describe(record));
                        }},
             record);
}

void CoordinatorCore::ApplyCommitted(Lsn lsn, const Committed& record) {
  const auto [entry, fresh] = transactions_.try_emplace(record.txn);
  Transaction& txn = entry->second;
  if (fresh) {  // another process' transaction: from the log, so in phase two as soon as someone serves
    txn.id = record.txn;
    txn.subject = record.txn;
    txn.age = Age{0, record.txn};
    txn.token = record.token;
    txn.attempt = record.attempt;
    txn.content = record.content;
    txn.begin_wall_us = record.begin_us;
    txn.state = TxnState::kPhaseTwo;
  } else {
    ASSENT_CHECK(txn.state == TxnState::kPreparing, "committed twice, or after it ended",
                 ToString(record.txn));
    txn.state = TxnState::kCommitting;
    pending_commits_.emplace_back(lsn, record.txn);
  }
  for (const Branch& branch : txn.branches) CountOpen(branch, -1);
  std::vector<Branch> before = std::move(txn.branches);
  txn.branches.clear();
  txn.has_foreign = false;
  for (const Participant& participant : record.participants) {
    Branch branch;
    branch.participant =
        ParticipantId{participant.foreign.empty() ? participant.group : GroupId{}, participant.foreign};
    branch.state = BranchState::kYes;
    branch.writing = participant.writing;
    const auto old = std::find_if(before.begin(), before.end(), [&](const Branch& other) {
      return other.participant == branch.participant;
    });
    if (old != before.end()) {
      branch.by_application = old->by_application;
      branch.holder = std::move(old->holder);
      branch.evidence = std::move(old->evidence);
    }
    if (!branch.participant.is_foreign()) marks_.Owe(participant.group, record.txn);
    txn.has_foreign = txn.has_foreign || branch.participant.is_foreign();
    CountOpen(branch, 1);
    txn.branches.push_back(std::move(branch));
  }
  ++unended_;
  if (IsOwedByShards(txn)) ++unended_at_shards_;
}

void CoordinatorCore::ApplyEnded(Lsn lsn, const Ended& record) {
  overlay_.Delete(Table::kDecision, TxnKey(record.txn), lsn);
  const auto entry = transactions_.find(record.txn);
  ASSENT_CHECK(entry != transactions_.end() && entry->second.state == TxnState::kPhaseTwo,
               "END without its COMMIT", ToString(record.txn));
  if (IsOwedByShards(entry->second)) --unended_at_shards_;
  for (const Branch& branch : entry->second.branches) {
    if (!branch.participant.is_foreign()) marks_.OnAcknowledged(branch.participant.group, record.txn);
    if (branch.state != BranchState::kAcknowledged) CountOpen(branch, -1);
  }
  transactions_.erase(entry);
  --unended_;
}

void CoordinatorCore::Step(const Instant& now, const RoleEvent& event, RoleEffects& effects) noexcept {
  now_ = now;
  effects_ = &effects;
  if (serving_) {
    std::visit(
        Overloaded{[&](const Serving& e) { OnServing(e); }, [&](const Replicated& e) { OnReplicated(e); },
                   [&](const Received& e) { OnReceived(e); }, [&](const GroupEpoch& e) { OnGroupEpoch(e); },
                   [&](const ClientCall& e) { OnClientCall(e); },
                   [&](const ClientGone& e) { OnClientGone(e); },
                   [&](const ForeignReply& e) { OnForeignReply(e); },
                   [&](const Draining& e) { OnDraining(e); }, [&](const Tick&) { OnTick(); }},
        event);
  } else if (const auto* serving = std::get_if<Serving>(&event)) {
    OnServing(*serving);
  } else if (const auto* call = std::get_if<ClientCall>(&event)) {
    Refuse(call->id, RefusalCode::kNotServing,
           "not the primary of " + ToString(config_.group) + ", or not yet");
  }
  effects_ = nullptr;
}

void CoordinatorCore::OnServing(const Serving& event) {
  ASSENT_CHECK(!serving_ && Raw(event.epoch) != 0, "serving twice", event.epoch);
  serving_ = true;
  epoch_ = event.epoch;
  replicated_ = last_lsn_;  // R4: the whole log is
  replicated_horizon_us_ = tokens_.horizon_us();
  StartClock();
  for (const GroupId shard : placement_.shards()) links_[shard].last_sent_us = now_.mono_us;
  for (auto& [id, txn] : transactions_) {  // C4, C7: paced, since there may be many
    ASSENT_CHECK(id.epoch < epoch_, "an epoch has two lives", ToString(id));  // I-X2
    for (Branch& branch : txn.branches) {
      branch.state = BranchState::kAsked;
      branch.asked_us = now_.mono_us;
      resends_.ScheduleAt(branch.participant, id, now_.mono_us);
    }
  }
  for (const std::string& name : config_.resource_managers) managers_[name].next_scan_us = now_.mono_us;
  next_horizon_check_us_ = now_.mono_us;
}

void CoordinatorCore::OnReplicated(const Replicated& event) {
  ASSENT_CHECK(event.lsn <= last_lsn_, "replicated past the last append", event.lsn, last_lsn_);
  if (event.lsn <= replicated_) return;
  replicated_ = event.lsn;
  while (!pending_horizons_.empty() && pending_horizons_.front().first <= replicated_) {
    replicated_horizon_us_ = std::max(replicated_horizon_us_, pending_horizons_.front().second);
    pending_horizons_.pop_front();
  }
  while (!pending_ends_.empty() && pending_ends_.front().first <= replicated_) {
    ending_.erase(pending_ends_.front().second);
    pending_ends_.pop_front();
  }
  while (!pending_aborts_.empty() && pending_aborts_.front().after <= replicated_) {
    AnswerCall(pending_aborts_.front().id, std::move(pending_aborts_.front().reply));
    pending_aborts_.pop_front();
  }
  while (!pending_commits_.empty() && pending_commits_.front().first <= replicated_) {
    Transaction* txn = Find(pending_commits_.front().second);
    pending_commits_.pop_front();
    ASSENT_CHECK(txn != nullptr && txn->state == TxnState::kCommitting);
    BecomePhaseTwo(*txn);
  }
}

void CoordinatorCore::OnDraining(const Draining& event) {
  draining_ = event.begun;
  while (draining_ && !finish_waits_.empty()) AnswerFinishWaiter(finish_waits_.begin()->first, false);
}

void CoordinatorCore::OnReceived(const Received& event) {
  std::visit(Overloaded{[&](const OperateReply& m) { OnOperateReply(event.from, m); },
                        [&](const BranchAborted& m) { OnBranchAborted(event.from, m); },
                        [&](const VoteReply& m) { OnVoteReply(event.from, m); },
                        [&](const OnePhaseReply& m) { OnOnePhaseReply(event.from, m); },
                        [&](const DecideAck& m) { OnDecideAck(event.from, m); },
                        [&](const Inquire& m) { OnInquire(event.from, m); },
                        [&](const WoundRequest& m) { OnWoundRequest(event.from, m); },
                        // All that came before it was taken in.
                        [&](const ConfirmReplies& m) {
                          if (links_.contains(event.from)) {
                            SendShard(event.from, RepliesConfirmed{m.through});
                          }
                        },
                        [](const NoneOf<ToCoordinator> auto&) {}},  // its sender took us for a shard
             event.message);
}

void CoordinatorCore::OnGroupEpoch(const GroupEpoch& event) {
  if (event.group.kind != GroupKind::kShard) return;
  ShardLink& link = links_[event.group];
  if (event.epoch <= link.epoch) return;
  link.epoch = event.epoch;
  link.mark_sent = TxnId{};  // its new primary may not have heard of it
  // All that the old primary had not made durable is gone: ask again at once, within the budget (C7).
  resends_.Hasten(ParticipantId{event.group, ""}, now_.mono_us);
}

Lsn CoordinatorCore::AppendRecord(LogRecord record) {
  const Lsn lsn = Next(last_lsn_);
  Apply(lsn, record);
  effects_->emplace_back(Append{lsn, std::move(record)});
  return lsn;
}

void CoordinatorCore::AnswerCall(RequestId id, ClientReply reply) {
  effects_->push_back(Answer{id, std::move(reply)});
}

void CoordinatorCore::Refuse(RequestId id, RefusalCode code, std::string detail) {
  if (code == RefusalCode::kOverloaded) ++stats_.overloaded;
  AnswerCall(id, Refusal{code, std::move(detail), epoch_});
}

// C5, R1: an ABORTED goes out once the record that ends the attempt is replicated. Else a failover could
// forget it, and let a higher attempt run that somebody sent before, after this one was told that
// nothing will come.
void CoordinatorCore::AnswerAborted(RequestId id, Ending ending) {
  if (last_refusal_ <= replicated_) return AnswerCall(id, std::move(ending));
  pending_aborts_.push_back(PendingAnswer{last_refusal_, id, std::move(ending)});
}

void CoordinatorCore::AbortWaiters(Transaction& txn, const Ending& ending) {
  if (!txn.token.valid()) return AnswerWaiters(txn, ending);  // no commit was asked for: no attempt to end
  for (const RequestId id : txn.waiters) {
    calls_.erase(id);
    AnswerAborted(id, ending);
  }
  txn.waiters.clear();
}

void CoordinatorCore::AnswerWaiters(Transaction& txn, const ClientReply& reply) {
  const auto* ending = std::get_if<Ending>(&reply);
  const bool committed = ending != nullptr && ending->outcome == Outcome::kCommitted;
  for (const RequestId id : std::exchange(txn.waiters, {})) {
    const OpenCall call = calls_.extract(id).mapped();
    if (committed && call.wait_finished_us > 0) {
      // The node gives a call up after kAnswerTimeoutUs, and the client would hear UNKNOWN.
      const uint64_t last_us = std::max(call.arrived_us + kVoteTimeoutMaxUs, now_.mono_us);
      HoldUntilFinished(id, txn, *ending, std::min(call.wait_finished_us, last_us - now_.mono_us));
    } else {
      AnswerCall(id, reply);
    }
  }
}

void CoordinatorCore::AddWaiter(Transaction& txn, RequestId id, uint64_t wait_finished_us) {
  txn.waiters.push_back(id);
  txn.finish_at_once = txn.finish_at_once || wait_finished_us > 0;
  calls_.emplace(id, OpenCall{txn.id, std::min(wait_finished_us, kFinishedWaitMaxUs), now_.mono_us});
}

void CoordinatorCore::SendShard(GroupId to, Message message) {
  ShardLink& link = links_[to];
  link.mark_sent = marks_.MarkFor(to, NextId());
  link.horizon_sent = ToldHorizon();
  link.last_sent_us = now_.mono_us;
  effects_->push_back(Send{to, std::move(message)});
}

TxnHeader CoordinatorCore::HeaderFor(const Transaction& txn, GroupId to) const {
  return TxnHeader{txn.id, txn.age, txn.has_foreign, marks_.MarkFor(to, NextId()), ToldHorizon()};
}

TxnHeader CoordinatorCore::BareHeader(const TxnId& txn, GroupId to) const {
  return TxnHeader{txn, Age{0, txn}, false, marks_.MarkFor(to, NextId()), ToldHorizon()};
}

// C5: outcomes expire by elapsed time. The group's clock, by which births and horizon go, runs with mono time
// and goes on at each primary from where the log has it, so a wall clock that was once far ahead, or is,
// neither ends outcomes early nor keeps later ones for ever. The wall clock only begins it, and makes up for
// what a change of primary loses: at most a step. Births never lie below the horizon.
void CoordinatorCore::StartClock() {
  uint64_t clock_us = now_.wall_us;
  if (tokens_.horizon_us() != 0 && !Mutated(Mutant::kOutcomesEndByWallClock)) {
    const uint64_t known_us = tokens_.horizon_us() + config_.times.retention_us;
    clock_us = std::clamp(clock_us, known_us, known_us + config_.times.horizon_step_us);
  }
  clock_offset_us_ = clock_us - now_.mono_us;
}

// C5: not past a token that is live here. Its shard would forget what became of it, and be asked.
uint64_t CoordinatorCore::ToldHorizon() const {
  if (live_births_.empty() || Mutated(Mutant::kHorizonPassesLiveTokens)) return replicated_horizon_us_;
  return std::min(replicated_horizon_us_, *live_births_.begin());
}

// We told the key to whoever brings it. Numbers on the wire are not negative; 0 is none.
uint64_t CoordinatorCore::KeyOf(const TxnId& txn) const {
  return SipHash(config_.secret, {2, Raw(txn.epoch), txn.seq}) >> 1 | 1;
}

Transaction* CoordinatorCore::Find(const TxnId& txn) {
  const auto entry = transactions_.find(txn);
  return entry == transactions_.end() ? nullptr : &entry->second;
}

Branch* CoordinatorCore::BranchAt(Transaction& txn, const ParticipantId& participant) {
  for (Branch& branch : txn.branches) {
    if (branch.participant == participant) return &branch;
  }
  return nullptr;
}

void CoordinatorCore::SetDeadline(Transaction& txn, uint64_t at_us) {
  if (txn.deadline_us != 0) deadlines_.erase({txn.deadline_us, txn.id});
  txn.deadline_us = at_us;
  if (at_us != 0) deadlines_.emplace(at_us, txn.id);
}

void CoordinatorCore::AddBytes(Transaction& txn, size_t bytes) {
  txn.bytes += bytes;
  bytes_ += bytes;
}

void CoordinatorCore::DropBytes(Transaction& txn) {
  ASSENT_CHECK(bytes_ >= txn.bytes);
  bytes_ -= txn.bytes;
  txn.bytes = 0;
}

}  // namespace assent::coordinator
