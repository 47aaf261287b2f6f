#pragma once

#include <memory>

#include "Peer.h"
#include "runtime/node.h"

namespace assent {

// The Peer service of a node: takes in batches of messages. Any server thread.
class PeerService final : public wire::PeerIf {
 public:
  explicit PeerService(Node& node) : node_(node) {}
  void deliver(wire::DeliverReply& reply, const wire::DeliverRequest& request) override;

 private:
  Node& node_;
};

}  // namespace assent
