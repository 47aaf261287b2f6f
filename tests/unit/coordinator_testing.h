#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/coordinator.h"
#include "sim/map_state.h"

namespace assent::coordinator {

inline constexpr GroupId kGroup{GroupKind::kCoordinator, 1};
inline constexpr GroupId kS1{GroupKind::kShard, 1};
inline constexpr GroupId kS2{GroupKind::kShard, 2};
inline constexpr GroupId kS3{GroupKind::kShard, 3};
inline constexpr uint64_t kMs = 1'000;
inline constexpr uint64_t kSecond = 1'000'000;
inline constexpr uint64_t kHour = 3'600 * kSecond;

inline Placement ThreeShards() {
  return Placement::Even({kS1, kS2, kS3});
}

// The n-th key (from 0) of a shard.
inline std::string KeyOn(GroupId shard, int n = 0) {
  const Placement placement = ThreeShards();
  for (int i = 0;; ++i) {
    std::string key = "k" + std::to_string(i);
    if (placement.ShardOf(key) == shard && n-- == 0) return key;
  }
}

// A driver of one core: performs its appends on a log of its own, keeps its other effects for the test to
// look at, and checks the invariants after each step.
class Harness {
 public:
  explicit Harness(uint64_t epoch = 1, CoordinatorConfig config = DefaultConfig())
      : config_(std::move(config)) {
    now.mono_us = 1'000 * kSecond;
    now.wall_us = 1'800'000'000 * kSecond;
    Open();
    Serve(epoch);
  }

  static CoordinatorConfig DefaultConfig() {
    CoordinatorConfig config;
    config.group = kGroup;
    config.resource_managers = {"bank", "post"};
    return config;
  }

  // ---- Life ----
  // Over an empty store, with the whole log.
  void Open() {
    core = std::make_unique<CoordinatorCore>(config_, ThreeShards(), store);
    for (const auto& [lsn, record] : log) core->Apply(lsn, record);
  }
  void Serve(uint64_t epoch) {
    epoch_ = Epoch{epoch};
    const Lsn lsn{log.size() + 1};
    log.emplace_back(lsn, EpochBegan{});
    core->Apply(lsn, EpochBegan{});
    replicated = lsn;
    Step(Serving{epoch_});
    Clear();
  }
  // The process dies; of what was not replicated, `keep` records survive.
  void Restart(uint64_t epoch, size_t keep = 0) {
    log.resize(std::min(log.size(), static_cast<size_t>(Raw(replicated)) + keep));
    Open();
    Serve(epoch);
  }

  // As this, on a node with another configuration.
  void RestartWith(std::vector<std::string> resource_managers, uint64_t epoch) {
    config_.resource_managers = std::move(resource_managers);
    Restart(epoch);
  }

  // ---- Events ----
  void Step(RoleEvent event) {
    RoleEffects out;
    core->Step(now, event, out);
    core->CheckInvariants();
    for (RoleEffect& effect : out) {
      if (auto* append = std::get_if<Append>(&effect)) {
        ASSERT_EQ(Raw(append->lsn), log.size() + 1);
        log.emplace_back(append->lsn, append->record);
      }
      if (const auto* answer = std::get_if<Answer>(&effect)) {
        if (const auto* begun = std::get_if<Begun>(&answer->reply)) keys_[begun->txn] = begun->key;
      }
      effects.push_back(std::move(effect));
    }
  }
  void Replicate() {
    replicated = Lsn{log.size()};
    Step(Replicated{replicated});
  }
  void From(GroupId shard, Message message) { Step(Received{shard, Epoch{5}, std::move(message)}); }
  // Lets time pass, with a Tick at each deadline on the way.
  void Pass(uint64_t us) {
    const uint64_t end = now.mono_us + us;
    while (true) {
      const uint64_t next = std::max(core->NextDeadline(), now.mono_us);
      if (next > end) break;
      now.wall_us += next - now.mono_us;
      now.mono_us = next;
      Step(Tick{});
      if (core->NextDeadline() <= now.mono_us && ++stuck_ > 100'000) {
        ADD_FAILURE() << "time stands still";
        return;
      }
    }
    now.wall_us += end - now.mono_us;
    now.mono_us = end;
  }
  // On a transaction begun here, its owner calls unless a key is given.
  RequestId Call(ClientRequest request) {
    std::visit(
        [this](auto& one) {
          if constexpr (requires { one.key; }) one.key = one.key == 0 ? keys_[one.txn] : one.key;
        },
        request);
    const RequestId id{next_request_++};
    Step(ClientCall{id, std::move(request)});
    return id;
  }

  // ---- Effects so far ----
  void Clear() { effects.clear(); }
  template <typename M>
  std::vector<std::pair<GroupId, M>> Sent() const {
    std::vector<std::pair<GroupId, M>> sent;
    for (const RoleEffect& effect : effects) {
      const auto* send = std::get_if<Send>(&effect);
      if (send == nullptr) continue;
      if (const auto* message = std::get_if<M>(&send->message)) sent.emplace_back(send->to, *message);
    }
    return sent;
  }
  template <typename M>
  M SentTo(GroupId shard) const {
    for (const auto& [to, message] : Sent<M>()) {
      if (to == shard) return message;
    }
    ADD_FAILURE() << "nothing of this kind sent to " << ToString(shard);
    return M{};
  }
  size_t SendCount() const {
    size_t count = 0;
    for (const RoleEffect& effect : effects) count += std::holds_alternative<Send>(effect);
    return count;
  }
  std::vector<CallForeign> ForeignCalls(ForeignVerb verb) const {
    std::vector<CallForeign> calls;
    for (const RoleEffect& effect : effects) {
      const auto* call = std::get_if<CallForeign>(&effect);
      if (call != nullptr && call->verb == verb) calls.push_back(*call);
    }
    return calls;
  }
  template <typename R>
  std::vector<R> Appended() const {
    std::vector<R> records;
    for (const RoleEffect& effect : effects) {
      const auto* append = std::get_if<Append>(&effect);
      if (append == nullptr) continue;
      if (const auto* record = std::get_if<R>(&append->record)) records.push_back(*record);
    }
    return records;
  }
  bool Answered(RequestId id) const {
    for (const RoleEffect& effect : effects) {
      const auto* answer = std::get_if<Answer>(&effect);
      if (answer != nullptr && answer->id == id) return true;
    }
    return false;
  }
  template <typename R>
  R AnswerTo(RequestId id) const {
    for (const RoleEffect& effect : effects) {
      const auto* answer = std::get_if<Answer>(&effect);
      if (answer == nullptr || answer->id != id) continue;
      if (const auto* reply = std::get_if<R>(&answer->reply)) return *reply;
      ADD_FAILURE() << "another kind of answer: " << answer->reply.index();
      return R{};
    }
    ADD_FAILURE() << "no answer";
    return R{};
  }
  // C5: ABORTED is told once the record that ends the attempt is replicated.
  Ending AbortedAfterReplicating(RequestId id) {
    EXPECT_FALSE(Answered(id)) << "before its record is replicated";
    Replicate();
    Ending ending = AnswerTo<Ending>(id);
    EXPECT_EQ(ending.outcome, Outcome::kAborted);
    return ending;
  }
  std::vector<std::string> Reports() const {
    std::vector<std::string> texts;
    for (const RoleEffect& effect : effects) {
      if (const auto* report = std::get_if<Report>(&effect)) texts.push_back(report->text);
    }
    return texts;
  }

  // ---- Requests ----
  CommitTag Tag(uint64_t seq, uint32_t attempt = 1) const {
    return CommitTag{Token{kGroup, ClientId{1ull << 32 | 1}, seq, now.wall_us}, epoch_, attempt, 0};
  }
  // A put on each of the shards named.
  Execute Puts(const CommitTag& tag, const std::vector<GroupId>& shards) const {
    Execute request;
    request.tag = tag;
    for (const GroupId shard : shards) request.operations.push_back(PutOp{KeyOn(shard), "v"});
    return request;
  }
  // As a participant would vote, with empty results for `operations` operations.
  void VoteFrom(GroupId shard, TxnId txn, Vote vote, size_t operations = 1,
                AbortReason reason = AbortReason::kNone) {
    From(shard, VoteReply{txn, vote, reason, "", std::vector<OperationResult>(operations)});
  }
  void DoneBy(GroupId shard, TxnId txn, uint32_t last, size_t results, uint64_t branch_epoch = 5) {
    From(shard,
         OperateReply{txn, BranchId{Epoch{branch_epoch}, 1}, last, std::vector<OperationResult>(results)});
  }
  void AckFrom(GroupId shard, TxnId txn, Decision decision) { From(shard, DecideAck{txn, decision}); }

  // A put on both shards, up to COMMIT appended and not replicated.
  TxnId Committing(uint64_t seq, RequestId* call = nullptr) {
    const RequestId id = Call(Puts(Tag(seq), {kS1, kS2}));
    if (call != nullptr) *call = id;
    const TxnId txn = LastTxn();
    VoteFrom(kS1, txn, Vote::kYes);
    VoteFrom(kS2, txn, Vote::kYes);
    return txn;
  }
  TxnId PhaseTwo(uint64_t seq) {
    const TxnId txn = Committing(seq);
    Replicate();
    return txn;
  }
  // The newest transaction that the core knows.
  TxnId LastTxn() const {
    const auto list = core->ListTransactions(SIZE_MAX);
    if (list.empty()) {
      ADD_FAILURE() << "no transaction";
      return TxnId{};
    }
    return list.back().txn;
  }
  TxnState StateOf(TxnId txn) const {
    const auto info = core->FindTransaction(txn);
    return info ? info->state : TxnState{};
  }

  CoordinatorConfig config_;
  MapState store;
  std::unique_ptr<CoordinatorCore> core;
  std::vector<std::pair<Lsn, LogRecord>> log;
  Lsn replicated{};
  RoleEffects effects;
  Instant now;
  Epoch epoch_{};

 private:
  std::map<TxnId, uint64_t> keys_;
  uint64_t next_request_ = 1;
  int stuck_ = 0;
};

inline ForeignReply ForeignVote(const std::string& name, TxnId txn, Vote vote) {
  ForeignReply reply;
  reply.resource_manager = name;
  reply.verb = ForeignVerb::kPrepare;
  reply.txn = txn;
  reply.reached = true;
  reply.vote = vote;
  return reply;
}
inline ForeignReply ForeignDone(const std::string& name, ForeignVerb verb, TxnId txn) {
  ForeignReply reply;
  reply.resource_manager = name;
  reply.verb = verb;
  reply.txn = txn;
  reply.reached = true;
  reply.answer = ForeignAnswer::kDone;
  return reply;
}
inline constexpr char kNoAnswer[] = "no answer came";
inline ForeignReply ForeignSilence(const std::string& name, ForeignVerb verb, TxnId txn) {
  ForeignReply reply;
  reply.resource_manager = name;
  reply.verb = verb;
  reply.txn = txn;
  reply.detail = kNoAnswer;
  return reply;
}

}  // namespace assent::coordinator
