#pragma once

#include <memory>
#include <string>

#include "common/messages.h"
#include "runtime/config/config.h"

namespace assent {

// This node's outbound messages to one peer node: batched, pipelined, in order, and lost where
// the peer is away.
class PeerLink {
 public:
  PeerLink(const Address& peer_address, const std::string& cluster, NodeId self, NodeId peer);
  ~PeerLink();
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  bool valid() const;            // false: there was no descriptor for it
  void Post(Envelope envelope);  // any thread; never blocks
  void Stop();                   // idempotent

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assent
