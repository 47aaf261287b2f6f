#include "thrift/codec_message.h"

#include <memory>
#include <type_traits>
#include <utility>

#include "thrift/codec_fields.h"

namespace assent::codec {
namespace {

// ---- Parts

wire::TxnHeader EncodeHeader(const TxnHeader& header) {
  wire::TxnHeader out;
  out.txn = Encode(header.txn);
  out.begin_us = Number(header.age.begin_us);
  if (header.age.txn != header.txn) out.__set_age_txn(Encode(header.age.txn));
  if (header.has_foreign) out.__set_has_foreign(true);
  if (header.mark != TxnId{}) out.__set_mark(Encode(header.mark));
  out.horizon_us = Number(header.horizon_us);
  return out;
}

bool DecodeHeader(const wire::TxnHeader& in, TxnHeader& out, Fault& fault) {
  if (!Decode(in.txn, out.txn, fault) || !DecodeNumber(in.begin_us, out.age.begin_us, fault) ||
      !DecodeNumber(in.horizon_us, out.horizon_us, fault)) {
    return false;
  }
  out.age.txn = out.txn;
  if (in.__isset.age_txn && !Decode(in.age_txn, out.age.txn, fault)) return false;
  out.has_foreign = in.has_foreign;
  if (in.__isset.mark) {
    if (!DecodeAnyTxnId(in.mark, out.mark, fault)) return false;
    // C8: a group speaks of its own ids only.
    if (out.mark.coordinator != out.txn.coordinator) return fault.Set("mark of another coordinator group");
  }
  return true;
}

wire::Branch EncodeParticipant(Participant&& participant) {
  wire::Branch out;
  if (participant.foreign.empty()) {
    out.__set_group(Encode(participant.group));
  } else {
    out.foreign = std::move(participant.foreign);
    out.__isset.foreign = true;
  }
  out.writing = participant.writing;
  return out;
}

bool DecodeParticipant(wire::Branch& in, Participant& out, Fault& fault) {
  if (in.__isset.group == in.__isset.foreign) return fault.Set("participant that is not exactly one thing");
  if (in.__isset.group && !Decode(in.group, out.group, fault)) return false;
  if (in.__isset.foreign) {
    if (in.foreign.empty() || in.foreign.size() > kNameBytesMax)
      return fault.Set("bad resource manager name");
    out.foreign = std::move(in.foreign);
  }
  out.writing = in.writing;
  return true;
}

wire::BranchId EncodeBranch(const BranchId& branch) {
  wire::BranchId out;
  out.epoch = Number(branch.epoch);
  out.number = Number(branch.number);
  return out;
}

bool DecodeBranch(const wire::BranchId& in, BranchId& out, Fault& fault) {
  if (in.epoch < 1 || in.number < 1) return fault.Set("branches are numbered from 1, in an epoch");
  return DecodeNumber(in.epoch, out.epoch, fault) && DecodeNumber(in.number, out.number, fault);
}

bool DecodeOptionalBranch(bool isset, const wire::BranchId& in, BranchId& out, Fault& fault) {
  return !isset || DecodeBranch(in, out, fault);
}

// The core refuses, with a vote, a branch that is over its limits; this only bounds what one
// message can hold.
bool DecodeBranchOperations(std::vector<wire::Operation>& in, std::vector<Operation>& out, Fault& fault) {
  if (in.size() > kBranchOperationsMax) return fault.Set("too many operations for a branch");
  return Decode(in, out, fault);
}

bool DecodeOptionalToken(bool isset, const wire::Token& in, Token& out, Fault& fault) {
  return !isset || Decode(in, out, fault);
}

bool DecodeAttempt(int32_t in, uint32_t& out, Fault& fault) {
  return DecodeSmallNumber(in, out, fault) && (out >= 1 || fault.Set("attempts are numbered from 1"));
}

bool DecodeReason(bool isset, wire::AbortReason::type in, AbortReason& out, Fault& fault) {
  out = AbortReason::kNone;
  return !isset || Decode(in, out, fault);
}

template <typename Wire>
void EncodeWhy(AbortReason reason, std::string& detail, Wire& out) {
  if (reason != AbortReason::kNone) out.__set_reason(Encode(reason));
  if (!detail.empty()) {
    out.detail = CutDetail(std::move(detail));
    out.__isset.detail = true;
  }
}

template <typename Wire>
bool DecodeWhy(Wire& in, AbortReason& reason, std::string& detail, Fault& fault) {
  detail = CutDetail(std::move(in.detail));
  return DecodeReason(in.__isset.reason, in.reason, reason, fault);
}

template <typename Wire>
void EncodeOptionalResults(std::vector<OperationResult>& results, Wire& out) {
  if (results.empty()) return;
  out.results = Encode(std::move(results));
  out.__isset.results = true;
}

// ---- One pair for each message, in the order of common/messages.h

void EncodeBody(Ship& in, wire::Ship& out) {
  out.prev = Encode(in.prev);
  out.replicated = Number(in.replicated);
  out.entries.resize(in.entries.size());
  for (size_t i = 0; i < in.entries.size(); ++i) {
    out.entries[i].epoch = Number(in.entries[i].position.epoch);
    out.entries[i].lsn = Number(in.entries[i].position.lsn);
    out.entries[i].payload = SharedBytes(std::move(in.entries[i].payload));
  }
}

bool DecodeBody(wire::Ship& in, Ship& out, Fault& fault) {
  if (!Decode(in.prev, out.prev, fault) || !DecodeNumber(in.replicated, out.replicated, fault)) return false;
  out.entries.resize(in.entries.size());
  // R4, R9: numbers follow each other without a gap, and epochs never fall within a log.
  LogPosition last = out.prev;
  for (size_t i = 0; i < in.entries.size(); ++i) {
    LogPosition& position = out.entries[i].position;
    if (!DecodeNumber(in.entries[i].epoch, position.epoch, fault) ||
        !DecodeNumber(in.entries[i].lsn, position.lsn, fault)) {
      return false;
    }
    if (position.lsn != Next(last.lsn) || position.epoch < last.epoch || position.epoch == Epoch{}) {
      return fault.Set("shipped records are not in sequence");
    }
    last = position;
    out.entries[i].payload = std::move(in.entries[i].payload).Take();
  }
  return true;
}

void EncodeBody(ShipAck& in, wire::ShipAck& out) {
  out.durable = Encode(in.durable);
  out.incarnation = Number(in.incarnation);
  if (in.mismatch) {
    out.__set_mismatch(true);
    out.__set_hint(Encode(in.hint));
  }
}

bool DecodeBody(wire::ShipAck& in, ShipAck& out, Fault& fault) {
  out.incarnation = Bits<Incarnation>(in.incarnation);
  out.mismatch = in.mismatch;
  if (in.mismatch && !in.__isset.hint) return fault.Set("mismatch without a hint");
  if (in.mismatch && !Decode(in.hint, out.hint, fault)) return false;
  return Decode(in.durable, out.durable, fault);
}

void EncodeBody(Beacon& in, wire::Beacon& out) {
  out.sent_us = Number(in.sent_us);
  out.force_age_us = Number(in.force_age_us);
}

bool DecodeBody(wire::Beacon& in, Beacon& out, Fault& fault) {
  return DecodeNumber(in.sent_us, out.sent_us, fault) &&
         DecodeNumber(in.force_age_us, out.force_age_us, fault);
}

void EncodeBody(BeaconAck& in, wire::BeaconAck& out) {
  out.sent_us = Number(in.sent_us);
  out.force_age_us = Number(in.force_age_us);
  out.incarnation = Number(in.incarnation);
}

bool DecodeBody(wire::BeaconAck& in, BeaconAck& out, Fault& fault) {
  out.incarnation = Bits<Incarnation>(in.incarnation);
  return DecodeNumber(in.sent_us, out.sent_us, fault) &&
         DecodeNumber(in.force_age_us, out.force_age_us, fault);
}

void EncodeBody(HandOver&, wire::HandOver& out) {
  out.given_up = true;
}
bool DecodeBody(wire::HandOver& in, HandOver&, Fault& fault) {
  return in.given_up || fault.Set("a handover that gives nothing up");
}

void EncodeBody(SnapshotPiece& in, wire::SnapshotPiece& out) {
  out.at = Encode(in.at);
  out.offset = Number(in.offset);
  out.bytes = std::move(in.bytes);
  out.done = in.done;
}

bool DecodeBody(wire::SnapshotPiece& in, SnapshotPiece& out, Fault& fault) {
  out.bytes = std::move(in.bytes);
  out.done = in.done;
  return Decode(in.at, out.at, fault) && DecodeNumber(in.offset, out.offset, fault);
}

void EncodeBody(SnapshotAck& in, wire::SnapshotAck& out) {
  out.at = Encode(in.at);
  out.received = Number(in.received);
  out.installed = in.installed;
  out.incarnation = Number(in.incarnation);
}

bool DecodeBody(wire::SnapshotAck& in, SnapshotAck& out, Fault& fault) {
  out.installed = in.installed;
  out.incarnation = Bits<Incarnation>(in.incarnation);
  return Decode(in.at, out.at, fault) && DecodeNumber(in.received, out.received, fault);
}

void EncodeBody(Operate& in, wire::Operate& out) {
  out.header = EncodeHeader(in.header);
  if (in.branch != BranchId{}) out.__set_branch(EncodeBranch(in.branch));
  out.first = SmallNumber(in.first);
  out.operations = Encode(std::move(in.operations));
}

bool DecodeBody(wire::Operate& in, Operate& out, Fault& fault) {
  if (in.first < 1) return fault.Set("operations are numbered from 1");
  out.first = static_cast<uint32_t>(in.first);
  return DecodeHeader(in.header, out.header, fault) &&
         DecodeOptionalBranch(in.__isset.branch, in.branch, out.branch, fault) &&
         DecodeBranchOperations(in.operations, out.operations, fault);
}

void EncodeBody(Prepare& in, wire::Prepare& out) {
  out.header = EncodeHeader(in.header);
  if (in.branch != BranchId{}) out.__set_branch(EncodeBranch(in.branch));
  if (in.last != 0) out.__set_last(SmallNumber(in.last));
  out.operations = Encode(std::move(in.operations));
  out.participants.reserve(in.participants.size());
  for (Participant& participant : in.participants) {
    out.participants.push_back(EncodeParticipant(std::move(participant)));
  }
  switch (in.mode) {
    case CommitMode::kCoordinator:
      out.mode = wire::CommitMode::COORDINATOR;
      break;
  }
  if (in.may_release) out.__set_may_release(true);
}

bool DecodeBody(wire::Prepare& in, Prepare& out, Fault& fault) {
  if (in.mode != wire::CommitMode::COORDINATOR) return fault.Set("unknown commit mode");
  out.mode = CommitMode::kCoordinator;
  out.may_release = in.may_release;
  if (in.participants.size() > kParticipantsMax) return fault.Set("too many participants");
  out.participants.resize(in.participants.size());
  for (size_t i = 0; i < in.participants.size(); ++i) {
    if (!DecodeParticipant(in.participants[i], out.participants[i], fault)) return false;
  }
  return DecodeHeader(in.header, out.header, fault) &&
         DecodeOptionalBranch(in.__isset.branch, in.branch, out.branch, fault) &&
         DecodeSmallNumber(in.last, out.last, fault) &&
         DecodeBranchOperations(in.operations, out.operations, fault);
}

void EncodeBody(CommitOnePhase& in, wire::CommitOnePhase& out) {
  out.header = EncodeHeader(in.header);
  if (in.branch != BranchId{}) out.__set_branch(EncodeBranch(in.branch));
  if (in.last != 0) out.__set_last(SmallNumber(in.last));
  out.operations = Encode(std::move(in.operations));
  if (in.token.valid()) out.__set_token(Encode(in.token));
  out.attempt = SmallNumber(in.attempt);
  out.content = Number(in.content);
  out.acked_below = Number(in.acked_below);
}

bool DecodeBody(wire::CommitOnePhase& in, CommitOnePhase& out, Fault& fault) {
  out.content = Bits<uint64_t>(in.content);
  // C5: a token without an attempt could not be refused later.
  if (in.__isset.token && in.attempt < 1) return fault.Set("token without an attempt");
  return DecodeHeader(in.header, out.header, fault) &&
         DecodeOptionalBranch(in.__isset.branch, in.branch, out.branch, fault) &&
         DecodeSmallNumber(in.last, out.last, fault) &&
         DecodeOptionalToken(in.__isset.token, in.token, out.token, fault) &&
         DecodeSmallNumber(in.attempt, out.attempt, fault) &&
         DecodeNumber(in.acked_below, out.acked_below, fault) &&
         DecodeBranchOperations(in.operations, out.operations, fault);
}

void EncodeBody(Decide& in, wire::Decide& out) {
  out.header = EncodeHeader(in.header);
  out.decision = Encode(in.decision);
}

bool DecodeBody(wire::Decide& in, Decide& out, Fault& fault) {
  return DecodeHeader(in.header, out.header, fault) && Decode(in.decision, out.decision, fault);
}

void EncodeBody(SettleToken& in, wire::SettleToken& out) {
  out.header = EncodeHeader(in.header);
  out.token = Encode(in.token);
  out.attempt = SmallNumber(in.attempt);
}

bool DecodeBody(wire::SettleToken& in, SettleToken& out, Fault& fault) {
  return DecodeHeader(in.header, out.header, fault) && Decode(in.token, out.token, fault) &&
         DecodeAttempt(in.attempt, out.attempt, fault);
}

void EncodeBody(MarkNews& in, wire::MarkNews& out) {
  out.mark = Encode(in.mark);
  out.horizon_us = Number(in.horizon_us);
  if (in.live.valid()) out.__set_live(Encode(in.live));
}

bool DecodeBody(wire::MarkNews& in, MarkNews& out, Fault& fault) {
  return DecodeAnyTxnId(in.mark, out.mark, fault) && DecodeNumber(in.horizon_us, out.horizon_us, fault) &&
         (!in.__isset.live || Decode(in.live, out.live, fault));
}

void EncodeBody(OperateReply& in, wire::OperateReply& out) {
  out.txn = Encode(in.txn);
  out.branch = EncodeBranch(in.branch);
  out.last = SmallNumber(in.last);
  out.results = Encode(std::move(in.results));
}

bool DecodeBody(wire::OperateReply& in, OperateReply& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault) && DecodeBranch(in.branch, out.branch, fault) &&
         DecodeSmallNumber(in.last, out.last, fault) && Decode(in.results, out.results, fault);
}

void EncodeBody(BranchAborted& in, wire::BranchAborted& out) {
  out.txn = Encode(in.txn);
  EncodeWhy(in.reason, in.detail, out);
}

bool DecodeBody(wire::BranchAborted& in, BranchAborted& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault) && DecodeWhy(in, out.reason, out.detail, fault);
}

void EncodeBody(VoteReply& in, wire::VoteReply& out) {
  out.txn = Encode(in.txn);
  out.vote = Encode(in.vote);
  EncodeWhy(in.reason, in.detail, out);
  EncodeOptionalResults(in.results, out);
}

bool DecodeBody(wire::VoteReply& in, VoteReply& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault) && Decode(in.vote, out.vote, fault) &&
         DecodeWhy(in, out.reason, out.detail, fault) && Decode(in.results, out.results, fault);
}

void EncodeBody(OnePhaseReply& in, wire::OnePhaseReply& out) {
  out.txn = Encode(in.txn);
  if (in.token.valid()) out.__set_token(Encode(in.token));
  out.attempt = SmallNumber(in.attempt);
  out.__set_committed(in.committed);
  if (in.committed_txn.valid()) out.__set_committed_txn(Encode(in.committed_txn));
  out.content = Number(in.content);
  EncodeWhy(in.reason, in.detail, out);
  EncodeOptionalResults(in.results, out);
}

bool DecodeBody(wire::OnePhaseReply& in, OnePhaseReply& out, Fault& fault) {
  // I-A1: neither answer may be what is left when a field is lost on the way.
  if (!in.__isset.committed) return fault.Set("one-phase reply without an outcome");
  out.committed = in.committed;
  out.content = Bits<uint64_t>(in.content);
  if (in.__isset.committed_txn && !Decode(in.committed_txn, out.committed_txn, fault)) return false;
  return Decode(in.txn, out.txn, fault) &&
         DecodeOptionalToken(in.__isset.token, in.token, out.token, fault) &&
         DecodeSmallNumber(in.attempt, out.attempt, fault) && DecodeWhy(in, out.reason, out.detail, fault) &&
         Decode(in.results, out.results, fault);
}

void EncodeBody(DecideAck& in, wire::DecideAck& out) {
  out.txn = Encode(in.txn);
  out.decision = Encode(in.decision);
}

bool DecodeBody(wire::DecideAck& in, DecideAck& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault) && Decode(in.decision, out.decision, fault);
}

void EncodeBody(Inquire& in, wire::Inquire& out) {
  out.txn = Encode(in.txn);
  if (in.unprepared) out.__set_unprepared(true);
}
bool DecodeBody(wire::Inquire& in, Inquire& out, Fault& fault) {
  out.unprepared = in.unprepared;
  return Decode(in.txn, out.txn, fault);
}

void EncodeBody(WoundRequest& in, wire::WoundRequest& out) {
  out.txn = Encode(in.txn);
}
bool DecodeBody(wire::WoundRequest& in, WoundRequest& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault);
}

void EncodeBody(ConfirmReplies& in, wire::ConfirmReplies& out) {
  out.through = Number(in.through);
}
bool DecodeBody(wire::ConfirmReplies& in, ConfirmReplies& out, Fault& fault) {
  return DecodeNumber(in.through, out.through, fault);
}

void EncodeBody(RepliesConfirmed& in, wire::RepliesConfirmed& out) {
  out.through = Number(in.through);
}
bool DecodeBody(wire::RepliesConfirmed& in, RepliesConfirmed& out, Fault& fault) {
  return DecodeNumber(in.through, out.through, fault);
}

void EncodeBody(PeerInquire& in, wire::PeerInquire& out) {
  out.txn = Encode(in.txn);
}
bool DecodeBody(wire::PeerInquire& in, PeerInquire& out, Fault& fault) {
  return Decode(in.txn, out.txn, fault);
}

void EncodeBody(PeerOutcome& in, wire::PeerOutcome& out) {
  out.txn = Encode(in.txn);
  if (in.decision) out.__set_decision(Encode(*in.decision));
}

bool DecodeBody(wire::PeerOutcome& in, PeerOutcome& out, Fault& fault) {
  if (in.__isset.decision && !Decode(in.decision, out.decision.emplace(), fault)) return false;
  return Decode(in.txn, out.txn, fault);
}

void EncodeBody(EpochNews&, wire::EpochNews& out) {
  out.news = true;
}
bool DecodeBody(wire::EpochNews&, EpochNews&, Fault&) {
  return true;
}

// ---- Which field of the envelope holds which message

#define ASSENT_ENVELOPE_FIELD(Type, field)                                      \
  std::shared_ptr<wire::Type>& FieldOf(const Type*, wire::Envelope& envelope) { \
    return envelope.field;                                                      \
  }                                                                             \
  void MarkSet(const Type&, wire::Envelope& envelope) {                         \
    envelope.__isset.field = true;                                              \
  }
ASSENT_ENVELOPE_FIELD(Ship, ship)
ASSENT_ENVELOPE_FIELD(ShipAck, ship_ack)
ASSENT_ENVELOPE_FIELD(SnapshotPiece, snapshot_piece)
ASSENT_ENVELOPE_FIELD(SnapshotAck, snapshot_ack)
ASSENT_ENVELOPE_FIELD(Beacon, beacon)
ASSENT_ENVELOPE_FIELD(BeaconAck, beacon_ack)
ASSENT_ENVELOPE_FIELD(HandOver, hand_over)
ASSENT_ENVELOPE_FIELD(Operate, operate)
ASSENT_ENVELOPE_FIELD(Prepare, prepare)
ASSENT_ENVELOPE_FIELD(CommitOnePhase, commit_one_phase)
ASSENT_ENVELOPE_FIELD(Decide, decide)
ASSENT_ENVELOPE_FIELD(SettleToken, settle_token)
ASSENT_ENVELOPE_FIELD(MarkNews, mark_news)
ASSENT_ENVELOPE_FIELD(OperateReply, operate_reply)
ASSENT_ENVELOPE_FIELD(BranchAborted, branch_aborted)
ASSENT_ENVELOPE_FIELD(VoteReply, vote_reply)
ASSENT_ENVELOPE_FIELD(OnePhaseReply, one_phase_reply)
ASSENT_ENVELOPE_FIELD(DecideAck, decide_ack)
ASSENT_ENVELOPE_FIELD(Inquire, inquire)
ASSENT_ENVELOPE_FIELD(WoundRequest, wound_request)
ASSENT_ENVELOPE_FIELD(ConfirmReplies, confirm_replies)
ASSENT_ENVELOPE_FIELD(RepliesConfirmed, replies_confirmed)
ASSENT_ENVELOPE_FIELD(PeerInquire, peer_inquire)
ASSENT_ENVELOPE_FIELD(PeerOutcome, peer_outcome)
ASSENT_ENVELOPE_FIELD(EpochNews, epoch_news)
#undef ASSENT_ENVELOPE_FIELD

// Decodes the field of message type number I and all later ones, if set. A field that was sent but held
// nothing known is null though it counts as set (Thrift's generated code): not a message.
template <size_t I = 0>
bool DecodeMessages(wire::Envelope& in, Message& out, int& found, Fault& fault) {
  if constexpr (I < std::variant_size_v<Message>) {
    using Body = std::variant_alternative_t<I, Message>;
    if (auto& field = FieldOf(static_cast<const Body*>(nullptr), in); field != nullptr) {
      if (++found > 1) return fault.Set("envelope with two messages");
      if (!DecodeBody(*field, out.emplace<I>(), fault)) return false;
    }
    return DecodeMessages<I + 1>(in, out, found, fault);
  }
  return true;
}

bool DecodeWhole(wire::Envelope& in, Envelope& out, Fault& fault) {
  if (!Decode(in.from_group, out.from_group, fault) || !DecodeNumber(in.from_epoch, out.from_epoch, fault) ||
      !Decode(in.to_group, out.to_group, fault) || !DecodeNumber(in.to_epoch, out.to_epoch, fault)) {
    return false;
  }
  int found = 0;
  if (!DecodeMessages(in, out.message, found, fault)) return false;
  return found == 1 || fault.Set("envelope without a message");
}

}  // namespace

wire::Envelope EncodeEnvelope(Envelope&& envelope) {
  wire::Envelope out;
  out.from_group = Encode(envelope.from_group);
  out.from_epoch = Number(envelope.from_epoch);
  out.to_group = Encode(envelope.to_group);
  out.to_epoch = Number(envelope.to_epoch);
  std::visit(
      [&out](auto& body) {
        auto& field = FieldOf(&body, out);
        field = std::make_shared<typename std::decay_t<decltype(field)>::element_type>();
        EncodeBody(body, *field);
        MarkSet(body, out);
      },
      envelope.message);
  return out;
}

Result<Envelope> DecodeEnvelope(wire::Envelope&& in, NodeId from_node) {
  Envelope out;
  out.from_node = from_node;
  Fault fault;
  if (!DecodeWhole(in, out, fault)) return Status(StatusCode::kInvalid, fault.what);
  return out;
}

}  // namespace assent::codec
