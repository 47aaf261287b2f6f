// Requests and replies between clients and coordinators: every one comes back, bad ones are refused.
#include <gtest/gtest.h>

#include "assent_constants.h"
#include "coordinator/config.h"
#include "server/transaction_manager.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"
#include "thrift_samples.h"

namespace assent {
namespace {

using samples::FromBytes;
using samples::Random;
using samples::ToBytes;

template <typename Wire>
Result<codec::AddressedRequest> AtTheServer(const Wire& wire) {
  return codec::DecodeRequest(FromBytes<Wire>(ToBytes(wire)));
}

const std::string kCluster = "cluster";

Result<codec::AddressedRequest> AtTheServer(ClientRequest request, GroupId group) {
  if (auto* open = std::get_if<OpenSession>(&request)) {
    return AtTheServer(codec::EncodeRequest(kCluster, group, *open));
  }
  if (auto* execute = std::get_if<Execute>(&request)) {
    return AtTheServer(codec::EncodeRequest(kCluster, group, std::move(*execute)));
  }
  if (auto* begin = std::get_if<Begin>(&request))
    return AtTheServer(codec::EncodeRequest(kCluster, group, *begin));
  if (auto* work = std::get_if<Work>(&request)) {
    return AtTheServer(codec::EncodeRequest(kCluster, std::move(*work)));
  }
  if (auto* commit = std::get_if<Commit>(&request)) {
    return AtTheServer(codec::EncodeRequest(kCluster, std::move(*commit)));
  }
  if (auto* enlist = std::get_if<Enlist>(&request))
    return AtTheServer(codec::EncodeRequest(kCluster, *enlist));
  if (auto* alive = std::get_if<KeepAlive>(&request))
    return AtTheServer(codec::EncodeRequest(kCluster, *alive));
  if (auto* finished = std::get_if<Finished>(&request)) {
    return AtTheServer(codec::EncodeRequest(kCluster, *finished));
  }
  return AtTheServer(codec::EncodeRequest(kCluster, std::get<Rollback>(request)));
}

TEST(CodecClient, EveryRequestSurvivesTheWire) {
  Random random(2);
  for (size_t type = 0; type < std::variant_size_v<ClientRequest>; ++type) {
    for (int i = 0; i < 200; ++i) {
      ClientRequest request = samples::RandomRequest(type, random);
      ASSERT_EQ(request.index(), type);
      GroupId group{GroupKind::kCoordinator, 3};
      if (const auto* execute = std::get_if<Execute>(&request)) group = execute->tag.token.coordinator;
      if (const auto* work = std::get_if<Work>(&request)) group = work->txn.coordinator;
      if (const auto* commit = std::get_if<Commit>(&request)) group = commit->txn.coordinator;
      if (const auto* rollback = std::get_if<Rollback>(&request)) group = rollback->txn.coordinator;
      if (const auto* enlist = std::get_if<Enlist>(&request)) group = enlist->txn.coordinator;
      if (const auto* alive = std::get_if<KeepAlive>(&request)) group = alive->txn.coordinator;
      if (const auto* finished = std::get_if<Finished>(&request)) group = finished->txn.coordinator;
      const auto back = AtTheServer(request, group);
      ASSERT_TRUE(back.ok()) << type << ": " << back.status().message();
      EXPECT_EQ(back->group, group);
      ASSERT_EQ(samples::TextOf(back->request), samples::TextOf(request));
    }
  }
}

// The reply of one method, there and back.
template <typename Wire, typename... Asked>
Result<ClientReply> AtTheClient(ClientReply reply, Wire wire, const Asked&... asked) {
  codec::EncodeReply(std::move(reply), wire);
  return codec::DecodeReply(FromBytes<Wire>(ToBytes(wire)), asked...);
}

template <typename Wire>
Wire Echoing(const CommitTag& tag) {
  Wire wire;
  wire.__set_token(codec::Encode(tag.token));
  wire.__set_attempt(codec::SmallNumber(tag.attempt));
  return wire;
}

TEST(CodecClient, EveryReplySurvivesTheWire) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const CommitTag tag = samples::RandomTag(random);
    const TxnId txn = samples::RandomTxn(random);
    wire::WorkReply work;
    work.txn = codec::Encode(txn);
    wire::RollbackReply rollback;
    rollback.txn = codec::Encode(txn);
    const Refusal refusal{static_cast<RefusalCode>(1 + i % 8), "why", Epoch{static_cast<uint64_t>(i)}};
    Refusal of_work = refusal;
    of_work.shards = {{GroupKind::kShard, 1}, {GroupKind::kShard, 2}};
    const auto same = [](const ClientReply& sent, const Result<ClientReply>& back) {
      ASSERT_TRUE(back.ok()) << back.status().message();
      ASSERT_EQ(samples::TextOf(*back), samples::TextOf(sent));
    };
    for (const ClientReply& reply : {ClientReply(samples::RandomEnding(random)), ClientReply(refusal)}) {
      same(reply, AtTheClient(reply, Echoing<wire::ExecuteReply>(tag), tag));
      same(reply, AtTheClient(reply, Echoing<wire::CommitReply>(tag), tag));
    }
    for (const ClientReply& reply : {ClientReply(samples::RandomEnding(random)), ClientReply(of_work)}) {
      same(reply, AtTheClient(reply, work, txn));
    }
    for (const ClientReply& reply :
         {ClientReply(SessionOpened{ClientId{4}, 5, Epoch{6}}), ClientReply(refusal)}) {
      same(reply, AtTheClient(reply, wire::OpenSessionReply{}));
    }
    for (const ClientReply& reply :
         {ClientReply(Begun{txn,
                            samples::RandomAge(random),
                            5,
                            6'000,
                            7'000,
                            {samples::RandomBranch(random), samples::RandomBranch(random)}}),
          ClientReply(refusal)}) {
      same(reply, AtTheClient(reply, wire::BeginReply{}));
    }
    wire::EnlistReply enlist;
    enlist.txn = codec::Encode(txn);
    wire::KeepAliveReply alive;
    alive.txn = codec::Encode(txn);
    wire::FinishedReply finished;
    finished.txn = codec::Encode(txn);
    for (const ClientReply& reply : {ClientReply(samples::RandomBranch(random)), ClientReply(refusal),
                                     ClientReply(samples::RandomEnding(random))}) {
      same(reply, AtTheClient(reply, enlist, txn));
    }
    for (const ClientReply& reply :
         {ClientReply(KeptAlive{}), ClientReply(refusal), ClientReply(samples::RandomEnding(random))}) {
      same(reply, AtTheClient(reply, alive, txn));
    }
    for (const ClientReply& reply : {ClientReply(FinishNoted{}), ClientReply(refusal)}) {
      same(reply, AtTheClient(reply, finished, txn));
    }
    const ClientReply done = WorkDone{samples::RandomResults(random), {{GroupKind::kShard, 1}}};
    same(done, AtTheClient(done, work, txn));
    for (const ClientReply& reply : {ClientReply(RolledBack{}), ClientReply(refusal)}) {
      same(reply, AtTheClient(reply, rollback, txn));
    }
  }
}

TEST(CodecClient, AnswerToAnotherRequestIsRefused) {
  Random random(4);
  const CommitTag tag = samples::RandomTag(random);
  Ending committed;
  committed.outcome = Outcome::kCommitted;
  CommitTag other = tag;
  ++other.token.seq;
  EXPECT_FALSE(AtTheClient(committed, Echoing<wire::ExecuteReply>(other), tag).ok());
  other = tag;
  ++other.attempt;
  EXPECT_FALSE(AtTheClient(committed, Echoing<wire::ExecuteReply>(other), tag).ok());
  EXPECT_FALSE(AtTheClient(committed, wire::ExecuteReply{}, tag).ok());
  wire::WorkReply work;
  work.txn = codec::Encode(samples::RandomTxn(random));
  EXPECT_FALSE(AtTheClient(ClientReply(WorkDone{}), work, samples::RandomTxn(random)).ok());
}

TEST(CodecClient, ReplyWithoutAnOutcomeIsRefused) {
  Random random(5);
  const CommitTag tag = samples::RandomTag(random);
  EXPECT_FALSE(codec::DecodeReply(Echoing<wire::ExecuteReply>(tag), tag).ok());
  auto reply = Echoing<wire::ExecuteReply>(tag);
  reply.__set_ending(wire::Ending{});
  EXPECT_FALSE(codec::DecodeReply(std::move(reply), tag).ok());
}

wire::ExecuteRequest GoodExecute() {
  Random random(6);
  Execute execute{samples::RandomTag(random), {GetOp{"k"}}, {}, {}};
  const GroupId group = execute.tag.token.coordinator;
  return codec::EncodeRequest(kCluster, group, std::move(execute));
}

template <typename Spoil>
std::string FaultAfter(Spoil&& spoil) {
  wire::ExecuteRequest request = GoodExecute();
  spoil(request);
  const auto decoded = codec::DecodeRequest(std::move(request));
  return decoded.ok() ? "" : decoded.status().message();
}

TEST(CodecClient, RequestThatCouldNotBeRepeatedSafelyIsRefused) {  // C5
  EXPECT_EQ(FaultAfter([](wire::ExecuteRequest&) {}), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.tag.token = {}; }), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.tag.token.seq = 0; }), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.tag.sent_to = 0; }), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.tag.attempt = 0; }), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.tag.acked_below = -1; }), "");
  EXPECT_NE(FaultAfter([](wire::ExecuteRequest& r) { r.group ^= 1; }), "");
}

TEST(CodecClient, OperationsOverTheLimitsAreRefused) {
  const auto with = [](wire::Operation operation) {
    return FaultAfter([&](wire::ExecuteRequest& r) { r.operations = {operation}; });
  };
  wire::Operation put;
  put.kind = wire::OperationKind::PUT;
  put.key = std::string(kKeyBytesMax, 'k');
  put.__set_value(std::string(kValueBytesMax, 'v'));
  EXPECT_EQ(with(put), "");
  put.key += 'k';
  EXPECT_NE(with(put), "");
  put.key = "";
  EXPECT_NE(with(put), "");
  put.key = "k";
  put.value += 'v';
  EXPECT_NE(with(put), "");
  put.value = "v";
  put.__set_floor(0);  // would be lost without a word
  EXPECT_NE(with(put), "");
  wire::Operation scan;
  scan.kind = wire::OperationKind::SCAN;
  EXPECT_EQ(with(scan), "");
  scan.__set_limit(static_cast<int32_t>(kScanRowsMax) + 1);
  EXPECT_NE(with(scan), "");
  scan = {};
  scan.kind = wire::OperationKind::SCAN;
  scan.key = "k";
  scan.__set_after("k1");
  EXPECT_EQ(with(scan), "");
  scan.__set_after("j");  // not of the prefix
  EXPECT_NE(with(scan), "");
  scan.__set_after(std::string(kKeyBytesMax, 'k'));
  EXPECT_EQ(with(scan), "");
  scan.after += 'k';
  EXPECT_NE(with(scan), "");
  put.__isset.floor = false;
  EXPECT_EQ(with(put), "");
  put.__set_after("k1");
  EXPECT_NE(with(put), "");
  wire::Operation unknown;
  unknown.key = "k";
  EXPECT_NE(with(unknown), "");
  unknown.kind = samples::Unknown<wire::OperationKind::type>(77);
  EXPECT_NE(with(unknown), "");
  wire::Operation add;
  add.kind = wire::OperationKind::ADD;
  add.key = "k";
  EXPECT_NE(with(add), "");  // no delta
}

TEST(CodecClient, ForeignWorkOverTheLimitsIsRefused) {
  const auto with = [](std::string name, size_t bytes) {
    return FaultAfter([&](wire::ExecuteRequest& r) {
      wire::ForeignWork work;
      work.resource_manager = name;
      work.payload = std::string(bytes, 'p');
      r.foreign = {work};
    });
  };
  EXPECT_EQ(with("rm", codec::kForeignPayloadBytesMax), "");
  EXPECT_NE(with("rm", codec::kForeignPayloadBytesMax + 1), "");
  EXPECT_NE(with("", 1), "");
  EXPECT_NE(with(std::string(codec::kNameBytesMax + 1, 'n'), 1), "");
}

TEST(CodecClient, VoteThatDoesNotGoTogetherIsRefused) {  // F2
  const auto with = [](auto&& spoil) {
    return FaultAfter([&](wire::ExecuteRequest& r) {
      wire::ForeignWork work;
      work.resource_manager = "rm";
      work.__set_voted(wire::Vote::YES);
      work.__set_branch(1);
      work.__set_holder(std::string(codec::kNameBytesMax, 'h'));
      work.__set_evidence(std::string(codec::kNameBytesMax, 'e'));
      spoil(work);
      r.foreign = {work};
    });
  };
  EXPECT_EQ(with([](wire::ForeignWork&) {}), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.payload = "p"; }).find("a payload and a vote"),
            std::string::npos);
  EXPECT_NE(with([](wire::ForeignWork& w) { w.__set_voted(wire::Vote::UNSPECIFIED); }), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.__isset.voted = false; }), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.__isset.branch = false, w.branch = 0; }), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.branch = -1; }), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.holder += 'h'; }), "");
  EXPECT_NE(with([](wire::ForeignWork& w) { w.evidence += 'e'; }), "");
}

TEST(CodecClient, EnlistingAndFinishingOutOfBoundsIsRefused) {  // F1, F4
  Random random(7);
  const auto fault = [](const auto& decoded) { return decoded.ok() ? "" : decoded.status().message(); };
  const auto enlist = [&](std::string name) {
    return fault(codec::DecodeRequest(
        codec::EncodeRequest(kCluster, Enlist{samples::RandomTxn(random), std::move(name), 1})));
  };
  EXPECT_EQ(enlist(std::string(codec::kNameBytesMax, 'n')), "");
  EXPECT_NE(enlist(std::string(codec::kNameBytesMax + 1, 'n')), "");
  EXPECT_NE(enlist(""), "");
  const auto finished = [&](auto&& spoil) {
    wire::FinishedRequest request =
        codec::EncodeRequest(kCluster, Finished{samples::RandomTxn(random), "rm", 1, Decision::kCommit, 1});
    spoil(request);
    return fault(codec::DecodeRequest(std::move(request)));
  };
  EXPECT_EQ(finished([](wire::FinishedRequest&) {}), "");
  EXPECT_NE(finished([](wire::FinishedRequest& r) { r.branch = 0; }), "");
  EXPECT_NE(finished([](wire::FinishedRequest& r) { r.decision = wire::Decision::UNSPECIFIED; }), "");
  EXPECT_NE(finished([](wire::FinishedRequest& r) { r.resource_manager = ""; }), "");
  const auto begin = [&](auto&& spoil) {
    wire::BeginRequest request = codec::EncodeRequest(kCluster, {GroupKind::kCoordinator, 1}, Begin{});
    spoil(request);
    return fault(codec::DecodeRequest(std::move(request)));
  };
  EXPECT_EQ(begin([](wire::BeginRequest& r) { r.__set_idle_ms(1), r.__set_life_ms(1); }), "");
  EXPECT_NE(begin([](wire::BeginRequest& r) { r.__set_idle_ms(0); }), "");
  EXPECT_NE(begin([](wire::BeginRequest& r) { r.__set_life_ms(-1); }), "");
  EXPECT_NE(begin([](wire::BeginRequest& r) { r.enlist = {""}; }), "");
  EXPECT_NE(begin([](wire::BeginRequest& r) { r.enlist.assign(codec::kForeignWorkMax + 1, "n"); }), "");
  const auto commit = [&](int32_t wait_ms) {
    wire::CommitRequest request =
        codec::EncodeRequest(kCluster, std::get<Commit>(samples::RandomRequest(4, random)));
    request.__set_wait_finished_ms(wait_ms);
    return fault(codec::DecodeRequest(std::move(request)));
  };
  EXPECT_EQ(commit(codec::kFinishedWaitMsMax), "");
  EXPECT_NE(commit(codec::kFinishedWaitMsMax + 1), "");
  EXPECT_NE(commit(-1), "");
}

TEST(CodecClient, IdlConstantsAreTheLimitsThatHold) {
  const auto& idl = wire::g_assent_constants;
  EXPECT_EQ(static_cast<size_t>(idl.KEY_BYTES_MAX), kKeyBytesMax);
  EXPECT_EQ(static_cast<size_t>(idl.VALUE_BYTES_MAX), kValueBytesMax);
  EXPECT_EQ(static_cast<size_t>(idl.BRANCH_BYTES_MAX), kBranchBytesMax);
  EXPECT_EQ(static_cast<size_t>(idl.BRANCH_OPERATIONS_MAX), kBranchOperationsMax);
  EXPECT_EQ(static_cast<size_t>(idl.SCAN_ROWS_MAX), kScanRowsMax);
  EXPECT_EQ(static_cast<size_t>(idl.FOREIGN_PAYLOAD_BYTES_MAX), codec::kForeignPayloadBytesMax);
  EXPECT_EQ(static_cast<size_t>(idl.NAME_BYTES_MAX), codec::kNameBytesMax);
  EXPECT_EQ(static_cast<size_t>(idl.DETAIL_BYTES_MAX), codec::kDetailBytesMax);
  EXPECT_EQ(idl.FINISHED_WAIT_MS_MAX, codec::kFinishedWaitMsMax);
  const CoordinatorTimes times;
  EXPECT_EQ(static_cast<uint64_t>(idl.IDLE_MS) * 1'000, times.idle_timeout_us);
  EXPECT_EQ(static_cast<uint64_t>(idl.LIFE_MS) * 1'000, times.life_max_us);
  EXPECT_EQ(static_cast<uint64_t>(idl.RETENTION_MS) * 1'000, times.retention_us);
  EXPECT_GE(static_cast<uint64_t>(idl.ANSWER_MS_MAX) * 1'000, TransactionManagerOptions{}.answer_timeout_us);
}

}  // namespace
}  // namespace assent
