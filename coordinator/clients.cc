#include <algorithm>
#include <utility>
#include <variant>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/overloaded.h"
#include "coordinator/coordinator.h"

// Clients' calls: admission (G8), tokens (C5), and the start of what they ask for.
namespace assent::coordinator {
namespace {

constexpr uint64_t kBirthAheadMaxUs = 604'800'000'000;  // a week: the longest retention

std::string NotOpen(const TxnId& txn) {
  return "transaction " + ToString(txn) + " is not open here";
}

std::string BusyText(const Transaction& txn) {
  return "transaction " + ToString(txn.id) + " is " + std::string(ToString(txn.state)) +
         "; wait for the answer to the call that runs";
}

// All that it touched so far, in order.
std::vector<GroupId> ShardsOf(const Transaction& txn) {
  std::vector<GroupId> shards;
  for (const Branch& branch : txn.branches) {
    if (!branch.participant.is_foreign()) shards.push_back(branch.participant.group);
  }
  std::sort(shards.begin(), shards.end());
  return shards;
}

std::string NamesOf(const std::vector<GroupId>& shards) {
  std::string names;
  for (const GroupId shard : shards) names += (names.empty() ? "" : ", ") + ToString(shard);
  return names.empty() ? "none" : names;
}

}  // namespace

void CoordinatorCore::OnClientCall(const ClientCall& call) {
  std::visit(Overloaded{[&](const OpenSession&) { OnOpenSession(call.id); },
                        [&](const Execute& request) { OnExecute(call.id, request); },
                        [&](const Begin& request) { OnBegin(call.id, request); },
                        [&](const Work& request) { OnWork(call.id, request); },
                        [&](const Commit& request) { OnCommit(call.id, request); },
                        [&](const Rollback& request) { OnRollback(call.id, request); },
                        [&](const Enlist& request) { OnEnlist(call.id, request); },
                        [&](const KeepAlive& request) { OnKeepAlive(call.id, request); },
                        [&](const Finished& request) { OnFinished(call.id, request); }},
             call.request);
}

// The transaction goes on: a one-shot or a commit to its end, whose outcome the token finds; an interactive
// one until its idle timeout.
void CoordinatorCore::OnClientGone(const ClientGone& event) {
  std::erase_if(pending_aborts_, [&](const PendingAnswer& answer) { return answer.id == event.id; });
  if (const auto wait = finish_waits_.find(event.id); wait != finish_waits_.end()) {
    std::erase(Find(wait->second.txn)->finish_waiters, event.id);
    finish_deadlines_.erase({wait->second.until_us, event.id});
    finish_waits_.erase(wait);
  }
  const auto call = calls_.find(event.id);
  if (call == calls_.end()) return;
  Transaction* txn = Find(call->second.txn);
  ASSENT_CHECK(txn != nullptr);
  std::erase(txn->waiters, event.id);
  calls_.erase(call);
}

void CoordinatorCore::OnOpenSession(RequestId id) {
  // Nobody's to guess: the tokens of a client can be used up by whoever knows its id.
  const ClientId client{SipHash(config_.secret, {1, Raw(epoch_), next_client_++}) >> 1 | 1};
  AnswerCall(id, SessionOpened{client, GroupClock(), epoch_});
}

std::optional<std::string> CoordinatorCore::ProblemOfTag(const CommitTag& tag) const {
  if (!tag.token.valid() || Raw(tag.token.client) == 0)
    return "the request has no token; open a session first";
  if (tag.token.coordinator != config_.group) {
    return "token " + ToString(tag.token) + " is of another coordinator group than " +
           ToString(config_.group) + "; open a session with this one";
  }
  if (tag.attempt == 0) return "attempts are numbered from 1";
  if (tag.acked_below > tag.token.seq) return "a request cannot acknowledge itself or later ones";
  return std::nullopt;
}

// C5: a stalled request of an older epoch, whose refusals may be lost. A higher epoch: we are deposed.
void CoordinatorCore::RefuseEpoch(RequestId id, Epoch sent_to) {
  Refuse(id, RefusalCode::kStaleEpoch,
         "sent to epoch " + std::to_string(Raw(sent_to)) + " of " + ToString(config_.group) +
             (sent_to < epoch_ ? ", which is over; send it again to epoch " + std::to_string(Raw(epoch_))
                               : ", which this node has not heard of: it leads in epoch " +
                                     std::to_string(Raw(epoch_)) + "; ask where_is for the leader"));
}

// C5, in this order: too old and not live, refused, live, recorded. True if the call is answered or joined.
bool CoordinatorCore::AnsweredByToken(RequestId id, const CommitTag& tag, uint64_t content,
                                      uint64_t wait_finished_us) {
  Tokens::Judgement judgement = tokens_.Judge(tag.token, tag.attempt, content);
  if (Mutated(Mutant::kTokensNotReplicated) && judgement.verdict == Tokens::Verdict::kCommitted &&
      judgement.outcome.txn.epoch < epoch_) {
    judgement = {};
  }
  Ending ending;
  ending.birth_us = GroupClock();
  ending.repeated = true;
  const auto live = live_tokens_.find(TokenKey{tag.token.client, tag.token.seq});
  switch (judgement.verdict) {
    case Tokens::Verdict::kExpired:
      if (live != live_tokens_.end()) break;  // what becomes of it will be told all the same
      Refuse(id, RefusalCode::kTokenExpired, std::move(judgement.detail));
      return true;
    case Tokens::Verdict::kMismatch:
      Refuse(id, RefusalCode::kTokenMismatch, std::move(judgement.detail));
      return true;
    case Tokens::Verdict::kRefused:  // a stalled duplicate, even while a later attempt runs
      ending.outcome = Outcome::kAborted;
      ending.reason = AbortReason::kRefusedAttempt;
      ending.detail = std::move(judgement.detail);
      AnswerAborted(id, std::move(ending));
      return true;
    case Tokens::Verdict::kCommitted:
    case Tokens::Verdict::kRun:
      break;
  }
  if (live != live_tokens_.end()) {
    Join(id, *Find(live->second), tag, content, wait_finished_us);
    return true;
  }
  if (judgement.verdict == Tokens::Verdict::kRun) {
    // An invented birth far ahead would be kept for as long. The group's clock falls back by up to a
    // retention where that was configured to be less.
    if (tag.token.birth_us <= GroupClock() + kBirthAheadMaxUs) return false;
    Refuse(id, RefusalCode::kTokenExpired, "the token's birth time lies in the future; open a new session");
    return true;
  }
  // R1: until its record is replicated the token is live, so this one may be told.
  ending.outcome = Outcome::kCommitted;
  ending.txn = judgement.outcome.txn;
  AnswerCommitted(id, std::move(ending), wait_finished_us);
  return true;
}

// C5: a live token is joined, never run beside itself.
void CoordinatorCore::Join(RequestId id, Transaction& txn, const CommitTag& tag, uint64_t content,
                           uint64_t wait_finished_us) {
  if (txn.content != content || txn.token != tag.token) {
    return Refuse(id, RefusalCode::kTokenMismatch,
                  "token " + ToString(tag.token) +
                      " is in use for another request; use a new sequence number for each");
  }
  const bool shard_decides = txn.state == TxnState::kOnePhase || txn.state == TxnState::kSettling;
  if (shard_decides && tag.attempt > txn.attempt) {
    // The shard was asked for the lower attempt, and its no would be a no to that one only (C6).
    return Refuse(id, RefusalCode::kOverloaded, "a lower attempt of this token still runs; try again later");
  }
  if (txn.waiters.size() >= config_.limits.waiters_per_token) {
    return Refuse(id, RefusalCode::kOverloaded, "too many calls wait for token " + ToString(tag.token));
  }
  Reached(Situation::kTokenJoined);
  txn.attempt = std::max(txn.attempt, tag.attempt);  // an ABORTED ends this one too
  AddWaiter(txn, id, wait_finished_us);
}

std::optional<std::string> CoordinatorCore::Overload(size_t bytes) const {
  const CoordinatorLimits& limits = config_.limits;
  if (live_count() >= limits.live_txns_max) return "too many transactions are running; try again later";
  if (unended_at_shards_ >= limits.unended_max) {
    return "too many commits wait for a shard's acknowledgement; see `assent txn list`, then try again";
  }
  if (bytes_ + bytes > limits.bytes_max) return "running transactions hold too many bytes; try again later";
  if (overlay_.bytes() > limits.overlay_bytes_max) return "the store is behind; try again later";
  return std::nullopt;
}

// G8: a resource manager that is slow, or does not end what it has voted for, hinders only work
// that names it.
std::optional<std::string> CoordinatorCore::ForeignOverload(const std::string& name) const {
  const auto found = managers_.find(name);
  if (found == managers_.end() || found->second.open < config_.limits.open_per_manager_max)
    return std::nullopt;
  const Manager& manager = found->second;
  return std::to_string(manager.open) + " transactions wait for resource manager " + name +
         (manager.trouble.empty() ? "" : ", which says: " + manager.trouble) +
         "; see `assent txn list`, then try again";
}

bool CoordinatorCore::RefusedAdmission(RequestId id, size_t bytes, const CommitTag* tag,
                                       const std::vector<ForeignWork>& foreign) {
  if (draining_) {  // its next primary is about to be found
    Refuse(id, RefusalCode::kNotServing, ToString(config_.group) + " is being handed over to another node");
    return true;
  }
  std::optional<std::string> overload = Overload(bytes);
  for (const ForeignWork& work : foreign) {
    if (!overload) overload = ForeignOverload(work.resource_manager);
  }
  if (!overload && tag != nullptr) {
    const ClientId client = tag->token.client;
    size_t live = 0;
    for (auto entry = live_tokens_.lower_bound({client, 0});
         entry != live_tokens_.end() && entry->first.first == client; ++entry) {
      if (++live < config_.limits.live_tokens_per_client) continue;
      overload = "this client has too many requests running; wait for some of them";
      break;
    }
  }
  if (!overload) return false;
  Reached(Situation::kOverloadRefused);
  Refuse(id, RefusalCode::kOverloaded, std::move(*overload));
  return true;
}

// P2: a retry keeps its age, if that is one that can have been: not ahead of our clock, not in use
// by a live one.
Age CoordinatorCore::AgeFor(const TxnId& txn, const Age& retry_of) const {
  const bool sane = retry_of.begin_us != 0 && retry_of.begin_us <= now_.wall_us && retry_of.txn.valid() &&
                    !ages_.contains(retry_of);
  return sane ? retry_of : Age{now_.wall_us, txn};
}

Transaction& CoordinatorCore::NewTransaction(const Age& retry_of) {
  const TxnId id = NextId();
  ++next_seq_;
  Transaction& txn = transactions_.emplace_hint(transactions_.end(), id, Transaction{})->second;
  txn.id = id;
  txn.subject = id;
  txn.age = AgeFor(id, retry_of);
  txn.begun_us = now_.mono_us;
  txn.begin_wall_us = now_.wall_us;
  txn.idle_us = config_.times.idle_timeout_us;
  txn.life_us = config_.times.life_max_us;
  ages_.insert(txn.age);
  marks_.OnBegun(id);
  return txn;
}

void CoordinatorCore::AdoptTag(Transaction& txn, RequestId id, const CommitTag& tag, uint64_t content,
                               uint64_t wait_finished_us) {
  txn.token = tag.token;
  txn.attempt = tag.attempt;
  txn.acked_below = tag.acked_below;
  txn.content = content;
  live_tokens_.emplace(TokenKey{tag.token.client, tag.token.seq}, txn.id);
  live_births_.insert(tag.token.birth_us);
  tokens_.NoteFloor(tag.token.client, tag.acked_below);
  AddWaiter(txn, id, wait_finished_us);
}

// Behind the shards, by name: the order in which they are asked (P2). F2: a branch whose vote the application
// reported is prepared, and is not asked; one that is read-only has ended, and takes no further part.
void CoordinatorCore::AddForeign(Transaction& txn, const std::vector<ForeignWork>& foreign) {
  const auto shards = static_cast<std::ptrdiff_t>(txn.branches.size());
  for (const ForeignWork& work : foreign) {
    if (work.voted == Vote::kNo) continue;  // stays with those that are rolled back
    if (work.voted == Vote::kReadOnly) CountOpen(work.resource_manager, -1);
    const bool was_enlisted = txn.enlisted.erase(work.resource_manager) > 0;
    if (work.voted == Vote::kReadOnly) continue;
    Branch branch;
    branch.participant = ParticipantId{GroupId{}, work.resource_manager};
    branch.writing = true;
    branch.payload = work.payload;
    if (work.voted) {
      branch.state = BranchState::kYes;
      branch.by_application = true;
      branch.holder = work.holder;
      branch.evidence = work.evidence;
    }
    if (!was_enlisted) CountOpen(branch, 1);
    txn.branches.push_back(std::move(branch));
  }
  std::sort(txn.branches.begin() + shards, txn.branches.end(),
            [](const Branch& a, const Branch& b) { return a.participant < b.participant; });
  txn.has_foreign = txn.has_foreign || !foreign.empty();
  AddBytes(txn, SizeOf(foreign));
}

void CoordinatorCore::OnExecute(RequestId id, const Execute& request) {
  const CommitTag& tag = request.tag;
  if (auto problem = ProblemOfTag(tag)) return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  if (tag.sent_to != epoch_) return RefuseEpoch(id, tag.sent_to);
  if (request.operations.empty() && request.foreign.empty()) {
    return Refuse(id, RefusalCode::kInvalid, "the request has neither operations nor foreign work");
  }
  if (auto problem = ProblemOf(request.operations))
    return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  // C5: what is recorded is told, though a resource manager has gone from the configuration since.
  const uint64_t content = ContentOf(request.operations, request.foreign);
  if (AnsweredByToken(id, tag, content)) return;
  if (auto problem =
          ProblemOf(request.foreign, config_.resource_managers, config_.limits.foreign_per_txn_max)) {
    return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  }
  if (auto problem = ProblemOfVotes(request.foreign, {})) {
    return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  }
  SplitRequest split = Split(request.operations, placement_);
  bool writing = false;
  size_t bytes = 0;
  for (const ShardPart& part : split.parts) {
    if (auto problem = ProblemOfBranch(part.shard, part.bytes, part.operations.size())) {
      return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
    }
    writing = writing || part.writing;
    bytes += SizeOf(part.operations);
  }
  if (RefusedAdmission(id, bytes + SizeOf(request.foreign), &tag, request.foreign)) return;

  Transaction& txn = NewTransaction(request.retry_of);
  AdoptTag(txn, id, tag, content);
  txn.plan = std::move(split.plan);
  for (ShardPart& part : split.parts) {
    Branch branch;
    branch.participant = ParticipantId{part.shard, ""};
    branch.writing = part.writing;
    branch.last = static_cast<uint32_t>(part.operations.size());
    branch.operations = std::move(part.operations);
    txn.branches.push_back(std::move(branch));
  }
  AddForeign(txn, request.foreign);
  AddBytes(txn, bytes);
  if (request.foreign.empty() && txn.branches.size() == 1) return StartOnePhase(txn);  // C6
  if (request.foreign.empty() && !writing) {
    // C6: reads of several shards are one moment only if all locks are held at once; so first the reads, then
    // a validation round.
    SetDeadline(txn, now_.mono_us + config_.times.vote_timeout_us);
    txn.state = TxnState::kReading;
    return AskBranches(txn);
  }
  StartPreparing(txn);
}

void CoordinatorCore::OnBegin(RequestId id, const Begin& request) {
  if (RefusedAdmission(id, 0, nullptr)) return;
  if (RefusedEnlisting(id, NextId(), {}, request.enlist)) return;
  Transaction& txn = NewTransaction(request.retry_of);
  txn.interactive = true;
  txn.state = TxnState::kActive;
  if (request.life_us != 0) txn.life_us = std::min(txn.life_us, request.life_us);
  txn.idle_us = std::min(request.idle_us != 0 ? request.idle_us : txn.idle_us, txn.life_us);
  Begun begun{txn.id, txn.age, KeyOf(txn.id), txn.idle_us, txn.life_us, {}};
  for (const std::string& name : request.enlist) {
    EnlistIn(txn, name);
    begun.enlisted.push_back(EnlistedBranch{name, kOnlyBranch});
  }
  KeepOpen(txn);
  AnswerCall(id, std::move(begun));
}

// A transaction's key is its begin's answer. Keys of transactions that other processes began are not known,
// but those can no longer be worked on or committed (C3).
bool CoordinatorCore::IsOwner(const TxnId& txn, uint64_t key) const {
  return txn.epoch != epoch_ || key == KeyOf(txn);
}

// The transaction goes on as it was.
void CoordinatorCore::RefuseWork(RequestId id, const Transaction& txn, RefusalCode code, std::string detail) {
  if (code == RefusalCode::kOverloaded) ++stats_.overloaded;
  AnswerCall(id, Refusal{code, std::move(detail), epoch_, ShardsOf(txn)});
}

// The interactive transaction that the call is about; null: there is none, and the call is answered.
Transaction* CoordinatorCore::FindOpen(RequestId id, const TxnId& txn_id, uint64_t key) {
  Transaction* txn = IsOwner(txn_id, key) ? Find(txn_id) : nullptr;
  if (txn != nullptr && txn->interactive && IsUndecided(txn->state)) return txn;
  const auto recent = IsOwner(txn_id, key) ? recent_.find(txn_id) : recent_.end();
  if (recent == recent_.end() || recent->second.outcome != Outcome::kAborted) {
    Refuse(id, RefusalCode::kNoSuchTxn, NotOpen(txn_id));
    return nullptr;
  }
  AnswerCall(id, Ending{Outcome::kAborted,
                        txn_id,
                        recent->second.age,
                        recent->second.reason,
                        recent->second.detail,
                        {},
                        true,
                        GroupClock()});
  return nullptr;
}

void CoordinatorCore::RefuseBusy(RequestId id, const Transaction& txn) {
  RefuseWork(id, txn, RefusalCode::kBusy, BusyText(txn));
}

void CoordinatorCore::OnWork(RequestId id, const Work& request) {
  Transaction* txn = FindOpen(id, request.txn, request.key);
  if (txn == nullptr) return;
  if (txn->state != TxnState::kActive) return RefuseBusy(id, *txn);
  if (request.operations.empty()) {
    return RefuseWork(id, *txn, RefusalCode::kInvalid, "the request has no operations");
  }
  if (auto problem = ProblemOf(request.operations)) {
    return RefuseWork(id, *txn, RefusalCode::kInvalid, std::move(*problem));
  }
  SplitRequest split = Split(request.operations, placement_);
  size_t bytes = 0;
  for (const ShardPart& part : split.parts) {
    const Branch* branch = BranchAt(*txn, ParticipantId{part.shard, ""});
    const size_t sent = branch == nullptr ? 0 : branch->bytes_sent;
    const size_t count = branch == nullptr ? 0 : branch->last;
    if (auto problem = ProblemOfBranch(part.shard, sent + part.bytes, count + part.operations.size())) {
      return RefuseWork(id, *txn, RefusalCode::kInvalid, std::move(*problem));
    }
    bytes += SizeOf(part.operations);
  }
  if (bytes_ + bytes > config_.limits.bytes_max) {
    return RefuseWork(id, *txn, RefusalCode::kOverloaded,
                      "running transactions hold too many bytes; try again later");
  }
  for (ShardPart& part : split.parts) {
    Branch* branch = BranchAt(*txn, ParticipantId{part.shard, ""});
    if (branch == nullptr) {
      txn->branches.emplace_back();
      branch = &txn->branches.back();
      branch->participant = ParticipantId{part.shard, ""};
    }
    branch->state = BranchState::kAsked;
    branch->writing = branch->writing || part.writing;
    branch->last += static_cast<uint32_t>(part.operations.size());  // P3
    branch->bytes_sent += part.bytes;
    branch->operations = std::move(part.operations);
    branch->resends = 0;
  }
  AddBytes(*txn, bytes);
  txn->plan = std::move(split.plan);
  txn->state = TxnState::kWorking;
  AddWaiter(*txn, id, 0);
  SetDeadline(*txn, txn->begun_us + txn->life_us);  // C7: lock waits, too, end there
  AskBranches(*txn);
}

void CoordinatorCore::OnCommit(RequestId id, const Commit& request) {
  const CommitTag& tag = request.tag;
  if (auto problem = ProblemOfTag(tag)) return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  if (tag.sent_to != epoch_) return RefuseEpoch(id, tag.sent_to);
  if (request.txn.coordinator != config_.group || !request.txn.valid() || request.txn >= NextId()) {
    return Refuse(id, RefusalCode::kNoSuchTxn,
                  "transaction " + ToString(request.txn) + " was never begun at " + ToString(config_.group));
  }
  const uint64_t content = ContentOf(request.txn, request.foreign);  // C5: as for execute
  if (AnsweredByToken(id, tag, content, request.wait_finished_us)) return;
  if (auto problem =
          ProblemOf(request.foreign, config_.resource_managers, config_.limits.foreign_per_txn_max)) {
    return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  }
  if (!IsOwner(request.txn, request.key)) return Refuse(id, RefusalCode::kNoSuchTxn, NotOpen(request.txn));
  Transaction* txn = Find(request.txn);
  if (txn != nullptr && (txn->state == TxnState::kCommitting || txn->state == TxnState::kPhaseTwo)) {
    return Refuse(id, RefusalCode::kTokenMismatch,
                  "the transaction was committed under another token or with other work");
  }
  if (txn == nullptr || !IsUndecided(txn->state)) return CommitOfUnknown(id, request, content);
  if (!txn->interactive)
    return Refuse(id, RefusalCode::kNoSuchTxn, NotOpen(request.txn));  // a one-shot's own id
  if (txn->state != TxnState::kActive) return Refuse(id, RefusalCode::kBusy, BusyText(*txn));
  // C3: once this process is gone, these are the shards that are asked first.
  std::vector<GroupId> named = request.shards;
  std::sort(named.begin(), named.end());
  if (named != ShardsOf(*txn)) {
    return Refuse(id, RefusalCode::kInvalid,
                  "shards: the request names " + NamesOf(named) + ", but " + ToString(txn->id) +
                      " has touched " + NamesOf(ShardsOf(*txn)) + "; name those");
  }
  if (auto problem = ProblemOfVotes(request.foreign, txn->enlisted)) {
    return Refuse(id, RefusalCode::kInvalid, std::move(*problem));
  }
  if (bytes_ + SizeOf(request.foreign) > config_.limits.bytes_max) {
    return Refuse(id, RefusalCode::kOverloaded, "running transactions hold too many bytes; try again later");
  }
  for (const ForeignWork& work : request.foreign) {
    if (work.voted) continue;  // it is among those that are there
    if (auto overload = ForeignOverload(work.resource_manager)) {
      return Refuse(id, RefusalCode::kOverloaded, std::move(*overload));
    }
  }
  AdoptTag(*txn, id, tag, content, request.wait_finished_us);
  StartCommit(*txn, request);
}

void CoordinatorCore::StartCommit(Transaction& txn, const Commit& request) {
  AddForeign(txn, request.foreign);
  for (const ForeignWork& work : request.foreign) {
    if (work.voted != Vote::kNo) continue;
    return Abort(txn, AbortReason::kForeignRefused, work.resource_manager + " voted no");
  }
  if (!txn.enlisted.empty()) {  // F2
    return Abort(txn, AbortReason::kForeignRefused,
                 *txn.enlisted.begin() + " was enlisted and did not report");
  }
  // P9: each operation was answered, so each lock is granted; but those of foreign work that we ask to
  // prepare only when it is.
  txn.may_release = std::all_of(request.foreign.begin(), request.foreign.end(),
                                [](const ForeignWork& work) { return work.voted.has_value(); });
  if (txn.branches.empty()) return DecideCommit(txn);
  if (txn.branches.size() == 1 && !txn.branches[0].participant.is_foreign()) return StartOnePhase(txn);  // C6
  StartPreparing(txn);
}

// COMMITTED of a transaction that may be in phase two, or have ended.
void CoordinatorCore::AnswerCommitted(RequestId id, Ending ending, uint64_t wait_finished_us) {
  if (wait_finished_us == 0) return AnswerCall(id, std::move(ending));
  Transaction* txn = Find(ending.txn);
  if (txn != nullptr && txn->state == TxnState::kPhaseTwo) {
    return HoldUntilFinished(id, *txn, std::move(ending), wait_finished_us);
  }
  ending.finished = true;  // C4
  AnswerCall(id, std::move(ending));
}

// The transaction is not live here and no outcome of the token is recorded.
void CoordinatorCore::CommitOfUnknown(RequestId id, const Commit& request, uint64_t content) {
  const CommitTag& tag = request.tag;
  const auto recent = recent_.find(request.txn);
  if (recent == recent_.end() || recent->second.outcome == Outcome::kUnknown) {
    return StartSettling(id, request, content);
  }
  const RecentEnding& end = recent->second;
  if (end.outcome == Outcome::kCommitted && end.content != content) {
    return Refuse(id, RefusalCode::kTokenMismatch, "the transaction was committed with other work");
  }
  Ending ending{end.outcome, request.txn, end.age, end.reason, end.detail, {}, true, GroupClock()};
  if (ending.outcome == Outcome::kCommitted)
    return AnswerCommitted(id, std::move(ending), request.wait_finished_us);
  if (RefusedAdmission(id, 0, &tag)) return;
  tokens_.NoteFloor(tag.token.client, tag.acked_below);
  RefuseAttempt(tag.token, tag.attempt, tag.acked_below);
  ++stats_.aborted;
  AnswerAborted(id, std::move(ending));
}

void CoordinatorCore::OnRollback(RequestId id, const Rollback& request) {
  if (!IsOwner(request.txn, request.key)) return Refuse(id, RefusalCode::kNoSuchTxn, NotOpen(request.txn));
  Transaction* txn = Find(request.txn);
  if (txn == nullptr || !txn->interactive || !IsUndecided(txn->state)) {
    const auto recent = recent_.find(request.txn);
    if (recent != recent_.end() && recent->second.outcome == Outcome::kAborted)
      return AnswerCall(id, RolledBack{});
    return Refuse(id, RefusalCode::kNoSuchTxn, NotOpen(request.txn));
  }
  if (txn->state != TxnState::kActive && txn->state != TxnState::kWorking) {
    return Refuse(id, RefusalCode::kBusy, BusyText(*txn));
  }
  Abort(*txn, AbortReason::kRolledBack, "rolled back by the client");
  AnswerCall(id, RolledBack{});
}

// C5: an ABORTED answer ends this attempt and all before it, by this record.
void CoordinatorCore::RefuseAttempt(const Token& token, uint32_t attempt, uint64_t acked_below) {
  last_refusal_ = AppendRecord(AttemptRefused{token, attempt, acked_below});
}

void CoordinatorCore::Remember(const Transaction& txn, Outcome outcome, AbortReason reason,
                               const std::string& detail) {
  if (!txn.interactive) return;
  recent_.emplace(txn.id, RecentEnding{txn.age, outcome, reason, detail, txn.content});
  recent_order_.push_back(txn.id);
  if (recent_order_.size() > config_.limits.recent_endings) {
    recent_.erase(recent_order_.front());
    recent_order_.pop_front();
  }
}

}  // namespace assent::coordinator
