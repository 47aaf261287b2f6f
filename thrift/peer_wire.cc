#include "thrift/peer_wire.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "thrift/codec_fields.h"
#include "thrift/codec_message.h"

namespace assent {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

// Sizes on the wire of what does not vary: a field costs 3 bytes beside its value, a struct 1, a string 4.
constexpr size_t kEnvelopeBytes = 48;
constexpr size_t kSmallBodyBytes = 320;  // header with three ids, token, and a dozen numbers
constexpr size_t kEntryBytes = 32;
constexpr size_t kOperationBytes = 48;
constexpr size_t kResultBytes = 32;
constexpr size_t kRowBytes = 32;
constexpr size_t kParticipantBytes = 24;

size_t SizeOfAll(const std::vector<Operation>& operations) {
  size_t size = 0;
  for (const Operation& operation : operations) size += kOperationBytes + SizeOf(operation);
  return size;
}

size_t SizeOfAll(const std::vector<OperationResult>& results) {
  size_t size = 0;
  for (const OperationResult& result : results) {
    size += kResultBytes;
    for (const ResultRow& row : result.rows) size += kRowBytes + row.key.size() + row.value.size();
  }
  return size;
}

}  // namespace

size_t WireBytes(const Envelope& envelope) {
  const size_t body =
      std::visit(Overloaded{
                     [](const Ship& m) {
                       size_t size = 0;
                       for (const LogEntry& entry : m.entries) size += kEntryBytes + entry.payload->size();
                       return size;
                     },
                     [](const SnapshotPiece& m) { return m.bytes.size(); },
                     [](const Operate& m) { return SizeOfAll(m.operations); },
                     [](const Prepare& m) {
                       size_t size = SizeOfAll(m.operations);
                       for (const Participant& participant : m.participants) {
                         size += kParticipantBytes + participant.foreign.size();
                       }
                       return size;
                     },
                     [](const CommitOnePhase& m) { return SizeOfAll(m.operations); },
                     [](const OperateReply& m) { return SizeOfAll(m.results); },
                     [](const BranchAborted& m) { return m.detail.size(); },
                     [](const VoteReply& m) { return m.detail.size() + SizeOfAll(m.results); },
                     [](const OnePhaseReply& m) { return m.detail.size() + SizeOfAll(m.results); },
                     [](const ShipAck&) { return size_t{0}; },
                     [](const SnapshotAck&) { return size_t{0}; },
                     [](const Beacon&) { return size_t{0}; },
                     [](const BeaconAck&) { return size_t{0}; },
                     [](const HandOver&) { return size_t{0}; },
                     [](const Decide&) { return size_t{0}; },
                     [](const SettleToken&) { return size_t{0}; },
                     [](const MarkNews&) { return size_t{0}; },
                     [](const DecideAck&) { return size_t{0}; },
                     [](const Inquire&) { return size_t{0}; },
                     [](const WoundRequest&) { return size_t{0}; },
                     [](const ConfirmReplies&) { return size_t{0}; },
                     [](const RepliesConfirmed&) { return size_t{0}; },
                     [](const PeerInquire&) { return size_t{0}; },
                     [](const PeerOutcome&) { return size_t{0}; },
                     [](const EpochNews&) { return size_t{0}; },
                 },
                 envelope.message);
  return kEnvelopeBytes + kSmallBodyBytes + body;
}

wire::DeliverRequest TakeDeliverRequest(const PeerRoute& route, std::vector<Envelope>& batch,
                                        size_t bytes_max) {
  size_t count = 0;
  for (size_t bytes = 0; count < batch.size() && count < kDeliverEnvelopesMax; ++count) {
    bytes += WireBytes(batch[count]);
    if (count > 0 && bytes > bytes_max) break;
  }
  wire::DeliverRequest request;
  request.cluster = route.cluster;
  request.from_node = codec::SmallNumber(route.from);
  request.to_node = codec::SmallNumber(route.to);
  request.envelopes.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    ASSENT_CHECK(batch[i].from_node == route.from, Raw(batch[i].from_node), Raw(route.from));
    request.envelopes.push_back(codec::EncodeEnvelope(std::move(batch[i])));
  }
  batch.erase(batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(count));
  return request;
}

Delivery OpenDeliverRequest(const std::string& cluster, NodeId self, wire::DeliverRequest&& request) {
  Delivery out;
  const auto refuse = [&out](wire::DeliverStatus::type status, std::string detail) {
    out.status = status;
    out.detail = std::move(detail);
    return std::move(out);
  };
  if (request.cluster != cluster) {
    return refuse(wire::DeliverStatus::WRONG_CLUSTER, "this node belongs to cluster " + cluster);
  }
  if (request.to_node != codec::SmallNumber(self)) {
    return refuse(wire::DeliverStatus::WRONG_NODE, "this node is " + ToString(self));
  }
  if (request.from_node < 1) return refuse(wire::DeliverStatus::INVALID, "no sender");
  if (request.envelopes.size() > kDeliverEnvelopesMax) {
    return refuse(wire::DeliverStatus::INVALID, "more than 4,096 envelopes");
  }
  out.envelopes.reserve(request.envelopes.size());
  for (wire::Envelope& envelope : request.envelopes) {
    auto decoded = codec::DecodeEnvelope(std::move(envelope), static_cast<NodeId>(request.from_node));
    if (decoded.ok()) {
      out.envelopes.push_back(std::move(decoded).value());
      continue;
    }
    out.status = wire::DeliverStatus::INVALID;
    if (out.malformed++ == 0) out.detail = decoded.status().message();
  }
  return out;
}

wire::DeliverReply MakeDeliverReply(const Delivery& delivery) {
  wire::DeliverReply reply;
  reply.__set_status(delivery.status);
  if (!delivery.detail.empty()) reply.__set_detail(codec::CutDetail(delivery.detail));
  return reply;
}

}  // namespace assent
