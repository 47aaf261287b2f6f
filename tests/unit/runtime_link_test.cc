// Links to other nodes: order, batches, bounds, losses, the end.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "runtime/transport/link.h"
#include "tests/unit/runtime_echo.h"

namespace assent::test {
namespace {

using Link = PipelinedLink<EchoClient, int64_t>;

// Delivers numbers; each counts as `padding` bytes on the wire as well.
std::unique_ptr<Link> MakeLink(const ConnectionOptions& connection, LinkOptions options = {},
                               size_t padding = 0) {
  return std::make_unique<Link>(
      connection, options,
      [padding](EchoClient& client, std::vector<int64_t>& batch) {
        client.send_deliver(batch, std::string(padding * batch.size(), 'x'));
      },
      [](EchoClient& client) { client.recv_deliver(); });
}

LinkOptions Quick() {
  return {.backoff_min_ms = 1, .backoff_max_ms = 4};
}

template <class Predicate>
LinkState AwaitState(const Link& link, Predicate predicate) {
  while (true) {
    LinkState state = link.state();
    if (predicate(state)) return state;
    std::this_thread::yield();
  }
}

TEST(LinkOrder, ItemsArriveOnceAndInOrder) {
  EchoServer echo;
  auto link = MakeLink(echo.client());
  constexpr int64_t kItems = 50'000;
  for (int64_t i = 0; i < kItems; ++i) {
    while (!link->Post(i, 8)) std::this_thread::yield();
  }
  echo.handler->AwaitDelivered([](const auto& all) { return all.size() >= kItems; });
  const auto delivered = echo.handler->delivered();
  ASSERT_EQ(delivered.size(), static_cast<size_t>(kItems));
  EXPECT_TRUE(std::is_sorted(delivered.begin(), delivered.end()));
  const LinkState state = AwaitState(
      *link, [&](const LinkState& s) { return s.answered_batches == echo.handler->batches().size(); });
  EXPECT_EQ(state.sent_items, static_cast<uint64_t>(kItems));
  EXPECT_EQ(state.connects, 1U);
  EXPECT_EQ(state.queued_items, 0U);
  EXPECT_EQ(state.queued_bytes, 0U);
}

TEST(LinkOrder, WhatGathersIsOneBatchAndTheWindowIsPipelined) {
  EchoServer echo;
  echo.handler->Hold();  // the server takes in one batch and answers nothing
  LinkOptions options;
  options.window = 3;
  options.reply_timeout_ms = 3'600'000;  // or a link that was not woken would get on by its timeout
  auto link = MakeLink(echo.client(), options);
  // One by one: each is a batch of its own, until the window is full.
  for (int64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(link->Post(i, 8));
    AwaitState(*link, [&](const LinkState& s) { return s.sent_items == static_cast<uint64_t>(i) + 1; });
  }
  for (int64_t i = 3; i < 1'000; ++i) ASSERT_TRUE(link->Post(i, 8));
  EXPECT_EQ(link->state().sent_items, 3U);
  EXPECT_EQ(link->state().queued_items, 997U);
  echo.handler->Release();
  echo.handler->AwaitDelivered([](const auto& all) { return all.size() >= 1'000; });
  EXPECT_EQ(echo.handler->batches(), (std::vector<size_t>{1, 1, 1, 997}));
}

TEST(LinkOrder, BatchesKeepToTheirLimits) {
  for (const bool by_bytes : {true, false}) {
    EchoServer echo;
    echo.handler->Hold();
    LinkOptions options;
    options.window = 1;
    if (!by_bytes) options.batch_items_max = 3;
    const size_t item_bytes = by_bytes ? 1 << 20 : 8;  // three fit into the 3 MiB of a batch
    auto link = MakeLink(echo.client(), options, /*padding=*/item_bytes);
    ASSERT_TRUE(link->Post(0, item_bytes));
    AwaitState(*link, [](const LinkState& s) { return s.sent_items == 1; });
    for (int64_t i = 1; i <= 7; ++i) ASSERT_TRUE(link->Post(i, item_bytes));
    echo.handler->Release();
    echo.handler->AwaitDelivered([](const auto& all) { return all.size() == 8; });
    EXPECT_EQ(echo.handler->batches(), (std::vector<size_t>{1, 3, 3, 1}));
  }
}

TEST(LinkLoss, BatchTooLargeIsDroppedAndTheConnectionKept) {
  EchoServer echo;
  auto link = MakeLink(echo.client(), {}, /*padding=*/5 << 20);
  ASSERT_TRUE(link->Post(1, 8));
  const LinkState state = AwaitState(*link, [](const LinkState& s) { return s.dropped_items == 1; });
  EXPECT_TRUE(state.connected);
  EXPECT_EQ(state.connects, 1U);
  EXPECT_NE(state.last_error.find("over the limit"), std::string::npos) << state.last_error;
}

TEST(LinkLoss, QueueIsBoundedInItemsAndBytes) {
  // Nobody listens: everything waits.
  Address nobody;
  {
    auto listening = ListenTcp({"127.0.0.1", 0});
    ASSERT_TRUE(listening.ok());
    nobody = {"127.0.0.1", listening->second};
  }
  const ConnectionOptions connection{.peer = nobody, .service = "Echo"};
  LinkOptions options;
  options.queue_items_max = 100;
  options.queue_bytes_max = 10'000;
  options.stale_ms = 3'600'000;
  auto by_items = MakeLink(connection, options);
  int accepted = 0;
  for (int64_t i = 0; i < 150; ++i) accepted += by_items->Post(i, 1) ? 1 : 0;
  EXPECT_EQ(accepted, 100);
  EXPECT_EQ(by_items->state().dropped_items, 50U);

  auto by_bytes = MakeLink(connection, options);
  accepted = 0;
  for (int64_t i = 0; i < 50; ++i) accepted += by_bytes->Post(i, 1'000) ? 1 : 0;
  EXPECT_EQ(accepted, 10);
  EXPECT_EQ(by_bytes->state().queued_bytes, 10'000U);

  by_bytes->Stop();
  EXPECT_EQ(by_bytes->state().dropped_items, 50U);
  EXPECT_EQ(by_bytes->state().queued_items, 0U);
  EXPECT_FALSE(by_bytes->Post(1, 1));
}

TEST(LinkLoss, UnreachableForLongDropsTheQueue) {
  Address nobody;
  {
    auto listening = ListenTcp({"127.0.0.1", 0});
    ASSERT_TRUE(listening.ok());
    nobody = {"127.0.0.1", listening->second};
  }
  LinkOptions options = Quick();
  options.stale_ms = 20;
  auto link = MakeLink({.peer = nobody, .service = "Echo"}, options);
  for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(link->Post(i, 8));
  const LinkState state = AwaitState(*link, [](const LinkState& s) { return s.dropped_items == 10; });
  EXPECT_FALSE(state.connected);
  EXPECT_NE(state.last_error.find(ToString(nobody)), std::string::npos) << state.last_error;
}

TEST(LinkLoss, ReconnectsAfterServerRestart) {
  auto first = std::make_unique<EchoServer>();
  const ConnectionOptions connection = first->client();
  auto link = MakeLink(connection, Quick());
  ASSERT_TRUE(link->Post(1, 8));
  first->handler->AwaitDelivered([](const auto& all) { return all == std::vector<int64_t>{1}; });
  first.reset();
  AwaitState(*link, [](const LinkState& s) { return !s.connected; });
  ASSERT_TRUE(link->Post(2, 8));  // waits for the peer to come back

  EchoServer second({.listen = connection.peer});
  second.handler->AwaitDelivered([](const auto& all) { return all == std::vector<int64_t>{2}; });
  AwaitState(*link, [](const LinkState& s) { return s.connected && s.connects == 2; });
}

TEST(LinkLoss, UnansweredBatchesAreCountedAndNotSentAgain) {
  EchoServer echo;
  echo.handler->Hold();
  LinkOptions options = Quick();
  options.reply_timeout_ms = 1;
  auto link = MakeLink(echo.client(), options);
  ASSERT_TRUE(link->Post(1, 8));
  AwaitState(*link, [](const LinkState& s) { return s.dropped_items == 1 && s.connects >= 2; });
  echo.handler->Release();
  link->Stop();
  EXPECT_LE(echo.handler->delivered().size(), 1U);
}

TEST(LinkLoss, PeerThatClosesAtOnceIsNotTriedWithoutPause) {
  EchoServer echo({.unclaimed_max = 0});
  LinkOptions options;
  options.backoff_min_ms = options.backoff_max_ms = 3'600'000;
  auto link = MakeLink(echo.client(), options);
  AwaitState(*link, [](const LinkState& s) { return s.connects == 1 && !s.connected; });
  ASSERT_TRUE(link->Post(1, 8));
  for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
  EXPECT_EQ(echo.server->evicted(), 1U);

  auto growing = MakeLink(echo.client(), Quick());
  AwaitState(*growing, [](const LinkState& s) { return s.backoff_ms == 4 && s.connects > 1; });
}

// A server keeps no connection that says nothing, so this one does before there is anything to say.
TEST(LinkGreeting, ComesFirstOnEachConnection) {
  EchoServer echo;
  ConnectionOptions connection = echo.client("PeerEcho");
  LinkOptions options = Quick();
  options.greets = true;
  std::atomic<int> greetings{0};
  Link link(
      connection, options,
      [&](EchoClient& client, std::vector<int64_t>& batch) {
        if (batch.empty()) ++greetings;
        client.send_deliver(batch.empty() ? std::vector<int64_t>{-1} : batch, "");
      },
      [](EchoClient& client) { client.recv_deliver(); });
  AwaitState(link, [](const LinkState& s) { return s.answered_batches == 1; });
  EXPECT_EQ(greetings, 1);
  EXPECT_EQ(echo.server->connections(Seat::kPeer), 1U);
  ASSERT_TRUE(link.Post(1, 8));
  echo.handler->AwaitDelivered([](const auto& all) { return all == std::vector<int64_t>{-1, 1}; });
  EXPECT_EQ(link.state().dropped_items, 0U);
}

TEST(LinkStop, IsPromptWhateverTheThreadDoes) {
  EchoServer echo;
  {
    auto idle = MakeLink(echo.client());
    AwaitState(*idle, [](const LinkState& s) { return s.connected; });
  }
  echo.handler->Hold();
  {
    auto awaiting_reply = MakeLink(echo.client());
    ASSERT_TRUE(awaiting_reply->Post(1, 8));
    echo.handler->AwaitInside(1);
  }
  {
    // The server reads nothing while it is held: soon a frame is stuck in send().
    ConnectionOptions patient = echo.client();
    patient.send_timeout_ms = 3'600'000;
    auto sending = MakeLink(patient, {}, /*padding=*/3 << 20);
    for (int64_t i = 0; i < 8; ++i) ASSERT_TRUE(sending->Post(i, 3 << 20));
    uint64_t sent = 0;
    for (int same = 0; same < 10'000; ++same) {
      if (std::exchange(sent, sending->state().sent_items) != sent || sent == 0) same = 0;
      std::this_thread::yield();
    }
  }
  {
    LinkOptions options;
    options.backoff_min_ms = options.backoff_max_ms = 3'600'000;
    auto backing_off = MakeLink({.peer = {"127.0.0.1", 1}, .service = "Echo"}, options);
    AwaitState(*backing_off, [](const LinkState& s) { return !s.last_error.empty(); });
  }
  echo.handler->Release();
}

TEST(LinkStop, RacesWithPosts) {
  EchoServer echo;
  for (int round = 0; round < 20; ++round) {
    auto link = MakeLink(echo.client());
    std::vector<std::thread> posters;
    for (int i = 0; i < 3; ++i) {
      posters.emplace_back([&] {
        for (int64_t n = 0; link->Post(n, 8) || link->state().queued_items > 0; ++n) {
        }
      });
    }
    link->Stop();
    for (std::thread& poster : posters) poster.join();
  }
}

}  // namespace
}  // namespace assent::test
