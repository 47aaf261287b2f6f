// Batches of messages between nodes: order, bounds, and who may speak for whom.
#include <gtest/gtest.h>

#include "common/message_codec.h"
#include "thrift/peer_wire.h"
#include "thrift_samples.h"

namespace assent {
namespace {

using samples::FromBytes;
using samples::Random;
using samples::ToBytes;

const PeerRoute kRoute{"cluster", NodeId{7}, NodeId{8}};
// Of a request's own fields: four of 3 bytes and their values, a list's head, the end.
constexpr size_t kRequestBytes = (3 + 4 + 7) + 3 * (3 + 4) + (3 + 1 + 4) + 1;

Envelope Ships(size_t bytes) {
  Ship ship;
  ship.entries = {{{Epoch{1}, Lsn{1}}, std::make_shared<const std::string>(bytes, 'r')}};
  return {{GroupKind::kShard, 1}, NodeId{7}, Epoch{1}, {GroupKind::kShard, 1}, Epoch{1}, ship};
}

TEST(PeerWire, BatchArrivesWholeAndInOrder) {
  Random random(1);
  std::vector<Envelope> batch;
  std::vector<std::string> texts;
  for (size_t i = 0; i < 300; ++i) {
    batch.push_back(samples::RandomEnvelope(i % samples::kMessageTypes, random));
    texts.push_back(samples::TextOf(batch.back()));
  }
  const wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 1 << 20);
  EXPECT_TRUE(batch.empty());
  const Delivery delivery =
      OpenDeliverRequest("cluster", NodeId{8}, FromBytes<wire::DeliverRequest>(ToBytes(request)));
  EXPECT_EQ(delivery.status, wire::DeliverStatus::OK);
  ASSERT_EQ(delivery.envelopes.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(samples::TextOf(delivery.envelopes[i]), texts[i]);
}

TEST(PeerWire, RequestsKeepToTheByteBound) {
  std::vector<Envelope> batch;
  for (int i = 0; i < 10; ++i) batch.push_back(Ships(1000));
  batch.insert(batch.begin() + 4, Ships(100'000));  // alone over the bound
  size_t requests = 0, envelopes = 0;
  while (!batch.empty()) {
    const wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 5000);
    EXPECT_TRUE(request.messages.size() == 1 || ToBytes(request).size() <= 5000 + kRequestBytes);
    ++requests;
    envelopes += request.messages.size();
  }
  EXPECT_EQ(envelopes, 11u);
  EXPECT_LE(requests, 7u);
}

TEST(PeerWire, SizesAreExact) {
  Random random(2);
  for (size_t i = 0; i < 4000; ++i) {
    const Envelope envelope = samples::RandomEnvelope(i % samples::kMessageTypes, random);
    std::vector<Envelope> one{envelope};
    const std::string bytes = ToBytes(TakeDeliverRequest(kRoute, one, 1));
    ASSERT_EQ(bytes.size(), WireBytes(envelope) + kRequestBytes) << samples::TextOf(envelope);
  }
}

TEST(PeerWire, WrongClusterOrNodeTakesNothing) {
  std::vector<Envelope> batch{Ships(1)};
  const wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 1000);
  const Delivery cluster = OpenDeliverRequest("other", NodeId{8}, request);
  EXPECT_EQ(cluster.status, wire::DeliverStatus::WRONG_CLUSTER);
  EXPECT_TRUE(cluster.envelopes.empty());
  EXPECT_NE(cluster.detail, "");
  const Delivery node = OpenDeliverRequest("cluster", NodeId{9}, request);
  EXPECT_EQ(node.status, wire::DeliverStatus::WRONG_NODE);
  EXPECT_TRUE(node.envelopes.empty());
}

TEST(PeerWire, AnotherFormatTakesNothingAndSaysWhatToDo) {
  std::vector<Envelope> batch{Ships(1)};
  wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 1000);
  for (const int format : {0, kMessageFormat + 1}) {
    request.format = format;
    const Delivery delivery = OpenDeliverRequest("cluster", NodeId{8}, request);
    EXPECT_EQ(delivery.status, wire::DeliverStatus::WRONG_FORMAT);
    EXPECT_TRUE(delivery.envelopes.empty());
    EXPECT_EQ(delivery.detail, "n7 sends messages of format " + std::to_string(format) +
                                   ", and n8 takes format 1 only: run the same version of Assent on both");
  }
}

TEST(PeerWire, OneBadEnvelopeDoesNotHoldUpTheOthers) {
  std::vector<Envelope> batch{Ships(1), Ships(2), Ships(3)};
  wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 10'000);
  request.messages[1][0] = 0;  // its sender's kind
  const Delivery delivery = OpenDeliverRequest("cluster", NodeId{8}, request);
  EXPECT_EQ(delivery.status, wire::DeliverStatus::INVALID);
  EXPECT_EQ(delivery.envelopes.size(), 2u);
  EXPECT_EQ(delivery.malformed, 1u);
  EXPECT_EQ(delivery.detail, "not a message: bad type, length or value");
}

TEST(PeerWire, NobodySpeaksForAnotherNode) {
  std::vector<Envelope> batch{Ships(1)};
  wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 1000);
  request.from_node = 6;
  const Delivery delivery = OpenDeliverRequest("cluster", NodeId{8}, request);
  EXPECT_TRUE(delivery.envelopes.empty());
  EXPECT_EQ(delivery.detail, "a message of another node than its sender");
}

}  // namespace
}  // namespace assent
