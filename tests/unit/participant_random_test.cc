// Random runs against a coordinator that keeps its rules, over a network that loses, repeats, delays and
// reorders, with restarts that lose what was not replicated. The harness checks invariants, the backup and R1
// at every step; here is what only a whole run shows: one effect per transaction and token, no contradiction,
// and in the end nothing left over.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "participant_testing.h"

namespace assent::participant {
namespace {

constexpr uint64_t kTokenBase = 100'000;

class RandomRun {
 public:
  explicit RandomRun(uint32_t seed) : random_(seed), shard_(ConfigOf(seed)) {}

  void Run(int steps) {
    for (int i = 0; i < steps; ++i) OneStep();
    Heal();
  }

 private:
  enum class Fate { kOpen, kCommit, kAbort };
  struct Transaction {
    Fate fate = Fate::kOpen;
    bool yes = false;
    bool refused_to_peer = false;
    bool acked = false;
    std::vector<std::string> adds;
    uint64_t token = 0;  // one-phase
  };
  struct TokenRun {
    std::vector<Operation> operations;
    std::vector<std::string> adds;
    uint32_t attempts = 0;
    uint32_t refused = 0;
    std::optional<TxnId> committed;
  };

  static ParticipantConfig ConfigOf(uint32_t seed) {
    ParticipantConfig config;
    config.seed = seed;
    config.mark_rows = 5;
    config.ended_max = 3;                              // a comfort only: the run must not depend on it
    config.step_work_max = seed % 4 == 0 ? 1 : 1'000;  // one operation a step
    config.unreplicated_bytes_max = seed % 3 == 0 ? 1'500 : 1'000'000;
    return config;
  }
  uint32_t Pick(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  std::string Key() { return "n" + std::to_string(Pick(5)); }

  std::vector<Operation> Operations(std::vector<std::string>* adds) {
    std::vector<Operation> operations;
    const uint32_t count = 1 + Pick(3);
    for (uint32_t i = 0; i < count; ++i) {
      const std::string key = Key();
      switch (Pick(6)) {
        case 0:
          operations.push_back(Get(key));
          break;
        case 1:
          operations.push_back(Scan("n"));
          break;
        default:
          operations.push_back(Add(key, 1));
          adds->push_back(key);
      }
    }
    return operations;
  }

  TxnHeader HeaderOf(uint64_t seq) {
    return TxnHeader{Txn(seq), Age{seq, Txn(seq)}, Pick(8) == 0, Txn(mark_), 0};
  }

  void Deliver(const Message& message) {
    const GroupId from =
        std::holds_alternative<PeerInquire>(message) || std::holds_alternative<PeerOutcome>(message) ? kS2
                                                                                                     : kC1;
    shard_.From(from, message);
    Observe();
  }
  void SendNew(Message message) {
    pool_.push_back(message);
    if (Pick(10) != 0) Deliver(message);
  }

  // As the last step's reply names it; else as nobody would.
  BranchId BranchOf(uint64_t seq) const {
    for (const RoleEffect& effect : shard_.effects()) {
      const auto* send = std::get_if<Send>(&effect);
      const auto* reply = send == nullptr ? nullptr : std::get_if<OperateReply>(&send->message);
      if (reply != nullptr && reply->txn == Txn(seq)) return reply->branch;
    }
    return BranchId{shard_.epoch(), UINT64_MAX};
  }

  void Observe() {
    for (const RoleEffect& effect : shard_.effects()) {
      ASSERT_FALSE(std::holds_alternative<Report>(effect)) << std::get<Report>(effect).text;
      const auto* send = std::get_if<Send>(&effect);
      if (send == nullptr) continue;
      if (const auto* vote = std::get_if<VoteReply>(&send->message)) {
        Transaction& txn = transactions_[vote->txn.seq];
        if (vote->vote == Vote::kYes) {
          ASSERT_FALSE(txn.refused_to_peer) << "P8";
          txn.yes = true;
        }
      } else if (const auto* ack = std::get_if<DecideAck>(&send->message)) {
        Transaction& txn = transactions_[ack->txn.seq];
        ASSERT_EQ(ack->decision == Decision::kCommit, txn.fate == Fate::kCommit) << "I-A1";
        txn.acked = true;
      } else if (const auto* outcome = std::get_if<PeerOutcome>(&send->message)) {
        Transaction& txn = transactions_[outcome->txn.seq];
        if (!outcome->decision) continue;
        if (*outcome->decision == Decision::kCommit) {
          ASSERT_EQ(txn.fate, Fate::kCommit) << "I-A1";
        } else {
          ASSERT_NE(txn.fate, Fate::kCommit) << "I-A1";
          txn.fate = Fate::kAbort;
          txn.refused_to_peer = true;
        }
      } else if (const auto* reply = std::get_if<OnePhaseReply>(&send->message)) {
        ObserveOnePhase(*reply);
      }
    }
  }

  void ObserveOnePhase(const OnePhaseReply& reply) {
    TokenRun& run = tokens_[reply.token.seq];
    Transaction& txn = transactions_[reply.txn.seq];
    txn.fate = Fate::kAbort;  // over, as far as marks go
    txn.acked = true;
    if (!reply.committed) {
      ASSERT_FALSE(run.committed && !run.adds.empty()) << "I-U1: refused after a commit";
      run.refused = std::max(run.refused, reply.attempt);
      return;
    }
    if (run.adds.empty()) return;  // read-only: may run as often as it likes
    ASSERT_TRUE(!run.committed || *run.committed == reply.committed_txn) << "I-X1";
    run.committed = reply.committed_txn;
  }

  void Begin() {
    const uint64_t seq = ++last_seq_;
    Transaction& txn = transactions_[seq];
    switch (Pick(3)) {
      case 0: {
        Prepare prepare;
        prepare.header = HeaderOf(seq);
        prepare.operations = Operations(&txn.adds);
        prepare.participants = {Participant{"", kS1, !txn.adds.empty()}, Participant{"", kS2, true}};
        SendNew(prepare);
        break;
      }
      case 1: {
        Operate operate;
        operate.header = HeaderOf(seq);
        operate.operations = Operations(&txn.adds);
        const auto first = static_cast<uint32_t>(operate.operations.size());
        Operate second = operate;
        second.first = first + 1;
        second.operations = Operations(&txn.adds);
        Prepare prepare;
        prepare.header = operate.header;
        prepare.last = first + static_cast<uint32_t>(second.operations.size());
        prepare.participants = {Participant{"", kS1, !txn.adds.empty()}, Participant{"", kS2, true}};
        prepare.may_release = Pick(2) == 0;
        SendNew(operate);
        second.branch = prepare.branch = BranchOf(seq);
        SendNew(second);
        SendNew(prepare);
        break;
      }
      case 2: {
        uint64_t token = kTokenBase + seq;
        if (!tokens_.empty() && Pick(3) == 0) token = std::next(tokens_.begin(), Pick(Size(tokens_)))->first;
        TokenRun& run = tokens_[token];
        if (run.attempts == 0) run.operations = Operations(&run.adds);
        txn.token = token;
        CommitOnePhase commit;
        commit.header = HeaderOf(seq);
        commit.operations = run.operations;
        commit.token = TokenOf(token);
        commit.attempt = ++run.attempts;
        SendNew(commit);
        break;
      }
    }
  }

  template <typename Items>
  static uint32_t Size(const Items& items) {
    return static_cast<uint32_t>(items.size());
  }

  void DecideOne() {
    const uint64_t seq = 1 + Pick(static_cast<uint32_t>(last_seq_));
    Transaction& txn = transactions_[seq];
    if (txn.token != 0) {
      SendNew(SettleToken{HeaderOf(seq), TokenOf(txn.token), 1 + Pick(tokens_[txn.token].attempts)});
      return;
    }
    if (txn.fate == Fate::kOpen) txn.fate = txn.yes && Pick(4) != 0 ? Fate::kCommit : Fate::kAbort;
    const Decision decision = txn.fate == Fate::kCommit ? Decision::kCommit : Decision::kAbort;
    if (Pick(8) == 0) {
      SendNew(PeerOutcome{Txn(seq), decision});
    } else {
      SendNew(Decide{HeaderOf(seq), decision});
    }
  }

  // C8: below it everything is over, and what committed was acknowledged.
  void RaiseMark() {
    while (mark_ < last_seq_) {
      const Transaction& txn = transactions_[mark_ == 0 ? 1 : mark_];
      const bool over = txn.fate == Fate::kAbort || (txn.fate == Fate::kCommit && txn.acked);
      if (mark_ != 0 && !over) return;
      ++mark_;
    }
  }

  void OneStep() {
    const uint32_t choice = Pick(100);
    if (choice < 30) {
      Begin();
    } else if (choice < 50 && last_seq_ > 0) {
      DecideOne();
    } else if (choice < 65 && !pool_.empty()) {
      Deliver(pool_[Pick(Size(pool_))]);  // late, or again
    } else if (choice < 72 && last_seq_ > 0) {
      const uint64_t seq = 1 + Pick(static_cast<uint32_t>(last_seq_));
      if (transactions_[seq].token == 0) Deliver(PeerInquire{Txn(seq)});
    } else if (choice < 88) {
      const uint64_t from = Raw(shard_.replicated());
      const uint64_t to = Raw(shard_.core().last_lsn());
      shard_.ReplicateTo(from + Pick(static_cast<uint32_t>(to - from + 1)));
      Observe();
    } else if (choice < 92) {
      shard_.Wait(Pick(3'000'000));
      Observe();
    } else if (choice < 96) {
      shard_.Flush();
      RaiseMark();
    } else if (choice < 98) {
      shard_.Step(GroupEpoch{kC1, Epoch{1}});
      Observe();
    } else {
      const uint64_t from = Raw(shard_.replicated());
      const uint64_t to = Raw(shard_.core().last_lsn());
      shard_.Restart(from + Pick(static_cast<uint32_t>(to - from + 1)));
      Observe();
    }
  }

  void Heal() {
    std::map<std::string, int64_t> sums;
    for (int round = 0; round < 3; ++round) {
      for (auto& [seq, txn] : transactions_) {
        if (txn.token != 0) continue;
        if (txn.fate == Fate::kOpen) txn.fate = Fate::kAbort;
        Deliver(Decide{HeaderOf(seq), txn.fate == Fate::kCommit ? Decision::kCommit : Decision::kAbort});
        shard_.Replicate();
        Observe();
      }
      for (auto& [seq, run] : tokens_) {
        Deliver(SettleToken{HeaderOf(++last_seq_), TokenOf(seq), run.attempts + 1});
        transactions_[last_seq_].token = seq;
        shard_.Replicate();
        Observe();
      }
    }
    for (const auto& [seq, txn] : transactions_) {
      ASSERT_TRUE(txn.acked || txn.token != 0) << "G6: " << seq;
      if (txn.fate != Fate::kCommit) continue;
      for (const std::string& key : txn.adds) ++sums[key];
    }
    for (const auto& [seq, run] : tokens_) {
      if (!run.committed) continue;
      for (const std::string& key : run.adds) ++sums[key];
    }
    EXPECT_EQ(shard_.core().gauges().branches, 0u) << "I-L1";
    EXPECT_EQ(shard_.core().gauges().withheld, 0u);
    for (const auto& [key, sum] : sums) EXPECT_EQ(shard_.Value(key), std::to_string(sum)) << "I-X1 " << key;
  }

  std::mt19937 random_;
  Shard shard_;
  std::vector<Message> pool_;
  std::map<uint64_t, Transaction> transactions_;
  std::map<uint64_t, TokenRun> tokens_;
  uint64_t last_seq_ = 0;
  uint64_t mark_ = 0;
};

TEST(ParticipantRandom, EveryRunKeepsItsPromises) {
  for (uint32_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomRun(seed).Run(400);
    if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
  }
}

}  // namespace
}  // namespace assent::participant
