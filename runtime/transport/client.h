#pragma once

#include <thrift/protocol/TProtocol.h>
#include <thrift/transport/TSocket.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "common/status.h"
#include "runtime/transport/framed.h"
#include "runtime/transport/socket.h"

// One outbound connection to a multiplexed Thrift service, and the one place where Thrift's
// exceptions become Status.
//
// Thrift's generated client does not check sequence ids: after a timeout the late answer would be taken for
// the next call's. So each failure closes the connection before anything else may use it, and a call begins
// only on a connection on which nothing is waiting to be read. The next call opens a new one. (A request that
// is too large to be sent at all leaves the connection as it was.)
namespace assent {

struct ConnectionOptions {
  Address peer;
  std::string service;  // name under which the server's multiplexed processor knows it
  WireLimits limits = kClientLimits;
  int connect_timeout_ms = 1'000;  // beside the time to resolve a name, if the host is one
  int send_timeout_ms = 5'000;
  int recv_timeout_ms = 5'000;  // for the answer to begin, and between its pieces
};

// kUnavailable: not reached, refused, timed out, reset, or not answered in Thrift; kInvalid: too large for
// the limits; kForeign: the peer does not know the service or the method; kIo: the handler failed at the
// peer. Other exceptions than Thrift's close the connection and pass through.
struct [[nodiscard]] CallStatus {
  Status status;
  // False only where the request surely did not run: no connection, or nothing of it was sent. True means
  // that it may have, and always on success. A caller retries on false; on true it must say UNKNOWN or ask.
  bool maybe_executed = false;
  bool ok() const { return status.ok(); }
};

// Not thread-safe but for Interrupt().
class ConnectionBase {
 public:
  explicit ConnectionBase(ConnectionOptions options);
  virtual ~ConnectionBase();
  ConnectionBase(const ConnectionBase&) = delete;
  ConnectionBase& operator=(const ConnectionBase&) = delete;

  Status Open();  // ok if open already
  void Close();
  bool open() const { return transport_ != nullptr; }
  const ConnectionOptions& options() const { return options_; }
  void set_recv_timeout_ms(int timeout_ms);  // of the next calls: what is left of a request's deadline, say

  // Any thread: ends the call or connect in progress and makes every later one fail at once. For good.
  void Interrupt();

  // Until there is something to receive: an answer, or the connection's end. False: not within `timeout_ms`.
  bool AwaitAnswer(int timeout_ms) const;

  // For a pipelining owner (link.h): to poll(), and whether a frame is here already.
  int fd() const;
  bool reply_buffered() const { return transport_ != nullptr && transport_->buffered_bytes() > 0; }

 protected:
  virtual void MakeClient(std::shared_ptr<apache::thrift::protocol::TProtocol> protocol) = 0;
  virtual void DropClient() = 0;
  CallStatus Whole(const std::function<void()>& fn);
  CallStatus Part(const std::function<void()>& fn);

 private:
  bool IsStale() const;  // the peer closed it, or there is an answer that nobody asked for
  Status Failure(StatusCode code, const std::string& what) const;
  Status Guarded(const std::function<void()>& fn);

  ConnectionOptions options_;
  std::shared_ptr<apache::thrift::transport::TSocket> socket_;
  std::shared_ptr<FramedTransport> transport_;

  std::mutex mutex_;           // of what is below, which Interrupt() shares
  int interruptible_fd_ = -1;  // the open socket
  bool interrupted_ = false;
  OwnedFd interrupt_;  // eventfd: readable once interrupted; made once, then read without mutex_
};

// `Client` is a generated Thrift client.
template <class Client>
class Connection final : public ConnectionBase {
 public:
  using ConnectionBase::ConnectionBase;

  // Opens if need be, then runs fn(Client&): one whole call, request and answer. Closed on any failure.
  //   int32_t sum = 0;
  //   CallStatus called = connection.Call([&](EchoClient& client) { sum = client.add(1, 2); });
  template <class Fn>
  CallStatus Call(Fn&& fn) {
    return Whole([&] { fn(*client_); });
  }

  // The same in its halves, send_x() and recv_x(), with `await()` between them: a Status that is not ok ends
  // the call and closes the connection.
  template <class SendFn, class AwaitFn, class ReceiveFn>
  CallStatus Call(SendFn&& send, AwaitFn&& await, ReceiveFn&& receive) {
    CallStatus called = Whole([&] { send(*client_); });
    if (!called.ok()) return called;
    called.status = await();
    if (called.ok()) {
      called.status = Part([&] { receive(*client_); }).status;
    } else {
      Close();
    }
    return called;  // sent, whatever came of the rest
  }

  // Half a call, send_x() or recv_x(), for pipelining; opens nothing. The caller counts what is outstanding,
  // and must not Call() until all of it was received. `maybe_executed` speaks of what this half sent.
  template <class Fn>
  CallStatus Half(Fn&& fn) {
    return Part([&] { fn(*client_); });
  }

 private:
  void MakeClient(std::shared_ptr<apache::thrift::protocol::TProtocol> protocol) override {
    client_.emplace(std::move(protocol));
  }
  void DropClient() override { client_.reset(); }

  std::optional<Client> client_;
};

}  // namespace assent
