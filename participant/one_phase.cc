#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "participant/participant.h"

// One-phase commit (C6): this shard's record is the decision. The token is looked up before anything runs,
// one attempt of it runs at a time, and each answer follows a replicated record: the commit, or the refusal
// of the attempt.
//
// A no with kTokenExpired for a token below its client's floor or the group's horizon says that what became
// of it may be forgotten here (C5): it is no proof of an abort.
namespace assent::participant {
namespace {

constexpr size_t kJoinersMax = 16;  // of one running token; more are not answered, and ask again

// C5: attempts start at 1, and a token is of the group that sends it.
bool IsSane(const TxnId& txn, const Token& token, uint32_t attempt) {
  return token.valid() && token.coordinator == txn.coordinator && attempt != 0;
}

}  // namespace

Branch* ParticipantCore::FindLive(const Token& token) {
  const auto live = live_tokens_.find(TokenId{token.coordinator, token.client, token.seq});
  return live == live_tokens_.end() ? nullptr : FindBranch(live->second);
}

void ParticipantCore::Join(Branch& branch, const TxnId& txn, uint32_t attempt) {
  if (txn == branch.txn) {
    if (branch.state == BranchState::kWorking) {
      branch.one_phase->attempt = std::max(branch.one_phase->attempt, attempt);
    }
    return;  // it will be answered anyway
  }
  Reached(Situation::kTokenJoined);
  const auto same = std::find_if(branch.joiners.begin(), branch.joiners.end(),
                                 [&](const TokenJoiner& joiner) { return joiner.txn == txn; });
  if (same != branch.joiners.end()) {
    same->attempt = std::max(same->attempt, attempt);
  } else if (branch.joiners.size() < kJoinersMax) {
    branch.joiners.push_back(TokenJoiner{txn, attempt});
  }
}

void ParticipantCore::OnCommitOnePhase(CommitOnePhase message) {
  const TxnId txn = message.header.txn;
  if (!IsSane(txn, message.token, message.attempt)) return;
  Branch* branch = FindBranch(txn);
  if (branch != nullptr && branch->state == BranchState::kPrepared) return;  // two-phase already
  Branch* live = FindLive(message.token);
  // For another token than the one it commits, or is asked to commit, under: nonsense.
  if (branch != nullptr && branch != live &&
      (branch->state == BranchState::kCommitting || branch->request == BranchRequest::kOnePhase)) {
    return;
  }
  if (live != nullptr) Join(*live, txn, message.attempt);  // never beside itself
  if (live == branch && live != nullptr) return;           // a duplicate
  if (live != nullptr || AnswerFromRecord(txn, message.token, message.attempt)) {
    if (branch != nullptr) {
      Remember(txn, Failure{AbortReason::kBranchLost, "another attempt of the token was there before"});
      DropBranch(*branch);
    }
    return;
  }
  if (branch == nullptr) {
    if (IsKnownCommitted(txn)) return;  // in two phases: nonsense
    if (const auto why = WhyNotOpen(txn, message.branch, !message.operations.empty())) {
      RefuseAttempts(message.token, message.acked_below, {TokenJoiner{txn, message.attempt}}, *why);
      return;
    }
    if (IsHeldBack(message.header.age)) return;
    branch = &OpenBranch(message.header);
  } else if (!message.operations.empty() || !IsNamed(*branch, message.branch) ||
             message.last != branch->done || branch->request != BranchRequest::kNone) {  // P3
    branch->request = BranchRequest::kOnePhase;
    branch->one_phase = std::move(message);
    EndBranch(*branch, Failure{AbortReason::kBranchLost, "operations are missing"});
    return;
  }
  std::vector<Operation> operations = std::move(message.operations);
  message.operations.clear();
  live_tokens_[TokenId{message.token.coordinator, message.token.client, message.token.seq}] = txn;
  branch->one_phase = std::move(message);
  Start(*branch, BranchRequest::kOnePhase, std::move(operations));
}

void ParticipantCore::OnSettleToken(const SettleToken& message) {
  const TxnId txn = message.header.txn;
  if (!IsSane(txn, message.token, message.attempt)) return;
  const Failure settled{AbortReason::kRefusedAttempt, "the attempt was ended before it could commit"};
  Branch* live = FindLive(message.token);
  Branch* branch = FindBranch(txn);
  // It commits under another token: nonsense, and no answer could be true of both.
  if (branch != nullptr && branch != live && branch->state == BranchState::kCommitting) return;
  if (branch != nullptr && branch != live && branch->state == BranchState::kWorking &&
      branch->request != BranchRequest::kOnePhase) {  // work that never came to its commit
    Remember(txn, settled);
    DropBranch(*branch);
  }
  if (live != nullptr) {
    const bool covered = live->state == BranchState::kWorking &&
                         live->one_phase->attempt <= message.attempt;  // C6: up to that one
    Join(*live, txn, message.attempt);  // appended already, or a later attempt: its end answers this, too
    if (covered) EndBranch(*live, settled);
    return;
  }
  if (AnswerFromRecord(txn, message.token, message.attempt)) return;
  RefuseAttempts(message.token, 0, {TokenJoiner{txn, message.attempt}}, settled);
}

// C6: the token is looked up before anything is appended.
bool ParticipantCore::AnswerFromRecord(const TxnId& txn, const Token& token, uint32_t attempt) {
  const ShardState::TokenState state = state_.StateOf(token, attempt);
  OnePhaseReply reply;
  reply.txn = txn;
  reply.token = token;
  reply.attempt = attempt;
  switch (state.fate) {
    case ShardState::TokenFate::kFresh:
      return false;
    case ShardState::TokenFate::kCommitted:
      Reached(Situation::kTokenFoundAtShard);
      if (Mutated(Mutant::kDuplicateCommitAppliedAgain)) return false;
      reply.committed = true;
      reply.committed_txn = state.outcome.txn;
      reply.content = state.outcome.content;
      break;
    case ShardState::TokenFate::kRefused:
      reply.reason = AbortReason::kRefusedAttempt;
      reply.detail = "this attempt was refused before";
      break;
    case ShardState::TokenFate::kExpired:
      reply.reason = AbortReason::kTokenExpired;
      reply.detail = "the token is below its client's floor or the horizon";
      break;
  }
  Withhold(state.lsn, token.coordinator, txn, std::move(reply));
  return true;
}

// All operations are done and their locks held.
void ParticipantCore::CommitBranch(Branch& branch) {
  const CommitOnePhase& request = *branch.one_phase;
  if (branch.writes
          .empty()) {  // C6: read-only leaves no record; what it read may be too fresh to be shown yet (R1)
    FinishCommitting(branch, branch.newest_read);
    return;
  }
  if (TakesNoWrites()) {
    EndBranch(branch,
              Failure{AbortReason::kOverloaded, ToString(config_.group) + " cannot keep up with its writes"});
    return;
  }
  OnePhaseCommitted record;
  record.txn = branch.txn;
  record.token = request.token;
  record.attempt = request.attempt;
  record.content = request.content;
  record.acked_below = request.acked_below;
  for (auto& [key, value] : branch.writes) record.writes.push_back(Write{key, std::move(value)});
  branch.writes.clear();
  const Lsn lsn = Append(std::move(record));
  if (Mutated(Mutant::kOnePhaseLocksFreedAtAppend)) return FinishCommitting(branch, lsn);
  branch.state = BranchState::kCommitting;
  branch.request = BranchRequest::kNone;
  work_timers_.Cancel(branch.txn);
  locks_.SetVoted(branch.txn);
  // C6: the locks stay, so nobody sees the writes before they are replicated.
  committing_.emplace(lsn, branch.txn);
}

// Answers all that asked, and lets go. `lsn` is replicated, or about to be.
void ParticipantCore::FinishCommitting(Branch& branch, Lsn lsn) {
  const TxnId txn = branch.txn;
  const CommitOnePhase& request = *branch.one_phase;
  OnePhaseReply reply;
  reply.token = request.token;
  reply.committed = true;
  reply.committed_txn = txn;
  reply.content = request.content;
  for (const TokenJoiner& joiner : branch.joiners) {
    reply.txn = joiner.txn;
    reply.attempt = joiner.attempt;
    Withhold(lsn, txn.coordinator, joiner.txn, reply);
  }
  reply.txn = txn;
  reply.attempt = request.attempt;
  reply.results = std::move(branch.results);
  Withhold(lsn, txn.coordinator, txn, std::move(reply));
  Remember(txn, Failure{AbortReason::kBranchLost, "the branch has committed"});
  DropBranch(branch);
}

void ParticipantCore::RefuseAttempts(const Token& token, uint64_t acked_below,
                                     const std::vector<TokenJoiner>& askers, const Failure& failure) {
  if (IsLogFull()) return;  // G8: it is asked for again
  uint32_t attempt = 0;
  for (const TokenJoiner& asker : askers) attempt = std::max(attempt, asker.attempt);
  const Lsn lsn = Append(AttemptRefused{token, attempt, acked_below});
  Reached(Situation::kAttemptsRefused);
  for (const TokenJoiner& asker : askers) {
    OnePhaseReply reply;
    reply.txn = asker.txn;
    reply.token = token;
    reply.attempt = asker.attempt;
    reply.reason = failure.reason;
    reply.detail = failure.detail;
    Withhold(lsn, token.coordinator, asker.txn, std::move(reply));
  }
}

}  // namespace assent::participant
