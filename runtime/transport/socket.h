#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "common/status.h"
#include "runtime/transport/address.h"

// TCP sockets as Assent wants them: errors as Status that name the address, close-on-exec,
// no delay, keepalive.
namespace assent {

class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  ~OwnedFd() { Reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// A listening socket, not blocking, and the port it got.
Result<std::pair<OwnedFd, uint16_t>> ListenTcp(const Address& address);

// A connected, blocking socket. `interrupt_fd` (-1: none) becoming readable ends the attempt. kUnavailable.
Result<OwnedFd> ConnectTcp(const Address& address, int timeout_ms, int interrupt_fd = -1);

// An eventfd, not blocking, and its two uses. Not valid() when no descriptor is left:
// NoDescriptors() says so.
OwnedFd MakeEventFd();
Status NoDescriptors();
void SignalEventFd(int fd);
void ClearEventFd(int fd);

void SetConnectionOptions(int fd);  // no delay; keepalive: a dead peer is noticed in about a minute

}  // namespace assent
