#include "sim/foreign.h"

#include <algorithm>
#include <utility>

namespace assent::sim {

ForeignReply ForeignManager::ReplyTo(ForeignVerb verb, const TxnId& txn) const {
  ForeignReply reply;
  reply.resource_manager = name_;
  reply.verb = verb;
  reply.txn = txn;
  reply.reached = true;
  return reply;
}

ForeignReply ForeignManager::VoteOn(const TxnId& txn, Vote vote) const {
  ForeignReply reply = ReplyTo(ForeignVerb::kPrepare, txn);
  reply.vote = vote;
  return reply;
}

void ForeignManager::Call(const CallForeign& call, uint64_t caller, const Answer& answer) {
  ForeignReply reply = ReplyTo(call.verb, call.txn);
  switch (call.verb) {
    case ForeignVerb::kPrepare:
      return Prepare(call, caller, answer);
    case ForeignVerb::kCommit:
      Commit(call.txn);
      reply.answer = committed_.contains(call.txn) ? ForeignAnswer::kDone : ForeignAnswer::kRefused;
      break;
    case ForeignVerb::kRollback:
      RollBack(call.txn);
      reply.answer = committed_.contains(call.txn) ? ForeignAnswer::kRefused : ForeignAnswer::kDone;
      break;
    case ForeignVerb::kRecover:
      for (const auto& [txn, work] : prepared_) reply.prepared.push_back(txn);
      break;
  }
  answer(std::move(reply));
}

void ForeignManager::Disconnect(uint64_t caller) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.caller == caller; });
}

bool ForeignManager::GiveUp(const TxnId& txn) {
  return std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.txn == txn; }) > 0;
}

void ForeignManager::Prepare(const CallForeign& call, uint64_t caller, const Answer& answer) {
  if (prepared_.contains(call.txn)) return answer(VoteOn(call.txn, Vote::kYes));
  if (committed_.contains(call.txn)) return;  // a late duplicate
  const size_t space = call.payload.find(' ');
  Work work{call.payload.substr(0, space), call.payload.substr(space + 1)};
  if (work.row == "no") return answer(VoteOn(call.txn, Vote::kNo));
  GiveUp(call.txn);  // another call for it takes its place
  waiting_.push_back({call.txn, std::move(work), caller, answer});
  GrantRows();
}

void ForeignManager::Commit(const TxnId& txn) {
  if (committed_.contains(txn)) return;
  const auto found = prepared_.extract(txn);
  if (found.empty()) {
    contradiction_ = ToString(txn) + " commits, of which nothing is prepared";
    return;
  }
  committed_.insert(txn);
  ++markers_[found.mapped().marker];
  GrantRows();
}

void ForeignManager::RollBack(const TxnId& txn) {
  if (committed_.contains(txn)) contradiction_ = ToString(txn) + " rolls back after it committed";
  GiveUp(txn);
  prepared_.erase(txn);
  GrantRows();
}

void ForeignManager::GrantRows() {
  std::deque<Waiting> waiting;
  for (Waiting& next : std::exchange(waiting_, {})) {
    const bool taken = std::any_of(prepared_.begin(), prepared_.end(),
                                   [&](const auto& other) { return other.second.row == next.work.row; });
    if (taken) {
      waiting.push_back(std::move(next));
      continue;
    }
    prepared_[next.txn] = std::move(next.work);
    next.answer(VoteOn(next.txn, Vote::kYes));
  }
  waiting_ = std::move(waiting);
}

uint64_t ForeignManager::Committed(const std::string& marker) const {
  const auto found = markers_.find(marker);
  return found == markers_.end() ? 0 : found->second;
}

}  // namespace assent::sim
