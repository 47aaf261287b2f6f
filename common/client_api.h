#pragma once

#include <assent/operations.h>
#include <assent/outcome.h>

#include <cstddef>
#include <cstdint>
#include <string>
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
  static constexpr size_t kFields = 1;
  Age retry_of;
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
  static constexpr size_t kFields = 5;
  CommitTag tag;
  TxnId txn;
  std::vector<ForeignWork> foreign;
  std::vector<GroupId> shards;
  uint64_t key = 0;
};
struct Rollback {
  static constexpr size_t kFields = 2;
  TxnId txn;
  uint64_t key = 0;
};

using ClientRequest = std::variant<OpenSession, Execute, Begin, Work, Commit, Rollback>;

struct SessionOpened {
  static constexpr size_t kFields = 3;
  ClientId client{};
  uint64_t birth_us = 0;
  Epoch epoch{};
};
struct Begun {
  static constexpr size_t kFields = 5;
  TxnId txn;
  Age age;
  uint64_t key = 0;      // not 0; the owner's alone
  uint64_t idle_us = 0;  // without a call for so long it is rolled back,
  uint64_t life_us = 0;  // and so long after it began in any case
};
struct WorkDone {
  static constexpr size_t kFields = 2;
  std::vector<OperationResult> results;
  std::vector<GroupId> shards;  // all that the transaction has touched so far
};
// `results`: of a one-shot's operations, in their order; empty where `repeated`, since then the outcome was
// recorded by an earlier attempt. `birth_us`: for the client's next tokens. kUnknown for kTokenExpired: what
// became of the token is forgotten, and asking again brings nothing (C5). `age` is not valid where it
// is not known.
struct Ending {
  static constexpr size_t kFields = 8;
  Outcome outcome = Outcome::kUnknown;
  TxnId txn;
  Age age;
  AbortReason reason = AbortReason::kNone;
  std::string detail;
  std::vector<OperationResult> results;
  bool repeated = false;
  uint64_t birth_us = 0;
};
// The request was not run, and nothing was or will be done for it.
enum class RefusalCode : uint8_t {
  kInvalid = 1,    // bad operations, unknown resource manager, limits
  kNoSuchTxn,      // Work, Rollback or Commit of a transaction that is not (or no longer) live here, or with
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

using ClientReply = std::variant<SessionOpened, Begun, WorkDone, Ending, Refusal, RolledBack>;

}  // namespace assent
