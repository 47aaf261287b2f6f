#pragma once

#include <assent/operations.h>
#include <assent/outcome.h>
#include <assent/xid.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/messages.h"

// The requests of clients to a coordinator group, and its answers: the meaning of the TransactionManager
// service, without Thrift.
namespace assent {

enum class RequestId : uint64_t {};  // of one call at one node, for its reply; drawn by the server side

// C5: which epoch the request was sent to, which attempt it is, and which sequences the client has done with.
struct CommitTag {
  static constexpr size_t kFields = 4;
  Token token;
  Epoch sent_to{};
  uint32_t attempt = 1;
  uint64_t acked_below = 0;
};

struct OpenSession {
  static constexpr size_t kFields = 0;
};
struct Execute {  // one-shot
  static constexpr size_t kFields = 4;
  CommitTag tag;
  std::vector<Operation> operations;
  std::vector<ForeignWork> foreign;
  Age retry_of;  // age of the attempt that this one repeats (P2), if retry_of.begin_us != 0
};
struct Begin {
  static constexpr size_t kFields = 4;
  Age retry_of;
  // Wished for, instead of the configured times, which bound the life; 0 = none.
  uint64_t idle_us = 0;
  uint64_t life_us = 0;
  std::vector<std::string> enlist{};  // resource managers, as by Enlist
};
// `key`, here and below: as Begun gave it, so that nobody ends a transaction whose id he has guessed.
struct Work {  // read and write
  static constexpr size_t kFields = 3;
  TxnId txn;
  std::vector<Operation> operations;
  uint64_t key = 0;
};
// Ends an interactive transaction. `shards`: those that the replies to Work named, in any order; the first to
// ask where this coordinator knows nothing of the transaction any more (C3, C6).
struct Commit {
  static constexpr size_t kFields = 6;
  CommitTag tag;
  TxnId txn;
  std::vector<ForeignWork> foreign;
  std::vector<GroupId> shards;
  uint64_t key = 0;
  uint64_t wait_finished_us = 0;  // COMMITTED is told once phase two is over, or so long after the decision
};
struct Rollback {
  static constexpr size_t kFields = 2;
  TxnId txn;
  uint64_t key = 0;
};
// F1: `resource_manager` may hold a branch of the transaction from now on.
struct Enlist {
  static constexpr size_t kFields = 3;
  TxnId txn;
  std::string resource_manager;
  uint64_t key = 0;
};
// The transaction does not idle out: its owner works elsewhere.
struct KeepAlive {
  static constexpr size_t kFields = 2;
  TxnId txn;
  uint64_t key = 0;
};
// The application has ended a branch that it prepared, as was decided.
struct Finished {
  static constexpr size_t kFields = 5;
  TxnId txn;
  std::string resource_manager;
  uint32_t branch = 0;
  Decision decision = Decision::kAbort;
  uint64_t key = 0;
};

inline constexpr uint64_t kFinishedWaitMaxUs = 5'000'000;

using ClientRequest =
    std::variant<OpenSession, Execute, Begin, Work, Commit, Rollback, Enlist, KeepAlive, Finished>;

struct SessionOpened {
  static constexpr size_t kFields = 3;
  ClientId client{};
  uint64_t birth_us = 0;
  Epoch epoch{};
};
struct Begun {
  static constexpr size_t kFields = 6;
  TxnId txn;
  Age age;
  uint64_t key = 0;                        // not 0; the owner's alone
  uint64_t idle_us = 0;                    // without a call for so long it is rolled back,
  uint64_t life_us = 0;                    // and so long after it began in any case
  std::vector<EnlistedBranch> enlisted{};  // in the order asked for
};
struct WorkDone {
  static constexpr size_t kFields = 2;
  std::vector<OperationResult> results;
  std::vector<GroupId> shards;  // all that the transaction has touched so far
};
enum class HeuristicKind : uint8_t { kMix = 1, kRolledBack, kCommitted, kHazard };
constexpr std::pair<HeuristicKind, HeuristicKind> RangeOf(HeuristicKind) {
  return {HeuristicKind::kMix, HeuristicKind::kHazard};
}
// A resource manager's branch is known to have ended otherwise than its transaction.
struct Heuristic {
  static constexpr size_t kFields = 3;
  std::string resource_manager;
  HeuristicKind kind = HeuristicKind::kHazard;
  std::string evidence;  // for people
};
// `results`: of a one-shot's operations, in their order; empty where `repeated`, since then the outcome was
// recorded by an earlier attempt. `birth_us`: for the client's next tokens. kUnknown for kTokenExpired: what
// became of the token is forgotten, and asking again brings nothing (C5). `age` is not valid where it
// is not known.
//
// `finished`: of a kCommitted that was to wait for it: all participants are known to have committed.
struct Ending {
  static constexpr size_t kFields = 10;
  Outcome outcome = Outcome::kUnknown;
  TxnId txn;
  Age age;
  AbortReason reason = AbortReason::kNone;
  std::string detail;
  std::vector<OperationResult> results;
  bool repeated = false;
  uint64_t birth_us = 0;
  std::optional<bool> finished{};
  std::vector<Heuristic> heuristics{};  // of kCommitted; of what is known so far
};
// The request was not run, and nothing was or will be done for it.
enum class RefusalCode : uint8_t {
  kInvalid = 1,    // bad operations, unknown resource manager, limits
  kNoSuchTxn,      // a request for a transaction that is not (or no longer) live here, or with
                   // another key than its own
  kTokenExpired,   // below the client's floor or the horizon (C5)
  kTokenMismatch,  // the token was used with other content (C5)
  kStaleEpoch,     // sent to another epoch (C5): read `epoch`, send again as the same attempt
  kOverloaded,     // G8: retry later
  kNotServing,     // this node is not the primary, or not yet
  kBusy,           // another call of the transaction runs: wait for its answer, or for its end
};
struct Refusal {
  static constexpr size_t kFields = 4;
  RefusalCode code = RefusalCode::kInvalid;
  std::string detail;
  Epoch epoch{};
  std::vector<GroupId> shards{};  // of Work on a live transaction: all that it has touched so far
};
struct RolledBack {
  static constexpr size_t kFields = 0;
};
struct KeptAlive {
  static constexpr size_t kFields = 0;
};
struct FinishNoted {
  static constexpr size_t kFields = 0;
};

// An Enlist is answered with EnlistedBranch (assent/xid.h), whose `xid` and `kind` come of the cluster's name
// and the configuration, and are filled in where the reply leaves the node; or, like Work, with an Ending.
using ClientReply = std::variant<SessionOpened, Begun, WorkDone, Ending, Refusal, RolledBack, EnlistedBranch,
                                 KeptAlive, FinishNoted>;

}  // namespace assent
