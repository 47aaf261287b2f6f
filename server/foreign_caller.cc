#include "server/foreign_caller.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "Participant.h"
#include "coordinator/config.h"
#include "runtime/transport/client.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

using Clock = std::chrono::steady_clock;
using ParticipantConnection = Connection<wire::ParticipantClient>;

constexpr size_t kRecoverPageMax = 4096;  // as assent.thrift bounds RecoverReply

// Each call has its reply before the core counts it as lost and makes another.
static_assert(kForeignWaitMaxMs + kForeignConnectMs + kForeignListMs + kForeignCallMs <
              static_cast<int>(CoordinatorTimes{}.foreign_call_us / 1'000));

ForeignReply BlankReply(const CallForeign& call) {
  ForeignReply reply;
  reply.resource_manager = call.resource_manager;
  reply.verb = call.verb;
  reply.txn = call.txn;
  reply.epoch = call.epoch;
  return reply;
}

// The answers of one resource manager. Each Ask takes one call through a connection and fills in `reply`:
// `reached` only for an answer to this very request that says something for good.
class Asker {
 public:
  Asker(const ForeignCallerOptions& options, ParticipantConnection& connection)
      : options_(options), connection_(connection) {}

  void Ask(GroupId group, const CallForeign& call, ForeignReply& reply) {
    switch (call.verb) {
      case ForeignVerb::kPrepare:
        return Prepare(call, reply);
      case ForeignVerb::kCommit:
      case ForeignVerb::kRollback:
        return Finish(call, reply);
      case ForeignVerb::kRecover:
        return Recover(group, reply);
    }
  }

 private:
  void Prepare(const CallForeign& call, ForeignReply& reply) {
    wire::PrepareRequest request;
    request.cluster = options_.cluster;
    request.txn = codec::Encode(call.txn);
    request.payload = call.payload;
    wire::PrepareReply answer;
    const CallStatus called =
        connection_.Call([&](wire::ParticipantClient& client) { client.prepare(answer, request); });
    if (called.ok() && answer.status != wire::ParticipantStatus::OK &&
        answer.status != wire::ParticipantStatus::UNAVAILABLE) {  // it will say the same the next time
      Refused(answer.status, answer.detail, reply);
      reply.reached = true;
      return;
    }
    if (!Usable(called, answer, call.txn, reply)) return;
    reply.reached = true;
    codec::Fault fault;
    if (codec::Decode(answer.vote, reply.vote, fault)) return;
    reply.vote = Vote::kNo;
    reply.detail = std::string("gave no vote: ") + fault.what;
  }

  void Finish(const CallForeign& call, ForeignReply& reply) {
    wire::FinishRequest request;
    request.cluster = options_.cluster;
    request.txn = codec::Encode(call.txn);
    wire::FinishReply answer;
    const CallStatus called = connection_.Call([&](wire::ParticipantClient& client) {
      call.verb == ForeignVerb::kCommit ? client.commit(answer, request) : client.rollback(answer, request);
    });
    if (!Usable(called, answer, call.txn, reply)) return;
    reply.reached = true;
    reply.done = answer.done;
  }

  // All pages, or nothing: a list that ended early would show branches as finished that are not.
  void Recover(GroupId group, ForeignReply& reply) {
    wire::RecoverRequest request;
    request.cluster = options_.cluster;
    request.group = codec::Encode(group);
    std::vector<TxnId> prepared;
    const auto until = Clock::now() + std::chrono::milliseconds(kForeignListMs);
    for (bool more = true; more && prepared.size() < options_.recovered_max;) {
      if (Clock::now() > until) {
        reply.detail = "its list of what it holds in doubt takes too long";
        return;
      }
      wire::RecoverReply answer;
      const CallStatus called =
          connection_.Call([&](wire::ParticipantClient& client) { client.recover(answer, request); });
      if (!called.ok()) return Failed(called, reply);
      if (answer.status != wire::ParticipantStatus::OK) return Refused(answer.status, answer.detail, reply);
      more = answer.more;
      if (answer.prepared.size() > kRecoverPageMax || (more && answer.prepared.empty())) {
        reply.detail = "malformed recover reply";
        return;
      }
      for (const wire::TxnId& one : answer.prepared) {
        TxnId txn;
        codec::Fault fault;
        // Ascending, so that a resource manager which repeats itself cannot keep this going for ever. Another
        // group's branches are not ours to touch (Citus #8855).
        if (!codec::Decode(one, txn, fault) || txn.coordinator != group ||
            (!prepared.empty() && txn <= prepared.back())) {
          reply.detail = "recover named a transaction that was not asked for";
          return;
        }
        prepared.push_back(txn);
      }
      if (more) request.__set_after(codec::Encode(prepared.back()));
    }
    reply.reached = true;
    reply.prepared = std::move(prepared);
  }

  template <typename Answer>
  bool Usable(const CallStatus& called, const Answer& answer, const TxnId& asked, ForeignReply& reply) {
    if (!called.ok()) {
      Failed(called, reply);
      return false;
    }
    if (answer.status != wire::ParticipantStatus::OK) {
      Refused(answer.status, answer.detail, reply);
      return false;
    }
    TxnId echoed;
    codec::Fault fault;
    if (!codec::Decode(answer.txn, echoed, fault) || echoed != asked) {
      // Out of step: later bytes on this connection cannot be trusted either.
      connection_.Close();
      reply.detail = "answer about another transaction";
      return false;
    }
    reply.detail = codec::CutDetail(answer.detail);
    return true;
  }

  static void Failed(const CallStatus& called, ForeignReply& reply) {
    reply.unsent = !called.maybe_executed;
    reply.detail = called.status.message();
  }

  static void Refused(wire::ParticipantStatus::type status, const std::string& detail, ForeignReply& reply) {
    const char* what = "unusable answer";
    if (status == wire::ParticipantStatus::WRONG_CLUSTER) what = "belongs to another cluster";
    if (status == wire::ParticipantStatus::INVALID) what = "found the request invalid";
    if (status == wire::ParticipantStatus::UNAVAILABLE) what = "unavailable";
    reply.detail = codec::CutDetail(std::string(what) + (detail.empty() ? "" : ": ") + detail);
  }

  const ForeignCallerOptions& options_;
  ParticipantConnection& connection_;
};

}  // namespace

// A bounded queue and the threads that empty it, each with a connection of its own.
class ForeignCaller::Lane {
 public:
  Lane(const ForeignCallerOptions& options, const ForeignTarget& target, int timeout_ms, size_t connections,
       const Done& done)
      : options_(options), done_(done) {
    ConnectionOptions connection;
    connection.peer = target.address;
    connection.service = "Participant";
    connection.connect_timeout_ms = options.connect_timeout_ms;
    connection.send_timeout_ms = timeout_ms;
    connection.recv_timeout_ms = timeout_ms;
    for (size_t i = 0; i < connections; ++i) {
      connections_.push_back(std::make_unique<ParticipantConnection>(connection));
    }
    for (auto& one : connections_) {
      threads_.emplace_back([this, &one] { Main(*one); });
    }
  }

  ~Lane() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& connection : connections_) connection->Interrupt();
    for (std::thread& thread : threads_) thread.join();
  }

  bool Post(GroupId group, const CallForeign& call) {
    {
      std::lock_guard lock(mutex_);
      if (queue_.size() >= options_.queue_max) return false;
      queue_.push_back(Waiting{group, call, Clock::now()});
    }
    wake_.notify_one();
    return true;
  }

 private:
  struct Waiting {
    GroupId group;
    CallForeign call;
    Clock::time_point since;
  };

  void Main(ParticipantConnection& connection) {
    Asker asker(options_, connection);
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      auto [group, call, since] = std::move(queue_.front());
      queue_.pop_front();
      const auto now = Clock::now();
      std::string why = now < paused_until_ ? paused_why_ : "";
      if (why.empty() && now - since > std::chrono::milliseconds(options_.wait_max_ms)) {
        why = "its connections are taken up by other calls";  // so that nobody counts this one as lost
      }
      lock.unlock();

      ForeignReply reply = BlankReply(call);
      if (!why.empty()) {
        reply.unsent = true;
        reply.detail = std::move(why);
      } else if (Status opened = connection.Open(); !opened.ok()) {
        reply.unsent = true;
        reply.detail = opened.message();
        Pause(opened.message());
      } else {
        asker.Ask(group, call, reply);
      }
      lock.lock();
      if (stopping_) return;
      lock.unlock();
      done_(group, std::move(reply));
      lock.lock();
    }
  }

  void Pause(const std::string& why) {
    std::lock_guard lock(mutex_);
    paused_until_ = Clock::now() + std::chrono::milliseconds(options_.pause_ms);
    paused_why_ = why;
  }

  const ForeignCallerOptions options_;
  const Done& done_;
  std::vector<std::unique_ptr<ParticipantConnection>> connections_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable wake_;
  // By mutex_:
  std::deque<Waiting> queue_;
  bool stopping_ = false;
  Clock::time_point paused_until_{};
  std::string paused_why_;
};

ForeignCaller::ForeignCaller(const ForeignCallerOptions& options, const std::vector<ForeignTarget>& targets,
                             Done done)
    : done_(std::move(done)) {
  for (const ForeignTarget& target : targets) {
    Lanes lanes;
    const size_t connections = std::max<size_t>(1, options.connections);
    lanes.prepare = std::make_unique<Lane>(options, target, target.prepare_timeout_ms, connections, done_);
    lanes.finish = std::make_unique<Lane>(options, target, target.finish_timeout_ms, connections, done_);
    lanes.recover = std::make_unique<Lane>(options, target, target.finish_timeout_ms, 1, done_);
    lanes_.emplace(target.name, std::move(lanes));
  }
}

ForeignCaller::~ForeignCaller() = default;

ForeignCaller::Lane& ForeignCaller::Lanes::For(ForeignVerb verb) const {
  switch (verb) {
    case ForeignVerb::kPrepare:
      return *prepare;
    case ForeignVerb::kCommit:
    case ForeignVerb::kRollback:
      break;
    case ForeignVerb::kRecover:
      return *recover;
  }
  return *finish;
}

void ForeignCaller::Call(GroupId group, const CallForeign& call) {
  const auto lanes = lanes_.find(call.resource_manager);
  const bool known = lanes != lanes_.end();
  if (known && lanes->second.For(call.verb).Post(group, call)) return;
  ForeignReply reply = BlankReply(call);
  reply.unsent = true;
  reply.detail = known ? "too many calls are waiting for it"
                       : "no resource manager of this name is configured on this node: name it in "
                         "[[resource_managers]] and start the node again";
  done_(group, std::move(reply));
}

}  // namespace assent
