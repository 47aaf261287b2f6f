#include "tests/e2e/faulty_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "common/check.h"

namespace assent::e2e {
namespace {

constexpr size_t kFlowBytesMax = 256 << 10;  // then the sender's own buffers fill, as on a slow network
constexpr size_t kGreetingBytesMax = 64;     // the service's name lies within

bool IsPassing(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// Begins to connect, without waiting for the end of it: a process that is stopped may not take it.
OwnedFd Dial(const Address& address) {
  OwnedFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(address.port);
  ASSENT_CHECK(fd.valid() && inet_pton(AF_INET, address.host.c_str(), &to.sin_addr) == 1, ToString(address));
  SetConnectionOptions(fd.get());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
    return {};
  return fd;
}

// Its close is a reset: the other side learns at once that what it waits for does not come.
void MakeAbortive(const OwnedFd& fd) {
  const linger at_once{1, 0};
  if (fd.valid()) setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

FaultyNetwork::FaultyNetwork() : wake_(MakeEventFd()) {
  ASSENT_CHECK(wake_.valid());
  thread_ = std::thread([this] { Main(); });
}

FaultyNetwork::~FaultyNetwork() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  SignalEventFd(wake_.get());
  thread_.join();
}

Address FaultyNetwork::Route(int from, int to, const Address& target) {
  auto listening = ListenTcp({"127.0.0.1", 0});
  ASSENT_CHECK(listening.ok(), listening.status().message());
  const Address address{"127.0.0.1", listening->second};
  {
    const std::lock_guard lock(mutex_);
    listeners_.push_back({std::move(listening->first), from, to, target});
  }
  SignalEventFd(wake_.get());
  return address;
}

void FaultyNetwork::Cut(int from, int to) {
  // The thread passes nothing on but with the mutex held.
  const std::lock_guard lock(mutex_);
  cut_.emplace(from, to);
}

void FaultyNetwork::Heal(int node, Held held) {
  {
    const std::lock_guard lock(mutex_);
    const auto touches = [node](const std::pair<int, int>& link) {
      return link.first == node || link.second == node;
    };
    for (const auto& connection : connections_) {
      if (IsWhole(*connection) || !touches(EndsOf(*connection))) continue;
      ++held_connections_;
      if (held != Held::kIsLost) continue;
      MakeAbortive(connection->dialer);
      MakeAbortive(connection->target);
      connection->over = true;
    }
    std::erase_if(cut_, touches);
  }
  SignalEventFd(wake_.get());
}

uint64_t FaultyNetwork::held_connections() const {
  const std::lock_guard lock(mutex_);
  return held_connections_;
}

std::pair<int, int> FaultyNetwork::EndsOf(const Connection& connection) {
  return {connection.service == Service::kClient ? kClients : connection.from, connection.to};
}

bool FaultyNetwork::MayPass(const Connection& connection, bool there) const {
  if (connection.service == Service::kNotKnown || connection.service == Service::kOther) return true;
  const auto [dialer, target] = EndsOf(connection);
  return there ? !IsCut(dialer, target) : !IsCut(target, dialer);
}

bool FaultyNetwork::IsWhole(const Connection& connection) const {
  return MayPass(connection, true) && MayPass(connection, false);
}

void FaultyNetwork::Accept(const Listener& listener) {
  for (;;) {
    OwnedFd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    SetConnectionOptions(fd.get());
    auto connection = std::make_unique<Connection>();
    connection->dialer = std::move(fd);
    connection->from = listener.from;
    connection->to = listener.to;
    connection->address = listener.target;
    connections_.push_back(std::move(connection));
  }
}

void FaultyNetwork::Take(int fd, Flow& flow, bool& over) {
  char piece[64 << 10];
  while (!flow.ended && flow.bytes.size() < kFlowBytesMax) {
    const ssize_t got = recv(fd, piece, sizeof piece, 0);
    if (got > 0) {
      flow.bytes.append(piece, static_cast<size_t>(got));
      if (static_cast<size_t>(got) < sizeof piece) return;
    } else if (got == 0) {
      flow.ended = true;
    } else {
      over = over || !IsPassing(errno);
      return;
    }
  }
}

void FaultyNetwork::Pass(int fd, Flow& flow, bool& over) {
  size_t passed = 0;
  while (passed < flow.bytes.size()) {
    const ssize_t sent = send(fd, flow.bytes.data() + passed, flow.bytes.size() - passed, MSG_NOSIGNAL);
    if (sent <= 0) {
      over = over || !(IsPassing(errno) || errno == ENOTCONN);  // not connected yet
      break;
    }
    passed += static_cast<size_t>(sent);
  }
  flow.bytes.erase(0, passed);
  if (flow.ended && flow.bytes.empty() && !flow.end_passed) {
    flow.end_passed = true;
    shutdown(fd, SHUT_WR);
  }
}

void FaultyNetwork::Step(Connection& c) {
  if (c.over) return;
  if (MayPass(c, true)) Take(c.dialer.get(), c.there, c.over);
  if (c.service == Service::kNotKnown) {
    const std::string greeting = c.there.bytes.substr(0, kGreetingBytesMax);
    if (greeting.find("Peer:") != std::string::npos) {
      c.service = Service::kPeer;
    } else if (greeting.find("TransactionManager:") != std::string::npos) {
      c.service = Service::kClient;
    } else if (greeting.size() == kGreetingBytesMax || greeting.find(':') != std::string::npos) {
      c.service = Service::kOther;
    } else {
      c.over = c.over || c.there.ended;
      return;
    }
  }
  if (!c.target.valid()) {
    if (c.over || !IsWhole(c)) return;
    c.target = Dial(c.address);
    c.over = !c.target.valid();
    if (c.over) return;
  }
  if (MayPass(c, true)) Pass(c.target.get(), c.there, c.over);
  if (MayPass(c, false)) {
    Take(c.target.get(), c.back, c.over);
    Pass(c.dialer.get(), c.back, c.over);
  }
  c.over = c.over || (c.there.end_passed && c.back.end_passed);
}

void FaultyNetwork::Main() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    for (const Listener& listener : listeners_) Accept(listener);
    for (const auto& connection : connections_) Step(*connection);
    std::erase_if(connections_, [](const auto& connection) {
      // A connection that one side lost is lost to the other.
      if (connection->over) MakeAbortive(connection->dialer);
      return connection->over;
    });

    std::vector<pollfd> waited{{wake_.get(), POLLIN, 0}};
    for (const Listener& listener : listeners_) waited.push_back({listener.fd.get(), POLLIN, 0});
    for (const auto& c : connections_) {
      short dialer = 0, target = 0;
      if (MayPass(*c, true)) {
        if (!c->there.ended && c->there.bytes.size() < kFlowBytesMax) dialer |= POLLIN;
        if (!c->there.bytes.empty()) target |= POLLOUT;
      }
      if (MayPass(*c, false)) {
        if (!c->back.ended && c->back.bytes.size() < kFlowBytesMax) target |= POLLIN;
        if (!c->back.bytes.empty()) dialer |= POLLOUT;
      }
      // One that waits for nothing is left out, since poll() would tell of its end again and again.
      if (dialer != 0) waited.push_back({c->dialer.get(), dialer, 0});
      if (target != 0 && c->target.valid()) waited.push_back({c->target.get(), target, 0});
    }
    lock.unlock();
    poll(waited.data(), waited.size(), -1);
    ClearEventFd(wake_.get());
    lock.lock();
  }
}

}  // namespace assent::e2e
