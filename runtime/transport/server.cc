#include "runtime/transport/server.h"

#include <glog/logging.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <system_error>
#include <utility>

#include "common/check.h"

namespace assent {

using apache::thrift::TException;
using apache::thrift::TProcessor;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TTransportException;

namespace {

// What a peer can cause at will is logged at most so often.
constexpr int kLogInterval_s = 5;
// With no descriptor left, the connection stays in the backlog and the listener stays readable: wait, do not
// spin.
constexpr int kAcceptRetry_ms = 50;

class FrameLimit final : public TProcessor {
 public:
  FrameLimit(std::shared_ptr<TProcessor> inner, int32_t frame_bytes_max)
      : inner_(std::move(inner)), frame_bytes_max_(static_cast<size_t>(frame_bytes_max)) {}

  bool process(std::shared_ptr<TProtocol> in, std::shared_ptr<TProtocol> out, void* context) override {
    const auto* framed = dynamic_cast<const FramedTransport*>(in->getTransport().get());
    ASSENT_CHECK(framed != nullptr);  // what Server makes
    if (framed->frame_bytes() > frame_bytes_max_) {
      throw FrameTooLarge(/*ours=*/false, framed->frame_bytes(), frame_bytes_max_);
    }
    return inner_->process(std::move(in), std::move(out), context);
  }

 private:
  const std::shared_ptr<TProcessor> inner_;
  const size_t frame_bytes_max_;
};

}  // namespace

std::shared_ptr<TProcessor> LimitFrames(std::shared_ptr<TProcessor> processor, int32_t frame_bytes_max) {
  return std::make_shared<FrameLimit>(std::move(processor), frame_bytes_max);
}

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                              std::shared_ptr<TProcessor> processor) {
  QuietThrift();
  auto listening = ListenTcp(options.listen);
  if (!listening.ok()) return listening.status();
  std::unique_ptr<Server> server(new Server(options, std::move(processor)));
  if (!server->stop_.valid()) return NoDescriptors();
  server->listener_ = std::move(listening->first);
  server->port_ = listening->second;
  server->acceptor_ = std::thread(&Server::AcceptLoop, server.get());
  return server;
}

Server::Server(const ServerOptions& options, std::shared_ptr<TProcessor> processor)
    : options_(options), processor_(std::move(processor)), stop_(MakeEventFd()) {}

Server::~Server() {
  Stop();
}

void Server::Stop() {
  SignalEventFd(stop_.get());
  if (acceptor_.joinable()) acceptor_.join();
  listener_.Reset();
  std::thread last;
  {
    std::unique_lock lock(mutex_);
    // A socket is closed only after its Peer has left the list, so these descriptors are still theirs.
    for (Peer& peer : live_) shutdown(peer.socket->getSocketFD(), SHUT_RDWR);
    all_gone_.wait(lock, [this] { return live_.empty(); });
    last = std::move(last_finished_);
  }
  if (last.joinable()) last.join();
}

size_t Server::connections() const {
  std::lock_guard lock(mutex_);
  return live_.size();
}

void Server::AcceptLoop() {
  pollfd waits[2] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  while (true) {
    (void)poll(waits, 2, -1);
    if (waits[0].revents != 0) return;
    OwnedFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.valid()) {
      Admit(std::move(fd));
      continue;
    }
    // The rest is a connection that went away again before it was accepted.
    const int error = errno;
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
      starved_.fetch_add(1, std::memory_order_relaxed);
      LOG_EVERY_T(WARNING, kLogInterval_s)
          << "cannot accept a connection on " << ToString(address()) << ": " << std::strerror(error)
          << "; raise the limit of open files (ulimit -n)";
      (void)poll(waits, 1, kAcceptRetry_ms);
    }
  }
}

void Server::Admit(OwnedFd fd) {
  std::lock_guard lock(mutex_);
  std::string why;
  if (live_.size() >= options_.connections_max) {
    why = "all " + std::to_string(options_.connections_max) + " connections are taken";
  } else {
    SetConnectionOptions(fd.get());
    const auto peer = live_.insert(live_.end(), Peer{std::make_shared<TSocket>(fd.Release()), {}});
    try {
      peer->thread = std::thread(&Server::ServePeer, this, peer);
      return;
    } catch (const std::system_error& error) {
      live_.erase(peer);
      why = std::string("no thread to serve it: ") + error.what();
    }
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  LOG_EVERY_T(WARNING, kLogInterval_s) << "a connection to " << ToString(address()) << " was refused: " << why
                                       << "; " << refused() << " refused so far";
}

void Server::ServePeer(Peers::iterator peer) noexcept {
  ServeRequests(peer->socket);
  Retire(peer);
}

void Server::ServeRequests(const std::shared_ptr<TSocket>& socket) noexcept {
  // Whatever goes wrong ends this connection only. What a handler throws is answered by the generated code;
  // what comes up to here is what the peer sent, what it cannot take, and memory that is not there.
  std::string origin;
  try {
    socket->setRecvTimeout(options_.idle_timeout_ms);
    socket->setSendTimeout(options_.send_timeout_ms);
    origin = socket->getPeerAddress();
    auto protocol = MakeProtocol(std::make_shared<FramedTransport>(socket, options_.limits), options_.limits);
    while (processor_->process(protocol, protocol, nullptr)) {
    }
  } catch (const TTransportException& error) {
    switch (error.getType()) {
      case TTransportException::END_OF_FILE:  // the ordinary ends of a connection
      case TTransportException::TIMED_OUT:
      case TTransportException::NOT_OPEN:
        break;
      default:
        LOG_EVERY_T(WARNING, kLogInterval_s) << "connection from " << origin << " closed: " << error.what();
    }
  } catch (const std::exception& error) {
    LOG_EVERY_T(WARNING, kLogInterval_s) << "connection from " << origin << " closed: " << error.what();
  } catch (...) {
    LOG_EVERY_T(WARNING, kLogInterval_s) << "connection from " << origin << " closed: a handler threw";
  }
}

void Server::Retire(Peers::iterator peer) noexcept {
  Peers gone;
  std::thread before;
  {
    std::lock_guard lock(mutex_);
    gone.splice(gone.end(), live_, peer);
    before = std::exchange(last_finished_, std::move(peer->thread));
    if (live_.empty()) all_gone_.notify_all();
  }
  gone.clear();  // closes the socket
  if (before.joinable()) before.join();
}

}  // namespace assent
