#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "coordinator_testing.h"

// For random histories: what truly happened, and a shard as its contract has it.
namespace assent::coordinator {

using TokenKey = std::pair<ClientId, uint64_t>;

// The true history.
struct Ghost {
  std::map<TxnId, std::string> committed, aborted;        // by which participant first
  std::map<TokenKey, std::pair<TxnId, uint32_t>> effect;  // transaction and attempt
  std::map<TokenKey, uint32_t> told_aborted;              // highest attempt
  std::set<TokenKey> told_committed;

  void Commit(const TxnId& txn, const std::string& who) {
    ASSERT_FALSE(aborted.contains(txn))
        << "I-A1 " << ToString(txn) << " aborted at " << aborted[txn] << ", commits at " << who;
    committed.emplace(txn, who);
  }
  void Abort(const TxnId& txn, const std::string& who) {
    ASSERT_FALSE(committed.contains(txn))
        << "I-A1 " << ToString(txn) << " committed at " << committed[txn] << ", aborts at " << who;
    aborted.emplace(txn, who);
  }
  void Effect(const Token& token, const TxnId& txn, uint32_t attempt) {
    const TokenKey key{token.client, token.seq};
    const auto [entry, fresh] = effect.emplace(key, std::pair(txn, attempt));
    ASSERT_TRUE(fresh || entry->second.first == txn) << "I-X1 " << ToString(token);
    if (told_aborted.contains(key)) {
      ASSERT_GT(attempt, told_aborted[key]) << "I-U1 " << ToString(token);
    }
  }
  void Told(const Token& token, uint32_t attempt, const Ending& ending, bool writes) {
    const TokenKey key{token.client, token.seq};
    if (ending.outcome == Outcome::kAborted) {
      if (effect.contains(key)) {
        ASSERT_GT(effect[key].second, attempt) << "I-U1 " << ToString(token);
      }
      told_aborted[key] = std::max(told_aborted[key], attempt);
    } else if (ending.outcome == Outcome::kCommitted && writes) {
      ASSERT_TRUE(effect.contains(key)) << "told committed: " << ToString(token);
      told_committed.insert(key);
    }
  }
};

class FakeShard {
 public:
  FakeShard(GroupId group, Ghost& ghost, std::mt19937_64& random)
      : group_(group), ghost_(ghost), random_(random) {}

  std::vector<Message> Take(const Message& message) {
    out_.clear();
    if (const auto* m = std::get_if<Operate>(&message)) {
      Raise(m->header);
      OnOperate(*m);
    } else if (const auto* p = std::get_if<Prepare>(&message)) {
      Raise(p->header);
      OnPrepare(*p);
    } else if (const auto* c = std::get_if<CommitOnePhase>(&message)) {
      Raise(c->header);
      OnCommit(*c);
    } else if (const auto* s = std::get_if<SettleToken>(&message)) {
      Raise(s->header);
      OnSettle(*s);
    } else if (const auto* d = std::get_if<Decide>(&message)) {
      OnDecide(*d);
      Raise(d->header);
    } else if (const auto* n = std::get_if<MarkNews>(&message)) {
      mark_ = std::max(mark_, n->mark);
    }
    return std::move(out_);
  }
  void Failover() {
    epoch_ = Next(epoch_);
    std::erase_if(branches_, [](const auto& entry) { return entry.second == State::kWorking; });
    done_.clear();
  }
  std::vector<Message> Ask() {
    std::vector<Message> asked;
    for (const auto& [txn, state] : branches_) {
      if (state != State::kPrepared) continue;
      asked.push_back(random_() % 8 == 0 ? Message(WoundRequest{txn}) : Message(Inquire{txn}));
    }
    return asked;
  }
  size_t prepared() const {
    size_t count = 0;
    for (const auto& [txn, state] : branches_) count += state == State::kPrepared;
    return count;
  }
  Epoch epoch() const { return epoch_; }

 private:
  enum class State { kWorking, kPrepared, kCommitted, kAborted };
  struct Outcome_ {
    bool committed = false;
    TxnId txn;
    uint64_t content = 0;
    uint32_t refused = 0;
  };

  bool Once(uint64_t n) { return random_() % n == 0; }
  void Raise(const TxnHeader& header) {
    EXPECT_LE(header.mark, header.txn.epoch < header.mark.epoch ? header.mark : Next_(header.txn)) << "C8";
    mark_ = std::max(mark_, header.mark);
    if (!Once(3)) return;
    std::erase_if(branches_, [&](const auto& entry) {  // C8: forgets
      return entry.first < mark_ && (entry.second == State::kCommitted || entry.second == State::kAborted);
    });
  }
  static TxnId Next_(TxnId txn) {
    txn.seq += 1'000'000;  // a decision may name an id that others have passed
    return txn;
  }
  bool Open(const TxnId& txn) const { return !branches_.contains(txn) && !(txn < mark_); }

  void OnOperate(const Operate& m) {
    const TxnId txn = m.header.txn;
    const auto last = m.first + static_cast<uint32_t>(m.operations.size()) - 1;
    const auto branch = branches_.find(txn);
    const bool known = branch != branches_.end() && branch->second == State::kWorking;
    if (branch != branches_.end() && !known) return;
    if ((!known && (!Open(txn) || m.first != 1 || m.branch != BranchId{})) ||
        (known && m.branch.epoch != epoch_ && m.first != 1) || Once(25)) {
      branches_.erase(txn);
      out_.push_back(BranchAborted{txn, AbortReason::kBranchLost, ""});
      return;
    }
    branches_[txn] = State::kWorking;
    done_[txn] = std::max(done_[txn], last);
    out_.push_back(
        OperateReply{txn, BranchId{epoch_, 1}, last, std::vector<OperationResult>(m.operations.size())});
  }
  void OnPrepare(const Prepare& m) {
    const TxnId txn = m.header.txn;
    const auto branch = branches_.find(txn);
    VoteReply vote{txn, Vote::kYes, AbortReason::kNone, "",
                   std::vector<OperationResult>(m.operations.size())};
    if (branch != branches_.end() && branch->second == State::kCommitted) return;
    if (branch == branches_.end() || branch->second != State::kPrepared) {
      const bool working = branch != branches_.end() && branch->second == State::kWorking;
      const bool complete =
          m.operations.empty() ? working && m.branch.epoch == epoch_ && done_[txn] == m.last : Open(txn);
      if (!complete || Once(20)) {
        if (working) branches_.erase(txn);
        vote.vote = Vote::kNo;
        vote.reason = AbortReason::kBranchLost;
        vote.results.clear();
      } else {
        bool writing = false;
        for (const Participant& p : m.participants) writing = writing || (p.group == group_ && p.writing);
        if (m.may_release && !writing) {
          vote.vote = Vote::kReadOnly;
          branches_.erase(txn);
        } else {
          branches_[txn] = State::kPrepared;
        }
      }
    } else if (Once(2)) {
      vote.results.clear();  // a failover lost them
    }
    out_.push_back(std::move(vote));
  }
  void OnCommit(const CommitOnePhase& m) {
    const TxnId txn = m.header.txn;
    Outcome_& outcome = outcomes_[{m.token.client, m.token.seq}];
    OnePhaseReply reply = ReplyTo(txn, m.token, m.attempt, outcome);
    if (!outcome.committed && m.attempt > outcome.refused) {
      const bool complete = m.operations.empty()
                                ? branches_.contains(txn) && branches_[txn] == State::kWorking &&
                                      m.branch.epoch == epoch_ && done_[txn] == m.last
                                : Open(txn);
      bool writes = m.operations.empty();
      for (const Operation& operation : m.operations) writes = writes || IsWrite(operation);
      if (!complete || Once(20)) {
        outcome.refused = m.attempt;
        reply.reason = AbortReason::kBranchLost;
      } else {
        reply.committed = true;
        reply.committed_txn = txn;
        reply.content = m.content;
        reply.results.resize(m.operations.size());
        if (writes) {
          outcome = Outcome_{true, txn, m.content, outcome.refused};
          ghost_.Commit(txn, ToString(group_));
          ghost_.Effect(m.token, txn, m.attempt);
        }
      }
      if (m.operations.empty()) branches_.erase(txn);
    }
    out_.push_back(std::move(reply));
  }
  void OnSettle(const SettleToken& m) {
    Outcome_& outcome = outcomes_[{m.token.client, m.token.seq}];
    if (!outcome.committed) {
      outcome.refused = std::max(outcome.refused, m.attempt);
      const auto branch = branches_.find(m.header.txn);
      if (branch != branches_.end() && branch->second == State::kWorking) branches_.erase(branch);
    }
    out_.push_back(ReplyTo(m.header.txn, m.token, m.attempt, outcome));
  }
  static OnePhaseReply ReplyTo(TxnId txn, const Token& token, uint32_t attempt, const Outcome_& outcome) {
    OnePhaseReply reply;
    reply.txn = txn;
    reply.token = token;
    reply.attempt = attempt;
    reply.committed = outcome.committed;
    reply.committed_txn = outcome.txn;
    reply.content = outcome.content;
    reply.reason = outcome.committed ? AbortReason::kNone : AbortReason::kRefusedAttempt;
    return reply;
  }
  void OnDecide(const Decide& m) {
    const TxnId txn = m.header.txn;
    const auto branch = branches_.find(txn);
    if (m.decision == Decision::kCommit) {
      const bool below = branch == branches_.end() && txn < mark_;
      ASSERT_TRUE(below || (branch != branches_.end() &&
                            (branch->second == State::kPrepared || branch->second == State::kCommitted)))
          << "G7: commit of an unknown transaction " << ToString(txn);
      ghost_.Commit(txn, ToString(group_));
      if (!below) branch->second = State::kCommitted;
    } else {
      // A late inquiry, answered after END, is presumed aborted (C3): whoever has committed takes no notice.
      const bool committed = branch != branches_.end() && branch->second == State::kCommitted;
      const bool forgotten = branch == branches_.end() && txn < mark_;
      if (committed) return;
      if (!forgotten) {
        ghost_.Abort(txn, ToString(group_));
        branches_[txn] = State::kAborted;
      }
    }
    out_.push_back(DecideAck{txn, m.decision});
  }

  const GroupId group_;
  Ghost& ghost_;
  std::mt19937_64& random_;
  Epoch epoch_{5};
  TxnId mark_{kGroup, Epoch{}, 0};
  std::map<TxnId, State> branches_;
  std::map<TxnId, uint32_t> done_;
  std::map<TokenKey, Outcome_> outcomes_;
  std::vector<Message> out_;
};

}  // namespace assent::coordinator
