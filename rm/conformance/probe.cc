#include "rm/conformance/probe.h"

#include <string_view>
#include <utility>

#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

constexpr int kConnectMs = 1'000;  // as a node gives it
constexpr size_t kListedMax = 4;   // ids of a list that are shown

std::string NameOf(wire::ParticipantStatus::type status) {
  switch (status) {
    case wire::ParticipantStatus::OK:
      return "OK";
    case wire::ParticipantStatus::WRONG_CLUSTER:
      return "WRONG_CLUSTER";
    case wire::ParticipantStatus::INVALID:
      return "INVALID";
    case wire::ParticipantStatus::UNAVAILABLE:
      return "UNAVAILABLE";
    case wire::ParticipantStatus::UNSPECIFIED:
      return "no status";
  }
  return "unknown status " + std::to_string(static_cast<int>(status));
}

std::string NameOf(wire::Vote::type vote) {
  switch (vote) {
    case wire::Vote::YES:
      return "YES";
    case wire::Vote::NO:
      return "NO";
    case wire::Vote::READ_ONLY:
      return "READ_ONLY";
    case wire::Vote::UNSPECIFIED:
      return "no vote";
  }
  return "unknown vote " + std::to_string(static_cast<int>(vote));
}

template <typename Answer>
void TakeCommon(const Answer& answer, Reply& reply) {
  reply.status = answer.status;
  reply.detail = codec::CutDetail(answer.detail);
}

}  // namespace

std::string TextOf(const wire::TxnId& txn) {
  TxnId id;
  codec::Fault fault;
  if (codec::Decode(txn, id, fault)) return ToString(id);
  return "(group " + std::to_string(txn.group) + ", epoch " + std::to_string(txn.epoch) + ", seq " +
         std::to_string(txn.seq) + ")";
}

std::string Reply::Answer() const {
  if (!called.ok()) return "no answer: " + called.status.message();
  std::string text;
  if (status != wire::ParticipantStatus::OK) {
    text = NameOf(status);
  } else if (is_recover) {
    text = std::to_string(prepared.size()) + " prepared";
    for (size_t i = 0; i < prepared.size() && i < kListedMax; ++i) {
      text += (i == 0 ? ": " : ", ") + TextOf(prepared[i]);
    }
    if (prepared.size() > kListedMax) text += ", ...";
    if (more) text += " (more)";
  } else if (vote != wire::Vote::UNSPECIFIED || sent.starts_with("prepare")) {
    text = NameOf(vote);
  } else {
    text = done ? "done" : "not done";
  }
  return detail.empty() ? text : text + ": " + detail;
}

ConnectionOptions Probe::Options() const {
  ConnectionOptions options;
  options.peer = address_;
  options.service = "Participant";
  options.connect_timeout_ms = kConnectMs;
  options.send_timeout_ms = call_ms_;
  options.recv_timeout_ms = call_ms_;
  return options;
}

Reply Probe::Prepare(const wire::TxnId& txn, const std::string& payload) const {
  wire::PrepareRequest request;
  request.cluster = cluster_;
  request.txn = txn;
  request.payload = payload;
  Reply reply;
  reply.sent = "prepare " + TextOf(txn);
  wire::PrepareReply answer;
  Service service(Options());
  reply.called = service.Call([&](wire::ParticipantClient& client) { client.prepare(answer, request); });
  TakeCommon(answer, reply);
  reply.echoed = answer.txn;
  reply.vote = answer.vote;
  return reply;
}

Reply Probe::Commit(const wire::TxnId& txn) const {
  return Finish("commit", txn);
}

Reply Probe::Rollback(const wire::TxnId& txn) const {
  return Finish("rollback", txn);
}

Reply Probe::Finish(const char* verb, const wire::TxnId& txn) const {
  wire::FinishRequest request;
  request.cluster = cluster_;
  request.txn = txn;
  Reply reply;
  reply.sent = std::string(verb) + " " + TextOf(txn);
  wire::FinishReply answer;
  Service service(Options());
  reply.called = service.Call([&](wire::ParticipantClient& client) {
    std::string_view(verb) == "commit" ? client.commit(answer, request) : client.rollback(answer, request);
  });
  TakeCommon(answer, reply);
  reply.echoed = answer.txn;
  reply.done = answer.done;
  return reply;
}

Reply Probe::Recover(GroupId group) const {
  wire::RecoverRequest request;
  request.cluster = cluster_;
  request.group = codec::Encode(group);
  return Recover(request, "recover " + ToString(group));
}

Reply Probe::Recover(GroupId group, const wire::TxnId& after) const {
  wire::RecoverRequest request;
  request.cluster = cluster_;
  request.group = codec::Encode(group);
  request.__set_after(after);
  return Recover(request, "recover " + ToString(group) + " after " + TextOf(after));
}

Reply Probe::Recover(const wire::RecoverRequest& request, std::string sent) const {
  Service service(Options());
  return Recover(service, request, std::move(sent));
}

Reply Probe::Open(GroupId group, std::unique_ptr<Service>& service) const {
  service = std::make_unique<Service>(Options());
  wire::RecoverRequest request;
  request.cluster = cluster_;
  request.group = codec::Encode(group);
  return Recover(*service, request, "recover " + ToString(group) + " on a connection that stays open");
}

Reply Probe::Recover(Service& service, const wire::RecoverRequest& request, std::string sent) {
  Reply reply;
  reply.sent = std::move(sent);
  reply.is_recover = true;
  wire::RecoverReply answer;
  reply.called = service.Call([&](wire::ParticipantClient& client) { client.recover(answer, request); });
  TakeCommon(answer, reply);
  reply.prepared = std::move(answer.prepared);
  reply.more = answer.more;
  return reply;
}

}  // namespace assent::rm
