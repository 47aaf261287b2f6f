// Random histories: a lossy, repeating, reordering network, shards and a resource manager as their contract
// has them, clients that retry and stall, and a coordinator that dies with an arbitrary part of its
// unreplicated tail. Checked all along: one outcome a transaction (I-A1), no reversal (I-A2), one effect a
// token (I-X1), ABORTED only where no commit is possible (I-U1). After healing: all has ended (I-A5).
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "coordinator_fake_shard.h"
#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

struct Client {
  uint64_t seq = 0;
  uint32_t attempt = 1;
  RequestId waiting{};  // 0 = none
  uint64_t patience_us = 0;
  bool writes = false;
  bool interactive = false;
  bool open = false;      // a commit request is under way
  TxnId txn;              // interactive
  bool enlisted = false;  // it works at the bank itself
  int works = 0;
  Execute execute;
  Commit commit;
  std::vector<GroupId> shards;
};

class RandomRun {
 public:
  explicit RandomRun(uint64_t seed) : random_(seed) {
    CoordinatorConfig config = Harness::DefaultConfig();
    config.resource_managers = {"bank"};
    config.seed = seed;
    h_ = std::make_unique<Harness>(1, config);
    for (const GroupId group : {kS1, kS2, kS3}) shards_.emplace(group, FakeShard(group, ghost_, random_));
    clients_.resize(5);
  }

  void Chaos(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      const uint64_t dice = random_() % 100;
      if (dice < 45) {
        for (int n = 0; n < 4; ++n) Deliver(true);
      } else if (dice < 60)
        StepClient(clients_[random_() % clients_.size()]);
      else if (dice < 72)
        Pass(random_() % (100 * kMs));
      else if (dice < 84)
        ReplicateSome();
      else if (dice < 92)
        RunForeign(true);
      else if (dice < 94)
        AskAll();
      else if (dice < 96)
        Stalled();
      else if (dice < 97)
        Pass(random_() % 8 == 0 ? random_() % (12 * kSecond) : kSecond);
      else if (dice < 98)
        FailShard();
      else if (dice < 99 && random_() % 3 == 0)
        Crash();
    }
  }
  void Heal() {
    for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) {
      while (!pool_.empty() && !::testing::Test::HasFailure()) Deliver(false);
      while (!foreign_.empty()) RunForeign(false);
      h_->Replicate();
      Route();
      if (i % 20 == 0) AskAll();
      Pass(200 * kMs);
    }
    EXPECT_EQ(h_->core->unended_count(), 0u);  // I-A5
    EXPECT_EQ(h_->core->live_count(), 0u);
    for (const auto& [group, shard] : shards_) EXPECT_EQ(shard.prepared(), 0u) << ToString(group);
    EXPECT_TRUE(bank_prepared_.empty());
    for (const auto& [key, effect] : ghost_.effect)
      EXPECT_FALSE(ghost_.aborted.contains(effect.first)) << "I-A1";
    for (const TokenKey& key : ghost_.told_committed) EXPECT_TRUE(ghost_.effect.contains(key)) << "I-D1";
  }
  size_t commits() const { return ghost_.effect.size(); }
  size_t aborts() const { return ghost_.told_aborted.size(); }

 private:
  void Pass(uint64_t us) {
    h_->Pass(us);
    Route();
  }
  void Route() {
    for (; seen_ < h_->replicated && Raw(seen_) < h_->log.size(); seen_ = Next(seen_)) {
      const LogRecord& record = h_->log[Raw(seen_)].second;
      if (const auto* committed = std::get_if<Committed>(&record)) {
        ghost_.Commit(committed->txn, "the log");
        ghost_.Effect(committed->token, committed->txn, committed->attempt);
      }
    }
    RoleEffects effects;
    effects.swap(h_->effects);
    for (RoleEffect& effect : effects) {
      if (auto* send = std::get_if<Send>(&effect)) {
        pool_.push_back({true, send->to, std::move(send->message)});
      } else if (auto* call = std::get_if<CallForeign>(&effect)) {
        foreign_.push_back(*call);
      } else if (auto* answer = std::get_if<Answer>(&effect)) {
        Answered(*answer);
      } else if (auto* report = std::get_if<Report>(&effect)) {
        EXPECT_NE(report->text.find(kNoAnswer), std::string::npos) << report->text;  // no contradiction
      }
    }
  }
  void Deliver(bool lossy) {
    if (pool_.empty()) return;
    const size_t i = lossy ? random_() % pool_.size() : 0;
    InFlight flight = pool_[i];
    const uint64_t dice = lossy ? random_() % 100 : 50;
    if (dice >= 15 || pool_.size() > 300)
      pool_.erase(pool_.begin() + static_cast<std::ptrdiff_t>(i));  // else it stays: a duplicate
    if (dice >= 90) return;                                         // lost
    if (flight.to_shard) {
      for (Message& reply : shards_.at(flight.shard).Take(flight.message)) {
        pool_.push_back({false, flight.shard, std::move(reply)});
      }
    } else {
      h_->Step(Received{flight.shard, Epoch{5}, flight.message});
      Route();
    }
  }
  void RunForeign(bool lossy) {
    if (foreign_.empty()) return;
    const size_t i = lossy ? random_() % foreign_.size() : 0;
    const CallForeign call = foreign_[i];
    foreign_.erase(foreign_.begin() + static_cast<std::ptrdiff_t>(i));
    ForeignReply reply = ForeignDone("bank", call.verb, call.txn);
    const uint64_t dice = lossy ? random_() % 10 : 5;
    if (dice != 0) {  // it arrives
      switch (call.verb) {
        case ForeignVerb::kPrepare:
          reply.vote = dice == 1 ? Vote::kNo : Vote::kYes;
          if (dice != 1 && !bank_committed_.contains(call.txn)) bank_prepared_.insert(call.txn);
          if (dice == 1 && bank_prepared_.contains(call.txn)) reply.vote = Vote::kYes;
          break;
        case ForeignVerb::kCommit:
          ASSERT_TRUE(bank_prepared_.contains(call.txn) || bank_committed_.contains(call.txn));
          ghost_.Commit(call.txn, "bank");
          bank_prepared_.erase(call.txn);
          bank_committed_.insert(call.txn);
          break;
        case ForeignVerb::kRollback:
          ASSERT_FALSE(bank_committed_.contains(call.txn)) << "I-A2";
          ghost_.Abort(call.txn, "bank");
          bank_prepared_.erase(call.txn);
          break;
        case ForeignVerb::kRecover:
          reply.prepared.assign(bank_prepared_.begin(), bank_prepared_.end());
          break;
      }
    }
    if (dice == 0 || dice == 2) reply = ForeignSilence("bank", call.verb, call.txn);
    h_->Step(reply);
    Route();
  }
  void ReplicateSome() {
    const uint64_t from = Raw(h_->replicated);
    if (from >= h_->log.size()) return;
    h_->replicated = Lsn{from + 1 + random_() % (h_->log.size() - from)};
    h_->Step(Replicated{h_->replicated});
    Route();
    h_->store.Apply(h_->core->overlay().Collect(h_->replicated));
    h_->core->overlay().Forget(h_->replicated);
    stored_ = h_->replicated;
  }
  void AskAll() {
    for (auto& [group, shard] : shards_) {
      for (Message& message : shard.Ask()) pool_.push_back({false, group, std::move(message)});
    }
  }
  void FailShard() {
    auto shard = shards_.begin();
    std::advance(shard, static_cast<std::ptrdiff_t>(random_() % 3));
    shard->second.Failover();
    if (random_() % 2 == 0) h_->Step(GroupEpoch{shard->first, shard->second.epoch()});
    Route();
  }
  void Crash() {
    const size_t tail = h_->log.size() - Raw(h_->replicated);
    const size_t keep = tail == 0 ? 0 : random_() % (tail + 1);
    h_->log.resize(Raw(h_->replicated) + keep);
    h_->core = std::make_unique<CoordinatorCore>(h_->config_, ThreeShards(), h_->store);
    for (const auto& [lsn, record] : h_->log) {
      if (lsn > stored_) h_->core->Apply(lsn, record);
    }
    h_->Serve(Raw(h_->epoch_) + 1);
    Route();
    for (Client& client : clients_) client.waiting = RequestId{};
  }
  // A request of any client from any time, once more.
  void Stalled() {
    if (history_.empty()) return;
    const auto& [tag, request, writes] = history_[random_() % history_.size()];
    stray_[h_->Call(request)] = {tag, writes};
    Route();
  }

  void StepClient(Client& client) {
    const auto number = static_cast<uint64_t>(&client - clients_.data()) + 1;
    if (Raw(client.waiting) != 0 && h_->now.mono_us < client.patience_us) return;
    if (Raw(client.waiting) != 0) {  // gave up waiting
      h_->Step(ClientGone{client.waiting});
      client.waiting = RequestId{};
      Route();
      if (client.interactive && !client.open) client.interactive = false;
    }
    if (client.open) return SendCommit(client);
    if (client.interactive) {
      if (client.txn.valid() && client.works > 0) {
        --client.works;
        const GroupId shard = Any();
        return Ask(client, Work{client.txn, {PutOp{KeyOn(shard), "v"}}});
      }
      ++client.seq;
      client.attempt = 1;
      client.commit = Commit{TagOf(client, number), client.txn, {}, client.shards};
      if (client.enlisted && client.txn.valid()) {
        if (!VoteOf(client)) return;
      } else if (random_() % 4 == 0) {
        client.commit.foreign = {{"bank", "x"}};
      }
      if (random_() % 4 == 0) client.commit.wait_finished_us = random_() % (6 * kSecond);
      const bool at_bank =
          !client.commit.foreign.empty() && client.commit.foreign[0].voted != Vote::kReadOnly;
      client.writes = !client.shards.empty() || at_bank;
      client.open = true;
      return SendCommit(client);
    }
    if (random_() % 3 == 0) {
      client.interactive = true;
      client.txn = TxnId{};
      client.shards.clear();
      client.works = static_cast<int>(random_() % 3);
      client.enlisted = random_() % 3 == 0;
      return Ask(client, client.enlisted ? Begin{Age{}, 0, 0, {"bank"}} : Begin{});
    }
    ++client.seq;
    client.attempt = 1;
    client.execute = Execute{};
    client.execute.tag = TagOf(client, number);
    client.writes = false;
    const size_t count = 1 + random_() % 3;
    for (size_t i = 0; i < count; ++i) {
      const std::string key = KeyOn(Any());
      if (random_() % 3 == 0) {
        client.execute.operations.push_back(GetOp{key});
      } else {
        client.execute.operations.push_back(PutOp{key, "v"});
        client.writes = true;
      }
    }
    if (random_() % 5 == 0) client.execute.foreign = {{"bank", "x"}};
    client.writes = client.writes || !client.execute.foreign.empty();
    client.open = true;
    SendCommit(client);
  }
  // What it has done at the bank, and reports. False: it died before.
  bool VoteOf(Client& client) {
    const uint64_t dice = random_() % 8;
    if (dice > 1) bank_prepared_.insert(client.txn);  // it may be too late for that
    if (dice == 2) {
      client.interactive = false;
      return false;
    }
    if (dice == 0) {
      client.commit.foreign = {{"bank", "", Vote::kReadOnly, 1}};
    } else if (dice > 2) {
      client.commit.foreign = {{"bank", "", Vote::kYes, 1}};
    }
    return true;
  }
  // It was told how its transaction ended, and does the same at the bank, or dies before.
  void EndAtBank(const TxnId& txn, Outcome outcome) {
    if (!bank_prepared_.contains(txn) || outcome == Outcome::kUnknown || random_() % 3 == 0) return;
    const bool committed = outcome == Outcome::kCommitted;
    bank_prepared_.erase(txn);
    if (committed) {
      ghost_.Commit(txn, "bank");
      bank_committed_.insert(txn);
    } else {
      ghost_.Abort(txn, "bank");
    }
    if (random_() % 2 == 0)
      h_->Call(Finished{txn, "bank", 1, committed ? Decision::kCommit : Decision::kAbort});
  }
  GroupId Any() { return GroupId{GroupKind::kShard, static_cast<uint16_t>(1 + random_() % 3)}; }
  CommitTag TagOf(const Client& client, uint64_t number) const {
    CommitTag tag;
    tag.token = Token{kGroup, ClientId{1ull << 32 | number}, client.seq, h_->now.wall_us};
    tag.sent_to = h_->epoch_;
    tag.acked_below = client.seq;
    return tag;
  }
  void Ask(Client& client, ClientRequest request) {
    client.patience_us = h_->now.mono_us + random_() % (15 * kSecond);
    const RequestId id = h_->Call(std::move(request));
    by_call_[id] = &client;
    client.waiting = id;
    Route();
  }
  void SendCommit(Client& client) {
    CommitTag& tag = client.interactive ? client.commit.tag : client.execute.tag;
    tag.attempt = client.attempt;
    ClientRequest request = client.interactive ? ClientRequest(client.commit) : ClientRequest(client.execute);
    history_.emplace_back(tag, request, client.writes);
    if (history_.size() > 40) history_.erase(history_.begin());
    Ask(client, std::move(request));
  }
  void Answered(const Answer& answer) {
    if (const auto stray = stray_.find(answer.id); stray != stray_.end()) {
      if (const auto* ending = std::get_if<Ending>(&answer.reply)) {
        ghost_.Told(stray->second.first.token, stray->second.first.attempt, *ending, stray->second.second);
      }
      return;
    }
    const auto found = by_call_.find(answer.id);
    if (found == by_call_.end() || found->second->waiting != answer.id) return;
    Client& client = *found->second;
    client.waiting = RequestId{};
    CommitTag& tag = client.interactive ? client.commit.tag : client.execute.tag;
    if (const auto* begun = std::get_if<Begun>(&answer.reply)) {
      client.txn = begun->txn;
    } else if (const auto* done = std::get_if<WorkDone>(&answer.reply)) {
      client.shards = done->shards;
    } else if (const auto* ending = std::get_if<Ending>(&answer.reply)) {
      if (!client.open) {
        client.interactive = false;
        return;
      }
      ghost_.Told(tag.token, tag.attempt, *ending, client.writes);
      if (client.interactive && client.enlisted) EndAtBank(client.txn, ending->outcome);
      if (ending->outcome == Outcome::kUnknown) return;  // the same attempt again
      if (ending->outcome == Outcome::kAborted && !client.interactive && random_() % 4 != 0) {
        ++client.attempt;
        return;
      }
      client.open = false;
      client.interactive = false;
    } else if (const auto* refusal = std::get_if<Refusal>(&answer.reply)) {
      if (refusal->code == RefusalCode::kStaleEpoch) {
        tag.sent_to = refusal->epoch;
      } else if (refusal->code != RefusalCode::kOverloaded) {
        client.open = false;
        client.interactive = false;
      }
    }
  }

  struct InFlight {
    bool to_shard = false;
    GroupId shard;
    Message message;
  };
  std::mt19937_64 random_;
  std::unique_ptr<Harness> h_;
  Ghost ghost_;
  std::map<GroupId, FakeShard> shards_;
  std::vector<InFlight> pool_;
  std::vector<CallForeign> foreign_;
  std::set<TxnId> bank_prepared_, bank_committed_;
  std::vector<Client> clients_;
  std::map<RequestId, Client*> by_call_;
  std::map<RequestId, std::pair<CommitTag, bool>> stray_;
  std::vector<std::tuple<CommitTag, ClientRequest, bool>> history_;
  Lsn seen_{};
  Lsn stored_{};
};

TEST(CoordinatorRandom, HistoriesKeepTheInvariantsAndEnd) {
  size_t commits = 0, aborts = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    RandomRun run(seed);
    run.Chaos(3'000);
    if (!HasFailure()) run.Heal();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    commits += run.commits();
    aborts += run.aborts();
  }
  EXPECT_GT(commits, 3'000u);
  EXPECT_GT(aborts, 1'000u);
  RecordProperty("commits", std::to_string(commits));
  RecordProperty("aborts", std::to_string(aborts));
}

}  // namespace
}  // namespace assent::coordinator
