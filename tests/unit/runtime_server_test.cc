// The server of Thrift services: ports, seats of clients, operators and peers, memory (G8), the end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/transport/server.h"
#include "tests/unit/runtime_echo.h"

namespace assent::test {
namespace {

constexpr int kNever = 3'600'000;  // ms

// A connection is counted out a moment after its socket was seen to close.
void AwaitConnections(const Server& server, size_t count) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (server.connections() != count) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << server.connections() << " connections";
    std::this_thread::yield();
  }
}

[[maybe_unused]] size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(ServerConnection, CarriesMoreThanTwoHundredMiB) {
  // Thrift's own framed transport dies after 100 MiB of requests in total.
  EchoServer echo;
  Connection<EchoClient> connection(echo.client());
  const std::string payload(1 << 20, 'x');
  for (int i = 0; i < 220; ++i) {
    std::string back;
    const CallStatus called = connection.Call([&](EchoClient& client) { client.echo(back, payload); });
    ASSERT_TRUE(called.ok()) << i << ": " << called.status.ToString();
    ASSERT_EQ(back.size(), payload.size());
  }
  EXPECT_EQ(echo.server->connections(), 1U);
}

TEST(ServerListen, PortInUseSaysWhatToDo) {
  EchoServer echo;
  const auto second =
      Server::Start({.listen = echo.server->address()}, std::make_shared<EchoProcessor>(echo.handler));
  ASSERT_FALSE(second.ok());
  const std::string port = std::to_string(echo.server->port());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("127.0.0.1:" + port), std::string::npos)
      << second.status().message();
  EXPECT_NE(second.status().message().find("port " + port + " is in use; choose another with listen="),
            std::string::npos);
}

TEST(ServerListen, AddressOfAnotherMachineAndUnknownHostAreInvalid) {
  const auto processor = std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>());
  for (const char* host : {"192.0.2.1", "", "no such host"}) {
    const auto started = Server::Start({.listen = {host, 0}}, processor);
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.status().code(), StatusCode::kInvalid) << started.status().message();
  }
}

TEST(ServerListen, PortIsFreeAgainAfterStop) {
  EchoServer first;
  ASSERT_TRUE(Answers(first));
  const Address address = first.server->address();
  first.server->Stop();
  EchoServer second({.listen = address});
  EXPECT_EQ(second.server->port(), address.port);
  EXPECT_TRUE(Answers(second));
}

// A connection over which a call was answered, and which idles now.
std::unique_ptr<Connection<EchoClient>> Served(const EchoServer& echo, const std::string& service = "Echo") {
  auto connection = std::make_unique<Connection<EchoClient>>(echo.client(service));
  int32_t sum = 0;
  EXPECT_TRUE(connection->Call([&](EchoClient& client) { sum = client.add(1, 2); }).ok()) << service;
  return connection;
}

// It gets an answer over the connection that it has, and not over a new one.
bool StillServed(Connection<EchoClient>& connection) {
  int32_t sum = 0;
  return connection.Half([&](EchoClient& client) { sum = client.add(1, 2); }).ok();
}

TEST(ServerSeats, CrowdOfClientsKeepsNeitherPeersNorOperatorsOut) {
  EchoServer echo({.connections_max = 2, .operators_max = 1, .peers_max = 1, .evict_idle_ms = kNever});
  const auto first = Served(echo), second = Served(echo);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(Answers(echo)) << "no seat for another client";
  EXPECT_EQ(echo.server->refused(), 5U);
  const auto peer = Served(echo, "PeerEcho");
  const auto whoever = Served(echo, "OperatorEcho");
  EXPECT_TRUE(StillServed(*first) && StillServed(*second) && StillServed(*peer) && StillServed(*whoever));
  EXPECT_EQ(echo.server->connections(Seat::kClient), 2U);

  first->Close();  // and room is made again
  AwaitConnections(*echo.server, 3);
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerSeats, CrowdThatSaysNothingKeepsNobodyOut) {
  EchoServer echo({.connections_max = 1, .unclaimed_max = 2, .claim_timeout_ms = kNever});
  std::list<RawPeer> crowd;
  for (int i = 0; i < 50; ++i) crowd.emplace_back(echo.server->address());
  while (!Answers(echo)) {  // a few come in each moment
  }
  EXPECT_EQ(crowd.front().ReadToEnd(), "") << "it came first, and had longest to speak";
  EXPECT_LE(echo.server->connections(Seat::kUnclaimed), 2U);
}

TEST(ServerSeats, ConnectionThatNamesNoServiceIsClosedInTime) {
  EchoServer echo({.claim_timeout_ms = 10});
  RawPeer silent(echo.server->address());
  EXPECT_EQ(silent.ReadToEnd(), "");
  RawPeer slow(echo.server->address());
  slow.Send(Frame(Begin("add")).substr(0, 14));  // within the name
  EXPECT_EQ(slow.ReadToEnd(), "");
  EXPECT_EQ(echo.server->evicted(), 2U);
}

TEST(ServerSeats, IdlestClientMakesRoomForANewOne) {
  EchoServer echo({.connections_max = 2, .evict_idle_ms = 0});
  const auto first = Served(echo), second = Served(echo);
  // A client has its answer a moment before its connection counts as idle.
  const auto await_idle = [&] {
    while (echo.server->idle() != 2) std::this_thread::yield();
  };
  await_idle();
  EXPECT_TRUE(StillServed(*first));  // so the second idles longer
  await_idle();
  const auto third = Served(echo);
  EXPECT_TRUE(StillServed(*first));
  EXPECT_FALSE(StillServed(*second));
  EXPECT_TRUE(StillServed(*third));
}

TEST(ServerSeats, BusyClientMakesRoomForNobody) {
  EchoServer echo({.connections_max = 1, .evict_idle_ms = 0});
  echo.handler->Hold();
  Connection<EchoClient> busy(echo.client());
  int32_t held = 0;
  std::thread caller([&] { (void)busy.Call([&](EchoClient& client) { held = client.held(7); }); });
  echo.handler->AwaitInside(1);
  EXPECT_FALSE(Answers(echo));
  echo.handler->Release();
  caller.join();
  EXPECT_EQ(held, 7);
}

TEST(ServerSeats, ConnectionMovesWithTheServiceThatItNames) {
  EchoServer echo({.peers_max = 1, .evict_idle_ms = kNever});
  const auto peer = Served(echo, "PeerEcho");
  RawPeer changing(echo.server->address());
  changing.Send(Frame(Begin("add") + '\0') + Frame(Begin("add", "PeerEcho") + '\0'));
  EXPECT_NE(changing.ReadToEnd(), "") << "the first was answered, for the second there was no seat";
  EXPECT_TRUE(StillServed(*peer));
}

TEST(ServerLimits, MessageThatDoesNotEndIsNotWaitedFor) {
  EchoServer echo({.claim_timeout_ms = 100, .frame_timeout_ms = 10});
  RawPeer peer(echo.server->address());
  const std::string frame = Frame(Begin("echo") + std::string(1000, 'x'));
  peer.Send(frame.substr(0, 500));
  EXPECT_EQ(peer.ReadToEnd(), "");
}

// G8: what clients send in large pieces takes no more than the budget, however many they are; and who sends
// little, or is no client, does not wait for them.
TEST(ServerLimits, MemoryOfMessagesIsShared) {
  EchoServer echo({.receiving_bytes_max = 1 << 20});
  const std::string large = Frame(Begin("echo") + std::string(600 << 10, 'x'));
  auto half_sent = std::make_unique<RawPeer>(echo.server->address());
  half_sent->Send(large.substr(0, large.size() - 1));
  while (echo.server->receiving_bytes() == 0) std::this_thread::yield();

  std::string back;
  std::atomic<bool> echoed{false};
  std::thread waiting([&] {
    Connection<EchoClient> connection(echo.client());
    EXPECT_TRUE(connection.Call([&](EchoClient& c) { c.echo(back, std::string(600 << 10, 'y')); }).ok());
    echoed = true;
  });
  EXPECT_TRUE(Answers(echo));
  Connection<EchoClient> peer(echo.client("PeerEcho"));
  std::string peers;
  EXPECT_TRUE(peer.Call([&](EchoClient& c) { c.echo(peers, std::string(600 << 10, 'z')); }).ok());
  EXPECT_FALSE(echoed);
  half_sent.reset();
  waiting.join();
  EXPECT_EQ(back.size(), 600U << 10);
  while (echo.server->receiving_bytes() != 0) std::this_thread::yield();
}

TEST(ServerLimits, MemoryThatIsNotThereInTimeEndsTheConnectionOnly) {
  EchoServer echo({.frame_timeout_ms = 50, .receiving_bytes_max = 1 << 20, .serving_bytes_max = 8'000});
  echo.handler->Hold();
  Connection<EchoClient> first(echo.client());
  int32_t held = 0;
  std::thread caller([&] { (void)first.Call([&](EchoClient& client) { held = client.held(7); }); });
  echo.handler->AwaitInside(1);
  std::string back;
  Connection<EchoClient> second(echo.client());
  EXPECT_FALSE(second.Call([&](EchoClient& c) { c.echo(back, "xxxxxx"); }).ok());
  echo.handler->Release();
  caller.join();
  EXPECT_EQ(held, 7);
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerLimits, DecodedSizeFollowsFromTheShortestStructs) {
  EXPECT_EQ(DecodedBytesMax(kRequestLimits, 80), 80 + 10 * 192U);
  EXPECT_LT(DecodedBytesMax(kRequestLimits, 2 << 20), 10U << 20);
}

TEST(ServerLimits, GarbageEndsItsConnectionOnly) {
  EchoServer echo;
  Connection<EchoClient> bystander(echo.client());
  ASSERT_TRUE(bystander.Open().ok());
  std::minstd_rand random(1);
  [[maybe_unused]] const size_t before = ResidentBytes();
  const auto noise = [&](size_t bytes) {
    std::string text(bytes, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  std::vector<std::string> inputs = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                     Int32(0x7fffffff),
                                     Int32(-1),
                                     Int32(0),
                                     Frame(Begin("add")),
                                     Frame("Echo:add")};
  for (size_t i = 0; i < 200; ++i) inputs.push_back(noise(1 + i * 20));
  for (size_t i = 1; i < 200; ++i) inputs.push_back(Frame(noise(i * 20)));
  for (size_t i = 0; i < 200; ++i) inputs.push_back(Frame(Begin("depth") + noise(i * 20)));
  for (const std::string& input : inputs) {
    RawPeer peer(echo.server->address());
    // A valid but incomplete beginning must not be waited for: the length that ends all of them.
    peer.Send(input + Int32(-1));
    peer.Send(Int32(-1));
    int32_t sum = 0;
    ASSERT_TRUE(bystander.Call([&](EchoClient& client) { sum = client.add(1, 2); }).ok());
    ASSERT_EQ(sum, 3);
  }
  AwaitConnections(*echo.server, 1);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which hold memory of their own
  EXPECT_LT(ResidentBytes(), before + (64U << 20));
#endif
}

TEST(ServerLimits, UnknownServiceAndMethodAreAnsweredAsForeign) {
  EchoServer echo;
  ConnectionOptions options = echo.client();
  options.service = "Nobody";
  Connection<EchoClient> stranger(options);
  const CallStatus called = stranger.Call([](EchoClient& client) { client.add(1, 2); });
  EXPECT_EQ(called.status.code(), StatusCode::kForeign) << called.status.ToString();
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerLimits, ServicesOfOnePortHaveTheirOwn) {
  EchoServer echo;
  ConnectionOptions options = echo.client();
  options.service = "SmallEcho";
  Connection<EchoClient> small(options);
  std::string back;
  const auto echoed = [&](size_t bytes) {
    return small.Call([&](EchoClient& client) { client.echo(back, std::string(bytes, 'x')); });
  };
  EXPECT_TRUE(echoed(EchoServer::kSmallFrame - 100).ok());
  EXPECT_EQ(echoed(EchoServer::kSmallFrame).status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(echoed(1).ok());
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerLimits, OversizeReplyEndsItsConnectionOnly) {
  EchoServer echo({.limits = kClientLimits});
  Connection<EchoClient> connection(echo.client());
  std::string result;
  const CallStatus called = connection.Call([&](EchoClient& client) { client.make(result, 3 << 20); });
  EXPECT_EQ(called.status.code(), StatusCode::kUnavailable) << called.status.ToString();
  EXPECT_TRUE(called.maybe_executed);
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerLimits, HandlerExceptionsDoNotEndTheProcess) {
  EchoServer echo;
  for (const int how : {1, 2, 3}) {
    Connection<EchoClient> connection(echo.client());
    const CallStatus called = connection.Call([&](EchoClient& client) { client.fail(how); });
    EXPECT_FALSE(called.ok());
    EXPECT_TRUE(called.maybe_executed);
    EXPECT_FALSE(connection.open());
  }
  EXPECT_TRUE(Answers(echo));
}

TEST(ServerLimits, SurvivesTheEndOfDescriptors) {
  EchoServer echo;
  rlimit normal{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &normal), 0);
  // Connected, and waiting in the backlog while the server has no descriptor to accept it with.
  auto waiting = std::make_unique<Connection<EchoClient>>(echo.client());
  {
    std::vector<OwnedFd> taken;
    rlimit low = normal;
    low.rlim_cur = 64;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (true) {
      OwnedFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) break;
      taken.push_back(std::move(fd));
    }
    taken.pop_back();  // one for this side of the connection
    ASSERT_TRUE(waiting->Open().ok());
    while (echo.server->starved() == 0) std::this_thread::yield();
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &normal), 0);
  int32_t sum = 0;
  EXPECT_TRUE(waiting->Call([&](EchoClient& client) { sum = client.add(1, 2); }).ok());
  EXPECT_EQ(sum, 3);
}

TEST(ServerLimits, IdleConnectionIsClosed) {
  EchoServer echo({.idle_timeout_ms = 1});
  RawPeer peer(echo.server->address());
  peer.Send(Frame(Begin("add") + '\0'));
  EXPECT_NE(peer.ReadToEnd(), "");
}

TEST(ServerStop, EndsIdleHalfSentAndBusyConnections) {
  EchoServer echo({.claim_timeout_ms = kNever});
  std::list<RawPeer> idle;
  for (int i = 0; i < 20; ++i) idle.emplace_back(echo.server->address());
  for (RawPeer& peer : idle) peer.Send(Int32(1000).substr(0, 3));
  AwaitConnections(*echo.server, 20);
  Connection<EchoClient> busy(echo.client());
  std::thread caller([&] {
    for (int32_t sum = 0; busy.Call([&](EchoClient& client) { sum = client.add(1, sum); }).ok();) {
    }
  });
  AwaitConnections(*echo.server, 21);
  echo.server->Stop();
  caller.join();
  EXPECT_EQ(echo.server->connections(), 0U);
  for (RawPeer& peer : idle) EXPECT_EQ(peer.ReadToEnd(), "");
  EXPECT_FALSE(Answers(echo));
  echo.server->Stop();  // again
}

TEST(ServerStop, EndsConnectionWhosePeerDoesNotRead) {
  EchoServer echo;
  RawPeer peer(echo.server->address());
  // More answers than the sockets' buffers hold: the server's thread is stuck in send().
  std::thread sender([&] {
    const std::string call = Frame(Begin("make") + std::string("\x08\0\x01", 3) + Int32(1 << 20) + '\0');
    for (int i = 0; i < 64; ++i) peer.Send(call);
  });
  sender.join();
  AwaitConnections(*echo.server, 1);
  echo.server->Stop();
  EXPECT_EQ(echo.server->connections(), 0U);
}

TEST(ServerStop, RacesWithComingAndGoingConnections) {
  for (int round = 0; round < 20; ++round) {
    EchoServer echo;
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        while (Answers(echo)) {
        }
      });
    }
    ASSERT_TRUE(Answers(echo));
    echo.server->Stop();
    for (std::thread& caller : callers) caller.join();
  }
}

}  // namespace
}  // namespace assent::test
