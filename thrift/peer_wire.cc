#include "thrift/peer_wire.h"

#include <utility>

#include "common/check.h"
#include "common/message_codec.h"
#include "thrift/codec_fields.h"

namespace assent {

namespace {

constexpr size_t kLengthBytes = 4;  // before each message

}  // namespace

size_t WireBytes(const Envelope& envelope) {
  return kLengthBytes + EncodedMessageSize(envelope);
}

wire::DeliverRequest TakeDeliverRequest(const PeerRoute& route, std::vector<Envelope>& batch,
                                        size_t bytes_max) {
  wire::DeliverRequest request;
  request.cluster = route.cluster;
  request.from_node = codec::SmallNumber(route.from);
  request.to_node = codec::SmallNumber(route.to);
  request.format = kMessageFormat;
  size_t bytes = 0;
  for (const Envelope& envelope : batch) {
    ASSENT_CHECK(envelope.from_node == route.from, Raw(envelope.from_node), Raw(route.from));
    if (request.messages.size() == kDeliverEnvelopesMax) break;
    std::string message = EncodeMessage(envelope);
    bytes += kLengthBytes + message.size();
    if (!request.messages.empty() && bytes > bytes_max) break;
    request.messages.push_back(std::move(message));
  }
  batch.erase(batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(request.messages.size()));
  return request;
}

Delivery OpenDeliverRequest(const std::string& cluster, NodeId self, const wire::DeliverRequest& request) {
  Delivery out;
  const auto refuse = [&out](wire::DeliverStatus::type status, std::string detail) {
    out.status = status;
    out.detail = std::move(detail);
    return std::move(out);
  };
  if (request.cluster != cluster) {
    return refuse(wire::DeliverStatus::WRONG_CLUSTER, "this node belongs to cluster " + cluster);
  }
  if (request.to_node != codec::SmallNumber(self)) {
    return refuse(wire::DeliverStatus::WRONG_NODE, "this node is " + ToString(self));
  }
  if (request.from_node < 1) return refuse(wire::DeliverStatus::INVALID, "no sender");
  const auto from = static_cast<NodeId>(request.from_node);
  if (request.format != kMessageFormat) {
    return refuse(wire::DeliverStatus::WRONG_FORMAT,
                  ToString(from) + " sends messages of format " + std::to_string(request.format) + ", and " +
                      ToString(self) + " takes format " + std::to_string(kMessageFormat) +
                      " only: run the same version of Assent on both");
  }
  if (request.messages.size() > kDeliverEnvelopesMax) {
    return refuse(wire::DeliverStatus::INVALID, "more than 4,096 messages");
  }
  out.envelopes.reserve(request.messages.size());
  for (const std::string& message : request.messages) {
    auto decoded = DecodeMessage(message);
    if (decoded.ok() && decoded->from_node != from) {
      decoded = Status(StatusCode::kInvalid, "a message of another node than its sender");
    }
    if (decoded.ok()) {
      out.envelopes.push_back(std::move(decoded).value());
      continue;
    }
    out.status = wire::DeliverStatus::INVALID;
    if (out.malformed++ == 0) out.detail = decoded.status().message();
  }
  return out;
}

wire::DeliverReply MakeDeliverReply(const Delivery& delivery) {
  wire::DeliverReply reply;
  reply.__set_status(delivery.status);
  if (!delivery.detail.empty()) reply.__set_detail(codec::CutDetail(delivery.detail));
  return reply;
}

}  // namespace assent
