#pragma once

#include <thrift/TProcessor.h>
#include <thrift/transport/TSocket.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/status.h"
#include "runtime/transport/framed.h"
#include "runtime/transport/socket.h"

// Serves a Thrift processor on one TCP port, one thread per connection: Thrift serves a connection strictly
// in order anyway, and blocking threads were measured to be about twice as fast as TNonblockingServer.
//
// The accept loop is our own. TThreadedServer's ends for good at the first accept() that fails (no
// descriptors left), blocks past its limit instead of refusing, dereferences a null thread when the system
// gives it none, and lets an exception of any other kind than Thrift's end the process.
//
// Guarantees: no input and no number of connections ends the process or grows its memory without a bound;
// after Stop() no thread of this server runs and no handler will be entered.
namespace assent {

struct ServerOptions {
  Address listen{"127.0.0.1", 0};  // port 0: any free one, see port()
  WireLimits limits = kPeerLimits;
  size_t connections_max = 1024;  // each has a thread and at most two frames of memory
  int idle_timeout_ms = 600'000;  // a connection from which nothing came for so long is closed
  int send_timeout_ms = 10'000;   // a peer that takes nothing for so long is gone
};

// `processor`, for messages of at most so many bytes: a larger one ends its connection. For a service with
// tighter limits than others on its port, whose name is known only when a frame has come.
std::shared_ptr<apache::thrift::TProcessor> LimitFrames(std::shared_ptr<apache::thrift::TProcessor> processor,
                                                        int32_t frame_bytes_max);

class Server {
 public:
  // Listens, and serves from its own threads. Errors name the address and what to change.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                               std::shared_ptr<apache::thrift::TProcessor> processor);
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Closes the port and all connections, and joins all threads. Handlers that wait for something else than
  // the socket must be released first (CallGate::Close), or Stop() waits for them. Not from a handler.
  // Idempotent.
  void Stop();

  Address address() const { return {options_.listen.host, port_}; }
  uint16_t port() const { return port_; }
  size_t connections() const;  // open now
  // Turned away so far: past the cap, or the system had no thread for them.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  // Times that no descriptor was left to accept a connection with; it waits in the backlog meanwhile.
  uint64_t starved() const { return starved_.load(std::memory_order_relaxed); }

 private:
  struct Peer {  // one connection and its thread
    std::shared_ptr<apache::thrift::transport::TSocket> socket;
    std::thread thread;
  };
  using Peers = std::list<Peer>;

  Server(const ServerOptions& options, std::shared_ptr<apache::thrift::TProcessor> processor);
  void AcceptLoop();
  void Admit(OwnedFd fd);
  void ServePeer(Peers::iterator peer) noexcept;  // a connection's thread
  void ServeRequests(const std::shared_ptr<apache::thrift::transport::TSocket>& socket) noexcept;
  void Retire(Peers::iterator peer) noexcept;

  const ServerOptions options_;
  const std::shared_ptr<apache::thrift::TProcessor> processor_;
  uint16_t port_ = 0;
  OwnedFd listener_;
  OwnedFd stop_;  // eventfd: ends the accept loop
  std::thread acceptor_;
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> starved_{0};

  mutable std::mutex mutex_;
  std::condition_variable all_gone_;
  // By mutex_:
  Peers live_;
  std::thread last_finished_;  // each ending thread joins the one that ended before it; Stop() joins the last
};

}  // namespace assent
