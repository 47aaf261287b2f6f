#pragma once

#include "assent_types.h"
#include "common/messages.h"
#include "common/status.h"

// Messages between nodes: common/messages.h to and from the Envelope of assent.thrift.
namespace assent::codec {

// `from_node` is not in it: it is said once for the whole DeliverRequest (peer_wire.h).
wire::Envelope EncodeEnvelope(Envelope&& envelope);

// kInvalid for whatever EncodeEnvelope could not have made. Consumes `in` either way.
Result<Envelope> DecodeEnvelope(wire::Envelope&& in, NodeId from_node);

}  // namespace assent::codec
