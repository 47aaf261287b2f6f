#include "tests/unit/runtime_echo.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

namespace assent::test {

RawPeer::RawPeer(const Address& to) {
  auto connected = ConnectTcp(to, 60'000);
  ASSENT_CHECK(connected.ok(), connected.status().message());
  fd_ = std::move(connected).value();
  const timeval minute{60, 0};
  ASSENT_CHECK(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute)) == 0);
}

void RawPeer::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // closed on us, which is what most of these tests want
    sent += static_cast<size_t>(n);
  }
}

std::string RawPeer::ReadToEnd() {
  std::string all;
  char buffer[4096];
  while (true) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), 0);
    ASSENT_CHECK(n >= 0 || errno == ECONNRESET, "the server did not close the connection", errno);
    if (n <= 0) return all;
    all.append(buffer, static_cast<size_t>(n));
  }
}

std::string Int32(int32_t value) {
  const auto bits = static_cast<uint32_t>(value);
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(bits >> shift & 0xff);
  return bytes;
}

std::string Frame(const std::string& message) {
  return Int32(static_cast<int32_t>(message.size())) + message;
}

std::string Begin(const std::string& method, const std::string& service) {
  const std::string name = service + ":" + method;
  return Int32(static_cast<int32_t>(0x80010001U)) + Int32(static_cast<int32_t>(name.size())) + name +
         Int32(0);
}

}  // namespace assent::test
