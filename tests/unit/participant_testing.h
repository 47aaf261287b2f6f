#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "participant/participant.h"
#include "sim/map_state.h"

// A shard for tests: one primary core, driven step by step, and what came of each step as lines of text:
//
//   2:Prepared(5) w=a r=b          appended at LSN 2 (w: writes, r: read locks)
//   c1<Yes(5)                      sent to c1
//
// Transactions are named by their sequence numbers: (5) is c1.1.5, and the smaller is the older. After every
// step the invariants are checked, and a backup that applied the same records is compared.
namespace assent::participant {

using Lines = std::vector<std::string>;

inline constexpr GroupId kC1{GroupKind::kCoordinator, 1};
inline constexpr GroupId kS1{GroupKind::kShard, 1};
inline constexpr GroupId kS2{GroupKind::kShard, 2};
inline constexpr uint64_t kSecond = 1'000'000;

inline TxnId Txn(uint64_t seq) {
  return TxnId{kC1, Epoch{1}, seq};
}
inline Token TokenOf(uint64_t seq, uint64_t client = 7, uint64_t birth_us = 5'000) {
  return Token{kC1, ClientId{client}, seq, birth_us};
}

inline Operation Get(std::string key) {
  return GetOp{std::move(key)};
}
inline Operation Put(std::string key, std::string value) {
  return PutOp{std::move(key), std::move(value)};
}
inline Operation Delete(std::string key) {
  return DeleteOp{std::move(key)};
}
inline Operation Add(std::string key, int64_t delta) {
  return AddOp{std::move(key), delta, std::nullopt};
}
inline Operation AddAbove(std::string key, int64_t delta, int64_t floor) {
  return AddOp{std::move(key), delta, floor};
}
inline Operation Exists(std::string key) {
  return CheckOp{std::move(key), CheckKind::kExists, {}, 0};
}
inline Operation Absent(std::string key) {
  return CheckOp{std::move(key), CheckKind::kAbsent, {}, 0};
}
inline Operation Scan(std::string prefix, uint32_t limit = 0) {
  return ScanOp{std::move(prefix), limit};
}

// The fields of a message that tests vary.
struct Extra {
  bool has_foreign = false;
  uint64_t mark = 0;
  uint64_t horizon_us = 0;
  bool may_release = false;
  BranchId branch = {};  // empty = as the transaction's first OperateReply said
  uint32_t last = 0;
  uint32_t attempt = 1;
  uint64_t token = 0;  // its seq; 0 = as the transaction's
  uint64_t acked_below = 0;
  uint64_t content = 99;
};

std::string ToLine(const RoleEffect& effect);
inline TxnHeader Header(uint64_t seq, const Extra& extra = {}) {
  const TxnId mark = extra.mark == 0 ? TxnId{} : Txn(extra.mark);
  return TxnHeader{Txn(seq), Age{seq, Txn(seq)}, extra.has_foreign, mark, extra.horizon_us};
}

class Shard {
 public:
  explicit Shard(ParticipantConfig config = {}, MapState store = {});

  Lines Step(const RoleEvent& event);
  Lines From(GroupId from, Message message) { return Step(Received{from, Epoch{1}, std::move(message)}); }
  Lines Replicate() { return Step(Replicated{core_->last_lsn()}); }
  Lines ReplicateTo(uint64_t lsn) { return Step(Replicated{Lsn{lsn}}); }
  Lines Wait(uint64_t us);  // time goes by, and a Tick comes at its end

  Lines Operate(uint64_t seq, uint32_t first, std::vector<Operation> operations, const Extra& extra = {});
  Lines Prepare(uint64_t seq, std::vector<Operation> operations,
                const Extra& extra = {});  // one-shot, or `last`
  Lines Commit1(uint64_t seq, std::vector<Operation> operations, const Extra& extra = {});  // CommitOnePhase
  Lines Settle(uint64_t seq, uint64_t token, uint32_t attempt);
  Lines Commit(uint64_t seq, const Extra& extra = {});  // Decide
  Lines Abort(uint64_t seq, const Extra& extra = {});
  Lines News(uint64_t mark, uint64_t horizon_us = 0) {
    return From(kC1, MarkNews{mark == 0 ? TxnId{} : Txn(mark), horizon_us});
  }

  // `key` is committed with `value` by a transaction that is over and replicated.
  void Given(const std::string& key, const std::string& value);
  // Moves what is replicated to the store, as the driver does.
  void Flush();
  // The primary restarts: a fresh core from the store, then the log. `keep`: LSNs above it are lost.
  void Restart(uint64_t keep = UINT64_MAX);
  std::string Value(const std::string& key) const;  // committed, or "(none)"
  bool Decided(uint64_t seq) const;
  bool HasRow(Table table, const std::string& key) const;

  ParticipantCore& core() { return *core_; }
  const std::vector<std::pair<Lsn, LogRecord>>& log() const { return log_; }
  const RoleEffects& effects() const { return effects_; }  // of the last step
  // The last message of a kind in the last step's effects.
  template <typename Kind>
  const Kind& Last() const {
    const Kind* found = nullptr;
    for (const RoleEffect& effect : effects_) {
      if (const auto* send = std::get_if<Send>(&effect)) {
        if (const auto* message = std::get_if<Kind>(&send->message)) found = message;
      }
    }
    ASSENT_CHECK(found != nullptr, "no such message was sent");
    return *found;
  }
  Epoch epoch() const { return epoch_; }
  Lsn replicated() const { return replicated_; }
  Instant now{1'000 * kSecond, 2'000 * kSecond};

 private:
  void Serve();
  void CheckBackup();
  void CheckNothingLeftEarly(const Message& message) const;  // R1, for every message of every test
  // As its coordinator would name it: as the first reply did, which nothing later replaces.
  BranchId NameOf(uint64_t seq, const Extra& extra) const;

  ParticipantConfig config_;
  std::unique_ptr<MapState> store_;
  std::unique_ptr<ParticipantCore> core_;
  MapState nothing_;
  std::unique_ptr<ParticipantCore> backup_;  // over an empty store, fed with the whole log
  std::vector<std::pair<Lsn, LogRecord>> log_;
  MapState initial_;
  Lsn applied_{};
  Epoch epoch_{};
  Lsn replicated_{};
  std::map<TxnId, BranchId> named_;
  RoleEffects effects_;
};

}  // namespace assent::participant
