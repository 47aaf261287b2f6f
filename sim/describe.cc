#include "sim/describe.h"

#include <type_traits>

namespace assent::sim {
namespace {

std::string N(uint64_t number) {
  return std::to_string(number);
}

const char* Name(Decision decision) {
  return decision == Decision::kCommit ? "commit" : "abort";
}
const char* Name(Vote vote) {
  return vote == Vote::kYes ? "yes" : vote == Vote::kNo ? "no" : "read-only";
}

struct MessageText {
  std::string operator()(const Ship& m) const {
    return "Ship after " + ToString(m.prev) + " " + N(m.entries.size()) + " records, replicated " +
           N(Raw(m.replicated));
  }
  std::string operator()(const ShipAck& m) const {
    return "ShipAck " + ToString(m.durable) + (m.mismatch ? " mismatch, try " + ToString(m.hint) : "");
  }
  std::string operator()(const Beacon& m) const { return "Beacon " + N(m.sent_us); }
  std::string operator()(const BeaconAck& m) const { return "BeaconAck " + N(m.sent_us); }
  std::string operator()(const HandOver&) const { return "HandOver"; }
  std::string operator()(const SnapshotPiece& m) const {
    return "SnapshotPiece " + ToString(m.at) + " offset " + N(m.offset) + (m.done ? " last" : "");
  }
  std::string operator()(const SnapshotAck& m) const {
    return "SnapshotAck " + ToString(m.at) + (m.installed ? " installed" : " " + N(m.received));
  }
  std::string operator()(const Operate& m) const {
    return "Operate " + ToString(m.header.txn) + " " + N(m.first) + "+" + N(m.operations.size());
  }
  std::string operator()(const Prepare& m) const {
    return "Prepare " + ToString(m.header.txn) + " " + N(m.operations.size()) + " ops, last " + N(m.last);
  }
  std::string operator()(const CommitOnePhase& m) const {
    return "CommitOnePhase " + ToString(m.header.txn) + " " + ToString(m.token) + " attempt " + N(m.attempt);
  }
  std::string operator()(const Decide& m) const {
    return "Decide " + ToString(m.header.txn) + " " + Name(m.decision);
  }
  std::string operator()(const SettleToken& m) const {
    return "SettleToken " + ToString(m.token) + " attempt " + N(m.attempt);
  }
  std::string operator()(const MarkNews& m) const {
    return "MarkNews " + ToString(m.mark) + (m.live.valid() ? ", live " + ToString(m.live) : "");
  }
  std::string operator()(const OperateReply& m) const {
    return "OperateReply " + ToString(m.txn) + " " + N(m.last);
  }
  std::string operator()(const BranchAborted& m) const {
    return "BranchAborted " + ToString(m.txn) + " " + std::string(assent::ToString(m.reason));
  }
  std::string operator()(const VoteReply& m) const {
    return "VoteReply " + ToString(m.txn) + " " + Name(m.vote) + " " +
           std::string(assent::ToString(m.reason));
  }
  std::string operator()(const OnePhaseReply& m) const {
    return "OnePhaseReply " + ToString(m.txn) + (m.committed ? " committed" : " not committed ") +
           std::string(assent::ToString(m.reason));
  }
  std::string operator()(const DecideAck& m) const {
    return "DecideAck " + ToString(m.txn) + " " + Name(m.decision);
  }
  std::string operator()(const Inquire& m) const {
    return "Inquire " + ToString(m.txn) + (m.unprepared ? " unprepared" : "");
  }
  std::string operator()(const WoundRequest& m) const { return "WoundRequest " + ToString(m.txn); }
  std::string operator()(const ConfirmReplies& m) const { return "ConfirmReplies " + N(m.through); }
  std::string operator()(const RepliesConfirmed& m) const { return "RepliesConfirmed " + N(m.through); }
  std::string operator()(const PeerInquire& m) const { return "PeerInquire " + ToString(m.txn); }
  std::string operator()(const PeerOutcome& m) const {
    return "PeerOutcome " + ToString(m.txn) + " " + (m.decision ? Name(*m.decision) : "unknown");
  }
  std::string operator()(const EpochNews&) const { return "EpochNews"; }
};

std::string Tag(const CommitTag& tag) {
  return ToString(tag.token) + " attempt " + N(tag.attempt) + " sent to e" + N(Raw(tag.sent_to));
}

}  // namespace

std::string Describe(NodeId to, const Envelope& envelope) {
  return "n" + N(Raw(to)) + "/" + ToString(envelope.to_group) + "@e" + N(Raw(envelope.to_epoch)) + " from e" +
         N(Raw(envelope.from_epoch)) + ": " + std::visit(MessageText(), envelope.message);
}

std::string Describe(const ClientRequest& request) {
  return std::visit(
      [](const auto& r) -> std::string {
        using R = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<R, OpenSession>) return "OpenSession";
        if constexpr (std::is_same_v<R, Execute>) {
          return "Execute " + Tag(r.tag) + " " + N(r.operations.size()) + " ops";
        }
        if constexpr (std::is_same_v<R, Begin>) return "Begin";
        if constexpr (std::is_same_v<R, Work>) {
          return "Work " + ToString(r.txn) + " " + N(r.operations.size()) + " ops";
        }
        if constexpr (std::is_same_v<R, Commit>) return "Commit " + ToString(r.txn) + " " + Tag(r.tag);
        if constexpr (std::is_same_v<R, Rollback>) return "Rollback " + ToString(r.txn);
        if constexpr (std::is_same_v<R, Enlist>)
          return "Enlist " + ToString(r.txn) + " " + r.resource_manager;
        if constexpr (std::is_same_v<R, KeepAlive>) return "KeepAlive " + ToString(r.txn);
        if constexpr (std::is_same_v<R, Finished>) {
          return "Finished " + ToString(r.txn) + " " + r.resource_manager + " " + Name(r.decision);
        }
      },
      request);
}

std::string_view ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCommitted:
      return "COMMITTED";
    case Outcome::kAborted:
      return "ABORTED";
    case Outcome::kUnknown:
      return "UNKNOWN";
  }
  return "?";
}

std::string Describe(const ClientReply& reply) {
  return std::visit(
      [](const auto& r) -> std::string {
        using R = std::decay_t<decltype(r)>;
        if constexpr (std::is_same_v<R, SessionOpened>) return "SessionOpened";
        if constexpr (std::is_same_v<R, Begun>) return "Begun " + ToString(r.txn);
        if constexpr (std::is_same_v<R, WorkDone>) return "WorkDone";
        if constexpr (std::is_same_v<R, Ending>) {
          return std::string(ToString(r.outcome)) + " " + ToString(r.txn) + " " +
                 std::string(assent::ToString(r.reason));
        }
        if constexpr (std::is_same_v<R, Refusal>) return "Refusal: " + r.detail;
        if constexpr (std::is_same_v<R, RolledBack>) return "RolledBack";
        if constexpr (std::is_same_v<R, EnlistedBranch>) return "Enlisted " + r.resource_manager;
        if constexpr (std::is_same_v<R, KeptAlive>) return "KeptAlive";
        if constexpr (std::is_same_v<R, FinishNoted>) return "FinishNoted";
      },
      reply);
}

std::string Describe(const CallForeign& call) {
  constexpr const char* kVerbs[] = {"?", "prepare", "commit", "roll back", "list"};
  return std::string(kVerbs[static_cast<size_t>(call.verb)]) + " " + ToString(call.txn) + " " + call.payload;
}

}  // namespace assent::sim
