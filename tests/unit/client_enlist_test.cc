// The client library, where the application itself works at resource managers (F1, F2, F4).
#include <assent/client.h>
#include <gtest/gtest.h>

#include "client_fake_coordinator.h"

namespace assent {
namespace {

using fake::Connected;
using fake::Coordinator;
using fake::Fault;
using fake::Script;

TEST(ClientEnlist, EnlistedBranchIsReportedAndFinished) {  // F1, F2, F4
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  EXPECT_EQ(txn->ReportVote("orders", Vote::kYes).code(), StatusCode::kInvalid);  // not enlisted
  coordinator.SetFaults(Script({Fault::kLostReply}));
  const auto branch = txn->Enlist("orders");  // the same each time
  ASSERT_TRUE(branch.ok()) << branch.status().message();
  EXPECT_EQ(branch->xid.bqual, "orders.1");
  EXPECT_EQ(branch->kind, "postgresql");
  EXPECT_EQ(ToString(branch->xid), "1095978580_ZmFrZQ==_b3JkZXJzLjE=");
  EXPECT_TRUE(txn->KeepAlive().ok());
  EXPECT_EQ(coordinator.kept_alive(), 1);
  EXPECT_EQ(txn->Finished("orders").code(), StatusCode::kInvalid);  // nothing is decided
  ASSERT_TRUE(txn->ReportVote("orders", Vote::kNo).ok());
  ASSERT_TRUE(txn->ReportVote("orders", Vote::kYes, "session 7", "pg 1 2 3").ok());  // the last counts
  const CommitResult result = txn->Commit(/*wait_finished_ms=*/700);
  ASSERT_TRUE(result.committed()) << Describe(result);
  const wire::CommitRequest commit = coordinator.last_commit();
  ASSERT_EQ(commit.foreign.size(), 1u);
  EXPECT_EQ(commit.foreign[0].voted, wire::Vote::YES);
  EXPECT_EQ(commit.foreign[0].branch, 1);
  EXPECT_EQ(commit.foreign[0].holder, "session 7");
  EXPECT_EQ(commit.foreign[0].evidence, "pg 1 2 3");
  EXPECT_EQ(commit.wait_finished_ms, 700);
  EXPECT_TRUE(txn->Finished("orders").ok());
  EXPECT_EQ(txn->Finished("post").code(), StatusCode::kInvalid);
  ASSERT_EQ(coordinator.finishes().size(), 1u);
  EXPECT_EQ(coordinator.finishes()[0].decision, wire::Decision::COMMIT);
}

TEST(ClientEnlist, RolledBackBranchIsFinishedAsSuch) {  // F4
  Coordinator coordinator;
  Client client = Connected(coordinator);
  auto txn = client.Begin();
  ASSERT_TRUE(txn->Enlist("orders").ok());
  txn->Rollback();
  EXPECT_FALSE(txn->KeepAlive().ok());
  EXPECT_TRUE(txn->Finished("orders").ok());
  ASSERT_EQ(coordinator.finishes().size(), 1u);
  EXPECT_EQ(coordinator.finishes()[0].decision, wire::Decision::ABORT);
  auto refused = client.Begin();
  coordinator.SetFaults(Script({Fault::kInvalid}));
  EXPECT_EQ(refused->Enlist("mars").status().code(), StatusCode::kInvalid);
  EXPECT_TRUE(refused->open());  // nothing was done
}

}  // namespace
}  // namespace assent
