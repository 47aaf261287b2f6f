#include "rm/thrift.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "Participant.h"
#include "runtime/transport/client.h"
#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kRecoverPageMax = 4096;  // as assent.thrift bounds RecoverReply

class ThriftResourceManager final : public ResourceManager {
 public:
  explicit ThriftResourceManager(const Target& target) : target_(target), connection_(OptionsFor(target)) {}

  Status Open() override { return connection_.Open(); }
  void Rest() override { connection_.Close(); }
  void Interrupt() override { connection_.Interrupt(); }

  void Prepare(const CallForeign& call, ForeignReply& reply) override {
    wire::PrepareRequest request;
    request.cluster = target_.cluster;
    request.txn = codec::Encode(call.txn);
    request.payload = call.payload;
    wire::PrepareReply answer;
    const CallStatus called =
        connection_.Call([&](wire::ParticipantClient& client) { client.prepare(answer, request); });
    if (called.ok() && answer.status != wire::ParticipantStatus::OK &&
        answer.status != wire::ParticipantStatus::UNAVAILABLE) {  // it will say the same the next time
      Refused(answer.status, answer.detail, reply);
      reply.reached = true;
      return;
    }
    if (!Usable(called, answer, call.txn, reply)) return;
    reply.reached = true;
    codec::Fault fault;
    if (codec::Decode(answer.vote, reply.vote, fault)) return;
    reply.vote = Vote::kNo;
    reply.detail = std::string("gave no vote: ") + fault.what;
  }

  void Commit(const CallForeign& call, ForeignReply& reply) override { Finish(call, reply); }
  void Rollback(const CallForeign& call, ForeignReply& reply) override { Finish(call, reply); }

  // All pages, or nothing: a list that ended early would show branches as finished that are not.
  void Recover(GroupId group, ForeignReply& reply) override {
    wire::RecoverRequest request;
    request.cluster = target_.cluster;
    request.group = codec::Encode(group);
    std::vector<TxnId> prepared;
    const auto until = Clock::now() + std::chrono::milliseconds(kListMs);
    for (bool more = true; more && prepared.size() < target_.recovered_max;) {
      if (Clock::now() > until) {
        reply.detail = "its list of what it holds in doubt takes too long";
        return;
      }
      wire::RecoverReply answer;
      const CallStatus called =
          connection_.Call([&](wire::ParticipantClient& client) { client.recover(answer, request); });
      if (!called.ok()) return Failed(called, reply);
      if (answer.status != wire::ParticipantStatus::OK) return Refused(answer.status, answer.detail, reply);
      more = answer.more;
      if (answer.prepared.size() > kRecoverPageMax || (more && answer.prepared.empty())) {
        reply.detail = "malformed recover reply";
        return;
      }
      for (const wire::TxnId& one : answer.prepared) {
        TxnId txn;
        codec::Fault fault;
        // Ascending, so that a resource manager which repeats itself cannot keep this going for ever. Another
        // group's branches are not ours to touch (Citus #8855).
        if (!codec::Decode(one, txn, fault) || txn.coordinator != group ||
            (!prepared.empty() && txn <= prepared.back())) {
          reply.detail = "recover named a transaction that was not asked for";
          return;
        }
        prepared.push_back(txn);
      }
      if (more) request.__set_after(codec::Encode(prepared.back()));
    }
    reply.reached = true;
    reply.prepared = std::move(prepared);
  }

 private:
  void Finish(const CallForeign& call, ForeignReply& reply) {
    wire::FinishRequest request;
    request.cluster = target_.cluster;
    request.txn = codec::Encode(call.txn);
    wire::FinishReply answer;
    const CallStatus called = connection_.Call([&](wire::ParticipantClient& client) {
      call.verb == ForeignVerb::kCommit ? client.commit(answer, request) : client.rollback(answer, request);
    });
    if (!Usable(called, answer, call.txn, reply)) return;
    reply.reached = true;
    reply.answer = answer.done ? ForeignAnswer::kDone : ForeignAnswer::kRefused;
  }

  template <typename Answer>
  bool Usable(const CallStatus& called, const Answer& answer, const TxnId& asked, ForeignReply& reply) {
    if (!called.ok()) {
      Failed(called, reply);
      return false;
    }
    if (answer.status != wire::ParticipantStatus::OK) {
      Refused(answer.status, answer.detail, reply);
      return false;
    }
    TxnId echoed;
    codec::Fault fault;
    if (!codec::Decode(answer.txn, echoed, fault) || echoed != asked) {
      // Out of step: later bytes on this connection cannot be trusted either.
      connection_.Close();
      reply.detail = "answer about another transaction";
      return false;
    }
    reply.detail = codec::CutDetail(answer.detail);
    return true;
  }

  static void Failed(const CallStatus& called, ForeignReply& reply) {
    reply.unsent = !called.maybe_executed;
    reply.detail = called.status.message();
  }

  static void Refused(wire::ParticipantStatus::type status, const std::string& detail, ForeignReply& reply) {
    const char* what = "unusable answer";
    if (status == wire::ParticipantStatus::WRONG_CLUSTER) what = "belongs to another cluster";
    if (status == wire::ParticipantStatus::INVALID) what = "found the request invalid";
    if (status == wire::ParticipantStatus::UNAVAILABLE) what = "unavailable";
    reply.detail = codec::CutDetail(std::string(what) + (detail.empty() ? "" : ": ") + detail);
  }

  static ConnectionOptions OptionsFor(const Target& target) {
    ConnectionOptions options;
    options.peer = target.address;
    options.service = "Participant";
    options.connect_timeout_ms = target.connect_timeout_ms;
    options.send_timeout_ms = target.timeout_ms;
    options.recv_timeout_ms = target.timeout_ms;
    return options;
  }

  const Target target_;
  Connection<wire::ParticipantClient> connection_;
};

}  // namespace

std::unique_ptr<ResourceManager> MakeThrift(const Target& target) {
  return std::make_unique<ThriftResourceManager>(target);
}

}  // namespace assent::rm
