#include "runtime/transport/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

namespace assent {

namespace {

constexpr int kListenBacklog = 1024;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<Addresses> Resolve(const Address& address, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  // An empty host would mean any address to one caller and this machine to the other: never guess.
  const int error =
      address.host.empty() ? EAI_NONAME : getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    const char* why = error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error);
    return Status(error == EAI_NONAME ? StatusCode::kInvalid : StatusCode::kUnavailable,
                  "cannot resolve host \"" + address.host + "\": " + why);
  }
  return Addresses(found, &freeaddrinfo);
}

void SetFlag(int fd, int level, int option, int value) {
  // Fails only for a socket that was reset meanwhile, which the next read or write reports.
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

Status ListenError(const Address& address, int error) {
  const std::string where = ToString(address);
  switch (error) {
    case EADDRINUSE:
      return {StatusCode::kUnavailable,
              "cannot listen on " + where + ": port " + std::to_string(address.port) +
                  " is in use; choose another with listen=HOST:PORT or stop the process " +
                  "that holds it (ss -ltnp shows it)"};
    case EADDRNOTAVAIL:
      return {StatusCode::kInvalid,
              "cannot listen on " + where +
                  ": no interface of this machine has that address; correct listen=HOST:PORT"};
    case EACCES:
      return {StatusCode::kInvalid,
              "cannot listen on " + where +
                  ": ports below 1024 need a privilege; choose another with listen=HOST:PORT"};
    default:
      return {StatusCode::kIo, "cannot listen on " + where + ": " + std::strerror(error)};
  }
}

// In the range of ephemeral ports, a connect to a port of this machine on which nobody listens can meet
// itself.
bool IsConnectedToItself(int fd) {
  sockaddr_storage here{}, there{};
  socklen_t here_size = sizeof(here), there_size = sizeof(there);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_size) == 0 &&
         getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_size) == 0 && here_size == there_size &&
         std::memcmp(&here, &there, here_size) == 0;
}

// 0, or why not as an errno; ECANCELED: interrupted.
int ConnectOne(int fd, const addrinfo& to, std::chrono::steady_clock::time_point deadline, int interrupt_fd) {
  if (connect(fd, to.ai_addr, to.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno;
    pollfd waits[2] = {{fd, POLLOUT, 0}, {interrupt_fd, POLLIN, 0}};
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return ETIMEDOUT;
      const int ready = poll(waits, interrupt_fd >= 0 ? 2 : 1, static_cast<int>(left.count()));
      if (ready < 0 && errno != EINTR) return errno;
      if (ready > 0) break;
    }
    if (waits[1].revents != 0) return ECANCELED;
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    if (error != 0) return error;
  }
  if (IsConnectedToItself(fd)) return ECONNREFUSED;
  return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0 ? 0 : errno;
}

}  // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

void OwnedFd::Reset() {
  if (const int fd = Release(); fd >= 0) close(fd);
}

Result<std::pair<OwnedFd, uint16_t>> ListenTcp(const Address& address) {
  auto found = Resolve(address, AI_PASSIVE);
  if (!found.ok()) return found.status();
  const addrinfo& to = **found;
  OwnedFd fd(socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ListenError(address, errno);
  SetFlag(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);  // a restart must not wait for connections in TIME_WAIT
  if (bind(fd.get(), to.ai_addr, to.ai_addrlen) != 0) return ListenError(address, errno);
  if (listen(fd.get(), kListenBacklog) != 0) return ListenError(address, errno);
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return ListenError(address, errno);
  const in_port_t port = bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                                     : reinterpret_cast<sockaddr_in*>(&bound)->sin_port;
  return std::pair{std::move(fd), static_cast<uint16_t>(ntohs(port))};
}

Result<OwnedFd> ConnectTcp(const Address& address, int timeout_ms, int interrupt_fd) {
  auto found = Resolve(address, 0);
  if (!found.ok()) return found.status();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  int error = ECONNREFUSED;
  for (const addrinfo* to = found->get(); to != nullptr; to = to->ai_next) {
    OwnedFd fd(socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    error = fd.valid() ? ConnectOne(fd.get(), *to, deadline, interrupt_fd) : errno;
    if (error == 0) {
      SetConnectionOptions(fd.get());
      return fd;
    }
    if (error == ECANCELED || error == ETIMEDOUT) break;
  }
  const std::string why = error == ETIMEDOUT   ? "no answer within " + std::to_string(timeout_ms) + " ms"
                          : error == ECANCELED ? "interrupted"
                                               : std::strerror(error);
  return Status(StatusCode::kUnavailable, "cannot connect to " + ToString(address) + ": " + why);
}

OwnedFd MakeEventFd() {
  return OwnedFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

Status NoDescriptors() {
  return {StatusCode::kUnavailable, "no file descriptor is left; raise the limit of open files (ulimit -n)"};
}

void SignalEventFd(int fd) {
  const uint64_t one = 1;
  (void)!write(fd, &one, sizeof(one));  // fails only when it is signalled two to the 64 times already
}

void ClearEventFd(int fd) {
  uint64_t count = 0;
  (void)!read(fd, &count, sizeof(count));  // fails when it was not signalled, which is as good
}

void SetConnectionOptions(int fd) {
  SetFlag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetFlag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  SetFlag(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace assent
