#pragma once

#include <string>
#include <vector>

#include "assent_types.h"
#include "common/messages.h"

// Batches of messages between two nodes: vectors of Envelope to and from Peer.deliver's DeliverRequest.
namespace assent {

// Most envelopes of one request; both sides keep to it.
inline constexpr size_t kDeliverEnvelopesMax = 4096;

// The bytes that it adds to a request: for a link's accounting (PipelinedLink::Post).
size_t WireBytes(const Envelope& envelope);

// Both ends of a delivery.
struct PeerRoute {
  std::string cluster;
  NodeId from{};
  NodeId to{};
};

// Takes the first envelopes of the batch into a request: as many as fit `bytes_max`, at least one. The others
// stay, in order. REQUIRES: not empty; all are from `route.from`.
wire::DeliverRequest TakeDeliverRequest(const PeerRoute& route, std::vector<Envelope>& batch,
                                        size_t bytes_max);

// The contents of a request.
struct Delivery {
  wire::DeliverStatus::type status = wire::DeliverStatus::OK;
  std::vector<Envelope> envelopes;  // well-formed ones, in order; none unless status is OK or INVALID
  size_t malformed = 0;             // dropped. One bad message does not hold up those around it
  std::string detail;               // of the first of them, or why nothing was taken
};

// At the receiving node `self`. Whatever the bytes, this does not throw or abort.
Delivery OpenDeliverRequest(const std::string& cluster, NodeId self, const wire::DeliverRequest& request);

wire::DeliverReply MakeDeliverReply(const Delivery& delivery);

}  // namespace assent
