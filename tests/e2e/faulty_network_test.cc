// The proxy of the partition tests does what it says: what is cut is silent and not closed, one
// way alone too.
#include "tests/e2e/faulty_network.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

namespace assent::e2e {
namespace {

constexpr int kSoonMs = 30'000;  // generous
const std::string kPeerGreeting = "....Peer:deliver, and what a frame holds beside it";
const std::string kClientGreeting = "....TransactionManager:execute, and what a frame holds beside it";

// Reads `size` bytes, or what came before the end.
std::string Receive(int fd, size_t size) {
  std::string got;
  char byte = 0;
  pollfd waited{fd, POLLIN, 0};
  while (got.size() < size && poll(&waited, 1, kSoonMs) == 1 && recv(fd, &byte, 1, 0) == 1) got += byte;
  return got;
}
void Send(int fd, const std::string& bytes) {
  ASSERT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}
bool IsSilent(int fd) {
  pollfd waited{fd, POLLIN, 0};
  return poll(&waited, 1, 50) ==
         0;  // what was passed on would be here by now; if it is late, nothing is flagged
}

class FaultyNetworkLinks : public testing::Test {
 protected:
  void SetUp() override {
    auto listening = ListenTcp({"127.0.0.1", 0});
    ASSERT_TRUE(listening.ok());
    listener_ = std::move(listening->first);
    target_ = {"127.0.0.1", listening->second};
    route_ = network_.Route(1, 2, target_);
  }
  OwnedFd Dial() {
    auto fd = ConnectTcp(route_, kSoonMs);
    EXPECT_TRUE(fd.ok()) << fd.status().ToString();
    return std::move(fd).value();
  }
  OwnedFd Accept() {
    pollfd waited{listener_.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waited, 1, kSoonMs), 1);
    return OwnedFd(accept(listener_.get(), nullptr, nullptr));
  }
  // A connection over which both sides have said something.
  std::pair<OwnedFd, OwnedFd> Connected(const std::string& greeting) {
    OwnedFd dialer = Dial();
    Send(dialer.get(), greeting);
    OwnedFd target = Accept();
    EXPECT_EQ(Receive(target.get(), greeting.size()), greeting);
    Send(target.get(), "hello");
    EXPECT_EQ(Receive(dialer.get(), 5), "hello");
    return {std::move(dialer), std::move(target)};
  }

  OwnedFd listener_;
  Address target_, route_;
  FaultyNetwork network_;
};

TEST_F(FaultyNetworkLinks, OneWayIsCutAndTheOtherIsNot) {
  auto [dialer, target] = Connected(kPeerGreeting);
  network_.Cut(1, 2);
  Send(dialer.get(), "held");
  Send(target.get(), "passed");
  EXPECT_EQ(Receive(dialer.get(), 6), "passed");
  EXPECT_TRUE(IsSilent(target.get()));
  network_.Heal(2, FaultyNetwork::Held::kArrivesLate);
  EXPECT_EQ(Receive(target.get(), 4), "held");
  EXPECT_EQ(network_.held_connections(), 1U);
}

TEST_F(FaultyNetworkLinks, WhatWasHeldCanBeLost) {
  auto [dialer, target] = Connected(kPeerGreeting);
  network_.Cut(2, 1);
  Send(target.get(), "held");
  EXPECT_TRUE(IsSilent(dialer.get()));
  network_.Heal(2, FaultyNetwork::Held::kIsLost);
  EXPECT_EQ(Receive(dialer.get(), 4), "");
  EXPECT_EQ(Receive(target.get(), 4), "");
}

TEST_F(FaultyNetworkLinks, EndsOfProcessesAreHeldToo) {
  auto [dialer, target] = Connected(kPeerGreeting);
  network_.Cut(1, 2);
  network_.Cut(2, 1);
  Send(dialer.get(), "last words");
  dialer = OwnedFd();
  EXPECT_TRUE(IsSilent(target.get()));
  network_.Heal(2, FaultyNetwork::Held::kArrivesLate);
  EXPECT_EQ(Receive(target.get(), 11), "last words");
}

TEST_F(FaultyNetworkLinks, NoNewConnectionOverALinkThatIsCutOneWay) {
  network_.Cut(2, 1);
  OwnedFd dialer = Dial();
  Send(dialer.get(), kPeerGreeting);
  EXPECT_TRUE(IsSilent(listener_.get()));
  network_.Heal(2, FaultyNetwork::Held::kArrivesLate);
  const OwnedFd target = Accept();
  EXPECT_EQ(Receive(target.get(), kPeerGreeting.size()), kPeerGreeting);
}

TEST_F(FaultyNetworkLinks, ClientsAreCutByThemselves) {
  auto [peer, peer_target] = Connected(kPeerGreeting);
  auto [client, client_target] = Connected(kClientGreeting);
  network_.Cut(FaultyNetwork::kClients, 2);
  Send(peer.get(), "passed");
  Send(client.get(), "held");
  EXPECT_EQ(Receive(peer_target.get(), 6), "passed");
  EXPECT_TRUE(IsSilent(client_target.get()));
  network_.Heal(2, FaultyNetwork::Held::kArrivesLate);
  EXPECT_EQ(Receive(client_target.get(), 4), "held");
}

TEST_F(FaultyNetworkLinks, NobodyAtTheOtherEndIsToldAtOnce) {
  listener_ = OwnedFd();
  OwnedFd dialer = Dial();
  Send(dialer.get(), kPeerGreeting);
  EXPECT_EQ(Receive(dialer.get(), 1), "");
}

}  // namespace
}  // namespace assent::e2e
