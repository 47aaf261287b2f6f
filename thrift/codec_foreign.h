#pragma once

#include <string>
#include <vector>

#include "common/client_api.h"
#include "thrift/codec_fields.h"

// What the requests and replies of clients say of resource managers (common/client_api.h): work and votes,
// branches that were enlisted, and what ended otherwise. As in codec_fields.h.
namespace assent::codec {

bool DecodeManager(std::string& in, std::string& out, Fault& fault);  // a name, of no more than its bounds

std::vector<wire::ForeignWork> EncodeForeign(std::vector<ForeignWork>&& foreign);
bool DecodeForeign(std::vector<wire::ForeignWork>& in, std::vector<ForeignWork>& out, Fault& fault);

wire::Enlisted Encode(EnlistedBranch&& branch);
bool Decode(wire::Enlisted& in, EnlistedBranch& out, Fault& fault);

std::vector<wire::Heuristic> Encode(std::vector<Heuristic>&& heuristics);
bool Decode(std::vector<wire::Heuristic>& in, std::vector<Heuristic>& out, Fault& fault);

}  // namespace assent::codec
