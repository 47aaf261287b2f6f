#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/client_api.h"
#include "common/messages.h"
#include "common/records.h"

// Checks what nodes say against what is replicated: an outcome is checked as it is told, whoever tells it,
// and not only by what it leads to.
//
//   I-A3, R1  a yes follows a replicated PREPARED, a decision its COMMIT, an acknowledgement its record
//   I-A1      nobody is told abort of what is committed, and what somebody was told abort of does not commit
//   I-D1      COMMITTED follows the replicated record of the token, if anything was written
//   I-U1      an attempt that its client was told ABORTED for, or that a record refuses, does not commit
//   R1        no row is shown before its record is replicated
//   P6        who acknowledged an abort does not vote yes
namespace assent::sim {

// The part of a client's request that its answer promises something about.
struct Asked {
  Token token;  // not valid: nothing
  uint32_t attempt = 0;
  bool writes = false;
};

struct Claim {
  enum class Kind : uint8_t {
    kYes,
    kCommit,
    kAbort,
    kPeerCommit,
    kPeerAbort,
    kCommitDone,
    kAbortDone,
    kCommitted,
    kAborted,
    kOther,  // what was read, for one: that it may leave at all is the claim (R5)
  };
  Kind kind{};
  GroupId from;
  Epoch epoch{};
  TxnId txn;
  Asked asked;
  Lsn shown{};  // of the rows that it shows, the newest one's record
};

class Promises {
 public:
  // The promises that a client's request asks for. Work is remembered, for the commit that follows it.
  Asked AskedBy(const ClientRequest& request);

  static std::optional<Claim> ClaimOf(const Envelope& envelope);
  static std::optional<Claim> ClaimOf(const Asked& asked, const ClientReply& reply);

  // In the order of the group's log. Here and below: what is wrong, in words; empty: nothing.
  std::string OnReplicated(GroupId group, const LogRecord& record);
  // `replicated`: of the sender's group. REQUIRES: all of it went to OnReplicated.
  std::string Check(const Claim& claim, Lsn replicated);

 private:
  struct Fate {
    std::optional<uint32_t> committed;       // as which attempt
    uint32_t refused = 0;                    // attempts up to this one
    std::map<GroupId, uint32_t> refused_by;  // by a shard: there
  };
  Fate& FateOf(Token token);
  std::string Commits(GroupId group, const Token& token, uint32_t attempt);

  std::set<TxnId> wrote_;  // interactive ones that were asked to write
  std::set<TxnId> committed_;
  std::set<TxnId> ended_;
  std::set<TxnId> told_abort_;
  std::map<GroupId, std::set<TxnId>> prepared_;
  std::map<GroupId, std::set<TxnId>> done_;             // committed branches of a shard
  std::map<GroupId, std::set<TxnId>> aborts_done_;      // acknowledged by the shard
  std::map<std::pair<GroupId, GroupId>, TxnId> marks_;  // of a shard, for a coordinator group
  std::map<Token, Fate> tokens_;                        // whatever their birth
};

}  // namespace assent::sim
