#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "coordinator/coordinator.h"

// Work and votes, up to the decision.
namespace assent::coordinator {
namespace {

std::string NameOf(const ParticipantId& participant) {
  return participant.is_foreign() ? "resource manager " + participant.foreign
                                  : "shard " + ToString(participant.group);
}

std::string Seconds(uint64_t us) {  // "10 s", "1.4 s"
  const uint64_t tenths = us / 100'000;
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + " s";
}

bool IsReadOnly(const Transaction& txn) {
  return std::none_of(txn.branches.begin(), txn.branches.end(),
                      [](const Branch& branch) { return branch.writing; });
}

std::vector<Participant> ParticipantsOf(const Transaction& txn) {
  std::vector<Participant> participants;
  for (const Branch& branch : txn.branches) {
    participants.push_back(Participant{branch.participant.foreign, branch.participant.group, branch.writing});
  }
  return participants;
}

// Put, delete and check have no result, so a vote that lost its results lost nothing.
bool HaveNoResults(const std::vector<Operation>& operations) {
  return std::all_of(operations.begin(), operations.end(), [](const Operation& operation) {
    return std::holds_alternative<PutOp>(operation) || std::holds_alternative<DeleteOp>(operation) ||
           std::holds_alternative<CheckOp>(operation);
  });
}

}  // namespace

void CoordinatorCore::AskBranches(Transaction& txn) {
  const bool working = txn.state == TxnState::kWorking;
  for (Branch& branch : txn.branches) {
    if (working && branch.state != BranchState::kAsked) continue;  // not touched by this call
    Ask(txn, branch);
  }
}

void CoordinatorCore::Ask(Transaction& txn, Branch& branch) {
  branch.state = BranchState::kAsked;
  branch.resends = 0;
  branch.asked_us = now_.mono_us;
  branch.trouble.clear();
  branch.is_called = false;
  if (IsLeftToApplication(txn, branch)) {  // F4
    resends_.ScheduleAt(branch.participant, txn.id, now_.mono_us + config_.times.finish_after_us);
    return;
  }
  SendBranch(txn, branch);
}

// Sends, for the first time or again, what the transaction's state asks of the branch,
// and schedules the next.
void CoordinatorCore::SendBranch(Transaction& txn, Branch& branch) {
  ASSENT_CHECK(branch.state == BranchState::kAsked, ToString(txn.id));
  if (branch.participant.is_foreign()) return CallForeignFor(txn, branch);
  const GroupId shard = branch.participant.group;
  TxnHeader header = HeaderFor(txn, shard);
  switch (txn.state) {
    case TxnState::kWorking:
    case TxnState::kReading: {
      const auto count = static_cast<uint32_t>(branch.operations.size());
      SendShard(shard, Operate{header, branch.id, branch.last - count + 1, branch.operations});
      break;
    }
    case TxnState::kPreparing:
      SendShard(shard, Prepare{header, branch.id, branch.last, branch.operations, ParticipantsOf(txn),
                               CommitMode::kCoordinator, txn.may_release});
      break;
    case TxnState::kOnePhase:
      SendShard(shard, CommitOnePhase{header, branch.id, branch.last, branch.operations, txn.token,
                                      txn.attempt, txn.content, txn.acked_below});
      break;
    case TxnState::kSettling:
      header.txn = txn.subject;  // the shard ends what it still has of it
      SendShard(shard, SettleToken{header, txn.token, txn.attempt});
      break;
    case TxnState::kPhaseTwo:
      SendShard(shard, Decide{header, Decision::kCommit});
      break;
    case TxnState::kAborting:
      SendShard(shard, Decide{header, Decision::kAbort});
      break;
    case TxnState::kActive:
    case TxnState::kCommitting:
      ASSENT_CHECK(false, "nothing to send", ToString(txn.id), txn.state);
  }
  resends_.ScheduleAfter(branch.participant, txn.id, now_.mono_us, branch.resends);
}

void CoordinatorCore::StartPreparing(Transaction& txn) {
  txn.state = TxnState::kPreparing;
  SetDeadline(txn, std::min(now_.mono_us + config_.times.vote_timeout_us,  // C7
                            txn.begun_us + txn.life_us));
  for (Branch& branch : txn.branches) {
    if (!branch.by_application) branch.state = BranchState::kIdle;  // F2: that has voted
  }
  if (!AskForVotes(txn)) DecideCommit(txn);
}

// P2: shards first, and resource managers one after the other, by name, once all shards have voted yes. So
// locks that no shard sees are only waited for by transactions that hold all of theirs inside, and in one
// order: nobody waits in a circle through them.
bool CoordinatorCore::AskForVotes(Transaction& txn) {
  bool asked = false;
  for (Branch& branch : txn.branches) {
    if (branch.state != BranchState::kIdle) continue;
    if (branch.participant.is_foreign() && asked) break;
    Ask(txn, branch);
    asked = true;
    if (branch.participant.is_foreign()) break;
  }
  return asked;
}

// "shard s2 did not vote within 10 s", and what came instead.
std::string CoordinatorCore::NoAnswerFrom(const Branch& branch, const char* what) const {
  return NameOf(branch.participant) + " did not " + what + " within " +
         Seconds(now_.mono_us - branch.asked_us) + (branch.trouble.empty() ? "" : ": " + branch.trouble);
}

void CoordinatorCore::OnOperateReply(GroupId from, const OperateReply& reply) {
  Transaction* txn = Find(reply.txn);
  if (txn == nullptr || (txn->state != TxnState::kWorking && txn->state != TxnState::kReading)) return;
  Branch* branch = BranchAt(*txn, ParticipantId{from, ""});
  if (branch == nullptr || branch->state != BranchState::kAsked || reply.last != branch->last) return;
  if (reply.results.size() != branch->operations.size() || reply.branch == BranchId{}) return;
  if (branch->id != BranchId{} && branch->id != reply.branch) {  // P3
    return Abort(*txn, AbortReason::kBranchLost, NameOf(branch->participant) + " has lost the branch");
  }
  branch->id = reply.branch;
  branch->state = BranchState::kIdle;
  resends_.Cancel(branch->participant, txn->id);
  if (!KeepResults(*txn, *branch, reply.results)) return;
  branch->operations.clear();
  FinishIfAllAnswered(*txn);
}

void CoordinatorCore::OnBranchAborted(GroupId from, const BranchAborted& message) {
  Transaction* txn = Find(message.txn);
  if (txn == nullptr) return;
  const Branch* branch = BranchAt(*txn, ParticipantId{from, ""});
  if (branch == nullptr) return;
  if (Mutated(Mutant::kReadsNotValidated) && IsReadOnly(*txn) &&
      (branch->state == BranchState::kIdle || txn->state == TxnState::kPreparing)) {
    return;
  }
  switch (txn->state) {
    case TxnState::kActive:
    case TxnState::kWorking:
    case TxnState::kReading:
    case TxnState::kPreparing:
      return Abort(*txn, message.reason, message.detail);
    case TxnState::kOnePhase:
      // Not an answer to the commit, which may be on its way and run anew: only OnePhaseReply
      // says ABORTED (C6).
      resends_.ScheduleAt(branch->participant, txn->id, now_.mono_us);
      return;
    case TxnState::kSettling:
    case TxnState::kCommitting:
    case TxnState::kPhaseTwo:
    case TxnState::kAborting:
      return;
  }
}

void CoordinatorCore::OnVoteReply(GroupId from, const VoteReply& reply) {
  Transaction* txn = Find(reply.txn);
  if (txn == nullptr || txn->state != TxnState::kPreparing) return;
  Branch* branch = BranchAt(*txn, ParticipantId{from, ""});
  if (branch == nullptr || branch->state != BranchState::kAsked) return;
  if (reply.vote != Vote::kNo && !branch->operations.empty()) {
    std::vector<OperationResult> results = reply.results;
    if (results.empty()) {  // repeated after a failover (P3): the vote is in the log, the results are not
      if (!HaveNoResults(branch->operations)) {
        return Abort(*txn, AbortReason::kBranchLost,
                     NameOf(branch->participant) + " restarted and lost the results");
      }
      results.resize(branch->operations.size());
    }
    if (results.size() != branch->operations.size()) return;  // bad peer input
    if (!KeepResults(*txn, *branch, results)) return;
    branch->operations.clear();
  }
  TakeVote(*txn, *branch, reply.vote, reply.reason, reply.detail);
}

void CoordinatorCore::TakeVote(Transaction& txn, Branch& branch, Vote vote, AbortReason reason,
                               const std::string& detail) {
  if (vote == Vote::kNo && IsReadOnly(txn)) Reached(Situation::kReadOnlyValidationFailed);
  const bool ignored = Mutated(Mutant::kReadsNotValidated) && IsReadOnly(txn);
  if (vote == Vote::kNo && !ignored) return Abort(txn, reason, detail);
  branch.state = vote == Vote::kYes ? BranchState::kYes : BranchState::kReadOnly;
  resends_.Cancel(branch.participant, txn.id);
  FinishIfAllAnswered(txn);
}

// False if there was no room (G8), and the transaction was aborted for it.
bool CoordinatorCore::KeepResults(Transaction& txn, Branch& branch,
                                  const std::vector<OperationResult>& results) {
  const size_t bytes = SizeOf(results);
  if (bytes_ + bytes > config_.limits.bytes_max) {
    Abort(txn, AbortReason::kOverloaded, "running transactions hold too many bytes; try again later");
    return false;
  }
  AddBytes(txn, bytes);
  branch.results = results;
  return true;
}

// The call's results in the client's order; nullopt if they are too large for one reply.
std::optional<std::vector<OperationResult>> CoordinatorCore::MergedResults(Transaction& txn) const {
  std::vector<std::vector<OperationResult>> parts;
  for (const GroupId shard : txn.plan.shards)
    parts.push_back(std::move(BranchAt(txn, ParticipantId{shard, ""})->results));
  std::vector<OperationResult> merged = Merge(txn.plan, std::move(parts));
  if (SizeOf(merged) > kResultBytesMax) return std::nullopt;
  return merged;
}

void CoordinatorCore::FinishIfAllAnswered(Transaction& txn) {
  for (const Branch& branch : txn.branches) {
    if (branch.state == BranchState::kAsked) return;
  }
  if (txn.state == TxnState::kPreparing) {
    if (!AskForVotes(txn)) DecideCommit(txn);
    return;
  }
  if (txn.state == TxnState::kReading) {
    txn.may_release = true;  // P9: each read was answered, so each lock is granted
    return StartPreparing(txn);
  }
  ASSENT_CHECK(txn.state == TxnState::kWorking, txn.state);
  auto results = MergedResults(txn);
  if (!results)
    return Abort(txn, AbortReason::kTooLarge, "the results are too large; read less in one request");
  WorkDone done{std::move(*results), {}};
  for (Branch& branch : txn.branches) done.shards.push_back(branch.participant.group);
  txn.state = TxnState::kActive;
  txn.plan = MergePlan{};
  DropBytes(txn);
  KeepOpen(txn);
  AnswerWaiters(txn, done);
}

// All votes are in, and none is a no.
void CoordinatorCore::DecideCommit(Transaction& txn) {
  auto results = MergedResults(txn);
  if (!results)
    return Abort(txn, AbortReason::kTooLarge, "the results are too large; read less in one request");
  Committed record{txn.id, {}, txn.token, txn.attempt, txn.content, txn.acked_below, txn.begin_wall_us};
  for (const Branch& branch : txn.branches) {
    if (branch.state != BranchState::kYes) continue;
    record.participants.push_back(
        Participant{branch.participant.foreign, branch.participant.group, branch.writing});
  }
  if (record.participants.empty()) {  // C6: nothing was written, so no record
    ++stats_.read_only;
    AnswerWaiters(txn, Ending{Outcome::kCommitted, txn.subject, txn.age, AbortReason::kNone, "",
                              std::move(*results), false, GroupClock()});
    Remember(txn, Outcome::kCommitted, AbortReason::kNone, "");
    Close(txn);
    return Erase(txn.id);
  }
  txn.results = std::move(*results);
  txn.plan = MergePlan{};
  SetDeadline(txn, 0);
  AppendRecord(std::move(record));  // C1: from here on it cannot abort
  if (Mutated(Mutant::kDecisionSentBeforeForce)) {
    for (const Branch& branch : txn.branches) {
      SendShard(branch.participant.group,
                Decide{HeaderFor(txn, branch.participant.group), Decision::kCommit});
    }
  }
}

// Before COMMIT is appended. Answers the client; the participants are told, for a while (C3 does the rest).
void CoordinatorCore::Abort(Transaction& txn, AbortReason reason, const std::string& detail) {
  ASSENT_CHECK(txn.state < TxnState::kOnePhase, "cannot abort", ToString(txn.id), txn.state);  // C1, C6
  ++stats_.aborted;
  if (txn.token.valid()) RefuseAttempt(txn.token, txn.attempt, txn.acked_below);
  AbortWaiters(txn, Ending{Outcome::kAborted, txn.subject, txn.age, reason, detail, {}, false, GroupClock()});
  Remember(txn, Outcome::kAborted, reason, detail);
  Close(txn);
  txn.state = TxnState::kAborting;
  txn.plan = MergePlan{};
  for (const std::string& name : std::exchange(txn.enlisted, {})) {  // F4: whatever was prepared there
    Branch& branch = txn.branches.emplace_back();
    branch.participant = ParticipantId{GroupId{}, name};
    branch.state = BranchState::kYes;
    branch.by_application = true;
    branch.writing = true;
  }
  // A resource manager that was not asked yet, or has let go, hears nothing.
  std::erase_if(txn.branches, [&](const Branch& branch) {
    const bool over = branch.participant.is_foreign() &&
                      (branch.state == BranchState::kIdle || branch.state == BranchState::kReadOnly);
    if (over) CountOpen(branch, -1);
    return over;
  });
  for (Branch& branch : txn.branches) {
    branch.operations = {};
    branch.results = {};
    branch.payload = {};
  }
  ++aborting_;
  AskBranches(txn);
  if (txn.branches.empty() || aborting_ > config_.limits.aborting_max) Erase(txn.id);  // told once
}

// It is no longer live, whatever became of it.
void CoordinatorCore::Close(Transaction& txn) {
  ASSENT_CHECK(txn.waiters.empty() && (txn.enlisted.empty() || IsUndecided(txn.state)), ToString(txn.id));
  SetDeadline(txn, 0);
  ages_.erase(txn.age);
  if (txn.token.valid()) {
    live_tokens_.erase(TokenKey{txn.token.client, txn.token.seq});
    live_births_.erase(live_births_.find(txn.token.birth_us));
  }
  marks_.OnSettled(txn.id);
  for (const Branch& branch : txn.branches) resends_.Cancel(branch.participant, txn.id);
  DropBytes(txn);
}

void CoordinatorCore::Erase(const TxnId& id) {
  const auto entry = transactions_.find(id);
  ASSENT_CHECK(entry != transactions_.end());
  if (entry->second.state == TxnState::kAborting) --aborting_;
  for (const Branch& branch : entry->second.branches) {
    resends_.Cancel(branch.participant, id);
    if (branch.state != BranchState::kAcknowledged) CountOpen(branch, -1);
  }
  transactions_.erase(entry);
}

}  // namespace assent::coordinator
