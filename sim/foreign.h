#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/role.h"

// A resource manager of somebody else, as far as two-phase commit goes: rows with locks that no shard sees,
// so that a deadlock may go through them. Its deeds are durable at once, and it never dies; the caller
// decides what is lost on the way to it and back.
namespace assent::sim {

// Two, so that one is locked while the other is waited for.
inline constexpr std::array<std::string_view, 2> kForeignNames = {"others", "theirs"};

class ForeignManager {
 public:
  using Answer = std::function<void(ForeignReply)>;

  explicit ForeignManager(std::string name) : name_(std::move(name)) {}

  // The payload of a prepare: the row to lock, a space, and the marker to count when it commits. Answered
  // once it has the row; at once, no, if it does not like the row.
  // `caller`: one life of a process; its connection.
  void Call(const CallForeign& call, uint64_t caller, const Answer& answer);
  // Its connection is gone: what still waits for a row there is given up, as a database does.
  void Disconnect(uint64_t caller);
  // The caller of this prepare waits no longer. True: it had no row yet, and is given up.
  bool GiveUp(const TxnId& txn);

  // How often something with that marker committed.
  uint64_t Committed(const std::string& marker) const;
  // Nothing is prepared, and nobody waits.
  bool idle() const { return prepared_.empty() && waiting_.empty(); }
  // I-A1: what it was told that cannot be, in words; empty: nothing.
  const std::string& contradiction() const { return contradiction_; }

 private:
  struct Work {
    std::string row;
    std::string marker;
  };
  struct Waiting {
    TxnId txn;
    Work work;
    uint64_t caller = 0;
    Answer answer;
  };

  ForeignReply ReplyTo(ForeignVerb verb, const TxnId& txn) const;
  ForeignReply VoteOn(const TxnId& txn, Vote vote) const;
  void Prepare(const CallForeign& call, uint64_t caller, const Answer& answer);
  void Commit(const TxnId& txn);
  void RollBack(const TxnId& txn);
  void GrantRows();

  const std::string name_;
  std::map<TxnId, Work> prepared_;
  std::deque<Waiting> waiting_;
  std::set<TxnId> committed_;
  std::map<std::string, uint64_t> markers_;
  std::string contradiction_;
};

}  // namespace assent::sim
