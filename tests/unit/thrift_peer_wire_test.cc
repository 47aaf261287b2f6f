#include <gtest/gtest.h>

#include "runtime/transport/framed.h"
#include "thrift/codec_fields.h"
#include "thrift/peer_wire.h"
#include "thrift_samples.h"

namespace assent {
namespace {

using samples::FromBytes;
using samples::Random;
using samples::ToBytes;

const PeerRoute kRoute{"cluster", NodeId{7}, NodeId{8}};

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
    EXPECT_TRUE(request.envelopes.size() == 1 || ToBytes(request).size() <= 5000 + 64);
    ++requests;
    envelopes += request.envelopes.size();
  }
  EXPECT_EQ(envelopes, 11u);
  EXPECT_LE(requests, 7u);
}

TEST(PeerWire, SizesAreNotUnderestimated) {
  Random random(2);
  for (size_t i = 0; i < 4000; ++i) {
    const Envelope envelope = samples::RandomEnvelope(i % samples::kMessageTypes, random);
    ASSERT_LE(ToBytes([&] {
                std::vector<Envelope> one{envelope};
                return TakeDeliverRequest(kRoute, one, 1);
              }())
                  .size(),
              WireBytes(envelope) + 64)
        << samples::TextOf(envelope);
  }
}

TEST(PeerWire, WrongClusterOrNodeTakesNothing) {
  std::vector<Envelope> batch{Ships(1)};
  const wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 1000);
  const Delivery cluster = OpenDeliverRequest("other", NodeId{8}, wire::DeliverRequest(request));
  EXPECT_EQ(cluster.status, wire::DeliverStatus::WRONG_CLUSTER);
  EXPECT_TRUE(cluster.envelopes.empty());
  EXPECT_NE(cluster.detail, "");
  const Delivery node = OpenDeliverRequest("cluster", NodeId{9}, wire::DeliverRequest(request));
  EXPECT_EQ(node.status, wire::DeliverStatus::WRONG_NODE);
  EXPECT_TRUE(node.envelopes.empty());
}

TEST(PeerWire, OneBadEnvelopeDoesNotHoldUpTheOthers) {
  std::vector<Envelope> batch{Ships(1), Ships(2), Ships(3)};
  wire::DeliverRequest request = TakeDeliverRequest(kRoute, batch, 10'000);
  request.envelopes[1].from_group = 0;
  const Delivery delivery = OpenDeliverRequest("cluster", NodeId{8}, std::move(request));
  EXPECT_EQ(delivery.status, wire::DeliverStatus::INVALID);
  EXPECT_EQ(delivery.envelopes.size(), 2u);
  EXPECT_EQ(delivery.malformed, 1u);
  EXPECT_EQ(delivery.detail, "not a group id");
}

}  // namespace
}  // namespace assent
