#include "runtime/transport/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

namespace assent {

namespace {

constexpr int kListenBacklog = 1024;
// Before the next address of a host is tried beside the last; and of how many addresses.
constexpr std::chrono::milliseconds kNextAddress{200};
constexpr size_t kAddressesMax = 8;

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

// In the range of ephemeral ports, a connect to a port of this machine on which nobody listens
// can meet itself.
bool IsConnectedToItself(int fd) {
  sockaddr_storage here{}, there{};
  socklen_t here_size = sizeof(here), there_size = sizeof(there);
  return getsockname(fd, reinterpret_cast<sockaddr*>(&here), &here_size) == 0 &&
         getpeername(fd, reinterpret_cast<sockaddr*>(&there), &there_size) == 0 && here_size == there_size &&
         std::memcmp(&here, &there, here_size) == 0;
}

// One address of a host, being tried.
struct Attempt {
  OwnedFd fd;
  bool pending = false;
  int error = 0;  // if it is not: 0, connected
};

Attempt BeginConnecting(const addrinfo& to) {
  Attempt attempt;
  attempt.fd = OwnedFd(socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (attempt.fd.valid() && connect(attempt.fd.get(), to.ai_addr, to.ai_addrlen) == 0) return attempt;
  attempt.error = errno;
  attempt.pending = attempt.fd.valid() && errno == EINPROGRESS;
  return attempt;
}

void FinishConnecting(Attempt& attempt) {
  socklen_t size = sizeof(attempt.error);
  if (getsockopt(attempt.fd.get(), SOL_SOCKET, SO_ERROR, &attempt.error, &size) != 0) attempt.error = errno;
  attempt.pending = false;
}

// 0, or why the socket is of no use.
int MakeUsable(int fd) {
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

// A host's addresses one after the other, without waiting for long for any: one that is dead (the IPv6 half
// of a name, say) costs kNextAddress and not the whole timeout. The first that answers is it
// (RFC 8305, roughly).
Result<OwnedFd> ConnectTcp(const Address& address, int timeout_ms, int interrupt_fd) {
  using std::chrono::milliseconds;
  using Clock = std::chrono::steady_clock;
  auto found = Resolve(address, 0);
  if (!found.ok()) return found.status();
  const auto deadline = Clock::now() + milliseconds(timeout_ms);
  auto next_at = Clock::now();
  const addrinfo* next = found->get();
  std::vector<Attempt> attempts;
  int error = ETIMEDOUT;
  while (true) {
    const auto now = Clock::now();
    size_t pending = 0;
    for (const Attempt& attempt : attempts) pending += attempt.pending ? 1 : 0;
    if (next != nullptr && attempts.size() < kAddressesMax && (pending == 0 || now >= next_at)) {
      attempts.push_back(BeginConnecting(*next));
      next = next->ai_next;
      next_at = now + kNextAddress;
    } else if (pending == 0) {
      break;  // all were tried; `error` tells of the last
    } else {
      auto until =
          next != nullptr && attempts.size() < kAddressesMax ? std::min(deadline, next_at) : deadline;
      std::vector<pollfd> waits{{interrupt_fd, POLLIN, 0}};
      for (const Attempt& attempt : attempts) {
        waits.push_back({attempt.pending ? attempt.fd.get() : -1, POLLOUT, 0});
      }
      const auto left = std::max(std::chrono::ceil<milliseconds>(until - now), milliseconds(0));
      const int ready = poll(waits.data(), waits.size(), static_cast<int>(left.count()));
      if (waits[0].revents != 0) {
        error = ECANCELED;
        break;
      }
      for (size_t i = 0; ready > 0 && i < attempts.size(); ++i) {
        if (waits[i + 1].revents != 0) FinishConnecting(attempts[i]);
      }
      if (ready == 0 && Clock::now() >= deadline) {
        error = ETIMEDOUT;
        break;
      }
    }
    for (Attempt& attempt : attempts) {
      if (attempt.pending || !attempt.fd.valid()) continue;
      if (attempt.error == 0) attempt.error = MakeUsable(attempt.fd.get());
      if (attempt.error == 0) {
        SetConnectionOptions(attempt.fd.get());
        return std::move(attempt.fd);
      }
    }
    for (Attempt& attempt : attempts) {
      if (attempt.pending || attempt.error == 0) continue;
      error = std::exchange(attempt.error, 0);
      attempt.fd.Reset();
    }
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
