#include "sim/promises.h"

#include <algorithm>
#include <vector>

namespace assent::sim {
namespace {

using Kind = Claim::Kind;

bool Writes(const std::vector<Operation>& operations) {
  return std::any_of(operations.begin(), operations.end(), [](const Operation& operation) {
    return std::holds_alternative<PutOp>(operation) || std::holds_alternative<AddOp>(operation) ||
           std::holds_alternative<DeleteOp>(operation);
  });
}

Lsn NewestOf(const std::vector<OperationResult>& results) {
  Lsn newest{};
  for (const OperationResult& result : results) {
    for (const ResultRow& row : result.rows) newest = std::max(newest, Lsn{row.version});
  }
  return newest;
}

std::string Wrong(const char* invariant, const std::string& what) {
  return std::string(invariant) + ": " + what;
}

}  // namespace

Asked Promises::AskedBy(const ClientRequest& request) {
  Asked asked;
  if (const auto* work = std::get_if<Work>(&request)) {
    if (Writes(work->operations)) wrote_.insert(work->txn);
  } else if (const auto* execute = std::get_if<Execute>(&request)) {
    asked = {execute->tag.token, execute->tag.attempt, Writes(execute->operations)};
  } else if (const auto* commit = std::get_if<Commit>(&request)) {
    asked = {commit->tag.token, commit->tag.attempt, wrote_.contains(commit->txn)};
  }
  return asked;
}

std::optional<Claim> Promises::ClaimOf(const Envelope& envelope) {
  Claim claim{Kind::kOther, envelope.from_group, envelope.from_epoch, {}, {}};
  if (const auto* vote = std::get_if<VoteReply>(&envelope.message)) {
    claim.txn = vote->txn;
    claim.shown = NewestOf(vote->results);
    if (vote->vote == Vote::kYes) claim.kind = Kind::kYes;
  } else if (const auto* decide = std::get_if<Decide>(&envelope.message)) {
    claim.txn = decide->header.txn;
    claim.kind = decide->decision == Decision::kCommit ? Kind::kCommit : Kind::kAbort;
  } else if (const auto* peer = std::get_if<PeerOutcome>(&envelope.message)) {
    claim.txn = peer->txn;
    if (peer->decision)
      claim.kind = *peer->decision == Decision::kCommit ? Kind::kPeerCommit : Kind::kPeerAbort;
  } else if (const auto* ack = std::get_if<DecideAck>(&envelope.message)) {
    claim.txn = ack->txn;
    claim.kind = ack->decision == Decision::kCommit ? Kind::kCommitDone : Kind::kAbortDone;
  } else if (const auto* done = std::get_if<OperateReply>(&envelope.message)) {
    claim.txn = done->txn;
    claim.shown = NewestOf(done->results);
  } else if (const auto* one_phase = std::get_if<OnePhaseReply>(&envelope.message)) {
    claim.txn = one_phase->txn;
    claim.shown = NewestOf(one_phase->results);
  } else {
    return std::nullopt;
  }
  return claim;
}

std::optional<Claim> Promises::ClaimOf(const Asked& asked, const ClientReply& reply) {
  Claim claim{Kind::kOther, {}, {}, {}, asked};
  if (const auto* ending = std::get_if<Ending>(&reply)) {
    if (ending->outcome == Outcome::kUnknown) return std::nullopt;
    claim.txn = ending->txn;
    if (asked.token.valid()) {
      if (ending->outcome == Outcome::kAborted) claim.kind = Kind::kAborted;
      if (ending->outcome == Outcome::kCommitted && asked.writes) claim.kind = Kind::kCommitted;
    }
  } else if (!std::holds_alternative<WorkDone>(reply)) {
    return std::nullopt;
  }
  return claim;
}

Promises::Fate& Promises::FateOf(Token token) {
  token.birth_us = 0;
  return tokens_[token];
}

std::string Promises::Commits(GroupId group, const Token& token, uint32_t attempt) {
  Fate& fate = FateOf(token);
  fate.committed = attempt;
  const uint32_t refused = std::max(fate.refused, fate.refused_by[group]);
  if (attempt > refused) return "";
  return Wrong("I-U1", ToString(token) + " commits as attempt " + std::to_string(attempt) +
                           ", and attempts up to " + std::to_string(refused) + " were aborted");
}

std::string Promises::OnReplicated(GroupId group, const LogRecord& record) {
  if (const auto* prepared = std::get_if<Prepared>(&record)) {
    prepared_[group].insert(prepared->txn);
  } else if (const auto* decided = std::get_if<BranchDecided>(&record)) {
    if (decided->decision == Decision::kCommit) done_[group].insert(decided->txn);
  } else if (const auto* mark = std::get_if<MarkRaised>(&record)) {
    TxnId& highest = marks_[{group, mark->mark.coordinator}];
    highest = std::max(highest, mark->mark);
  } else if (const auto* ended = std::get_if<Ended>(&record)) {
    ended_.insert(ended->txn);
  } else if (const auto* refused = std::get_if<AttemptRefused>(&record)) {
    // A shard speaks for itself.
    Fate& fate = FateOf(refused->token);
    uint32_t& up_to = group.kind == GroupKind::kShard ? fate.refused_by[group] : fate.refused;
    up_to = std::max(up_to, refused->attempt);
  } else if (const auto* one_phase = std::get_if<OnePhaseCommitted>(&record)) {
    return Commits(group, one_phase->token, one_phase->attempt);
  } else if (const auto* committed = std::get_if<Committed>(&record)) {
    committed_.insert(committed->txn);
    if (told_abort_.contains(committed->txn)) {
      return Wrong("I-A1", ToString(committed->txn) + " commits, and somebody was told that it aborts");
    }
    return Commits(group, committed->token, committed->attempt);
  }
  return "";
}

std::string Promises::Check(const Claim& claim, Lsn replicated) {
  const TxnId& txn = claim.txn;
  const auto who = [&] { return ToString(claim.from) + " says of " + ToString(txn) + ": "; };
  if (claim.shown > replicated) return Wrong("I-S1", who() + "a row whose record is not replicated");
  switch (claim.kind) {
    case Kind::kYes:
      if (!prepared_[claim.from].contains(txn)) return Wrong("I-A3", who() + "yes, without PREPARED");
      if (aborts_done_[claim.from].contains(txn)) return Wrong("P6", who() + "yes, and said before: aborted");
      break;
    case Kind::kCommit:
      if (!committed_.contains(txn)) return Wrong("I-A3", who() + "commit, without COMMIT");
      break;
    case Kind::kPeerCommit:
    case Kind::kCommitDone: {
      const auto mark = marks_.find({claim.from, txn.coordinator});
      const bool forgotten = mark != marks_.end() && txn < mark->second && claim.kind == Kind::kCommitDone;
      if (!forgotten && !done_[claim.from].contains(txn)) {
        return Wrong("I-A1", who() + "committed, without a record of that");
      }
      break;
    }
    case Kind::kAbort:
    case Kind::kPeerAbort:
      // C3: of what has ended a coordinator says so to whom a repeated message made ask again.
      if (committed_.contains(txn) && (claim.kind == Kind::kPeerAbort || !ended_.contains(txn))) {
        return Wrong("I-A1", who() + "abort, and it is committed");
      }
      told_abort_.insert(txn);
      break;
    case Kind::kAbortDone:
      aborts_done_[claim.from].insert(txn);
      break;
    case Kind::kCommitted:
      if (!FateOf(claim.asked.token).committed) {
        return Wrong("I-D1", ToString(claim.asked.token) + " is told as COMMITTED, without a record of that");
      }
      break;
    case Kind::kAborted: {
      Fate& fate = FateOf(claim.asked.token);
      if (fate.committed && *fate.committed <= claim.asked.attempt) {
        return Wrong("I-U1", ToString(claim.asked.token) + " is told as ABORTED, and committed");
      }
      fate.refused = std::max(fate.refused, claim.asked.attempt);
      break;
    }
    case Kind::kOther:
      break;
  }
  return "";
}

}  // namespace assent::sim
