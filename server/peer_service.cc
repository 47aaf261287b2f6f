#include "server/peer_service.h"

#include <glog/logging.h>

#include <utility>

#include "thrift/peer_wire.h"

namespace assent {

void PeerService::deliver(wire::DeliverReply& reply, const wire::DeliverRequest& request) {
  Delivery delivery = OpenDeliverRequest(node_.config().cluster, node_.config().node, request);
  if (!delivery.detail.empty()) {
    LOG_EVERY_N(WARNING, 100) << "from a peer: " << delivery.detail;  // a macro of several statements
  }
  reply = MakeDeliverReply(delivery);
  if (!delivery.envelopes.empty()) node_.Deliver(std::move(delivery.envelopes));
}

}  // namespace assent
