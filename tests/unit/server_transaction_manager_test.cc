// The Thrift service for clients over a real socket, with a core that answers as the test says.
#include <gtest/gtest.h>
#include <thrift/processor/TMultiplexedProcessor.h>

#include <mutex>

#include "TransactionManager.h"
#include "common/xid.h"
#include "runtime/transport/client.h"
#include "runtime/transport/server.h"
#include "server/transaction_manager.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"
#include "thrift_samples.h"

namespace assent {
namespace {

// Answers with what the test says, or keeps the request.
class Gateway final : public ClientGateway {
 public:
  bool Submit(GroupId group, RequestId id, ClientRequest request, ReplyTo<ClientReply> reply) override {
    std::lock_guard lock(mutex_);
    ids.push_back(id);
    groups.push_back(group);
    requests.push_back(std::move(request));
    if (full) return false;
    if (answer) {
      reply(*answer);
    } else if (keep) {
      kept.push_back(std::move(reply));
    }
    return true;
  }
  void Abandon(GroupId, RequestId id) override {
    std::lock_guard lock(mutex_);
    abandoned.push_back(id);
  }
  ClusterPlaces Places() override {
    return {{{{GroupKind::kCoordinator, 1}, Epoch{4}, NodeId{2}, "h:1"}}, {"h:1", "h:2"}};
  }

  std::optional<ClientReply> answer;
  bool full = false;
  bool keep = false;
  std::vector<GroupId> groups;
  std::vector<RequestId> ids, abandoned;
  std::vector<ClientRequest> requests;
  std::vector<ReplyTo<ClientReply>> kept;

 private:
  std::mutex mutex_;
};

constexpr const char* kCluster = "7b0c5a1e-0123-4567-89ab-cdef01234567";

class CoordinatorServer : public testing::Test {
 protected:
  CoordinatorServer() {
    auto multiplexed = std::make_shared<apache::thrift::TMultiplexedProcessor>();
    multiplexed->registerProcessor(
        "TransactionManager",
        MakeTransactionManager({kCluster, 20'000, {{"orders", "postgresql"}}}, gateway_, gate_));
    ServerOptions options;
    options.limits = kClientLimits;
    server_ = Server::Start(options, multiplexed).value();
    ConnectionOptions connection;
    connection.peer = server_->address();
    connection.service = "TransactionManager";
    connection_.emplace(connection);
  }
  ~CoordinatorServer() override {
    gate_.Close();
    server_->Stop();
  }

  template <typename Reply, typename Request>
  Reply Call(void (wire::TransactionManagerClient::*method)(Reply&, const Request&), const Request& request) {
    Reply reply;
    const CallStatus called =
        connection_->Call([&](wire::TransactionManagerClient& client) { (client.*method)(reply, request); });
    EXPECT_TRUE(called.ok()) << called.status.message();
    return reply;
  }

  // A good request of each kind that may have to be answered UNKNOWN.
  wire::ExecuteRequest Execute() {
    samples::Random random(1);
    assent::Execute execute{samples::RandomTag(random), {PutOp{"k", "v"}}, {}, {}};
    const GroupId group = execute.tag.token.coordinator;
    return codec::EncodeRequest(kCluster, group, std::move(execute));
  }
  wire::CommitRequest Commit() {
    samples::Random random(2);
    return codec::EncodeRequest(kCluster, std::get<assent::Commit>(samples::RandomRequest(4, random)));
  }
  wire::WorkRequest Work() {
    samples::Random random(3);
    return codec::EncodeRequest(kCluster, std::get<assent::Work>(samples::RandomRequest(3, random)));
  }

  Gateway gateway_;
  CallGate gate_{8};
  std::unique_ptr<Server> server_;
  std::optional<Connection<wire::TransactionManagerClient>> connection_;
};

using Wire = wire::TransactionManagerClient;

TEST_F(CoordinatorServer, NamesTheBranchesThatTheCoreEnlisted) {  // F1
  const TxnId txn{{GroupKind::kCoordinator, 1}, Epoch{4}, 7};
  gateway_.answer = EnlistedBranch{"orders", 1};
  const auto enlisted =
      Call(&Wire::enlist, codec::EncodeRequest(kCluster, assent::Enlist{txn, "orders", 5})).enlisted;
  const Xid xid = XidOf(BranchXid{ClusterDigits(kCluster), txn, "orders", 1});
  EXPECT_EQ(enlisted.kind, "postgresql");
  EXPECT_EQ(enlisted.branch, 1);
  EXPECT_EQ(enlisted.xid.format_id, kXidFormat);
  EXPECT_EQ(enlisted.xid.gtrid, xid.gtrid);
  EXPECT_EQ(enlisted.xid.bqual, xid.bqual);
  EXPECT_EQ(enlisted.xid.text, ToString(xid));
  gateway_.answer = assent::Begun{txn, Age{1, txn}, 5, 1'000, 2'000, {EnlistedBranch{"orders", 1}}};
  const auto begun = Call(&Wire::begin_txn, codec::EncodeRequest(kCluster, txn.coordinator, assent::Begin{}));
  ASSERT_EQ(begun.enlisted.size(), 1u);
  EXPECT_EQ(begun.enlisted[0].xid.text, ToString(xid));
}

TEST_F(CoordinatorServer, AnswersWithTheCoresEnding) {
  Ending ending;
  ending.outcome = Outcome::kCommitted;
  ending.results.resize(1);
  gateway_.answer = ending;
  const wire::ExecuteRequest request = Execute();
  const auto reply = Call(&Wire::execute, request);
  ASSERT_TRUE(reply.__isset.ending);
  EXPECT_EQ(reply.ending.outcome, wire::Outcome::COMMITTED);
  EXPECT_EQ(reply.token, request.tag.token);
  EXPECT_EQ(reply.attempt, request.tag.attempt);
  ASSERT_EQ(gateway_.requests.size(), 1u);
  const auto& passed = std::get<assent::Execute>(gateway_.requests[0]);
  EXPECT_EQ(std::get<PutOp>(passed.operations.at(0)).value, "v");
  EXPECT_EQ(codec::Encode(gateway_.groups[0]), request.group);
}

TEST_F(CoordinatorServer, NoAnswerInTimeIsUnknownAndTheCallIsAbandoned) {  // I-U1
  gateway_.keep = true;
  EXPECT_EQ(Call(&Wire::execute, Execute()).ending.outcome, wire::Outcome::UNKNOWN);
  EXPECT_EQ(Call(&Wire::commit, Commit()).ending.outcome, wire::Outcome::UNKNOWN);
  EXPECT_EQ(Call(&Wire::work, Work()).ending.outcome, wire::Outcome::UNKNOWN);
  EXPECT_EQ(gateway_.abandoned, gateway_.ids);
  EXPECT_EQ(gateway_.ids.size(), 3u);
}

TEST_F(CoordinatorServer, DroppedRequestIsUnknown) {
  const auto reply = Call(&Wire::commit, Commit());
  EXPECT_FALSE(reply.__isset.refusal);
  EXPECT_EQ(reply.ending.outcome, wire::Outcome::UNKNOWN);
}

TEST_F(CoordinatorServer, FullQueueIsOverloaded) {  // G8
  gateway_.full = true;
  const auto reply = Call(&Wire::execute, Execute());
  ASSERT_TRUE(reply.__isset.refusal);
  EXPECT_EQ(reply.refusal.code, wire::RefusalCode::OVERLOADED);
  EXPECT_TRUE(gateway_.abandoned.empty());
}

TEST_F(CoordinatorServer, OtherClusterAndBadRequestsNeverReachTheCore) {
  wire::ExecuteRequest request = Execute();
  request.cluster = "other";
  auto reply = Call(&Wire::execute, request);
  EXPECT_EQ(reply.refusal.code, wire::RefusalCode::WRONG_CLUSTER);
  EXPECT_NE(reply.refusal.detail.find(kCluster), std::string::npos);
  request = Execute();
  request.operations[0].key.clear();
  reply = Call(&Wire::execute, request);
  EXPECT_EQ(reply.refusal.code, wire::RefusalCode::INVALID);
  EXPECT_EQ(reply.refusal.detail, "empty key");
  EXPECT_TRUE(gateway_.requests.empty());
}

TEST_F(CoordinatorServer, WhereIsNamesLeadersAndNodes) {
  wire::WhereIsRequest request;
  auto reply = Call(&Wire::where_is, request);
  EXPECT_EQ(reply.cluster, kCluster);
  ASSERT_EQ(reply.leaders.size(), 1u);
  EXPECT_EQ(reply.leaders[0].address, "h:1");
  EXPECT_EQ(reply.leaders[0].epoch, 4);
  EXPECT_EQ(reply.leaders[0].group, (1 << 16) | 1);
  EXPECT_EQ(reply.addresses.size(), 2u);
  request.cluster = "other";
  reply = Call(&Wire::where_is, request);
  EXPECT_EQ(reply.refusal.code, wire::RefusalCode::WRONG_CLUSTER);
  EXPECT_TRUE(reply.leaders.empty());
}

TEST_F(CoordinatorServer, RefusalCarriesTheEpoch) {
  gateway_.answer = Refusal{RefusalCode::kStaleEpoch, "newer", Epoch{9}};
  const auto reply = Call(&Wire::execute, Execute());
  EXPECT_EQ(reply.refusal.code, wire::RefusalCode::STALE_EPOCH);
  EXPECT_EQ(reply.refusal.epoch, 9);
}

}  // namespace
}  // namespace assent
