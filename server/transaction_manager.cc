#include "server/transaction_manager.h"

#include <atomic>
#include <type_traits>
#include <utility>

#include "TransactionManager.h"
#include "common/xid.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

Refusal MakeRefusal(RefusalCode code, std::string detail) {
  return Refusal{code, std::move(detail), Epoch{}};
}

Ending UnknownEnding(const std::string& why) {
  Ending ending;
  ending.outcome = Outcome::kUnknown;
  ending.detail = why + "; send the same request again";
  return ending;
}

// The answer to a caller whose request was passed on and not answered (I-U1).
ClientReply Unanswered(const OpenSession&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);  // a number is spent, which is nothing
}
ClientReply Unanswered(const Execute&, const std::string& why) {
  return UnknownEnding(why);
}
ClientReply Unanswered(const Begin&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);  // what may have begun has no work, and idles out
}
ClientReply Unanswered(const Work&, const std::string& why) {
  return UnknownEnding(why);
}
ClientReply Unanswered(const Commit&, const std::string& why) {
  return UnknownEnding(why);
}
ClientReply Unanswered(const Rollback&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);  // idempotent: ask again, or let it idle out
}

ClientReply Unanswered(const Enlist&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);  // idempotent: ask again
}
ClientReply Unanswered(const KeepAlive&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);
}
ClientReply Unanswered(const Finished&, const std::string& why) {
  return MakeRefusal(RefusalCode::kNotServing, why);
}

class Handler final : public wire::TransactionManagerIf {
 public:
  Handler(const TransactionManagerOptions& options, ClientGateway& gateway, CallGate& gate)
      : options_(options), gateway_(gateway), gate_(gate) {}

  void where_is(wire::WhereIsReply& out, const wire::WhereIsRequest& request) override {
    out.cluster = options_.cluster;
    if (!request.cluster.empty() && request.cluster != options_.cluster) {
      out.__set_refusal(WrongCluster());
      return;
    }
    ClusterPlaces places = gateway_.Places();
    for (CoordinatorPlace& place : places.leaders) {
      wire::Leader leader;
      leader.group = codec::Encode(place.group);
      leader.epoch = codec::Number(place.epoch);
      leader.node = codec::SmallNumber(place.node);
      leader.address = std::move(place.address);
      out.leaders.push_back(std::move(leader));
    }
    out.addresses = std::move(places.addresses);
  }

  // Thrift makes the request for this call alone, though its signature says const: taking it over saves a
  // copy of all keys and values.
  void open_session(wire::OpenSessionReply& out, const wire::OpenSessionRequest& request) override {
    Serve<OpenSession>(out, const_cast<wire::OpenSessionRequest&>(request));
  }
  void execute(wire::ExecuteReply& out, const wire::ExecuteRequest& request) override {
    Echo(out, request.tag);
    Serve<Execute>(out, const_cast<wire::ExecuteRequest&>(request));
  }
  void begin_txn(wire::BeginReply& out, const wire::BeginRequest& request) override {
    Serve<Begin>(out, const_cast<wire::BeginRequest&>(request));
  }
  void work(wire::WorkReply& out, const wire::WorkRequest& request) override {
    out.txn = request.txn;
    Serve<Work>(out, const_cast<wire::WorkRequest&>(request));
  }
  void commit(wire::CommitReply& out, const wire::CommitRequest& request) override {
    Echo(out, request.tag);
    Serve<Commit>(out, const_cast<wire::CommitRequest&>(request));
  }
  void rollback(wire::RollbackReply& out, const wire::RollbackRequest& request) override {
    out.txn = request.txn;
    Serve<Rollback>(out, const_cast<wire::RollbackRequest&>(request));
  }

  void enlist(wire::EnlistReply& out, const wire::EnlistRequest& request) override {
    out.txn = request.txn;
    Serve<Enlist>(out, const_cast<wire::EnlistRequest&>(request));
  }
  void keep_alive(wire::KeepAliveReply& out, const wire::KeepAliveRequest& request) override {
    out.txn = request.txn;
    Serve<KeepAlive>(out, const_cast<wire::KeepAliveRequest&>(request));
  }
  void finished(wire::FinishedReply& out, const wire::FinishedRequest& request) override {
    out.txn = request.txn;
    Serve<Finished>(out, const_cast<wire::FinishedRequest&>(request));
  }

 private:
  template <typename WireReply>
  static void Echo(WireReply& out, const wire::CommitTag& tag) {
    out.__set_token(tag.token);
    out.__set_attempt(tag.attempt);
  }

  // What the core does not know of the branches in its reply.
  void NameBranches(ClientReply& reply, const TxnId& txn) const {
    if (auto* const begun = std::get_if<Begun>(&reply)) {
      for (EnlistedBranch& branch : begun->enlisted) NameBranch(branch, begun->txn);
    } else if (auto* const branch = std::get_if<EnlistedBranch>(&reply)) {
      NameBranch(*branch, txn);
    }
  }
  void NameBranch(EnlistedBranch& branch, const TxnId& txn) const {
    branch.xid =
        XidOf(BranchXid{ClusterDigits(options_.cluster), txn, branch.resource_manager, branch.branch});
    const auto kind = options_.kinds.find(branch.resource_manager);
    if (kind != options_.kinds.end()) branch.kind = kind->second;
  }

  wire::Refusal WrongCluster() const {
    wire::Refusal refusal;
    refusal.code = wire::RefusalCode::WRONG_CLUSTER;
    refusal.detail = "this node belongs to cluster " + options_.cluster;
    return refusal;
  }

  template <typename Request, typename WireReply, typename WireRequest>
  void Serve(WireReply& out, WireRequest& wire_request) {
    if (wire_request.cluster != options_.cluster) {
      out.__set_refusal(WrongCluster());
      return;
    }
    auto decoded = codec::DecodeRequest(std::move(wire_request));
    if (!decoded.ok()) {
      return codec::EncodeReply(MakeRefusal(RefusalCode::kInvalid, decoded.status().message()), out);
    }
    TxnId txn;  // that a branch would be enlisted in
    if constexpr (std::is_same_v<Request, Enlist>) txn = std::get<Enlist>(decoded->request).txn;
    const GroupId group = decoded->group;
    const RequestId id{next_id_.fetch_add(1, std::memory_order_relaxed)};
    auto answered = gate_.Call<ClientReply>(options_.answer_timeout_us, [&](ReplyTo<ClientReply> reply) {
      return gateway_.Submit(group, id, std::move(decoded->request), std::move(reply));
    });
    if (answered.ok()) {
      NameBranches(answered.value(), txn);
      return codec::EncodeReply(std::move(answered).value(), out);
    }
    if (answered.status().code() == StatusCode::kOverloaded) {
      return codec::EncodeReply(MakeRefusal(RefusalCode::kOverloaded, answered.status().message()), out);
    }
    gateway_.Abandon(group, id);
    codec::EncodeReply(Unanswered(Request{}, answered.status().message()), out);
  }

  const TransactionManagerOptions options_;
  ClientGateway& gateway_;
  CallGate& gate_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace

std::shared_ptr<apache::thrift::TProcessor> MakeTransactionManager(const TransactionManagerOptions& options,
                                                                   ClientGateway& gateway, CallGate& gate) {
  return std::make_shared<wire::TransactionManagerProcessor>(
      std::make_shared<Handler>(options, gateway, gate));
}

}  // namespace assent
