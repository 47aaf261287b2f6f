#include "thrift/codec_foreign.h"

#include <utility>

#include "common/xid.h"
#include "thrift/codec_fields.h"

namespace assent::codec {
namespace {

// The vote of an enlisted branch, and what belongs to it.
bool DecodeVote(wire::ForeignWork& in, ForeignWork& out, Fault& fault) {
  if (!in.__isset.voted) {
    return !(in.__isset.branch || in.__isset.holder || in.__isset.evidence) ||
           fault.Set("foreign: branch, holder and evidence go with a vote");
  }
  if (!Decode(in.voted, out.voted.emplace(), fault)) return false;
  if (!out.payload.empty()) {
    return fault.Set(
        "foreign: a payload and a vote; either the coordinator asks it to prepare, or the "
        "application has prepared");
  }
  if (in.branch < 1) return fault.Set("foreign: a vote without the branch that enlist gave");
  out.branch = static_cast<uint32_t>(in.branch);
  out.holder = std::move(in.holder);
  out.evidence = std::move(in.evidence);
  return (out.holder.size() <= kNameBytesMax && out.evidence.size() <= kNameBytesMax) ||
         fault.Set("foreign: holder or evidence over 128 bytes");
}

}  // namespace

bool DecodeManager(std::string& in, std::string& out, Fault& fault) {
  if (in.empty() || in.size() > kNameBytesMax) {
    return fault.Set("a resource manager's name has 1 to 128 bytes");
  }
  out = std::move(in);
  return true;
}

std::vector<wire::ForeignWork> EncodeForeign(std::vector<ForeignWork>&& foreign) {
  std::vector<wire::ForeignWork> out(foreign.size());
  for (size_t i = 0; i < foreign.size(); ++i) {
    out[i].resource_manager = std::move(foreign[i].resource_manager);
    out[i].payload = std::move(foreign[i].payload);
    if (!foreign[i].voted) continue;
    out[i].__set_voted(Encode(*foreign[i].voted));
    out[i].__set_branch(SmallNumber(foreign[i].branch));
    if (!foreign[i].holder.empty()) out[i].__set_holder(std::move(foreign[i].holder));
    if (!foreign[i].evidence.empty()) out[i].__set_evidence(std::move(foreign[i].evidence));
  }
  return out;
}

bool DecodeForeign(std::vector<wire::ForeignWork>& in, std::vector<ForeignWork>& out, Fault& fault) {
  if (in.size() > kForeignWorkMax) return fault.Set("foreign: more than 64 resource managers");
  out.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (!DecodeManager(in[i].resource_manager, out[i].resource_manager, fault)) return false;
    if (in[i].payload.size() > kForeignPayloadBytesMax)
      return fault.Set("foreign: payload over 65,536 bytes");
    out[i].payload = std::move(in[i].payload);
    if (!DecodeVote(in[i], out[i], fault)) return false;
  }
  return true;
}

wire::Enlisted Encode(EnlistedBranch&& branch) {
  wire::Enlisted out;
  out.resource_manager = std::move(branch.resource_manager);
  out.branch = SmallNumber(branch.branch);
  out.xid.text = ToString(branch.xid);
  out.xid.format_id = branch.xid.format_id;
  out.xid.gtrid = std::move(branch.xid.gtrid);
  out.xid.bqual = std::move(branch.xid.bqual);
  out.kind = std::move(branch.kind);
  return out;
}

bool Decode(wire::Enlisted& in, EnlistedBranch& out, Fault& fault) {
  if (!DecodeManager(in.resource_manager, out.resource_manager, fault)) return false;
  if (in.branch < 1 || in.kind.size() > kNameBytesMax || in.xid.gtrid.size() > kXidPartBytesMax ||
      in.xid.bqual.size() > kXidPartBytesMax) {
    return fault.Set("a branch whose number, kind or xid is out of bounds");
  }
  out.branch = static_cast<uint32_t>(in.branch);
  out.xid = Xid{in.xid.format_id, std::move(in.xid.gtrid), std::move(in.xid.bqual)};
  out.kind = std::move(in.kind);
  return true;
}

std::vector<wire::Heuristic> Encode(std::vector<Heuristic>&& heuristics) {
  std::vector<wire::Heuristic> out(heuristics.size());
  for (size_t i = 0; i < heuristics.size(); ++i) {
    out[i].resource_manager = std::move(heuristics[i].resource_manager);
    out[i].kind = Encode(heuristics[i].kind);
    out[i].evidence = CutDetail(std::move(heuristics[i].evidence));
  }
  return out;
}

bool Decode(std::vector<wire::Heuristic>& in, std::vector<Heuristic>& out, Fault& fault) {
  if (in.size() > kForeignWorkMax) return fault.Set("more heuristics than resource managers");
  out.resize(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (!DecodeManager(in[i].resource_manager, out[i].resource_manager, fault)) return false;
    if (!Decode(in[i].kind, out[i].kind, fault)) return false;
    out[i].evidence = CutDetail(std::move(in[i].evidence));
  }
  return true;
}

}  // namespace assent::codec
