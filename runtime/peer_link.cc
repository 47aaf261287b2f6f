#include "runtime/peer_link.h"

#include <utility>
#include <vector>

#include "Peer.h"
#include "runtime/transport/link.h"
#include "thrift/peer_wire.h"

namespace assent {
namespace {

constexpr size_t kFrameRoom = 256 << 10;  // of a peer frame, for the request's own fields

}  // namespace

struct PeerLink::Impl {
  Impl(const Address& peer_address, const std::string& cluster, NodeId self, NodeId peer)
      : route{cluster, self, peer},
        link(
            {.peer = peer_address, .service = "Peer", .limits = kPeerLimits}, LinkOptions{.greets = true},
            [this](wire::PeerClient& client, std::vector<Envelope>& batch) {
              client.send_deliver(TakeDeliverRequest(route, batch, kPeerLimits.frame_bytes_max - kFrameRoom));
            },
            [](wire::PeerClient& client) {
              wire::DeliverReply reply;
              client.recv_deliver(reply);
            }) {}

  const PeerRoute route;
  PipelinedLink<wire::PeerClient, Envelope> link;
};

PeerLink::PeerLink(const Address& peer_address, const std::string& cluster, NodeId self, NodeId peer)
    : impl_(std::make_unique<Impl>(peer_address, cluster, self, peer)) {}

PeerLink::~PeerLink() = default;

bool PeerLink::valid() const {
  return impl_->link.valid();
}

void PeerLink::Post(Envelope envelope) {
  const size_t bytes = WireBytes(envelope);
  impl_->link.Post(std::move(envelope), bytes);
}

void PeerLink::Stop() {
  impl_->link.Stop();
}

}  // namespace assent
