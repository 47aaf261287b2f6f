#include "runtime/transport/server.h"

#include <glog/logging.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <system_error>
#include <utility>

#include "common/check.h"

namespace assent {

using apache::thrift::TProcessor;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TTransportException;

namespace {

// Events that a peer can cause at will are logged at most so often.
constexpr int kLogInterval_s = 5;
// With no descriptor left, the connection stays in the backlog and the listener stays readable: wait,
// do not spin.
constexpr int kAcceptRetry_ms = 50;

// Memory for a struct of the IDL that lists hold, with its part of the list.
constexpr size_t kStructBytes = 192;
// Overdue connections are looked for so often.
constexpr std::chrono::milliseconds kSweepMax{500};

constexpr std::string_view OwnersOf(Seat seat) {
  switch (seat) {
    case Seat::kNone:
    case Seat::kUnclaimed:
      return "nobody";
    case Seat::kClient:
      return "clients";
    case Seat::kOperator:
      return "operators";
    case Seat::kPeer:
      return "peers";
  }
  return "";
}
static_assert(!OwnersOf(Seat::kLast).empty() && OwnersOf(static_cast<Seat>(kSeatKinds)).empty(),
              "Seat::kLast is not the last one");

[[noreturn]] void NoMemoryFor(size_t bytes, const char* what) {
  throw TTransportException(TTransportException::UNKNOWN,
                            "no memory for a message of " + std::to_string(bytes) +
                                " bytes: too many others are being " + what + "; retry later");
}

}  // namespace

size_t DecodedBytesMax(const WireLimits& limits, size_t frame_bytes) {
  const size_t structs = std::min(frame_bytes / static_cast<size_t>(limits.struct_bytes_min),
                                  2 * static_cast<size_t>(limits.container_items_max));
  return frame_bytes + structs * kStructBytes;
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
    : options_(options),
      processor_(std::move(processor)),
      stop_(MakeEventFd()),
      receiving_(options.receiving_bytes_max),
      serving_(options.serving_bytes_max) {}

Server::~Server() {
  Stop();
}

void Server::Stop() {
  SignalEventFd(stop_.get());
  if (acceptor_.joinable()) acceptor_.join();
  listener_.Reset();
  receiving_.Close();
  serving_.Close();
  std::thread last;
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    // A socket is closed only after its Connection has left the list, so these descriptors are still theirs.
    for (Connection& connection : live_) shutdown(connection.socket->getSocketFD(), SHUT_RDWR);
    all_gone_.wait(lock, [this] { return live_.empty(); });
    last = std::move(last_finished_);
  }
  if (last.joinable()) last.join();
}

size_t Server::connections() const {
  std::lock_guard lock(mutex_);
  return live_.size() + silent_count_.load(std::memory_order_relaxed);
}

size_t Server::connections(Seat seat) const {
  std::lock_guard lock(mutex_);
  const size_t silent = seat == Seat::kUnclaimed ? silent_count_.load(std::memory_order_relaxed) : 0;
  return seated_[static_cast<size_t>(seat)] + silent;
}

size_t Server::idle() const {
  std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count_if(live_.begin(), live_.end(), [](const Connection& connection) {
    return connection.seat > Seat::kUnclaimed &&
           connection.doing.load(std::memory_order_relaxed) == Doing::kIdle;
  }));
}

void Server::AcceptLoop() {
  const auto sweep = std::clamp(std::chrono::milliseconds(options_.claim_timeout_ms) / 4,
                                std::chrono::milliseconds(1), kSweepMax);
  Clock::time_point swept = Clock::now();
  std::vector<pollfd> waits;
  while (true) {
    waits = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Silent& silent : silent_) waits.push_back({silent.fd.get(), POLLIN, 0});
    (void)poll(waits.data(), waits.size(), static_cast<int>(sweep.count()));
    if (waits[0].revents != 0) break;
    HearSilent(waits);
    if (Clock::now() - swept >= sweep) {
      EndOverdue();
      swept = Clock::now();
    }
    if (waits[1].revents != 0) Accept();
    silent_count_.store(silent_.size(), std::memory_order_relaxed);
  }
  silent_.clear();
  silent_count_ = 0;
}

void Server::Accept() {
  OwnedFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (fd.valid()) {
    SetConnectionOptions(fd.get());
    silent_.push_back({std::move(fd), Clock::now()});
    std::lock_guard lock(mutex_);
    // A crowd that says nothing keeps out nobody who speaks: the oldest of it had longest to do so.
    while (silent_.size() + seated_[static_cast<size_t>(Seat::kUnclaimed)] > options_.unclaimed_max) {
      evicted_.fetch_add(1, std::memory_order_relaxed);
      silent_.pop_front();
      if (silent_.empty()) break;
    }
    return;
  }
  // The rest is a connection that went away again before it was accepted.
  const int error = errno;
  if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
    starved_.fetch_add(1, std::memory_order_relaxed);
    LOG_EVERY_T(WARNING, kLogInterval_s)
        << "cannot accept a connection on " << ToString(address()) << ": " << std::strerror(error)
        << "; raise the limit of open files (ulimit -n)";
    pollfd stop{stop_.get(), POLLIN, 0};
    (void)poll(&stop, 1, kAcceptRetry_ms);
  }
}

// `waits`: of the listener and the event, then of each silent connection. One that speaks gets a thread.
void Server::HearSilent(const std::vector<pollfd>& waits) {
  std::deque<Silent> still;
  for (size_t i = 0; i < silent_.size(); ++i) {
    if (waits[i + 2].revents == 0) {
      still.push_back(std::move(silent_[i]));
      continue;
    }
    char byte = 0;
    if (recv(silent_[i].fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) Admit(std::move(silent_[i].fd));
  }
  silent_ = std::move(still);
}

void Server::Admit(OwnedFd fd) {
  std::string why;
  {
    std::lock_guard lock(mutex_);
    // Those who speak, but name no service, make room likewise; and whoever had to may still
    // be on its way out.
    if (!MakeRoom(Seat::kUnclaimed, Clock::duration::zero()) ||
        seated_[static_cast<size_t>(Seat::kNone)] >= options_.unclaimed_max) {
      why = "too many come at once";
    } else {
      const auto connection = live_.emplace(live_.end());
      connection->socket = std::make_shared<TSocket>(fd.Release());
      ++seated_[static_cast<size_t>(connection->seat)];
      try {
        connection->thread = std::thread(&Server::Serve, this, connection);
        return;
      } catch (const std::system_error& error) {
        --seated_[static_cast<size_t>(connection->seat)];
        live_.erase(connection);
        why = std::string("no thread to serve it: ") + error.what();
      }
    }
  }
  Refuse(why);
}

void Server::Refuse(const std::string& why) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  LOG_EVERY_T(WARNING, kLogInterval_s) << "a connection to " << ToString(address()) << " was refused: " << why
                                       << "; " << refused() << " refused so far";
}

size_t Server::SeatsMax(Seat seat) const {
  switch (seat) {
    case Seat::kNone:
      break;
    case Seat::kUnclaimed:
      return options_.unclaimed_max;
    case Seat::kClient:
      return options_.connections_max;
    case Seat::kOperator:
      return options_.operators_max;
    case Seat::kPeer:
      return options_.peers_max;
  }
  return 0;
}

void Server::Sit(Connection& connection, Seat seat) {
  --seated_[static_cast<size_t>(connection.seat)];
  ++seated_[static_cast<size_t>(seat)];
  connection.seat = seat;
}

// Its own thread finds the socket ended, and sees to the rest.
void Server::Evict(Connection& connection) {
  Sit(connection, Seat::kNone);
  evicted_.fetch_add(1, std::memory_order_relaxed);  // before the other side can know
  shutdown(connection.socket->getSocketFD(), SHUT_RDWR);
}

// One more seat of the kind, if need be by the end of the connection that has idled longest.
bool Server::MakeRoom(Seat seat, Clock::duration idle_min) {
  if (seated_[static_cast<size_t>(seat)] < SeatsMax(seat)) return true;
  Connection* idlest = nullptr;
  for (Connection& connection : live_) {
    // A connection that named no service does nothing but wait.
    const bool idle =
        seat == Seat::kUnclaimed || connection.doing.load(std::memory_order_relaxed) == Doing::kIdle;
    if (connection.seat != seat || !idle) continue;
    if (idlest == nullptr ||
        connection.since.load(std::memory_order_relaxed) < idlest->since.load(std::memory_order_relaxed))
      idlest = &connection;
  }
  if (idlest == nullptr || Clock::now() - idlest->since.load(std::memory_order_relaxed) < idle_min)
    return false;
  Evict(*idlest);
  return true;
}

// A connection that named no service in time, or whose message does not come to an end.
void Server::EndOverdue() {
  const auto too_long = std::chrono::milliseconds(options_.claim_timeout_ms);
  while (!silent_.empty() && Clock::now() - silent_.front().since > too_long) {
    evicted_.fetch_add(1, std::memory_order_relaxed);
    silent_.pop_front();
  }
  std::lock_guard lock(mutex_);
  for (Connection& connection : live_) {
    const Clock::duration age = Clock::now() - connection.since.load(std::memory_order_relaxed);
    const bool receiving = connection.doing.load(std::memory_order_relaxed) == Doing::kReceiving;
    if ((connection.seat == Seat::kUnclaimed && age > too_long) ||
        (connection.seat != Seat::kNone && receiving &&
         age > std::chrono::milliseconds(options_.frame_timeout_ms))) {
      Evict(connection);
    }
  }
}

void Server::Serve(Connections::iterator connection) noexcept {
  // Any error ends this connection only. The generated code answers what a handler throws; errors that come
  // up to here are the peer's bytes, what it cannot take, and memory that is not there.
  std::string origin;
  try {
    connection->socket->setRecvTimeout(options_.idle_timeout_ms);
    connection->socket->setSendTimeout(options_.send_timeout_ms);
    origin = connection->socket->getPeerAddress();
    ServeRequests(*connection);
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
  Retire(connection);
}

const ServiceOptions& Server::ServiceOf(std::string_view name) const {
  const auto found = options_.services.find(name);
  static const ServiceOptions kOther;
  return found == options_.services.end() ? kOther : found->second;
}

void Server::ServeRequests(Connection& connection) {
  const std::chrono::milliseconds patience(options_.frame_timeout_ms);
  auto transport = std::make_shared<FramedTransport>(connection.socket, options_.limits);
  std::shared_ptr<TProtocol> protocol;
  const ServiceOptions* service = nullptr;
  while (transport->AwaitMessage()) {
    const ServiceOptions& named = ServiceOf(transport->PeekService());
    if (service != &named) {
      Claim(connection, named.seat);
      service = &named;
      transport->set_receive_bytes_max(named.limits.frame_bytes_max);
      protocol = MakeProtocol(transport, named.limits);
    }
    connection.Now(Doing::kReceiving);
    // Peers and operators are few, and must not wait behind clients.
    const bool accounted = named.seat == Seat::kClient;
    const size_t bytes = transport->PeekFrameBytes();
    if (bytes > static_cast<size_t>(named.limits.frame_bytes_max)) {
      throw FrameTooLarge(/*ours=*/false, bytes, static_cast<size_t>(named.limits.frame_bytes_max));
    }
    BudgetShare receiving, serving;
    if (accounted && bytes > FramedTransport::idle_input_bytes() &&
        !receiving.Take(receiving_, bytes, patience)) {
      NoMemoryFor(bytes, "received");
    }
    transport->ReceiveMessage();
    if (accounted && !serving.Take(serving_, DecodedBytesMax(named.limits, bytes), patience)) {
      NoMemoryFor(bytes, "served");
    }
    connection.Now(Doing::kServing);
    if (!processor_->process(protocol, protocol, nullptr)) return;
    connection.Now(Doing::kIdle);
  }
}

// The first message of a connection says whose it is; a later one may be for another service.
void Server::Claim(Connection& connection, Seat seat) {
  {
    std::lock_guard lock(mutex_);
    if (connection.seat == seat) return;
    const bool gone = connection.seat == Seat::kNone || stopping_;
    if (!gone && MakeRoom(seat, std::chrono::milliseconds(options_.evict_idle_ms)))
      return Sit(connection, seat);
    if (gone) throw TTransportException(TTransportException::END_OF_FILE, "told to end");
  }
  Refuse("all " + std::to_string(SeatsMax(seat)) + " connections for " + std::string(OwnersOf(seat)) +
         " are taken, and busy");
  throw TTransportException(TTransportException::END_OF_FILE, "no seat");
}

void Server::Retire(Connections::iterator connection) noexcept {
  Connections gone;
  std::thread before;
  {
    std::lock_guard lock(mutex_);
    gone.splice(gone.end(), live_, connection);
    --seated_[static_cast<size_t>(connection->seat)];
    before = std::exchange(last_finished_, std::move(connection->thread));
    if (live_.empty()) all_gone_.notify_all();
  }
  gone.clear();  // closes the socket
  if (before.joinable()) before.join();
}

}  // namespace assent
