// Connections of Thrift clients: whether a failed call may have run, reuse, interruption, several addresses
// of a host.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "runtime/transport/client.h"
#include "tests/unit/runtime_echo.h"

// A host of two addresses, of which tests make one that does not answer.
constexpr const char* kTwoFaces = "two-faces.test";

// In place of the system's, for this program.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  if (node == nullptr || std::string_view(node) != kTwoFaces) {
    static const auto next = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return next(node, service, hints, found);
  }
  addrinfo** end = found;
  for (const char* address : {"127.0.0.2", "127.0.0.1"}) {
    // One block each, as freeaddrinfo() wants it.
    auto* block = static_cast<char*>(calloc(1, sizeof(addrinfo) + sizeof(sockaddr_in)));
    auto* entry = reinterpret_cast<addrinfo*>(block);
    auto* to = reinterpret_cast<sockaddr_in*>(block + sizeof(addrinfo));
    to->sin_family = AF_INET;
    to->sin_port = htons(static_cast<uint16_t>(std::stoi(service)));
    inet_pton(AF_INET, address, &to->sin_addr);
    entry->ai_family = AF_INET;
    entry->ai_socktype = SOCK_STREAM;
    entry->ai_addrlen = sizeof(sockaddr_in);
    entry->ai_addr = reinterpret_cast<sockaddr*>(to);
    *end = entry;
    end = &entry->ai_next;
  }
  return 0;
}

namespace assent::test {
namespace {

// A listener that never accepts: connects succeed, nothing is ever answered.
struct Silence {
  Silence() {
    auto listening = ListenTcp({"127.0.0.1", 0});
    ASSENT_CHECK(listening.ok());
    fd = std::move(listening->first);
    address = {"127.0.0.1", listening->second};
  }
  OwnedFd fd;
  Address address;
};

TEST(ConnectionFailure, TimedOutCallNeverGivesItsAnswerToTheNext) {
  EchoServer echo;
  echo.handler->Hold();
  ConnectionOptions options = echo.client();
  options.recv_timeout_ms = 1;
  Connection<EchoClient> connection(options);
  const CallStatus late = connection.Call([](EchoClient& client) { client.held(111); });
  EXPECT_EQ(late.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(late.maybe_executed);
  EXPECT_FALSE(connection.open());

  echo.handler->AwaitInside(1);
  echo.handler->Release();  // the late answer is written now, to whoever reads it
  echo.handler->AwaitInside(0);
  connection.set_recv_timeout_ms(60'000);
  int32_t answer = 0;
  const CallStatus next = connection.Call([&](EchoClient& client) { answer = client.held(222); });
  EXPECT_TRUE(next.ok()) << next.status.ToString();
  EXPECT_EQ(answer, 222);
}

TEST(ConnectionFailure, AnswerThatNobodyAskedForIsNotTakenForTheNext) {
  EchoServer echo;
  Connection<EchoClient> connection(echo.client());
  // Half a call by mistake; its answer is on the way when the next call begins.
  ASSERT_TRUE(connection.Call([](EchoClient& client) { client.send_add(1, 1); }).ok());
  char byte = 0;
  ASSERT_EQ(recv(connection.fd(), &byte, 1, MSG_PEEK), 1);
  int32_t sum = 0;
  EXPECT_TRUE(connection.Call([&](EchoClient& client) { sum = client.add(20, 22); }).ok());
  EXPECT_EQ(sum, 42);
}

TEST(ConnectionFailure, RefusedConnectSurelyDidNotRun) {
  Address nobody;
  {
    Silence gone;
    nobody = gone.address;
  }
  Connection<EchoClient> connection({.peer = nobody, .service = "Echo"});
  const CallStatus called = connection.Call([](EchoClient& client) { client.add(1, 2); });
  EXPECT_EQ(called.status.code(), StatusCode::kUnavailable);
  EXPECT_FALSE(called.maybe_executed);
  EXPECT_NE(called.status.message().find(ToString(nobody)), std::string::npos) << called.status.message();
  EXPECT_NE(called.status.message().find("refused"), std::string::npos) << called.status.message();
}

TEST(ConnectionFailure, UnknownHostIsInvalid) {
  Connection<EchoClient> connection({.peer = {"no such host", 1}, .service = "Echo"});
  const CallStatus called = connection.Call([](EchoClient& client) { client.add(1, 2); });
  EXPECT_EQ(called.status.code(), StatusCode::kInvalid);
  EXPECT_FALSE(called.maybe_executed);
}

TEST(ConnectionFailure, SilenceAndResetMayHaveRun) {
  Silence silence;
  Connection<EchoClient> connection({.peer = silence.address, .service = "Echo", .recv_timeout_ms = 1});
  const CallStatus silent = connection.Call([](EchoClient& client) { client.add(1, 2); });
  EXPECT_EQ(silent.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(silent.maybe_executed);

  connection.set_recv_timeout_ms(60'000);
  std::thread closer([&] {
    // The first connection, closed since, and then the one of the call below.
    for (int i = 0; i < 2;) {
      OwnedFd accepted(accept(silence.fd.get(), nullptr, nullptr));
      char byte = 0;
      if (accepted.valid() && recv(accepted.get(), &byte, 1, 0) >= 0) ++i;
    }
  });
  const CallStatus reset = connection.Call([](EchoClient& client) { client.add(1, 2); });
  closer.join();
  EXPECT_EQ(reset.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(reset.maybe_executed);
  EXPECT_NE(reset.status.message().find(ToString(silence.address)), std::string::npos);
}

TEST(ConnectionFailure, OversizeRequestIsInvalidSurelyNotSentAndHarmless) {
  EchoServer echo;
  Connection<EchoClient> connection(echo.client());
  ASSERT_TRUE(connection.Open().ok());
  const int fd = connection.fd();
  std::string back;
  const CallStatus called =
      connection.Call([&](EchoClient& client) { client.echo(back, std::string(5 << 20, 'x')); });
  EXPECT_EQ(called.status.code(), StatusCode::kInvalid);
  EXPECT_FALSE(called.maybe_executed);
  int32_t sum = 0;
  EXPECT_TRUE(connection.Call([&](EchoClient& client) { sum = client.add(1, 2); }).ok());
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(connection.fd(), fd);
}

TEST(ConnectionFailure, OversizeAnswerIsInvalidAndMayHaveRun) {
  EchoServer echo;
  ConnectionOptions options = echo.client();
  options.limits = kClientLimits;
  Connection<EchoClient> connection(options);
  std::string result;
  for (const int bytes : {3 << 20, (1 << 20) + 1}) {  // the frame's limit, and the string's
    const CallStatus called = connection.Call([&](EchoClient& client) { client.make(result, bytes); });
    EXPECT_EQ(called.status.code(), StatusCode::kInvalid) << called.status.ToString();
    EXPECT_TRUE(called.maybe_executed);
    EXPECT_FALSE(connection.open());
  }
}

TEST(ConnectionFailure, HostileServerIsUnavailableOrInvalid) {
  Silence silence;
  for (const std::string& answer :
       {Int32(0x7fffffff), Int32(-1), std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), Frame("x"),
        Frame(Int32(static_cast<int32_t>(0x80010002U)) + Int32(1 << 30))}) {
    std::thread server([&] {
      OwnedFd accepted;
      while (!accepted.valid()) accepted = OwnedFd(accept(silence.fd.get(), nullptr, nullptr));
      ASSERT_EQ(send(accepted.get(), answer.data(), answer.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(answer.size()));
      shutdown(accepted.get(), SHUT_WR);
      char sink[256];
      while (recv(accepted.get(), sink, sizeof(sink), 0) > 0) {
      }
    });
    Connection<EchoClient> connection(
        {.peer = silence.address, .service = "Echo", .recv_timeout_ms = 60'000});
    const CallStatus called = connection.Call([](EchoClient& client) { client.add(1, 2); });
    EXPECT_TRUE(called.status.code() == StatusCode::kUnavailable ||
                called.status.code() == StatusCode::kInvalid)
        << called.status.ToString();
    EXPECT_FALSE(connection.open());
    server.join();
  }
}

TEST(ConnectionReuse, RestartedServerIsReachedWithoutDoubt) {
  // The old connection is dead, but a send into it would still succeed: the call must not end
  // as "may have run".
  auto first = std::make_unique<EchoServer>();
  Connection<EchoClient> connection(first->client());
  ASSERT_TRUE(connection.Call([](EchoClient& client) { client.add(1, 2); }).ok());
  const Address address = first->server->address();
  first.reset();
  EchoServer second({.listen = address});
  int32_t sum = 0;
  const CallStatus called = connection.Call([&](EchoClient& client) { sum = client.add(20, 22); });
  EXPECT_TRUE(called.ok()) << called.status.ToString();
  EXPECT_EQ(sum, 42);
}

TEST(ConnectionReuse, OtherExceptionsCloseAndPass) {
  EchoServer echo;
  Connection<EchoClient> connection(echo.client());
  EXPECT_THROW((void)connection.Call([](EchoClient& client) {
    client.send_add(1, 2);
    throw std::runtime_error("mine");
  }),
               std::runtime_error);
  EXPECT_FALSE(connection.open());
}

TEST(ConnectionInterrupt, EndsCallInProgressAndAllLater) {
  EchoServer echo;
  echo.handler->Hold();
  Connection<EchoClient> connection(echo.client());
  CallStatus called;
  std::thread caller([&] { called = connection.Call([](EchoClient& client) { client.held(1); }); });
  echo.handler->AwaitInside(1);
  connection.Interrupt();
  caller.join();
  EXPECT_EQ(called.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(called.maybe_executed);
  EXPECT_FALSE(connection.Call([](EchoClient& client) { client.add(1, 2); }).maybe_executed);
}

// Listens, with a full backlog: the handshake of the next connect hangs, as to an address that is dead.
struct DeadAddress {
  explicit DeadAddress(const Address& at) {
    auto listening = ListenTcp(at);
    EXPECT_TRUE(listening.ok()) << listening.status().ToString();
    listener = std::move(listening->first);
    EXPECT_EQ(listen(listener.get(), 0), 0);
    address = {at.host, listening->second};
    while (true) {
      auto connected = ConnectTcp(address, 50);
      if (!connected.ok()) break;
      filling.push_back(std::move(connected).value());
    }
  }
  OwnedFd listener;
  Address address;
  std::vector<OwnedFd> filling;
};

TEST(ConnectionInterrupt, EndsConnectInProgress) {
  DeadAddress dead({"127.0.0.1", 0});
  Connection<EchoClient> connection(
      {.peer = dead.address, .service = "Echo", .connect_timeout_ms = 3'600'000});
  Status opened;
  std::thread opener([&] { opened = connection.Open(); });
  connection.Interrupt();
  opener.join();
  EXPECT_EQ(opened.code(), StatusCode::kUnavailable);
}

// A name for an IPv6 address that leads nowhere and an IPv4 one that lives, say.
TEST(ConnectionAddresses, DeadOneDoesNotKeepFromTheNext) {
  EchoServer echo;
  DeadAddress dead({"127.0.0.2", echo.server->port()});
  Connection<EchoClient> connection(
      {.peer = {kTwoFaces, echo.server->port()}, .service = "Echo", .connect_timeout_ms = 3'600'000});
  int32_t sum = 0;
  EXPECT_TRUE(connection.Call([&](EchoClient& client) { sum = client.add(1, 2); }).ok());
  EXPECT_EQ(sum, 3);
}

TEST(ConnectionAddresses, AllThatAreDeadTakeNoLongerThanAllowed) {
  DeadAddress dead({"127.0.0.2", 0});
  DeadAddress other({"127.0.0.1", dead.address.port});
  const auto connected = ConnectTcp({kTwoFaces, dead.address.port}, 300);
  ASSERT_FALSE(connected.ok());
  EXPECT_NE(connected.status().message().find("no answer within 300 ms"), std::string::npos)
      << connected.status().message();
}

TEST(AddressText, ParsesWhatItPrints) {
  for (const Address& address :
       {Address{"127.0.0.1", 7401}, Address{"db-1.example", 1}, Address{"::1", 65535}}) {
    const auto parsed = ParseAddress(ToString(address));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, address);
  }
  for (const char* bad : {"", ":", "host", "host:", ":1", "host:0", "host:65536", "host:-1", "host:1x",
                          "::1:1", "[::1]", "[x]:1", "[]:1", "a b:1", "[::1:1"}) {
    EXPECT_FALSE(ParseAddress(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace assent::test
