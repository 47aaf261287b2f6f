#pragma once

#include <poll.h>
#include <thrift/TProcessor.h>
#include <thrift/transport/TSocket.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/status.h"
#include "runtime/transport/byte_budget.h"
#include "runtime/transport/framed.h"
#include "runtime/transport/socket.h"

// Serves a Thrift processor on one TCP port, one thread per connection: Thrift serves a connection strictly
// in order anyway, and blocking threads were measured to be about twice as fast as TNonblockingServer.
//
// The accept loop is our own. TThreadedServer's ends for good at the first accept() that fails (no
// descriptors left), blocks past its limit instead of refusing, dereferences a null thread when the system
// gives it none, and lets an exception of any other kind than Thrift's end the process.
//
// Each connection holds a seat:
//
//   accepted --> unclaimed --its first message names a service--> of clients, operators or peers
//
// (one that said nothing at all has no thread yet)
//
// Each kind of seat has a number of its own, so that however many clients come, a peer's link and an operator
// get in. Where all seats of a kind are taken, the connection that has idled longest makes room; one that
// never named a service does so at once, and is closed in any case after a few seconds.
//
// Guarantees: no input and no number of connections ends the process or grows its memory without a bound
// (G8); after Stop() no thread of this server runs and no handler will be entered.
namespace assent {

enum class Seat : uint8_t {
  kNone,  // about to end
  kUnclaimed,
  kClient,
  kOperator,
  kPeer,
  kLast = kPeer
};
inline constexpr size_t kSeatKinds = static_cast<size_t>(Seat::kLast) + 1;

struct ServiceOptions {
  Seat seat = Seat::kClient;
  WireLimits limits = kRequestLimits;  // of its requests: more ends the connection
};

struct ServerOptions {
  Address listen{"127.0.0.1", 0};   // port 0: any free one, see port()
  WireLimits limits = kPeerLimits;  // of any message, whatever its service
  // Each connection has a thread and 32 KiB of memory.
  size_t connections_max = 1024;  // of clients
  size_t operators_max = 16;
  size_t peers_max = 64;
  size_t unclaimed_max = 128;
  int claim_timeout_ms = 5'000;   // a connection whose first message does not begin for so long is closed
  int evict_idle_ms = 5'000;      // one that idles for so long makes room for a new one, if need be
  int idle_timeout_ms = 600'000;  // a connection from which nothing came for so long is closed
  int frame_timeout_ms = 30'000;  // a message must be here in so long from its first byte on: 70 kB/s
  int send_timeout_ms = 10'000;   // a peer that takes nothing for so long is gone
  // Bytes of clients' messages: those being received, beyond what each connection keeps anyway, and those
  // received and not answered yet.
  size_t receiving_bytes_max = 128 << 20;
  size_t serving_bytes_max = 128 << 20;
  // By name. A service that is not here counts as a client's.
  std::map<std::string, ServiceOptions, std::less<>> services = {};
};

// The memory that a request of so many bytes may take, decoded, within `limits`: its strings and its structs.
size_t DecodedBytesMax(const WireLimits& limits, size_t frame_bytes);

class Server {
 public:
  // Listens, and serves from its own threads. Errors name the address and what to change.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                               std::shared_ptr<apache::thrift::TProcessor> processor);
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Closes the port and all connections, and joins all threads. Handlers that wait for something else than
  // the socket must be released first (CallGate::Close), or Stop() waits for them. Not from
  // a handler. Idempotent.
  void Stop();

  Address address() const { return {options_.listen.host, port_}; }
  uint16_t port() const { return port_; }
  size_t connections() const;  // open now
  size_t connections(Seat seat) const;
  size_t idle() const;  // of those that named a service: wait for a request
  // Turned away so far: no seat for them, or the system had no thread.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  // Closed so far to make room for others, or since they named no service in time.
  uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  // Bytes of clients' messages that are on their way in and larger than what their connections keep.
  size_t receiving_bytes() const { return receiving_.taken(); }
  // Times that no descriptor was left to accept a connection with; it waits in the backlog meanwhile.
  uint64_t starved() const { return starved_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Doing : uint8_t { kIdle, kReceiving, kServing };

  struct Connection {  // and its thread
    std::shared_ptr<apache::thrift::transport::TSocket> socket;
    std::thread thread;
    Seat seat = Seat::kUnclaimed;  // by mutex_
    // Written by its own thread: what it does, and since when.
    std::atomic<Doing> doing{Doing::kIdle};
    std::atomic<Clock::time_point> since{Clock::now()};

    void Now(Doing now) {
      since.store(Clock::now(), std::memory_order_relaxed);
      doing.store(now, std::memory_order_relaxed);
    }
  };
  using Connections = std::list<Connection>;
  struct Silent {  // a connection that said nothing yet, and has no thread
    OwnedFd fd;
    Clock::time_point since;
  };

  Server(const ServerOptions& options, std::shared_ptr<apache::thrift::TProcessor> processor);
  void AcceptLoop();
  void Accept();
  void HearSilent(const std::vector<pollfd>& waits);
  void Admit(OwnedFd fd);
  void EndOverdue();
  void Serve(Connections::iterator connection) noexcept;  // a connection's thread
  void ServeRequests(Connection& connection);
  const ServiceOptions& ServiceOf(std::string_view name) const;
  void Claim(Connection& connection, Seat seat);
  void Refuse(const std::string& why);
  void Retire(Connections::iterator connection) noexcept;
  // With mutex_ held:
  size_t SeatsMax(Seat seat) const;
  void Sit(Connection& connection, Seat seat);
  void Evict(Connection& connection);
  bool MakeRoom(Seat seat, Clock::duration idle_min);

  const ServerOptions options_;
  const std::shared_ptr<apache::thrift::TProcessor> processor_;
  uint16_t port_ = 0;
  OwnedFd listener_;
  OwnedFd stop_;  // eventfd: ends the accept loop
  std::thread acceptor_;
  std::deque<Silent> silent_;  // of the acceptor alone; in the order in which they came
  std::atomic<size_t> silent_count_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> evicted_{0};
  std::atomic<uint64_t> starved_{0};
  ByteBudget receiving_;
  ByteBudget serving_;

  mutable std::mutex mutex_;
  std::condition_variable all_gone_;
  // By mutex_:
  Connections live_;
  std::array<size_t, kSeatKinds> seated_{};
  bool stopping_ = false;
  std::thread last_finished_;  // each ending thread joins the one that ended before it; Stop() joins the last
};

}  // namespace assent
