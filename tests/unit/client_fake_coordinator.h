#pragma once

#include <assent/client.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "TransactionManager.h"
#include "runtime/transport/server.h"

// A coordinator group in a few lines, for the client library's tests: keeps C5's promises about tokens, and
// does to requests and replies what the test says. Served over real sockets.
namespace assent::fake {

enum class Fault : uint8_t {
  kNone = 1,
  kLostRequest,  // an error instead of an answer; nothing was done
  kLostReply,    // done, and an error instead of an answer
  kHang,         // done, and no answer until the server stops
  kStalled,      // an error, and done later: at RunStalled()
  kUnknown,
  kWrongEcho,  // done, and answered as if to another request
  kOverloaded,
  kNotServing,
  kNewEpoch,  // the group's epoch rises, before the request is looked at
  kWounded,
  kCheckFailed,
  kTokenExpired,
  kInvalid,
};

class Coordinator final : public wire::TransactionManagerIf {
 public:
  Coordinator();
  ~Coordinator() override;

  std::string address() const;
  void AwaitHanging();  // until a handler hangs
  void Release();       // lets hanging handlers go
  void Stop();

  // The fault of the next request of a kind that can fail: execute, commit, work, enlist.
  void SetFaults(std::function<Fault()> next_fault);

  // Before the first connection only:
  // The leader's address as where_is tells it; empty: this one leads.
  std::string leader_address;
  std::vector<std::string> other_addresses;
  std::string cluster = "fake";
  bool knows_leader = true;
  // The rows that scans find, so many an answer.
  std::map<std::string, std::string> rows;
  size_t page_rows = 4'096;

  // Leads the next epoch, with all that `old` has recorded; what was open there is not.
  void TakeOverFrom(const Coordinator& old);

  void RunStalled();  // what was stalled arrives now
  int effects(int64_t client, int64_t seq) const;
  int total_effects() const;
  int executes() const;
  void AwaitAsked(int times);  // for the leader, by anybody, from now on
  int asked();                 // so far
  int sessions() const;
  wire::ExecuteRequest last_execute() const;
  std::vector<wire::Operation> last_work() const;
  int64_t epoch() const;
  int begun() const;
  int kept_alive() const;
  wire::CommitRequest last_commit() const;
  std::vector<wire::FinishedRequest> finishes() const;
  int rolled_back() const;

  void where_is(wire::WhereIsReply& out, const wire::WhereIsRequest& request) override;
  void open_session(wire::OpenSessionReply& out, const wire::OpenSessionRequest& request) override;
  void execute(wire::ExecuteReply& out, const wire::ExecuteRequest& request) override;
  void begin_txn(wire::BeginReply& out, const wire::BeginRequest& request) override;
  void work(wire::WorkReply& out, const wire::WorkRequest& request) override;
  void commit(wire::CommitReply& out, const wire::CommitRequest& request) override;
  void rollback(wire::RollbackReply& out, const wire::RollbackRequest& request) override;
  void enlist(wire::EnlistReply& out, const wire::EnlistRequest& request) override;
  void keep_alive(wire::KeepAliveReply& out, const wire::KeepAliveRequest& request) override;
  void finished(wire::FinishedReply& out, const wire::FinishedRequest& request) override;

 private:
  using TokenKey = std::pair<int64_t, int64_t>;
  struct Record {
    int effects = 0;
    int32_t refused = 0;  // attempts up to it
  };

  // Mutex held, all of them.
  template <typename Reply>
  void Serve(Reply& out, const wire::CommitTag& tag, size_t results);
  template <typename Reply>
  void Judge(Reply& out, const wire::CommitTag& tag, Fault fault, size_t results);
  void Hang(std::unique_lock<std::mutex>& lock);
  wire::Refusal Refuse(wire::RefusalCode::type code) const;
  static int64_t KeyOf(const wire::TxnId& txn);
  wire::OperationResult ResultOf(const wire::Operation& operation) const;

  mutable std::mutex mutex_;
  std::condition_variable released_;
  bool release_ = false;
  int hanging_ = 0;
  std::condition_variable news_;  // of hanging_ and asked_
  std::function<Fault()> next_fault_;
  int64_t epoch_ = 1;
  int64_t next_client_ = 1;
  int64_t next_txn_ = 1;
  std::map<TokenKey, Record> tokens_;
  std::map<int64_t, int64_t> floors_;
  std::set<int64_t> open_;
  std::vector<wire::CommitTag> stalled_;
  int executes_ = 0, asked_ = 0, begun_ = 0, rolled_back_ = 0, kept_alive_ = 0;
  wire::CommitRequest last_commit_;
  std::vector<wire::FinishedRequest> finishes_;
  wire::ExecuteRequest last_execute_;
  std::vector<wire::Operation> last_work_;
  std::unique_ptr<Server> server_;
};

// Each of these, then none.
std::function<Fault()> Script(std::deque<Fault> faults);

// Options for one that is near: short pauses.
ClientOptions Quick();

Client Connected(Coordinator& coordinator, const ClientOptions& options = Quick());

CommitResult Transfer(Client& client);

}  // namespace assent::fake
