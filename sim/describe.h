#pragma once

#include <string>

#include "common/client_api.h"
#include "common/messages.h"
#include "common/role.h"

// Messages in a line of a trace.
namespace assent::sim {

// "to n2/s1@e4 Prepare c1.1.7 3 ops".
std::string Describe(NodeId to, const Envelope& envelope);
std::string Describe(const ClientRequest& request);
std::string Describe(const ClientReply& reply);
std::string Describe(const CallForeign& call);
std::string_view ToString(Outcome outcome);

}  // namespace assent::sim
