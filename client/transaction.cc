#include <assent/client.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "client/client_impl.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

// Collected operations are sent unasked above this: far below a branch's limits, to which all may count.
constexpr size_t kPendingOperationsMax = 512;
constexpr size_t kPendingBytesMax = 256 * 1024;

CommitResult Lost(std::string detail) {
  CommitResult result;
  result.outcome = Outcome::kAborted;
  result.reason = AbortReason::kBranchLost;
  result.detail = std::move(detail);
  return result;
}

}  // namespace

// Until Commit sends its first request nothing can commit the transaction: any failure before is an
// abort, and no guess. That is why work whose answer is lost is not repeated (it may have run once) but
// ends the transaction.
struct Transaction::Impl {
  Impl(std::shared_ptr<Client::Impl> its_client, const Begun& begun)
      : client(std::move(its_client)), txn(begun.txn), key(begun.key), age(begun.age) {}

  Session& session() { return client->session; }

  Status End(CommitResult result) {
    result.txn = txn;
    ended = std::move(result);
    pending.clear();
    return StatusOf(*ended);
  }

  // End, and let the coordinator know, so that locks do not wait for its idle timeout.
  Status Abandon(CommitResult result) {
    SendRollback();
    return End(std::move(result));
  }

  Status Collect(Operation operation) {
    if (ended) return StatusOf(*ended);
    pending_bytes += SizeOf(operation);
    pending.push_back(std::move(operation));
    if (pending.size() < kPendingOperationsMax && pending_bytes < kPendingBytesMax) return {};
    const auto done = Flush({});
    return done.ok() ? Status() : done.status();
  }

  // Sends what is pending, then `operations`, in one request; gives the results of the latter.
  Result<std::vector<OperationResult>> Flush(std::vector<Operation> operations) {
    if (ended) return Finished();
    const size_t before = pending.size();
    for (Operation& operation : operations) pending.push_back(std::move(operation));
    if (pending.empty()) return std::vector<OperationResult>();
    Result<std::vector<OperationResult>> results = Send(std::exchange(pending, {}));
    pending_bytes = 0;
    if (!results.ok()) return results;
    results->erase(results->begin(), results->begin() + static_cast<std::ptrdiff_t>(before));
    return results;
  }

  Status Finished() const {
    const Status status = StatusOf(*ended);
    return status.ok() ? Status(StatusCode::kInvalid, "the transaction has ended") : status;
  }

  Result<std::vector<OperationResult>> Send(std::vector<Operation>&& operations) {
    const size_t count = operations.size();
    wire::WorkRequest request =
        codec::EncodeRequest(session().cluster(), assent::Work{txn, std::move(operations), key});
    const Deadline deadline = client->NewDeadline();
    Backoff backoff(session().options());
    while (true) {
      // C3: an epoch's undecided transactions end with it.
      if (session().epoch() > txn.epoch) return End(Lost("the coordinator restarted"));
      Sent sent = session().Send<wire::WorkReply>(
          deadline, [] {},
          [&](wire::TransactionManagerClient& wire_client) { wire_client.send_work(request); },
          [](wire::TransactionManagerClient& wire_client, wire::WorkReply& reply) {
            wire_client.recv_work(reply);
          },
          [&](wire::WorkReply&& reply) { return codec::DecodeReply(std::move(reply), txn); });
      if (sent.kind == Sent::Kind::kLost) return Abandon(Lost("in mid-transaction: " + sent.why.message()));
      std::string why = sent.why.message();
      if (sent.kind == Sent::Kind::kNotSent && sent.why.code() == StatusCode::kInvalid) {
        return Abandon(Refused(sent.why));
      }
      if (sent.kind == Sent::Kind::kReplied) {
        if (auto* const done = std::get_if<WorkDone>(&sent.reply)) {
          if (done->results.size() != count) return Abandon(Lost("an answer with results missing"));
          shards = std::move(done->shards);
          return std::move(done->results);
        }
        if (auto* const ending = std::get_if<Ending>(&sent.reply)) return OnEnding(std::move(*ending));
        const auto* const refusal = std::get_if<Refusal>(&sent.reply);
        if (refusal == nullptr) return Abandon(Lost("an answer to something else"));
        why = refusal->detail;
        switch (refusal->code) {
          case RefusalCode::kNoSuchTxn:
            return End(Expired(why));
          case RefusalCode::kInvalid:
          case RefusalCode::kTokenExpired:
          case RefusalCode::kTokenMismatch:
            return Abandon(Refused(Status(StatusCode::kInvalid, why)));
          case RefusalCode::kStaleEpoch:
          case RefusalCode::kNotServing:
          case RefusalCode::kOverloaded:
          case RefusalCode::kBusy:
            break;  // nothing was done: again
        }
      }
      if (MillisLeft(deadline) == 0) return Abandon(Lost("in mid-transaction: " + why));
      backoff.Pause(deadline);
    }
  }

  Status OnEnding(Ending&& ending) {
    if (ending.outcome != Outcome::kAborted) return Abandon(Lost("in mid-transaction: " + ending.detail));
    if (ending.age.txn.valid() && ending.age < age) age = ending.age;  // P2: the oldest is the place in line
    CommitResult result;
    result.outcome = Outcome::kAborted;
    result.reason = ending.reason;
    result.detail = std::move(ending.detail);
    return End(std::move(result));
  }

  static CommitResult Refused(const Status& why) {
    CommitResult result;
    result.outcome = Outcome::kAborted;
    result.refused = why;
    result.detail = why.message();
    return result;
  }

  static CommitResult Expired(const std::string& why) {
    CommitResult result;
    result.outcome = Outcome::kAborted;
    result.reason = AbortReason::kExpired;
    result.detail = why;
    return result;
  }

  // One send, briefly, and only to a leader that is known: the idle timeout does the same.
  void SendRollback() {
    if (session().epoch() > txn.epoch) return;
    constexpr auto kPatience = std::chrono::milliseconds(1'000);
    const wire::RollbackRequest request =
        codec::EncodeRequest(session().cluster(), assent::Rollback{txn, key});
    (void)session().Send<wire::RollbackReply>(
        std::chrono::steady_clock::now() + kPatience, [] {},
        [&](wire::TransactionManagerClient& wire_client) { wire_client.send_rollback(request); },
        [](wire::TransactionManagerClient& wire_client, wire::RollbackReply& reply) {
          wire_client.recv_rollback(reply);
        },
        [&](wire::RollbackReply&& reply) { return codec::DecodeReply(std::move(reply), txn); });
  }

  // An outcome that is not known, and not for good, can be asked for.
  bool IsOpenQuestion() const {
    return ended && ended->outcome == Outcome::kUnknown && ended->refused.ok() && ended->token.valid();
  }

  // A call that has the same effect however often it runs, until it is answered. A failure ends the
  // transaction, if it is open.
  template <typename WireReply, typename SendOnce, typename Receive>
  Result<ClientReply> Ask(SendOnce&& send, Receive&& receive) {
    const Deadline deadline = client->NewDeadline();
    Backoff backoff(session().options());
    while (true) {
      // C3: an epoch's undecided transactions end with it.
      if (!ended && session().epoch() > txn.epoch) return End(Lost("the coordinator restarted"));
      Sent sent = session().Send<WireReply>(
          deadline, [] {}, send, receive,
          [&](WireReply&& reply) { return codec::DecodeReply(std::move(reply), txn); });
      std::string why = sent.why.message();
      if (sent.kind == Sent::Kind::kReplied) {
        const auto* const refusal = std::get_if<Refusal>(&sent.reply);
        if (refusal == nullptr) return std::move(sent.reply);
        why = refusal->detail;
        if (refusal->code == RefusalCode::kNoSuchTxn && !ended) return End(Expired(why));
        if (refusal->code == RefusalCode::kNoSuchTxn) return Status(StatusCode::kNotFound, why);
        if (refusal->code == RefusalCode::kInvalid) return Status(StatusCode::kInvalid, why);
      }
      if (MillisLeft(deadline) == 0) {
        if (!ended) return Abandon(Lost("in mid-transaction: " + why));
        return Status(StatusCode::kUnavailable, why);
      }
      backoff.Pause(deadline);
    }
  }

  Result<EnlistedBranch> Enlist(const std::string& name) {
    if (ended) return Finished();
    const wire::EnlistRequest request =
        codec::EncodeRequest(session().cluster(), assent::Enlist{txn, name, key});
    Result<ClientReply> reply = Ask<wire::EnlistReply>(
        [&](wire::TransactionManagerClient& wire_client) { wire_client.send_enlist(request); },
        [](wire::TransactionManagerClient& wire_client, wire::EnlistReply& in) {
          wire_client.recv_enlist(in);
        });
    if (!reply.ok()) return reply.status();
    if (auto* const ending = std::get_if<Ending>(&*reply)) return OnEnding(std::move(*ending));
    auto* const branch = std::get_if<EnlistedBranch>(&*reply);
    if (branch == nullptr || branch->resource_manager != name) {
      return Abandon(Lost("an answer to something else"));
    }
    enlisted[name] = branch->branch;
    return std::move(*branch);
  }

  Status ReportVote(const std::string& name, Vote vote, std::string holder, std::string evidence) {
    if (ended) return Finished();
    const auto branch = enlisted.find(name);
    if (branch == enlisted.end()) {
      return Status(StatusCode::kInvalid, "resource manager '" + name + "' was not enlisted");
    }
    std::erase_if(foreign, [&](const ForeignWork& work) { return work.resource_manager == name; });
    foreign.push_back(ForeignWork{name, "", vote, branch->second, std::move(holder), std::move(evidence)});
    return {};
  }

  Status KeepAlive() {
    if (ended) return Finished();
    const wire::KeepAliveRequest request =
        codec::EncodeRequest(session().cluster(), assent::KeepAlive{txn, key});
    Result<ClientReply> reply = Ask<wire::KeepAliveReply>(
        [&](wire::TransactionManagerClient& wire_client) { wire_client.send_keep_alive(request); },
        [](wire::TransactionManagerClient& wire_client, wire::KeepAliveReply& in) {
          wire_client.recv_keep_alive(in);
        });
    if (!reply.ok()) return reply.status();
    if (auto* const ending = std::get_if<Ending>(&*reply)) return OnEnding(std::move(*ending));
    return {};
  }

  Status ReportFinished(const std::string& name) {
    if (!ended || ended->outcome == Outcome::kUnknown) {
      return Status(StatusCode::kInvalid, "the outcome is not known: leave the branch as it is");
    }
    const auto branch = enlisted.find(name);
    if (branch == enlisted.end()) {
      return Status(StatusCode::kInvalid, "resource manager '" + name + "' was not enlisted");
    }
    const Decision decision = ended->outcome == Outcome::kCommitted ? Decision::kCommit : Decision::kAbort;
    const wire::FinishedRequest request =
        codec::EncodeRequest(session().cluster(), assent::Finished{txn, name, branch->second, decision, key});
    const Result<ClientReply> reply = Ask<wire::FinishedReply>(
        [&](wire::TransactionManagerClient& wire_client) { wire_client.send_finished(request); },
        [](wire::TransactionManagerClient& wire_client, wire::FinishedReply& in) {
          wire_client.recv_finished(in);
        });
    // Where it is not remembered, there is nothing to be done about it.
    return reply.ok() || reply.status().code() == StatusCode::kNotFound ? Status() : reply.status();
  }

  CommitResult Commit(int wait_finished_ms) {
    if (!ended && !pending.empty()) (void)Flush({});
    const Token asked = IsOpenQuestion() ? ended->token : Token{};
    if (ended && !asked.valid()) return *ended;
    assent::Commit commit;
    commit.txn = txn;
    commit.foreign = foreign;  // the same content each time (C5)
    commit.shards = shards;
    commit.key = key;
    commit.wait_finished_us = std::clamp<uint64_t>(
        static_cast<uint64_t>(std::max(wait_finished_ms, 0)) * 1'000, 0, kFinishedWaitMaxUs);
    wire::CommitRequest request = codec::EncodeRequest(session().cluster(), std::move(commit));
    const Deadline deadline = client->NewDeadline();
    // One attempt: the work is the application's to repeat, in a new transaction.
    CommitResult result = client->RunCommit(
        asked.valid() ? CommitProgress::TokenKind::kSentOnce : CommitProgress::TokenKind::kFresh, asked,
        /*attempts=*/1, deadline, [&](const Token& used, const CommitProgress& progress) {
          return session().Send<wire::CommitReply>(
              deadline, [&] { request.tag = client->Tagged(used, progress.attempt()); },
              [&](wire::TransactionManagerClient& wire_client) { wire_client.send_commit(request); },
              [](wire::TransactionManagerClient& wire_client, wire::CommitReply& reply) {
                wire_client.recv_commit(reply);
              },
              [&](wire::CommitReply&& reply) {
                return codec::DecodeReply(std::move(reply), client->sent_tag);
              });
        });
    if (asked.valid() && result.outcome != Outcome::kUnknown) session().Release(asked);
    (void)End(result);
    return *ended;
  }

  const std::shared_ptr<Client::Impl> client;
  const TxnId txn;
  const uint64_t key;
  Age age;
  std::vector<GroupId> shards;
  std::vector<Operation> pending;
  size_t pending_bytes = 0;
  std::vector<ForeignWork> foreign;
  std::map<std::string, uint32_t> enlisted;  // its branch at each resource manager
  std::optional<CommitResult> ended;
};

Transaction::Transaction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Transaction::Transaction(Transaction&&) noexcept = default;
Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    if (impl_ != nullptr) Rollback();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Transaction::~Transaction() {
  if (impl_ != nullptr) Rollback();
}

Result<std::optional<ResultRow>> Transaction::Get(std::string key) {
  std::vector<Operation> operations;
  operations.push_back(op::Get(std::move(key)));
  auto results = impl_->Flush(std::move(operations));
  if (!results.ok()) return results.status();
  auto& rows = results->at(0).rows;
  if (rows.empty()) return std::optional<ResultRow>();
  return std::optional<ResultRow>(std::move(rows[0]));
}

Result<std::vector<ResultRow>> Transaction::Scan(const std::string& prefix, size_t limit) {
  std::vector<ResultRow> rows;
  for (;;) {
    std::vector<Operation> operations;
    operations.push_back(
        op::Scan(prefix, ScanLimit(limit, rows.size()), rows.empty() ? std::string() : rows.back().key));
    auto results = impl_->Flush(std::move(operations));
    if (!results.ok()) return results.status();
    OperationResult& page = results->at(0);
    if (page.truncated && page.rows.empty()) {
      return Status(StatusCode::kForeign, "a scan that is not at its end brought no rows");
    }
    const bool more = page.truncated;
    if (rows.empty()) {
      rows = std::move(page.rows);
    } else {
      rows.insert(rows.end(), std::make_move_iterator(page.rows.begin()),
                  std::make_move_iterator(page.rows.end()));
    }
    if (!more || (limit != 0 && rows.size() >= limit)) return rows;
  }
}

Status Transaction::Put(std::string key, std::string value) {
  return impl_->Collect(op::Put(std::move(key), std::move(value)));
}
Status Transaction::Delete(std::string key) {
  return impl_->Collect(op::Delete(std::move(key)));
}
Status Transaction::Add(std::string key, int64_t delta, std::optional<int64_t> floor) {
  return impl_->Collect(op::Add(std::move(key), delta, floor));
}
Status Transaction::Check(Operation check) {
  return impl_->Collect(std::move(check));
}

Result<std::vector<OperationResult>> Transaction::Work(std::vector<Operation> operations) {
  return impl_->Flush(std::move(operations));
}

Status Transaction::Enlist(std::string resource_manager, std::string payload) {
  if (impl_->ended) return impl_->Finished();
  impl_->foreign.push_back(ForeignWork{std::move(resource_manager), std::move(payload)});
  return {};
}

Result<EnlistedBranch> Transaction::Enlist(const std::string& resource_manager) {
  return impl_->Enlist(resource_manager);
}
Status Transaction::ReportVote(const std::string& resource_manager, Vote vote, std::string holder,
                               std::string evidence) {
  return impl_->ReportVote(resource_manager, vote, std::move(holder), std::move(evidence));
}
Status Transaction::KeepAlive() {
  return impl_->KeepAlive();
}
Status Transaction::Finished(const std::string& resource_manager) {
  return impl_->ReportFinished(resource_manager);
}

CommitResult Transaction::Commit(int wait_finished_ms) {
  return impl_->Commit(wait_finished_ms);
}

void Transaction::Rollback() {
  if (impl_->ended) return;
  CommitResult result;
  result.outcome = Outcome::kAborted;
  result.reason = AbortReason::kRolledBack;
  (void)impl_->Abandon(std::move(result));
}

TxnId Transaction::id() const {
  return impl_->txn;
}
bool Transaction::open() const {
  return !impl_->ended.has_value();
}

namespace {

Result<Begun> BeginAt(Session& session, Deadline deadline, const Age& retry_of) {
  Backoff backoff(session.options());
  wire::BeginRequest request;
  while (true) {
    Sent sent = session.Send<wire::BeginReply>(
        deadline,
        [&] { request = codec::EncodeRequest(session.cluster(), session.group(), assent::Begin{retry_of}); },
        [&](wire::TransactionManagerClient& client) { client.send_begin_txn(request); },
        [](wire::TransactionManagerClient& client, wire::BeginReply& reply) { client.recv_begin_txn(reply); },
        [](wire::BeginReply&& reply) { return codec::DecodeReply(std::move(reply)); });
    // Lost or not is one: a transaction that was begun and never heard of idles out.
    Status why = sent.why;
    if (sent.kind == Sent::Kind::kReplied) {
      if (const auto* begun = std::get_if<Begun>(&sent.reply)) return *begun;
      const auto* refusal = std::get_if<Refusal>(&sent.reply);
      if (refusal != nullptr && refusal->code == RefusalCode::kInvalid) {
        return Status(StatusCode::kInvalid, refusal->detail);
      }
      const bool busy = refusal != nullptr && refusal->code == RefusalCode::kOverloaded;
      why = Status(busy ? StatusCode::kOverloaded : StatusCode::kUnavailable,
                   refusal != nullptr ? refusal->detail : "an answer to something else");
    }
    if (MillisLeft(deadline) == 0) return why;
    backoff.Pause(deadline);
  }
}

}  // namespace

Result<Transaction> Client::Begin() {
  Result<Begun> begun = BeginAt(impl_->session, impl_->NewDeadline(), Age{});
  if (!begun.ok()) return begun.status();
  return Transaction(std::make_unique<Transaction::Impl>(impl_, *begun));
}

Result<Transaction> Client::BeginAgain(const Transaction& aborted) {
  Result<Begun> begun = BeginAt(impl_->session, impl_->NewDeadline(), aborted.impl_->age);
  if (!begun.ok()) return begun.status();
  return Transaction(std::make_unique<Transaction::Impl>(impl_, *begun));
}

}  // namespace assent
