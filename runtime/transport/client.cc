#include "runtime/transport/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <thrift/TApplicationException.h>
#include <thrift/protocol/TMultiplexedProtocol.h>

#include <cerrno>

namespace assent {

using apache::thrift::TApplicationException;
using apache::thrift::TException;
using apache::thrift::protocol::TMultiplexedProtocol;
using apache::thrift::protocol::TProtocolException;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TTransportException;

ConnectionBase::ConnectionBase(ConnectionOptions options)
    : options_(std::move(options)), interrupt_(MakeEventFd()) {
  QuietThrift();
}

ConnectionBase::~ConnectionBase() = default;

Status ConnectionBase::Open() {
  if (open()) return {};
  {
    std::lock_guard lock(mutex_);
    if (!interrupt_.valid()) interrupt_ = MakeEventFd();
    if (interrupted_) return Failure(StatusCode::kUnavailable, "interrupted");
    if (!interrupt_.valid()) return NoDescriptors();
  }
  auto fd = ConnectTcp(options_.peer, options_.connect_timeout_ms, interrupt_.get());
  if (!fd.ok()) return fd.status();
  {
    std::lock_guard lock(mutex_);
    if (interrupted_) return Failure(StatusCode::kUnavailable, "interrupted");
    interruptible_fd_ = fd->get();
  }
  socket_ = std::make_shared<TSocket>(fd->Release());
  socket_->setSendTimeout(options_.send_timeout_ms);
  socket_->setRecvTimeout(options_.recv_timeout_ms);
  transport_ = std::make_shared<FramedTransport>(socket_, options_.limits);
  MakeClient(
      std::make_shared<TMultiplexedProtocol>(MakeProtocol(transport_, options_.limits), options_.service));
  return {};
}

void ConnectionBase::Close() {
  {
    std::lock_guard lock(mutex_);
    interruptible_fd_ = -1;  // before the number can be another file's
  }
  DropClient();
  transport_.reset();
  socket_.reset();  // closes
}

void ConnectionBase::Interrupt() {
  std::lock_guard lock(mutex_);
  interrupted_ = true;
  SignalEventFd(interrupt_.get());
  if (interruptible_fd_ >= 0) shutdown(interruptible_fd_, SHUT_RDWR);
}

void ConnectionBase::set_recv_timeout_ms(int timeout_ms) {
  options_.recv_timeout_ms = timeout_ms;
  if (open()) socket_->setRecvTimeout(timeout_ms);
}

int ConnectionBase::fd() const {
  return open() ? socket_->getSocketFD() : -1;
}

bool ConnectionBase::AwaitAnswer(int timeout_ms) const {
  if (!open() || reply_buffered()) return true;
  pollfd waited{fd(), POLLIN, 0};
  return poll(&waited, 1, timeout_ms) != 0;  // an error shows when it is received
}

bool ConnectionBase::IsStale() const {
  if (reply_buffered()) return true;
  char byte = 0;
  const ssize_t got = recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

CallStatus ConnectionBase::Whole(const std::function<void()>& fn) {
  // A server that was restarted, or closed an idle connection, would otherwise be found out only after the
  // request was sent, when nobody can say any more whether it ran.
  if (open() && IsStale()) Close();
  if (Status opened = Open(); !opened.ok()) return {std::move(opened), false};
  return Part(fn);
}

CallStatus ConnectionBase::Part(const std::function<void()>& fn) {
  if (!open()) return {Failure(StatusCode::kUnavailable, "not connected"), false};
  const uint64_t before = transport_->frames_started();
  // Kept beyond Close(), to tell afterwards.
  const std::shared_ptr<FramedTransport> transport = transport_;
  Status status = Guarded(fn);
  return {std::move(status), transport->frames_started() > before};
}

Status ConnectionBase::Guarded(const std::function<void()>& fn) {
  struct CloseUnlessKept {
    ConnectionBase* connection;
    bool keep = false;
    ~CloseUnlessKept() {
      if (!keep) connection->Close();
    }
  } guard{this};
  const uint64_t before = transport_->frames_started();
  try {
    fn();
    guard.keep = true;
    return {};
  } catch (const FrameTooLarge& error) {
    if (error.is_ours()) {
      transport_->DropUnflushed();
      guard.keep = transport_->frames_started() == before;
    }
    return Failure(StatusCode::kInvalid, error.what());
  } catch (const TTransportException& error) {
    switch (error.getType()) {
      case TTransportException::TIMED_OUT:
        return Failure(StatusCode::kUnavailable,
                       "timed out (" + std::to_string(options_.send_timeout_ms) + " ms to send, " +
                           std::to_string(options_.recv_timeout_ms) + " ms to be answered)");
      case TTransportException::END_OF_FILE:
        return Failure(StatusCode::kUnavailable, "the peer closed the connection");
      default:
        return Failure(StatusCode::kUnavailable, error.what());
    }
  } catch (const TProtocolException& error) {
    const bool too_much = error.getType() == TProtocolException::SIZE_LIMIT ||
                          error.getType() == TProtocolException::DEPTH_LIMIT;
    return Failure(too_much ? StatusCode::kInvalid : StatusCode::kUnavailable,
                   std::string("not a valid answer: ") + error.what());
  } catch (const TApplicationException& error) {
    const bool unknown = error.getType() == TApplicationException::UNKNOWN_METHOD ||
                         error.getType() == TApplicationException::PROTOCOL_ERROR;
    return Failure(unknown ? StatusCode::kForeign : StatusCode::kIo, error.what());
  } catch (const TException& error) {
    return Failure(StatusCode::kIo, error.what());
  }
}

Status ConnectionBase::Failure(StatusCode code, const std::string& what) const {
  return {code, options_.service + " at " + ToString(options_.peer) + ": " + what};
}

}  // namespace assent
