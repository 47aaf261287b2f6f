#pragma once

#include <thrift/processor/TMultiplexedProcessor.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "Echo.h"
#include "common/check.h"
#include "runtime/transport/client.h"
#include "runtime/transport/server.h"

// The transport tests' service, and what they share.
namespace assent::test {

class EchoHandler final : public EchoIf {
 public:
  void echo(std::string& result, const std::string& bytes) override { result = bytes; }
  int32_t add(int32_t a, int32_t b) override { return a + b; }

  int32_t held(int32_t a) override {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    --inside_;
    changed_.notify_all();
    return a;
  }
  int32_t fail(int32_t how) override {
    if (how == 1) throw std::runtime_error("on purpose");
    if (how == 2) throw std::bad_alloc();
    throw how;  // NOLINT: not an exception class, on purpose
  }
  void make(std::string& result, int32_t bytes) override { result.assign(static_cast<size_t>(bytes), 'x'); }
  int32_t depth(const Node& tree) override {
    return 1 + (tree.children.empty() ? 0 : depth(tree.children.front()));
  }
  int32_t count(const std::vector<Nothing>& nothings) override {
    return static_cast<int32_t>(nothings.size());
  }
  int64_t deliver(const std::vector<int64_t>& numbers, const std::string&) override {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    --inside_;
    delivered_.insert(delivered_.end(), numbers.begin(), numbers.end());
    batches_.push_back(numbers.size());
    changed_.notify_all();
    return numbers.back();
  }

  // held() and deliver() wait between Hold() and Release().
  void Hold() { Set(false); }
  void Release() { Set(true); }
  template <class Predicate>
  void AwaitDelivered(Predicate predicate) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return predicate(delivered_); });
  }
  void AwaitInside(int calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ == calls; });
  }
  std::vector<int64_t> delivered() {
    std::lock_guard lock(mutex_);
    return delivered_;
  }
  std::vector<size_t> batches() {
    std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  void Set(bool released) {
    std::lock_guard lock(mutex_);
    released_ = released;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = true;
  int inside_ = 0;
  std::vector<int64_t> delivered_;
  std::vector<size_t> batches_;
};

// A server of EchoHandler, under the names "Echo" and, for small messages only, "SmallEcho", for clients; and
// "PeerEcho" and "OperatorEcho" for others.
struct EchoServer {
  static constexpr int32_t kSmallFrame = 1024;
  explicit EchoServer(ServerOptions options = {}) {
    auto processor = std::make_shared<apache::thrift::TMultiplexedProcessor>();
    const auto serves = std::make_shared<EchoProcessor>(handler);
    WireLimits small = options.limits;
    small.frame_bytes_max = kSmallFrame;
    options.services = {{"Echo", {Seat::kClient, options.limits}},
                        {"SmallEcho", {Seat::kClient, small}},
                        {"PeerEcho", {Seat::kPeer, options.limits}},
                        {"OperatorEcho", {Seat::kOperator, options.limits}}};
    for (const auto& [name, service] : options.services) processor->registerProcessor(name, serves);
    auto started = Server::Start(options, processor);
    ASSENT_CHECK(started.ok(), started.status().message());
    server = std::move(started).value();
  }
  ~EchoServer() { handler->Release(); }

  ConnectionOptions client(const std::string& service = "Echo") const {
    return {.peer = server->address(), .service = service, .limits = kPeerLimits, .recv_timeout_ms = 60'000};
  }

  std::shared_ptr<EchoHandler> handler = std::make_shared<EchoHandler>();
  std::unique_ptr<Server> server;
};

// add(20, 22) over a fresh connection: the server lives and answers.
inline bool Answers(const EchoServer& server) {
  Connection<EchoClient> connection(server.client());
  int32_t sum = 0;
  return connection.Call([&](EchoClient& client) { sum = client.add(20, 22); }).ok() && sum == 42;
}

// A bare socket: what a hostile or broken peer holds.
class RawPeer {
 public:
  explicit RawPeer(const Address& to);
  void Send(const std::string& bytes);
  // All bytes until the server closes; fails the process if it does not within a minute.
  std::string ReadToEnd();

 private:
  OwnedFd fd_;
};

std::string Frame(const std::string& message);                                      // its length before it
std::string Begin(const std::string& method, const std::string& service = "Echo");  // "Echo:method" as a call
std::string Int32(int32_t value);                                                   // as on the wire

}  // namespace assent::test
