// Bytes of a hostile or broken peer into every decoder: whatever they are, the worst that comes of them is an
// exception of Thrift's, which the transport layer catches, or a Status. Under the sanitizers this looks for
// more than crashes.
#include <gtest/gtest.h>
#include <thrift/Thrift.h>

#include "common/message_codec.h"
#include "runtime/transport/framed.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"
#include "thrift/peer_wire.h"
#include "thrift_samples.h"

namespace assent {
namespace {

using apache::thrift::TException;
using apache::thrift::protocol::TProtocol;
using apache::thrift::protocol::TType;
using apache::thrift::transport::TMemoryBuffer;
using samples::Random;
using samples::ToBytes;

// As a server reads it: framed, and with the limits of an Assent connection.
template <typename Wire>
bool Read(const std::string& bytes, Wire& wire) {
  auto buffer = std::make_shared<TMemoryBuffer>();
  const auto size = static_cast<uint32_t>(bytes.size());
  const uint8_t header[4] = {static_cast<uint8_t>(size >> 24), static_cast<uint8_t>(size >> 16),
                             static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size)};
  buffer->write(header, 4);
  buffer->write(reinterpret_cast<const uint8_t*>(bytes.data()), size);
  auto transport = std::make_shared<FramedTransport>(buffer, kPeerLimits);
  auto protocol = MakeProtocol(transport, kPeerLimits);
  try {
    wire.read(protocol.get());
    return true;
  } catch (const TException&) {
    return false;
  }
}

// All decoders there are, each as if the bytes were its own. Returns how many made something of them.
int DecodeAsEverything(const std::string& bytes) {
  int accepted = 0;
  const auto request = [&]<typename Wire>(Wire wire) {
    if (Read(bytes, wire) && codec::DecodeRequest(std::move(wire)).ok()) ++accepted;
  };
  request(wire::OpenSessionRequest{});
  request(wire::ExecuteRequest{});
  request(wire::BeginRequest{});
  request(wire::WorkRequest{});
  request(wire::CommitRequest{});
  request(wire::RollbackRequest{});
  const auto reply = [&]<typename Wire, typename... Asked>(Wire wire, const Asked&... asked) {
    if (Read(bytes, wire) && codec::DecodeReply(std::move(wire), asked...).ok()) ++accepted;
  };
  const CommitTag tag;
  const TxnId txn;
  reply(wire::OpenSessionReply{});
  reply(wire::ExecuteReply{}, tag);
  reply(wire::BeginReply{});
  reply(wire::WorkReply{}, txn);
  reply(wire::CommitReply{}, tag);
  reply(wire::RollbackReply{}, txn);
  wire::DeliverRequest deliver;
  if (Read(bytes, deliver)) {
    deliver.cluster = "cluster";
    deliver.to_node = 8;
    deliver.format = kMessageFormat;
    Delivery delivery = OpenDeliverRequest("cluster", NodeId{8}, deliver);
    accepted += static_cast<int>(delivery.envelopes.size());
    // Accepted messages can be sent on.
    if (!delivery.envelopes.empty()) {
      const PeerRoute route{"cluster", delivery.envelopes[0].from_node, NodeId{9}};
      (void)ToBytes(TakeDeliverRequest(route, delivery.envelopes, 1 << 20));
    }
  }
  wire::DeliverReply answer;
  if (Read(bytes, answer)) accepted += static_cast<int>(answer.status == wire::DeliverStatus::OK);
  return accepted;
}

std::string RandomRequestBytes(Random& random) {
  const std::string cluster = "cluster";
  const GroupId group{GroupKind::kCoordinator, 1};
  switch (random() % 4) {
    case 0:
      return ToBytes(
          codec::EncodeRequest(cluster, group, std::get<Execute>(samples::RandomRequest(1, random))));
    case 1:
      return ToBytes(codec::EncodeRequest(cluster, std::get<Commit>(samples::RandomRequest(4, random))));
    case 2: {
      wire::ExecuteReply reply;
      reply.__set_ending(codec::EncodeEnding(samples::RandomEnding(random)));
      return ToBytes(reply);
    }
    default: {
      std::vector<Envelope> batch;
      for (size_t i = 0; i < 3; ++i) {
        batch.push_back(samples::RandomEnvelope(random() % samples::kMessageTypes, random));
      }
      return ToBytes(TakeDeliverRequest({cluster, NodeId{7}, NodeId{8}}, batch, 1 << 20));
    }
  }
}

TEST(CodecFuzz, RandomBytes) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 200, '\0');
    // Low values often: they are the type bytes and small lengths that lead further in.
    for (char& c : bytes) c = static_cast<char>((random() & 3) != 0 ? random() % 16 : random());
    DecodeAsEverything(bytes);
  }
}

TEST(CodecFuzz, FlippedAndCutMessages) {
  Random random(2);
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string bytes = RandomRequestBytes(random);
    for (uint64_t flips = random() % 4; flips > 0; --flips) {
      char& byte = bytes[random() % bytes.size()];
      byte = static_cast<char>(byte ^ static_cast<char>(random()));
    }
    if ((random() & 3) == 0) bytes.resize(random() % bytes.size());
    accepted += DecodeAsEverything(bytes);
  }
  EXPECT_GT(accepted, 1000);  // the fuzz reaches past the parser
}

// Copies one value, leaving out fields of structs at random.
void CopyDroppingFields(TProtocol& in, TProtocol& out, TType type, Random& random) {
  switch (type) {
    case apache::thrift::protocol::T_STRUCT: {
      std::string name;
      in.readStructBegin(name);
      out.writeStructBegin("");
      while (true) {
        TType field{};
        int16_t id = 0;
        in.readFieldBegin(name, field, id);
        if (field == apache::thrift::protocol::T_STOP) break;
        if (random() % 12 == 0) {
          in.skip(field);
        } else {
          out.writeFieldBegin("", field, id);
          CopyDroppingFields(in, out, field, random);
          out.writeFieldEnd();
        }
        in.readFieldEnd();
      }
      in.readStructEnd();
      out.writeFieldStop();
      out.writeStructEnd();
      return;
    }
    case apache::thrift::protocol::T_LIST: {
      TType element{};
      uint32_t size = 0;
      in.readListBegin(element, size);
      out.writeListBegin(element, size);
      for (uint32_t i = 0; i < size; ++i) CopyDroppingFields(in, out, element, random);
      return;
    }
    case apache::thrift::protocol::T_BOOL: {
      bool value = false;
      in.readBool(value);
      out.writeBool(value);
      return;
    }
    case apache::thrift::protocol::T_I32: {
      int32_t value = 0;
      in.readI32(value);
      out.writeI32(value);
      return;
    }
    case apache::thrift::protocol::T_I64: {
      int64_t value = 0;
      in.readI64(value);
      out.writeI64(value);
      return;
    }
    case apache::thrift::protocol::T_STRING: {
      std::string value;
      in.readBinary(value);
      out.writeBinary(value);
      return;
    }
    default:
      FAIL() << "a type that the IDL does not use: " << type;
  }
}

TEST(CodecFuzz, MissingFields) {
  Random random(3);
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = RandomRequestBytes(random);
    auto source = std::make_shared<TMemoryBuffer>();
    source->write(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<uint32_t>(bytes.size()));
    auto target = std::make_shared<TMemoryBuffer>();
    apache::thrift::protocol::TBinaryProtocol in(source), out(target);
    CopyDroppingFields(in, out, apache::thrift::protocol::T_STRUCT, random);
    accepted += DecodeAsEverything(target->getBufferAsString());
  }
  EXPECT_GT(accepted, 1000);
}

// A list, string or nesting that announces far more than it brings: refused before anything
// is allocated for it.
TEST(CodecFuzz, HostileSizes) {
  const auto field = [](uint8_t type, uint8_t id) {
    return std::string{static_cast<char>(type), '\0', static_cast<char>(id)};
  };
  const std::string huge("\x7f\xff\xff\xff", 4), negative("\xff\xff\xff\xff", 4);
  for (const std::string& size : {huge, negative}) {
    wire::DeliverRequest request;
    EXPECT_FALSE(Read(field(11, 1) + size, request));                            // string cluster
    EXPECT_FALSE(Read(field(15, 6) + std::string(1, '\x0b') + size, request));   // list<binary> messages
    EXPECT_FALSE(Read(field(15, 99) + std::string(1, '\x02') + size, request));  // skipped list<bool>
  }
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += field(12, 99);  // structs within structs, unknown
  wire::DeliverRequest request;
  EXPECT_FALSE(Read(deep, request));
}

}  // namespace
}  // namespace assent
