#include "runtime/peer_service.h"

#include <glog/logging.h>

#include <utility>

#include "thrift/peer_wire.h"

namespace assent {

void PeerService::deliver(wire::DeliverReply& reply, const wire::DeliverRequest& request) {
  // The generated processor owns the request, hands it out const, and drops it after this call: so it
  // may be emptied.
  auto& mine = const_cast<wire::DeliverRequest&>(request);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  Delivery delivery = OpenDeliverRequest(node_.config().cluster, node_.config().node, std::move(mine));
  if (!delivery.detail.empty()) {
    LOG_EVERY_N(WARNING, 100) << "from a peer: " << delivery.detail;  // a macro of several statements
  }
  reply = MakeDeliverReply(delivery);
  if (!delivery.envelopes.empty()) node_.Deliver(std::move(delivery.envelopes));
}

}  // namespace assent
