// The client library against a coordinator that fails in one chosen way: results, outcomes (G3, G4), scans,
// interactive transactions.
#include <assent/client.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "client_fake_coordinator.h"

namespace assent {
namespace {

using fake::Connected;
using fake::Coordinator;
using fake::Fault;
using fake::Quick;
using fake::Script;
using fake::Transfer;

TEST(Client, ExecuteGivesResultsInOrder) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  EXPECT_EQ(client.cluster(), "fake");
  const CommitResult result = Transfer(client);
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_EQ(result.results.size(), 2u);
  EXPECT_EQ(result.attempts, 1u);
  EXPECT_TRUE(result.token.valid());
}

// Each failure, once, and then none: the outcome is that of the one effect.
TEST(Client, OneFailureNeitherLosesNorDoubles) {
  for (const Fault fault :
       {Fault::kLostRequest, Fault::kLostReply, Fault::kStalled, Fault::kUnknown, Fault::kWrongEcho,
        Fault::kOverloaded, Fault::kNotServing, Fault::kNewEpoch, Fault::kWounded, Fault::kTokenExpired}) {
    Coordinator coordinator;
    coordinator.SetFaults(Script({fault}));
    Client client = Connected(coordinator);
    const CommitResult result = Transfer(client);
    EXPECT_TRUE(result.committed()) << static_cast<int>(fault) << ": " << Describe(result);
    coordinator.RunStalled();
    EXPECT_EQ(coordinator.total_effects(), 1) << static_cast<int>(fault);
  }
}

TEST(Client, NoAnswerInTimeIsAskedForAgainOnAnotherConnection) {
  Coordinator coordinator;
  coordinator.SetFaults(Script({Fault::kHang}));
  ClientOptions options = Quick();
  options.call_timeout_ms = 30;
  Client client = Connected(coordinator, options);
  const CommitResult result = Transfer(client);
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_TRUE(result.repeated);
  EXPECT_EQ(coordinator.total_effects(), 1);
}

TEST(Client, DeadlineWithALostAnswerIsUnknown) {  // I-U1
  for (const Fault fault : {Fault::kLostRequest, Fault::kLostReply, Fault::kStalled, Fault::kUnknown}) {
    Coordinator coordinator;
    coordinator.SetFaults([fault] { return fault; });
    ClientOptions options = Quick();
    options.deadline_ms = 300;
    Client client = Connected(coordinator, options);
    const CommitResult result = Transfer(client);
    EXPECT_EQ(result.outcome, Outcome::kUnknown) << Describe(result);
    coordinator.Stop();
  }
}

TEST(Client, DeadlineWithNothingButRefusalsIsAborted) {
  Coordinator coordinator;
  coordinator.SetFaults([] { return Fault::kOverloaded; });
  ClientOptions options = Quick();
  options.deadline_ms = 1000;
  // The deadline falls in the pause after the refusal: on a send it would leave the outcome unknown.
  options.backoff_min_ms = options.backoff_max_ms = 10'000;
  Client client = Connected(coordinator, options);
  const CommitResult result = Transfer(client);
  EXPECT_EQ(result.outcome, Outcome::kAborted) << Describe(result);
  EXPECT_EQ(result.refused.code(), StatusCode::kOverloaded);
  EXPECT_EQ(coordinator.total_effects(), 0);
}

TEST(Client, ServerGoneBeforeTheRequestIsAborted) {
  Coordinator coordinator;
  ClientOptions options = Quick();
  options.deadline_ms = 1500;
  Client client = Connected(coordinator, options);
  ASSERT_TRUE(Transfer(client).committed());
  coordinator.Stop();
  const CommitResult result = Transfer(client);
  EXPECT_EQ(result.outcome, Outcome::kAborted) << Describe(result);
  EXPECT_EQ(result.refused.code(), StatusCode::kUnavailable);
}

TEST(Client, FollowsTheLeaderFromAnyNode) {
  Coordinator leader, other, ignorant;
  other.leader_address = leader.address();
  ignorant.knows_leader = false;
  ignorant.other_addresses = {other.address()};
  auto client = Client::Connect({ignorant.address()}, Quick());
  ASSERT_TRUE(client.ok()) << client.status().message();
  EXPECT_TRUE(Transfer(*client).committed());
  EXPECT_EQ(leader.total_effects(), 1);
  EXPECT_EQ(other.executes(), 0);
}

TEST(Client, NodeWithOldNewsIsNotBelieved) {
  Coordinator old, current;
  current.SetFaults(Script({Fault::kNewEpoch}));
  old.leader_address = old.address();
  current.other_addresses = {old.address()};
  Client client = Connected(current);
  EXPECT_TRUE(Transfer(client).committed());  // hears of epoch 2
  current.SetFaults(Script({Fault::kNotServing, Fault::kNotServing}));
  EXPECT_TRUE(Transfer(client).committed());
  EXPECT_EQ(old.executes(), 0);  // says that it leads, in epoch 1
}

// No resolver asks anyone for it: a label must not be empty.
constexpr const char* kNoSuchHost = "gone..example:7401";

TEST(Client, LeaderWhoseNameIsGoneIsForgottenAndAnotherFound) {
  Coordinator leader, stale;
  stale.leader_address = kNoSuchHost;
  stale.other_addresses = {leader.address()};
  Client client = Connected(stale);  // goes by what that one says
  const CommitResult result = Transfer(client);
  EXPECT_TRUE(result.committed()) << Describe(result);
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok()) << txn.status().message();
  EXPECT_TRUE(txn->Get("a").ok());
  EXPECT_EQ(leader.total_effects(), 1);
}

TEST(Client, LeaderWhoseNameIsGoneIsUnavailableNotInvalid) {
  Coordinator stale;
  stale.leader_address = kNoSuchHost;
  ClientOptions options = Quick();
  options.deadline_ms = 100;
  Client client = Connected(stale, options);
  const CommitResult result = Transfer(client);
  EXPECT_EQ(result.outcome, Outcome::kAborted) << Describe(result);
  EXPECT_EQ(result.refused.code(), StatusCode::kUnavailable) << Describe(result);
}

TEST(Client, RequestTooLargeForAFrameIsInvalidAtOnce) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  std::vector<Operation> operations;
  for (int i = 0; i < 12; ++i) {
    operations.push_back(op::Put("k" + std::to_string(i), std::string(200 * 1024, 'v')));
  }
  const CommitResult result = client.Execute(operations);
  EXPECT_EQ(result.outcome, Outcome::kAborted) << Describe(result);
  EXPECT_EQ(result.refused.code(), StatusCode::kInvalid) << Describe(result);
  EXPECT_EQ(coordinator.executes(), 0);
  EXPECT_TRUE(Transfer(client).committed());
}

// ---- Scans over more rows than one answer holds

void Fill(Coordinator& coordinator, int count, size_t page_rows) {
  for (int i = 0; i < count; ++i) coordinator.rows["k/" + std::to_string(100 + i)] = "v";
  coordinator.rows["j"] = coordinator.rows["l"] = "of another prefix";
  coordinator.page_rows = page_rows;
}
std::vector<std::string> KeysOf(const Result<std::vector<ResultRow>>& read) {
  if (!read.ok()) return {"error: " + read.status().message()};
  std::vector<std::string> keys;
  for (const ResultRow& row : *read) keys.push_back(row.key);
  return keys;
}
std::vector<std::string> FirstKeys(int count) {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back("k/" + std::to_string(100 + i));
  return keys;
}

TEST(ClientScan, RowsOfOneAnswerTakeOneRequest) {
  Coordinator coordinator;
  Fill(coordinator, 25, 25);
  Client client = Connected(coordinator);
  EXPECT_EQ(KeysOf(client.Scan("k/")), FirstKeys(25));
  EXPECT_EQ(KeysOf(client.Scan("k/", 7)), FirstKeys(7));  // there are more, and nobody asked for them
  EXPECT_EQ(coordinator.last_execute().operations.at(0).limit, 7);
  EXPECT_EQ(coordinator.executes(), 2);
  EXPECT_EQ(coordinator.begun(), 0);
}

TEST(ClientScan, AllRowsAreReadWhereOneAnswerIsCut) {
  Coordinator coordinator;
  Fill(coordinator, 25, 10);
  Client client = Connected(coordinator);
  EXPECT_EQ(KeysOf(client.Scan("k/")), FirstKeys(25));
  EXPECT_EQ(coordinator.begun(), 1);  // of one moment
  EXPECT_EQ(KeysOf(client.Scan("k/", 10)), FirstKeys(10));
  EXPECT_EQ(coordinator.begun(), 1);
}

TEST(ClientScan, LimitHoldsAcrossAnswers) {
  Coordinator coordinator;
  Fill(coordinator, 25, 10);
  Client client = Connected(coordinator);
  EXPECT_EQ(KeysOf(client.Scan("k/", 12)), FirstKeys(12));
  ASSERT_EQ(coordinator.last_work().size(), 1u);
  EXPECT_EQ(coordinator.last_work()[0].after, "k/109");
  EXPECT_EQ(coordinator.last_work()[0].limit, 2);
  EXPECT_EQ(KeysOf(client.Scan("k/", 25)), FirstKeys(25));
  EXPECT_EQ(KeysOf(client.Scan("k/", 1'000'000)), FirstKeys(25));  // more than one request may ask for
  EXPECT_EQ(coordinator.last_work()[0].limit, static_cast<int32_t>(kScanRowsMax));
}

TEST(ClientScan, RowsAreNotDoubledWhereTheReadStartsOver) {
  Coordinator coordinator;
  Fill(coordinator, 25, 10);
  coordinator.SetFaults(Script({Fault::kNone, Fault::kNone, Fault::kWounded}));  // amid the transaction
  Client client = Connected(coordinator);
  EXPECT_EQ(KeysOf(client.Scan("k/")), FirstKeys(25));
  EXPECT_EQ(coordinator.begun(), 2);
}

TEST(ClientScan, OfATransactionBringsAllRowsToo) {
  Coordinator coordinator;
  Fill(coordinator, 25, 10);
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  ASSERT_TRUE(txn->Put("a", "1").ok());  // travels with the first
  EXPECT_EQ(KeysOf(txn->Scan("k/")), FirstKeys(25));
  EXPECT_EQ(KeysOf(txn->Scan("k/", 21)), FirstKeys(21));
  EXPECT_EQ(KeysOf(txn->Scan("x")), std::vector<std::string>{});
  EXPECT_TRUE(txn->Commit().committed());
  EXPECT_EQ(coordinator.begun(), 1);
}

TEST(ClientScan, AnswersThatLeadNowhereAreAnError) {
  Coordinator coordinator;
  Fill(coordinator, 25, 0);
  Client client = Connected(coordinator);
  const auto read = client.Scan("k/");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), StatusCode::kForeign) << read.status().message();
}

TEST(Client, OtherClusterIsRefused) {
  Coordinator coordinator;
  ClientOptions options = Quick();
  options.cluster = "mine";
  const auto client = Client::Connect({coordinator.address()}, options);
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.status().code(), StatusCode::kForeign);
}

TEST(Client, NobodyThereIsUnavailableAndBadAddressInvalid) {
  std::string address;
  {
    Coordinator coordinator;
    address = coordinator.address();
  }
  ClientOptions options = Quick();
  options.deadline_ms = 600'000;
  const auto begun = std::chrono::steady_clock::now();
  const Status nobody = Client::Connect({address, kNoSuchHost}, options).status();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::minutes(1)) << "it did not fail at once";
  EXPECT_EQ(nobody.code(), StatusCode::kUnavailable);
  const std::string wanted = "cannot connect to " + address + ": Connection refused; cannot resolve host";
  EXPECT_TRUE(nobody.message().starts_with(wanted)) << nobody.message();
  EXPECT_EQ(Client::Connect({"nonsense"}, options).status().code(), StatusCode::kInvalid);
  EXPECT_EQ(Client::Connect({}, options).status().code(), StatusCode::kInvalid);
}

// As in the midst of a failover.
TEST(Client, NodeThatKnowsNoLeaderIsWaitedFor) {
  std::string address;
  {
    Coordinator coordinator;
    address = coordinator.address();
  }
  Coordinator ignorant;
  ignorant.knows_leader = false;
  ClientOptions options = Quick();
  options.deadline_ms = 200;
  const Status waited = Client::Connect({address, ignorant.address()}, options).status();
  EXPECT_GT(ignorant.asked(), 1);
  EXPECT_EQ(waited.code(), StatusCode::kUnavailable);
  EXPECT_NE(waited.message().find("knows no leader"), std::string::npos) << waited.message();
}

TEST(Client, AcknowledgesWhatItReturned) {  // C5
  Coordinator coordinator;
  Client client = Connected(coordinator);
  Transfer(client);
  Transfer(client);
  EXPECT_EQ(coordinator.last_execute().tag.token.seq, 2);
  EXPECT_EQ(coordinator.last_execute().tag.acked_below, 2);
  auto kept = client.NewToken();  // 3
  ASSERT_TRUE(kept.ok());
  Transfer(client);
  EXPECT_EQ(coordinator.last_execute().tag.token.seq, 4);
  EXPECT_EQ(coordinator.last_execute().tag.acked_below, 3);  // not past what the application may still ask
  client.Release(*kept);
  Transfer(client);
  EXPECT_EQ(coordinator.last_execute().tag.acked_below, 5);
}

TEST(Client, UnknownOutcomeIsNotAcknowledgedAndCanBeAskedFor) {
  Coordinator coordinator;
  coordinator.SetFaults(Script({Fault::kHang}));
  ClientOptions options = Quick();
  options.deadline_ms = 1500;
  Client client = Connected(coordinator, options);
  const CommitResult unknown = Transfer(client);
  ASSERT_EQ(unknown.outcome, Outcome::kUnknown);
  Transfer(client);
  EXPECT_LE(coordinator.last_execute().tag.acked_below, static_cast<int64_t>(unknown.token.seq));
  const CommitResult asked = client.Execute(unknown.token, {op::Add("a", -1, 0), op::Add("b", 1)});
  EXPECT_TRUE(asked.committed()) << Describe(asked);
  EXPECT_TRUE(asked.repeated);
}

// The cluster keeps what is not acknowledged, so a token that nobody may settle must not hold
// up all that follow.
TEST(Client, OneUnknownOutcomeDoesNotHoldUpAcknowledgements) {  // C5, G8
  Coordinator coordinator;
  ClientOptions options = Quick();
  options.deadline_ms = 300;
  Client client = Connected(coordinator, options);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(client.Execute({op::Put("k", "v")}).committed());
  coordinator.SetFaults([] { return Fault::kUnknown; });
  const CommitResult unknown = client.Execute({op::Put("k", "v")});
  ASSERT_EQ(unknown.outcome, Outcome::kUnknown);
  coordinator.SetFaults([] { return Fault::kNone; });
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(client.Execute({op::Put("k", "v")}).committed());
  const auto tag = coordinator.last_execute().tag;
  EXPECT_EQ(tag.acked_below, tag.token.seq);
  EXPECT_GT(tag.token.seq, 400);
  EXPECT_EQ(coordinator.sessions(), 2);
  // It can be asked for all the same.
  const CommitResult asked = client.Execute(unknown.token, {op::Put("k", "v")});
  EXPECT_TRUE(asked.committed()) << Describe(asked);
  EXPECT_EQ(coordinator.last_execute().tag.acked_below, 0);
}

// Nor one that the application keeps.
TEST(Client, OneKeptTokenDoesNotHoldUpAcknowledgements) {  // C5, G8
  Coordinator coordinator;
  Client client = Connected(coordinator);
  const Token kept = client.NewToken().value();
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(client.Execute({op::Put("k", "v")}).committed());
  const auto tag = coordinator.last_execute().tag;
  EXPECT_EQ(tag.acked_below, tag.token.seq);
  EXPECT_EQ(coordinator.sessions(), 2);
  EXPECT_TRUE(client.Execute(kept, {op::Put("k", "v")}).committed());
  EXPECT_EQ(coordinator.effects(static_cast<int64_t>(kept.client), static_cast<int64_t>(kept.seq)), 1);
}

TEST(Client, OwnTokenTakesEffectOnceAcrossProcesses) {  // G4
  Coordinator coordinator;
  Token token;
  {
    Client first = Connected(coordinator);
    token = first.NewToken().value();
    EXPECT_TRUE(first.Execute(token, {op::Put("k", "v")}).committed());
  }
  Client second = Connected(coordinator);
  ASSERT_TRUE(Transfer(second).committed());
  const CommitResult again = second.Execute(token, {op::Put("k", "v")});
  EXPECT_TRUE(again.committed()) << Describe(again);
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(coordinator.last_execute().tag.acked_below, 0);  // of another session: not ours to acknowledge
  EXPECT_EQ(coordinator.effects(static_cast<int64_t>(token.client), static_cast<int64_t>(token.seq)), 1);
}

// Random failures of every kind, with requests that arrive long after they were given up: whatever the
// library says about a request is so, then and later.
TEST(Client, NeverAWrongOutcome) {
  int committed = 0, aborted = 0, unknown = 0;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    Coordinator coordinator;
    std::mt19937 random(seed);
    coordinator.SetFaults([random]() mutable {
      constexpr Fault kFaults[] = {
          Fault::kLostRequest, Fault::kLostReply,  Fault::kStalled,  Fault::kUnknown, Fault::kWrongEcho,
          Fault::kOverloaded,  Fault::kNotServing, Fault::kNewEpoch, Fault::kWounded, Fault::kCheckFailed};
      return random() % 3 == 0 ? Fault::kNone : kFaults[random() % std::size(kFaults)];
    });
    ClientOptions options = Quick();
    options.deadline_ms = 15;
    options.attempts = 3;
    options.connect_timeout_ms = 1000;
    std::vector<CommitResult> said;
    Client client = Connected(coordinator, options);
    for (int i = 0; i < 60; ++i) {
      said.push_back(Transfer(client));
      if (i % 7 == 0) coordinator.RunStalled();
      if (said.back().outcome == Outcome::kUnknown && i % 2 == 0) {
        said.push_back(client.Execute(said.back().token, {op::Add("a", -1, 0), op::Add("b", 1)}));
      }
    }
    coordinator.RunStalled();
    for (const CommitResult& result : said) {
      const int effects = coordinator.effects(static_cast<int64_t>(result.token.client),
                                              static_cast<int64_t>(result.token.seq));
      if (result.outcome == Outcome::kCommitted) {
        ++committed;
        ASSERT_EQ(effects, 1) << "seed " << seed << " " << Describe(result);
      } else if (result.outcome == Outcome::kAborted) {
        ++aborted;
        ASSERT_EQ(effects, 0) << "seed " << seed << " " << Describe(result);
      } else {
        ++unknown;
        ASSERT_LE(effects, 1) << "seed " << seed << " " << Describe(result);
      }
    }
  }
  EXPECT_GT(committed, 0);
  EXPECT_GT(aborted, 0);
  RecordProperty("unknown", unknown);
}

// ---- Interactive

TEST(ClientTransaction, WritesTravelWithTheNextRead) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  EXPECT_TRUE(txn->Put("a", "1").ok());
  EXPECT_TRUE(txn->Add("b", 2).ok());
  EXPECT_TRUE(coordinator.last_work().empty());
  const auto row = txn->Get("c");
  ASSERT_TRUE(row.ok());
  ASSERT_TRUE(row->has_value());
  EXPECT_EQ((*row)->key, "c");
  EXPECT_EQ(coordinator.last_work().size(), 3u);
  const CommitResult result = txn->Commit();
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_FALSE(txn->open());
  EXPECT_TRUE(txn->Commit().committed());  // the same answer, without another commit
  EXPECT_EQ(coordinator.total_effects(), 1);
  EXPECT_EQ(coordinator.rolled_back(), 0);
}

TEST(ClientTransaction, LostWorkEndsTheTransactionAsAborted) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  coordinator.SetFaults(Script({Fault::kLostReply}));
  EXPECT_FALSE(txn->Get("a").ok());
  EXPECT_FALSE(txn->open());
  EXPECT_EQ(coordinator.rolled_back(), 1);
  EXPECT_EQ(txn->Commit().outcome, Outcome::kAborted);
  EXPECT_EQ(coordinator.total_effects(), 0);
}

TEST(ClientTransaction, OverloadIsWaitedOut) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  coordinator.SetFaults(Script({Fault::kOverloaded, Fault::kOverloaded}));
  EXPECT_TRUE(txn->Get("a").ok());
}

TEST(ClientTransaction, LostCommitIsAskedForWithTheSameToken) {
  for (const Fault fault : {Fault::kLostReply, Fault::kWrongEcho, Fault::kHang}) {
    Coordinator coordinator;
    ClientOptions options = Quick();
    options.call_timeout_ms = 300;
    Client client = Connected(coordinator, options);
    auto txn = client.Begin();
    ASSERT_TRUE(txn->Put("a", "1").ok());
    coordinator.SetFaults(Script({Fault::kNone, fault}));
    const CommitResult result = txn->Commit();
    EXPECT_TRUE(result.committed()) << Describe(result);
    EXPECT_EQ(coordinator.total_effects(), 1);
    coordinator.Stop();
  }
}

TEST(ClientTransaction, UnknownCommitCanBeAskedForAgain) {
  Coordinator coordinator;
  ClientOptions options = Quick();
  options.deadline_ms = 300;
  Client client = Connected(coordinator, options);
  auto txn = client.Begin();
  ASSERT_TRUE(txn->Get("a").ok());
  coordinator.SetFaults([] { return Fault::kLostReply; });
  const CommitResult unknown = txn->Commit();
  ASSERT_EQ(unknown.outcome, Outcome::kUnknown) << Describe(unknown);
  EXPECT_EQ(txn->Commit().outcome, Outcome::kUnknown);  // still
  coordinator.SetFaults([] { return Fault::kNone; });
  const CommitResult asked = txn->Commit();
  EXPECT_TRUE(asked.committed()) << Describe(asked);
  EXPECT_EQ(asked.token, unknown.token);
  EXPECT_EQ(coordinator.total_effects(), 1);
  EXPECT_TRUE(txn->Commit().committed());  // known now, and not asked for
}

TEST(ClientTransaction, CommitOfOneThatIsGoneIsAbortedUnlessSentBefore) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  ASSERT_TRUE(txn->Get("a").ok());
  coordinator.SetFaults(Script({Fault::kNewEpoch}));
  auto other = client.Begin();
  EXPECT_FALSE(other->Get("x").ok());  // the epoch rises, and ends both
  const CommitResult gone = txn->Commit();
  EXPECT_EQ(gone.outcome, Outcome::kAborted) << Describe(gone);

  auto third = client.Begin();
  ASSERT_TRUE(third->Get("a").ok());
  coordinator.SetFaults(Script({Fault::kLostRequest}));  // the fake forgets it with the lost request
  EXPECT_EQ(third->Commit().outcome, Outcome::kUnknown);
}

TEST(ClientTransaction, UnfinishedOneIsRolledBack) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  {
    auto txn = client.Begin();
    ASSERT_TRUE(txn->Get("a").ok());
  }
  EXPECT_EQ(coordinator.rolled_back(), 1);
}

TEST(ClientTransaction, RunRepeatsTheBodyAfterTransientAborts) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  coordinator.SetFaults(Script({Fault::kWounded, Fault::kNone, Fault::kWounded}));
  int runs = 0;
  const CommitResult result = client.Run([&](Transaction& txn) {
    ++runs;
    const auto row = txn.Get("a");
    return row.ok() ? txn.Put("a", "2") : row.status();
  });
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(coordinator.total_effects(), 1);
  EXPECT_EQ(coordinator.begun(), 3);
}

TEST(ClientTransaction, RunGivesUpWhereTheBodySaysSo) {
  Coordinator coordinator;
  Client client = Connected(coordinator);
  const CommitResult result =
      client.Run([](Transaction&) { return Status(StatusCode::kInvalid, "not enough money"); });
  EXPECT_EQ(result.outcome, Outcome::kAborted);
  EXPECT_EQ(result.refused.message(), "not enough money");
  EXPECT_EQ(coordinator.rolled_back(), 1);
}

}  // namespace
}  // namespace assent
