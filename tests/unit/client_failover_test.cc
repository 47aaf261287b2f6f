// A leader of the coordinator group that is there and does not answer: stopped, or cut off from the client.
// Nothing here ends by a timeout.
#include <assent/client.h>
#include <gtest/gtest.h>

#include <future>

#include "client_fake_coordinator.h"

namespace assent {
namespace {

using fake::Connected;
using fake::Coordinator;
using fake::Fault;
using fake::Quick;
using fake::Script;
using fake::Transfer;

ClientOptions Impatient() {
  ClientOptions options = Quick();
  options.patience_ms = 10;
  options.call_timeout_ms = 600'000;
  options.deadline_ms = 600'000;
  return options;
}

TEST(ClientFailover, StoppedLeaderIsLeftForTheNextAndTheEffectIsOne) {  // G4
  Coordinator stopped, next;
  stopped.other_addresses = {next.address()};
  stopped.SetFaults(Script({Fault::kHang}));  // done, and not answered
  Client client = Connected(stopped, Impatient());
  auto transfer = std::async(std::launch::async, [&] { return Transfer(client); });
  stopped.AwaitHanging();
  next.TakeOverFrom(stopped);
  const CommitResult result = transfer.get();
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_TRUE(result.repeated);
  EXPECT_EQ(next.total_effects(), 1);
  EXPECT_EQ(next.last_execute().tag.attempt, 1);
  EXPECT_EQ(next.last_execute().tag.sent_to, next.epoch());
  EXPECT_EQ(stopped.executes(), 1);
}

TEST(ClientFailover, LongWaitIsNotBrokenWhileNobodyElseLeads) {
  Coordinator leader, other, ignorant;
  std::string nobody;
  {
    Coordinator gone;
    nobody = gone.address();
  }
  other.leader_address = leader.address();
  ignorant.knows_leader = false;
  leader.other_addresses = {leader.address(), ignorant.address(), nobody, other.address()};
  leader.SetFaults(Script({Fault::kHang}));  // for a lock, say
  Client client = Connected(leader, Impatient());
  auto transfer = std::async(std::launch::async, [&] { return Transfer(client); });
  leader.AwaitHanging();
  other.AwaitAsked(3);
  leader.Release();
  const CommitResult result = transfer.get();
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_FALSE(result.repeated);
  EXPECT_EQ(leader.executes(), 1);
  EXPECT_EQ(other.executes(), 0);
}

TEST(ClientFailover, NodeThatLagsBehindDoesNotEndAWait) {
  Coordinator leader, stale;
  leader.other_addresses = {stale.address()};
  stale.leader_address = stale.address();  // as it was in epoch 1
  leader.SetFaults(Script({Fault::kNewEpoch, Fault::kNone, Fault::kHang}));
  Client client = Connected(leader, Impatient());
  ASSERT_TRUE(Transfer(client).committed());  // hears of epoch 2
  auto transfer = std::async(std::launch::async, [&] { return Transfer(client); });
  leader.AwaitHanging();
  stale.AwaitAsked(3);
  leader.Release();
  EXPECT_TRUE(transfer.get().committed());
  EXPECT_EQ(stale.executes(), 0);
}

TEST(ClientFailover, WorkOfAStoppedLeaderIsAborted) {
  Coordinator stopped, next;
  stopped.other_addresses = {next.address()};
  stopped.SetFaults(Script({Fault::kHang}));
  Client client = Connected(stopped, Impatient());
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  auto read = std::async(std::launch::async, [&] { return txn->Get("a").ok(); });
  stopped.AwaitHanging();
  next.TakeOverFrom(stopped);
  EXPECT_FALSE(read.get());
  const CommitResult result = txn->Commit();
  EXPECT_EQ(result.outcome, Outcome::kAborted) << Describe(result);  // Commit never left
  EXPECT_EQ(result.reason, AbortReason::kBranchLost);
  EXPECT_EQ(next.total_effects(), 0);
  auto again = client.BeginAgain(*txn);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_TRUE(again->Get("a").ok());
  EXPECT_EQ(next.begun(), 1);
}

// The commit may have been done, and its record lost with the epoch, as far as the next leader can tell.
TEST(ClientFailover, CommitThatTheNextLeaderDoesNotKnowStaysUnknown) {  // I-U1
  Coordinator stopped, next;
  stopped.other_addresses = {next.address()};
  stopped.SetFaults(Script({Fault::kNone, Fault::kHang}));
  Client client = Connected(stopped, Impatient());
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  ASSERT_TRUE(txn->Get("a").ok());
  Coordinator without_record;
  auto commit = std::async(std::launch::async, [&] { return txn->Commit(); });
  stopped.AwaitHanging();
  next.TakeOverFrom(without_record);
  const CommitResult result = commit.get();
  EXPECT_EQ(result.outcome, Outcome::kUnknown) << Describe(result);
}

TEST(ClientFailover, CommitThatTheStoppedLeaderRecordedIsCommitted) {
  Coordinator stopped, next;
  stopped.other_addresses = {next.address()};
  stopped.SetFaults(Script({Fault::kNone, Fault::kHang}));
  Client client = Connected(stopped, Impatient());
  auto txn = client.Begin();
  ASSERT_TRUE(txn.ok());
  ASSERT_TRUE(txn->Get("a").ok());
  auto commit = std::async(std::launch::async, [&] { return txn->Commit(); });
  stopped.AwaitHanging();
  next.TakeOverFrom(stopped);
  const CommitResult result = commit.get();
  EXPECT_TRUE(result.committed()) << Describe(result);
  EXPECT_TRUE(result.repeated);
  EXPECT_EQ(next.total_effects(), 1);
}

}  // namespace
}  // namespace assent
