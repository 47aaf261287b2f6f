#include "server/foreign_caller.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "coordinator/config.h"
#include "rm/resource_manager.h"
#include "rm/seen_server.h"

namespace assent {
namespace {

using Clock = std::chrono::steady_clock;

// Each call has its reply before the core counts it as lost and makes another.
static_assert(kForeignWaitMaxMs + kForeignConnectMs + rm::kListMs + kForeignCallMs <
              static_cast<int>(CoordinatorTimes{}.foreign_call_us / 1'000));

ForeignReply BlankReply(const CallForeign& call) {
  ForeignReply reply;
  reply.resource_manager = call.resource_manager;
  reply.verb = call.verb;
  reply.txn = call.txn;
  reply.epoch = call.epoch;
  return reply;
}

}  // namespace

// A bounded queue and the threads that empty it, each with a connection of its own.
class ForeignCaller::Lane {
 public:
  Lane(const ForeignCallerOptions& options, const ForeignTarget& target, std::shared_ptr<rm::SeenServer> seen,
       int timeout_ms, size_t connections, const Done& done)
      : options_(options), done_(done) {
    const rm::Target how{.cluster = options.cluster,
                         .name = target.name,
                         .address = target.address,
                         .dsn = target.dsn,
                         .password_file = target.password_file,
                         .seen = std::move(seen),
                         .connect_timeout_ms = options.connect_timeout_ms,
                         .timeout_ms = timeout_ms,
                         .recovered_max = options.recovered_max};
    for (size_t i = 0; i < connections; ++i) connections_.push_back(target.kind->make(how));
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

  void Main(rm::ResourceManager& connection) {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto has_news = [this] { return stopping_ || !queue_.empty(); };
      if (!wake_.wait_for(lock, std::chrono::milliseconds(options_.rest_ms), has_news)) {
        lock.unlock();
        connection.Rest();
        lock.lock();
        wake_.wait(lock, has_news);
      }
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
        Ask(connection, group, call, reply);
      }
      lock.lock();
      if (stopping_) return;
      lock.unlock();
      done_(group, std::move(reply));
      lock.lock();
    }
  }

  static void Ask(rm::ResourceManager& connection, GroupId group, const CallForeign& call,
                  ForeignReply& reply) {
    switch (call.verb) {
      case ForeignVerb::kPrepare:
        return connection.Prepare(call, reply);
      case ForeignVerb::kCommit:
        return connection.Commit(call, reply);
      case ForeignVerb::kRollback:
        return connection.Rollback(call, reply);
      case ForeignVerb::kRecover:
        return connection.Recover(group, reply);
    }
  }

  void Pause(const std::string& why) {
    std::lock_guard lock(mutex_);
    paused_until_ = Clock::now() + std::chrono::milliseconds(options_.pause_ms);
    paused_why_ = why;
  }

  const ForeignCallerOptions options_;
  const Done& done_;
  std::vector<std::unique_ptr<rm::ResourceManager>> connections_;
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
    const auto seen = std::make_shared<rm::SeenServer>();
    lanes.prepare =
        std::make_unique<Lane>(options, target, seen, target.prepare_timeout_ms, connections, done_);
    lanes.finish =
        std::make_unique<Lane>(options, target, seen, target.finish_timeout_ms, connections, done_);
    lanes.recover = std::make_unique<Lane>(options, target, seen, target.finish_timeout_ms, 1, done_);
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
