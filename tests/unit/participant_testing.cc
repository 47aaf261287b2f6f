#include "participant_testing.h"

#include "common/check.h"
#include "common/overloaded.h"

namespace assent::participant {
namespace {

std::string Id(const TxnId& txn) {
  const std::string seq = std::to_string(txn.seq);
  return txn == Txn(txn.seq) ? "(" + seq + ")" : "(" + ToString(txn) + ")";
}
std::string Word(Decision decision) {
  return decision == Decision::kCommit ? " commit" : " abort";
}
std::string Why(AbortReason reason) {
  return " " + std::string(ToString(reason));
}
template <typename Items>
std::string Keys(const char* name, const Items& items) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ",") + item.key;
  return text.empty() ? text : std::string(" ") + name + "=" + text;
}

std::string ToText(const LogRecord& record) {
  return std::visit(
      Overloaded{[](const EpochBegan&) { return std::string("EpochBegan"); },
                 [](const Prepared& r) {
                   return "Prepared" + Id(r.txn) + Keys("w", r.writes) + Keys("r", r.read_locks);
                 },
                 [](const BranchDecided& r) { return "Decided" + Id(r.txn) + Word(r.decision); },
                 [](const OnePhaseCommitted& r) { return "OnePhase" + Id(r.txn) + Keys("w", r.writes); },
                 [](const AttemptRefused& r) {
                   return "Refused " + std::to_string(r.token.seq) + "#" + std::to_string(r.attempt);
                 },
                 [](const MarkRaised& r) { return "Mark" + Id(r.mark); },
                 [](const NoneOf<ShardRecord> auto&) { return std::string("?"); }},
      record);
}

std::string ToText(const Message& message) {
  const auto other = [](const auto&) { return std::string("?"); };
  return std::visit(
      Overloaded{[](const OperateReply& m) { return "Done" + Id(m.txn) + " " + std::to_string(m.last); },
                 [](const BranchAborted& m) { return "Aborted" + Id(m.txn) + Why(m.reason); },
                 [](const VoteReply& m) {
                   if (m.vote == Vote::kNo) return "No" + Id(m.txn) + Why(m.reason);
                   return (m.vote == Vote::kYes ? "Yes" : "ReadOnly") + Id(m.txn);
                 },
                 [](const OnePhaseReply& m) {
                   const std::string attempt =
                       " " + std::to_string(m.token.seq) + "#" + std::to_string(m.attempt);
                   if (m.committed) return "Committed" + Id(m.txn) + attempt + " by" + Id(m.committed_txn);
                   return "Refused" + Id(m.txn) + attempt + Why(m.reason);
                 },
                 [](const DecideAck& m) { return "Ack" + Id(m.txn) + Word(m.decision); },
                 [](const Inquire& m) { return (m.unprepared ? "IsLive" : "Inquire") + Id(m.txn); },
                 [](const WoundRequest& m) { return "Wound" + Id(m.txn); },
                 [](const ConfirmReplies& m) { return "Confirm " + std::to_string(m.through); },
                 [](const PeerInquire& m) { return "PeerInquire" + Id(m.txn); },
                 [](const PeerOutcome& m) {
                   return "PeerOutcome" + Id(m.txn) + (m.decision ? Word(*m.decision) : " unknown");
                 },
                 other},
      message);
}

}  // namespace

std::string ToLine(const RoleEffect& effect) {
  return std::visit(
      Overloaded{[](const assent::Append& e) { return std::to_string(Raw(e.lsn)) + ":" + ToText(e.record); },
                 [](const Send& e) { return ToString(e.to) + "<" + ToText(e.message); },
                 [](const Answer&) { return std::string("?"); },
                 [](const CallForeign&) { return std::string("?"); },
                 [](const Report& e) { return std::string(e.halt ? "HALT" : "REPORT"); }},
      effect);
}

Shard::Shard(ParticipantConfig config, MapState store)
    : config_(config), store_(std::make_unique<MapState>(store)), initial_(std::move(store)) {
  config_.group = kS1;
  core_ = std::make_unique<ParticipantCore>(config_, *store_);
  backup_ = std::make_unique<ParticipantCore>(config_, initial_);
  Serve();
}

// A new epoch of the group, with its first record replicated.
void Shard::Serve() {
  epoch_ = Next(epoch_);
  const Lsn lsn = log_.empty() ? Lsn{1} : Next(log_.back().first);
  log_.emplace_back(lsn, EpochBegan{});
  core_->Apply(lsn, EpochBegan{});
  backup_->Apply(lsn, EpochBegan{});
  core_->CheckInvariants();
  Step(Serving{epoch_});
}

Lines Shard::Step(const RoleEvent& event) {
  effects_.clear();
  if (const auto* replicated = std::get_if<Replicated>(&event)) replicated_ = replicated->lsn;
  if (std::holds_alternative<Serving>(event)) replicated_ = core_->last_lsn();  // R4
  core_->Step(now, event, effects_);
  Lines lines;
  for (const RoleEffect& effect : effects_) {
    if (const auto* send = std::get_if<Send>(&effect)) {
      CheckNothingLeftEarly(send->message);
      const auto* reply = std::get_if<OperateReply>(&send->message);
      if (reply != nullptr) named_.try_emplace(reply->txn, reply->branch);
    }
    if (const auto* append = std::get_if<assent::Append>(&effect)) {
      // Bytes go over the wire.
      const auto record = DecodeRecord(EncodeRecord(append->record));
      ASSENT_CHECK(record.ok() && append->lsn == Next(log_.back().first));
      log_.emplace_back(append->lsn, record.value());
      backup_->Apply(append->lsn, record.value());
    }
    lines.push_back(ToLine(effect));
  }
  core_->CheckInvariants();
  backup_->CheckInvariants();
  CheckBackup();
  return lines;
}

// R1: whatever record a message depends on is replicated by now.
void Shard::CheckNothingLeftEarly(const Message& message) const {
  const auto versions = [this](const std::vector<OperationResult>& results) {
    for (const OperationResult& result : results) {
      for (const ResultRow& row : result.rows)
        ASSENT_CHECK(row.version <= Raw(replicated_), "version shown early");
    }
  };
  // Has the log such a record, replicated?
  const auto on_record = [this](const auto& is_it) {
    for (const auto& [lsn, record] : log_) {
      if (lsn <= replicated_ && is_it(record)) return true;
    }
    return false;
  };
  const auto decided = [&](const TxnId& txn, Decision decision) {
    return on_record([&](const LogRecord& record) {
      const auto* r = std::get_if<BranchDecided>(&record);
      return r != nullptr && r->txn == txn && r->decision == decision;
    });
  };
  if (const auto* vote = std::get_if<VoteReply>(&message)) {
    versions(vote->results);
    ASSENT_CHECK(vote->vote != Vote::kYes || on_record([&](const LogRecord& record) {
                   const auto* r = std::get_if<Prepared>(&record);
                   return r != nullptr && r->txn == vote->txn;
                 }),
                 "yes left early");
  } else if (const auto* work = std::get_if<OperateReply>(&message)) {
    versions(work->results);
  } else if (const auto* ack = std::get_if<DecideAck>(&message)) {
    ASSENT_CHECK(decided(ack->txn, ack->decision) || on_record([&](const LogRecord& record) {
                   const auto* r = std::get_if<MarkRaised>(&record);
                   return r != nullptr && ack->txn < r->mark;
                 }),
                 "ack left early");
  } else if (const auto* outcome = std::get_if<PeerOutcome>(&message)) {
    ASSENT_CHECK(!outcome->decision || decided(outcome->txn, *outcome->decision), "peer outcome left early");
  } else if (const auto* reply = std::get_if<OnePhaseReply>(&message)) {
    versions(reply->results);
    if (!reply->committed) {
      ASSENT_CHECK(on_record([&](const LogRecord& record) {
                     const auto* r = std::get_if<AttemptRefused>(&record);
                     return r != nullptr && r->token == reply->token && r->attempt >= reply->attempt;
                   }) ||
                       reply->reason == AbortReason::kTokenExpired,
                   "refusal left early");
      return;
    }
    for (const auto& [lsn, record] : log_) {  // no record: it was read-only
      const auto* r = std::get_if<OnePhaseCommitted>(&record);
      ASSENT_CHECK(r == nullptr || r->txn != reply->committed_txn || lsn <= replicated_, "commit left early");
    }
  }
}

void Shard::CheckBackup() {
  ASSENT_CHECK(AllRows(core_->overlay()) == AllRows(backup_->overlay()), "the backup differs");
}

Lines Shard::Wait(uint64_t us) {
  now.mono_us += us;
  now.wall_us += us;
  return Step(Tick{});
}

Lines Shard::Operate(uint64_t seq, uint32_t first, std::vector<Operation> operations, const Extra& extra) {
  const BranchId branch = first == 1 ? extra.branch : NameOf(seq, extra);
  return From(kC1, assent::Operate{Header(seq, extra), branch, first, std::move(operations)});
}

BranchId Shard::NameOf(uint64_t seq, const Extra& extra) const {
  const auto named = named_.find(Txn(seq));
  return extra.branch != BranchId{} || named == named_.end() ? extra.branch : named->second;
}

Lines Shard::Prepare(uint64_t seq, std::vector<Operation> operations, const Extra& extra) {
  assent::Prepare message;
  message.header = Header(seq, extra);
  message.branch = operations.empty() ? NameOf(seq, extra) : extra.branch;
  message.last = extra.last;
  bool writes = operations.empty() && !extra.may_release;
  for (const Operation& operation : operations) writes = writes || IsWrite(operation);
  message.operations = std::move(operations);
  message.participants = {Participant{"", kS1, writes}, Participant{"", kS2, true},
                          Participant{"", GroupId{GroupKind::kShard, 3}, false},
                          Participant{"bank", {}, true}};
  message.may_release = extra.may_release;
  return From(kC1, std::move(message));
}

Lines Shard::Commit1(uint64_t seq, std::vector<Operation> operations, const Extra& extra) {
  CommitOnePhase message;
  message.header = Header(seq, extra);
  message.branch = operations.empty() ? NameOf(seq, extra) : extra.branch;
  message.last = extra.last;
  message.operations = std::move(operations);
  message.token = TokenOf(extra.token == 0 ? seq : extra.token);
  message.attempt = extra.attempt;
  message.content = extra.content;
  message.acked_below = extra.acked_below;
  return From(kC1, std::move(message));
}

Lines Shard::Settle(uint64_t seq, uint64_t token, uint32_t attempt) {
  return From(kC1, SettleToken{Header(seq), TokenOf(token), attempt});
}

Lines Shard::Commit(uint64_t seq, const Extra& extra) {
  return From(kC1, Decide{Header(seq, extra), Decision::kCommit});
}

Lines Shard::Abort(uint64_t seq, const Extra& extra) {
  return From(kC1, Decide{Header(seq, extra), Decision::kAbort});
}

void Shard::Given(const std::string& key, const std::string& value) {
  static uint64_t seq = 1'000'000;  // younger than all, and over before any of them begins
  ++seq;
  Commit1(seq, {assent::participant::Put(key, value)});
  Replicate();
  ASSENT_CHECK(Value(key) == value);
}

void Shard::Flush() {
  const std::vector<Mutation> batch = core_->overlay().Collect(replicated_);
  store_->Apply(batch);
  core_->overlay().Forget(replicated_);
  applied_ = replicated_;
}

void Shard::Restart(uint64_t keep) {
  while (Raw(log_.back().first) > keep) log_.pop_back();
  ASSENT_CHECK(log_.back().first >= applied_, "a replicated record would be lost");
  auto store = std::make_unique<MapState>(*store_);
  core_ = std::make_unique<ParticipantCore>(config_, *store);
  store_ = std::move(store);
  backup_ = std::make_unique<ParticipantCore>(config_, initial_);
  for (const auto& [lsn, record] : log_) {
    backup_->Apply(lsn, record);
    if (lsn > applied_) core_->Apply(lsn, record);
  }
  Serve();
}

std::string Shard::Value(const std::string& key) const {
  const auto row = core_->overlay().Get(Table::kData, key);
  return row ? row->value : "(none)";
}

bool Shard::Decided(uint64_t seq) const {
  return HasRow(Table::kDecided, TxnKey(Txn(seq)));
}

bool Shard::HasRow(Table table, const std::string& key) const {
  return core_->overlay().Get(table, key).has_value();
}

}  // namespace assent::participant
