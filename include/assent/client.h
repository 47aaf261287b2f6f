#pragma once

#include <assent/export.h>
#include <assent/ids.h>
#include <assent/operations.h>
#include <assent/outcome.h>
#include <assent/status.h>
#include <assent/xid.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

// The library for applications: transactions over an Assent cluster. (C5, P2 and the like are rules of
// docs/PROTOCOL.md in Assent's source.)
//
//   auto client = Client::Connect({"127.0.0.1:7401", "127.0.0.1:7402"});
//   if (!client.ok()) {
//     std::cerr << client.status().message() << "\n";
//     return 1;
//   }
//   const auto from = op::Add("accounts/alice", -10, /*floor=*/0);
//   const auto to = op::Add("accounts/bob", 10);
//   const CommitResult moved = client->Execute({from, to});
//   switch (moved.outcome) {
//     case Outcome::kCommitted: ...  // both
//     case Outcome::kAborted: ...    // surely neither: moved.reason, moved.detail say why
//     case Outcome::kUnknown: ...    // both or neither; see "Tokens"
//   }
//
// It connects to any node, finds the leader of a coordinator group, follows it when it moves, and repeats
// requests that were not answered, under the same token, until `deadline_ms` is over. An application is never
// told a wrong outcome:
//
//   kCommitted  The cluster said so.
//   kAborted    The cluster said so of the last attempt that was sent, which ends all before it (C5); or
//               nothing of the request ever left this process, or every send of it was refused
//               (`refused` says why).
//   kUnknown    The deadline passed while some send may still take effect, or the token is forgotten.
//
// Where the reason of an abort is transient (a lock lost to an older transaction, a shard that restarted),
// Execute itself tries again as the next attempt, keeping its place in line (P2).
//
// Tokens (C5). Each commit carries a token, under which it takes effect at most once. The library draws one
// for each call. An application that must know the outcome even if it crashes itself draws the token first,
// stores it with the operations, and after a restart executes the same operations with the same token again:
// it gets the outcome of the first time, or the effect that did not happen yet (assent/token_text.h: a token
// as text). The cluster remembers outcomes for a limited time (an hour unless configured otherwise); after it
// the answer is kUnknown, and nothing is run.
//
// Threads: a Client and its Transactions are used by one thread at a time; use a Client for each thread. It
// has one connection, which calls use in turn: an operation that waits for a lock held by another Transaction
// of the same Client waits in vain.
namespace assent {

// Operations. Keys and values are bytes; limits in assent/operations.h.
namespace op {
ASSENT_API Operation Get(std::string key);
ASSENT_API Operation Put(std::string key, std::string value);
ASSENT_API Operation Delete(std::string key);
// Adds to the decimal integer that leads the value (an absent key counts as 0); aborts where the sum would be
// less than `floor`.
ASSENT_API Operation Add(std::string key, int64_t delta, std::optional<int64_t> floor = std::nullopt);
// The rows whose keys start with `prefix`, in order, and behind `after` if that is not empty; limit 0 =
// kScanRowsMax. The result's `truncated` says that there may be more, behind the last row.
ASSENT_API Operation Scan(std::string prefix, uint32_t limit = 0, std::string after = {});
// Checks abort the transaction unless the key is as stated.
ASSENT_API Operation CheckExists(std::string key);
ASSENT_API Operation CheckAbsent(std::string key);
ASSENT_API Operation CheckValue(std::string key, std::string value);
ASSENT_API Operation CheckVersion(std::string key, uint64_t version);  // as a read returned it
}  // namespace op

inline constexpr int kCallTimeoutMs = 15'000;

struct ClientOptions {
  std::string cluster;                 // refuse nodes of any other; empty: that of the first node reached
  std::optional<GroupId> coordinator;  // unset: the first coordinator group that has a leader
  int connect_timeout_ms = 1'000;
  int call_timeout_ms = kCallTimeoutMs;  // one send of a request; above the node's own limit of 12 s
  // An answer that takes longer makes the client ask other nodes, once each such time, whether the group has
  // a later epoch. If so it gives that send up, and repeats it where the group is led now.
  int patience_ms = 1'000;
  int deadline_ms = 30'000;  // a whole call of this library, with all its sends
  int attempts = 16;         // of Execute, where an abort is transient; 1: leave that to the caller
  int backoff_min_ms = 5;    // doubled with each failure in a row, each wait drawn from its upper half
  int backoff_max_ms = 500;
};

// How a commit ended.
struct CommitResult {
  Outcome outcome = Outcome::kUnknown;
  AbortReason reason = AbortReason::kNone;  // kAborted by the cluster
  // kAborted without having been run, or kUnknown for good: why. kInvalid: what to change; kOverloaded,
  // kUnavailable: try later; kConflict: the token was used with other content, or is no longer remembered;
  // else what Run's body said.
  Status refused;
  std::string detail;                    // for people
  std::vector<OperationResult> results;  // kCommitted: one for each operation of Execute; empty if `repeated`
  bool repeated = false;  // the outcome was recorded by an earlier send, whose results are lost
  // kCommitted, if it was waited for: whether all participants are known to have committed by now.
  std::optional<bool> finished;
  TxnId txn;              // if known
  Token token;            // as it was sent; not valid if nothing was
  uint32_t attempts = 0;  // runs that the cluster may have begun

  bool committed() const { return outcome == Outcome::kCommitted; }
};

// One line for people: "committed c1.4.93e4", "aborted: check failed: ...", "unknown: ...".
ASSENT_API std::string Describe(const CommitResult& result);

class Client;

// An interactive transaction: reads and writes as the application goes, then Commit. Move-only. Rolled back,
// as far as possible, when destroyed unfinished; the coordinator also ends what idles (10 s
// unless configured otherwise).
//
// Put, Delete, Add and Check are collected and sent with the next read, or at Commit: one round trip for
// many. So their failures show there. An error of any call ends the transaction: kConflict if it was aborted
// (begin a new one with BeginAgain), kUnavailable if the coordinator was lost; it has then had no effect, and
// Commit says the same.
class ASSENT_API Transaction {
 public:
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  ~Transaction();

  Result<std::optional<ResultRow>> Get(std::string key);
  // The first `limit` rows whose keys start with `prefix`, or all of them (0), in order; in as many requests
  // as it takes.
  Result<std::vector<ResultRow>> Scan(const std::string& prefix, size_t limit = 0);
  Status Put(std::string key, std::string value);
  Status Delete(std::string key);
  Status Add(std::string key, int64_t delta, std::optional<int64_t> floor = std::nullopt);
  Status Check(Operation check);  // one of op::Check...

  // Sends what was collected and these at once; a result for each of these.
  Result<std::vector<OperationResult>> Work(std::vector<Operation> operations);

  // Work for a resource manager outside Assent; it is asked to prepare `payload` at Commit.
  Status Enlist(std::string resource_manager, std::string payload);

  // ---- Resource managers where the application itself works, over its own connections
  //
  //   auto branch = transaction.Enlist("orders");   // before any work there
  //   ... work, then: PREPARE TRANSACTION 'ToString(branch->xid)'
  //   transaction.ReportVote("orders", Vote::kYes);
  //   const CommitResult result = transaction.Commit();
  //   ... COMMIT PREPARED, or ROLLBACK PREPARED, as `result` says
  //   transaction.Finished("orders");

  // The resource manager may hold a branch of this transaction from now on. Commit then has to bring its
  // vote; where that is missing, the transaction is aborted. Asked again, it gives the same.
  // kInvalid (not configured, too many): the transaction goes on as it was.
  Result<EnlistedBranch> Enlist(const std::string& resource_manager);
  // For Commit to bring; nothing is sent. kYes: the branch is prepared, durably, under its xid. kReadOnly: it
  // has ended, and changed nothing. kNo: Commit will be kAborted. `holder`, `evidence`: assent/operations.h.
  // kInvalid if it was not enlisted here. Reported again, the last vote counts.
  Status ReportVote(const std::string& resource_manager, Vote vote, std::string holder = {},
                    std::string evidence = {});
  // The application works elsewhere: the transaction does not idle out meanwhile. An error ends it.
  Status KeepAlive();
  // After the outcome was told: the application has ended its branch there accordingly. Not needed: a branch
  // of which nothing is heard for a while the coordinator ends. kInvalid if the outcome is not known.
  Status Finished(const std::string& resource_manager);

  // After kUnknown, unless `refused` says that it is for good, it may be called again: it asks for the
  // outcome under the same token. `wait_finished_ms`: kCommitted is told once all participants have
  // committed, or so long after the decision (0 to 5,000): `finished` says which.
  CommitResult Commit(int wait_finished_ms = 0);
  void Rollback();  // best effort; what it cannot tell, the idle timeout ends

  TxnId id() const;
  bool open() const;  // not ended by Commit, Rollback or an error

 private:
  friend class Client;
  struct ASSENT_HIDDEN Impl;
  ASSENT_HIDDEN explicit Transaction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ASSENT_API Client {
 public:
  // Reaches one of `addresses` ("host:port"; one is enough, the others are for when it is down) and the
  // leader of a coordinator group, which is waited for until deadline_ms once a node was reached: a group
  // that fails over has no leader for some seconds. kUnavailable if none came, or at once if no address could
  // be connected to: what is started beside its nodes calls this again after a moment. kForeign if all nodes
  // are of another cluster, kInvalid for a bad address. The message has the reason of each address.
  static Result<Client> Connect(const std::vector<std::string>& addresses, const ClientOptions& options = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // ---- Whole transactions, in one round trip

  CommitResult Execute(std::vector<Operation> operations, std::vector<ForeignWork> foreign = {});

  Result<std::optional<ResultRow>> Get(std::string key);
  // As Transaction::Scan. Rows that do not fit one answer are read by an interactive transaction, so that all
  // are of one moment: writers of these keys wait meanwhile.
  Result<std::vector<ResultRow>> Scan(const std::string& prefix, size_t limit = 0);
  CommitResult Put(std::string key, std::string value);
  CommitResult Delete(std::string key);

  // ---- Interactive

  Result<Transaction> Begin();
  // Repeats one that was aborted: it keeps its place in line, so that it wins at last.
  Result<Transaction> BeginAgain(const Transaction& aborted);
  // Runs `body` in a transaction and commits, again from the start while aborts are transient (`attempts` in
  // all). `body` returns an error to roll back; that is then `refused` in the result.
  CommitResult Run(const std::function<Status(Transaction&)>& body);

  // ---- Tokens that outlive this process

  // To be stored, with the operations, before Execute(token, ...). kOverloaded past 1,024 that
  // were not released.
  Result<Token> NewToken();
  // The same operations with the same token, as often as it takes: one effect, one outcome. kUnknown also
  // means that the cluster no longer remembers this token.
  CommitResult Execute(const Token& token, std::vector<Operation> operations,
                       std::vector<ForeignWork> foreign = {});
  // The application has stored the outcome, or never used the token: the cluster may forget it.
  void Release(const Token& token);

  const std::string& cluster() const;  // as the cluster names itself

 private:
  friend class Transaction;
  struct ASSENT_HIDDEN Impl;
  ASSENT_HIDDEN explicit Client(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace assent
