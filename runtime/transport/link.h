#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/status.h"
#include "runtime/transport/client.h"

// An outbound stream of items (messages, log records) to one peer node, from a thread of its own. Items that
// gathered while the last batch was being sent go out as the next one: no timer, so an idle link adds no
// delay, and a busy one batches by itself. Up to `window` batches travel unanswered.
//
//   Post() --queue--> thread: take a batch, send it; take in the answers that have come; sleep
//
// Guarantees: Post() never blocks, nor does it make a system call while the thread is awake; items arrive in
// the order posted, at most once each; memory is bounded. Delivery is not promised: items that do not fit,
// were under way when a connection broke, or wait for a peer that stays unreachable are dropped and counted.
// The protocols above repeat by timer.
namespace assent {

struct LinkOptions {
  size_t queue_items_max = 65'536;
  size_t queue_bytes_max = 32 << 20;  // ten frames: more would be stale before it could be sent
  size_t batch_items_max = 4'096;
  size_t batch_bytes_max = 3 << 20;  // leaves a quarter of a peer frame for field headers
  size_t window = 16;                // unanswered batches
  int reply_timeout_ms = 5'000;      // the oldest unanswered batch is older: the connection is wedged
  int backoff_min_ms = 10;           // doubled at each failure, each wait drawn from its upper half
  int backoff_max_ms = 1'000;
  int stale_ms = 2'000;  // unreachable for so long: each failed attempt drops what is queued
  // An empty batch goes first on each connection: servers do not keep those that say nothing.
  bool greets = false;
};

struct LinkState {
  bool connected = false;
  std::string last_error;   // of the last failure; stays after a reconnect
  int backoff_ms = 0;       // the next attempt to connect waits for up to so long
  uint64_t connects = 0;    // successful
  uint64_t sent_items = 0;  // handed to the connection
  uint64_t answered_batches = 0;
  uint64_t dropped_items = 0;  // refused by Post(), lost with a connection, or stale
  size_t queued_items = 0;
  size_t queued_bytes = 0;
};

// The untyped half: the thread, reconnects, window and counts. See PipelinedLink.
class LinkEngine {
 public:
  LinkEngine(const LinkEngine&) = delete;
  LinkEngine& operator=(const LinkEngine&) = delete;
  // False: no descriptor was left to make it with, and it does nothing.
  bool valid() const { return wake_.valid(); }
  LinkState state() const;
  const Address& peer() const { return connection_->options().peer; }

 protected:
  LinkEngine(std::unique_ptr<ConnectionBase> connection, const LinkOptions& options);
  virtual ~LinkEngine();

  void Start();
  void Halt();  // joins the thread; the derived class calls it before its own members go

  // With mutex_ held, the queue not empty: moves the next batch out of it and returns (items, bytes).
  virtual std::pair<size_t, size_t> TakeBatch() = 0;
  virtual void ClearQueue() = 0;  // with mutex_ held
  // Without mutex_, on the link's thread:
  virtual CallStatus SendBatch() = 0;
  virtual CallStatus ReceiveReply() = 0;

  // With mutex_ held. Counts an item in, or as dropped if it does not fit.
  bool Admit(size_t bytes);
  // With mutex_ held, after queueing: true if the thread sleeps, and the caller must Wake()
  // it without mutex_.
  bool MustWake() { return std::exchange(asleep_, false); }
  void Wake() { SignalEventFd(wake_.get()); }

  const LinkOptions options_;
  const std::unique_ptr<ConnectionBase> connection_;
  mutable std::mutex mutex_;

 private:
  using Clock = std::chrono::steady_clock;
  struct Sent {
    Clock::time_point at;
    size_t items;
  };
  enum class Work { kStop, kSend, kReceive, kNothing };

  void Main();
  bool Connect();    // false: not now; it has paused
  Work AwaitWork();  // sleeps until there is some
  bool Greet();
  void SendOne();
  void ReceiveOne();
  void Disconnect(const Status& why);
  void DropQueue();

  OwnedFd wake_;
  std::thread thread_;
  // By mutex_:
  LinkState state_;
  bool stopping_ = false;
  bool asleep_ = false;
  // The thread's alone:
  std::deque<Sent> unanswered_;
  Clock::time_point reachable_at_;  // last known to be
  int backoff_ms_ = 0;              // before the next attempt; 0: none has failed
  std::minstd_rand random_;
};

// `Client` is a generated Thrift client with send_x()/recv_x(); `send(client, batch)` calls the first for the
// whole batch, `receive(client)` the second for one answer. Both run on the link's thread and may throw
// Thrift's exceptions; receive() may keep what was answered, but must not block on anything else. With
// `greets` the batch may be empty.
//
//   PipelinedLink<PeerClient, Message> link(
//       {.peer = address, .service = "Peer", .limits = kPeerLimits}, LinkOptions{},
//       [](PeerClient& client, std::vector<Message>& batch) { client.send_deliver(Encode(batch)); },
//       [](PeerClient& client) { client.recv_deliver(); });
//   link.Post(message, message.bytes());
template <class Client, class Item>
class PipelinedLink final : public LinkEngine {
 public:
  using SendFn = std::function<void(Client&, std::vector<Item>&)>;
  using ReceiveFn = std::function<void(Client&)>;

  PipelinedLink(const ConnectionOptions& connection, const LinkOptions& options, SendFn send,
                ReceiveFn receive)
      : LinkEngine(std::make_unique<Connection<Client>>(connection), options),
        send_(std::move(send)),
        receive_(std::move(receive)) {
    Start();
  }
  ~PipelinedLink() override { Halt(); }

  // Any thread. False: the queue is full (or the link stopped), the item was dropped and counted. `bytes`:
  // its size on the wire, roughly; an item larger than batch_bytes_max goes alone.
  bool Post(Item item, size_t bytes) {
    bool wake = false;
    {
      std::lock_guard lock(mutex_);
      if (!Admit(bytes)) return false;
      queue_.emplace_back(std::move(item), bytes);
      wake = MustWake();
    }
    if (wake) Wake();
    return true;
  }

  // Ends the thread promptly, whatever it is doing; what is queued is dropped. Idempotent.
  void Stop() { Halt(); }

 private:
  std::pair<size_t, size_t> TakeBatch() override {
    size_t bytes = 0;
    do {
      bytes += queue_.front().second;
      batch_.push_back(std::move(queue_.front().first));
      queue_.pop_front();
    } while (!queue_.empty() && batch_.size() < options_.batch_items_max &&
             bytes + queue_.front().second <= options_.batch_bytes_max);
    return {batch_.size(), bytes};
  }
  void ClearQueue() override { queue_.clear(); }
  CallStatus SendBatch() override {
    CallStatus sent = connection().Half([this](Client& client) { send_(client, batch_); });
    batch_.clear();
    return sent;
  }
  CallStatus ReceiveReply() override { return connection().Half(receive_); }
  Connection<Client>& connection() { return static_cast<Connection<Client>&>(*connection_); }

  const SendFn send_;
  const ReceiveFn receive_;
  std::deque<std::pair<Item, size_t>> queue_;  // by mutex_
  std::vector<Item> batch_;                    // of the thread alone
};

}  // namespace assent
