// Restart: from the log, from a store at any LSN, and what a new epoch does with what it finds.
#include <gtest/gtest.h>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

// A log with commits in one phase and two, aborts, ends, floors and a horizon in it.
void FillLog(Harness& h) {
  h.Pass(0);
  for (uint64_t seq = 1; seq <= 12; ++seq) {
    Execute request = h.Puts(h.Tag(seq), {kS1, kS2});
    request.tag.acked_below = seq / 3;
    request.foreign = seq % 4 == 0 ? std::vector<ForeignWork>{{"bank", "x"}} : std::vector<ForeignWork>{};
    h.Clear();
    h.Call(request);
    const TxnId txn = h.SentTo<Prepare>(kS1).header.txn;
    h.VoteFrom(kS1, txn, Vote::kYes);
    h.VoteFrom(kS2, txn, seq % 5 == 0 ? Vote::kNo : Vote::kYes, 1);
    if (seq % 4 == 0) h.Step(ForeignVote("bank", txn, Vote::kYes));
    h.Replicate();
    if (seq % 2 == 0) continue;
    h.AckFrom(kS1, txn, Decision::kCommit);
    h.AckFrom(kS2, txn, Decision::kCommit);
  }
  h.Clear();
  h.Call(h.Puts(h.Tag(13), {kS1}));
  const auto asked = h.SentTo<CommitOnePhase>(kS1);
  h.From(kS1, OnePhaseReply{asked.header.txn,
                            asked.token,
                            asked.attempt,
                            true,
                            asked.header.txn,
                            asked.content,
                            {},
                            "",
                            std::vector<OperationResult>(1)});
  EXPECT_EQ(h.Appended<TokenCommitted>().size(), 1u);
  h.Pass(120 * kSecond);
  h.Replicate();
}

TEST(CoordinatorRecovery, AnyAppliedLsnLeadsToTheSameState) {  // I-D2
  Harness h;
  FillLog(h);
  ASSERT_GT(h.log.size(), 20u);
  const auto expected = AllRows(h.core->overlay());
  for (size_t applied = 0; applied <= h.log.size(); ++applied) {
    // The store as of `applied`, filled in batches of three records.
    MapState store;
    {
      CoordinatorCore core(h.config_, ThreeShards(), store);
      for (size_t i = 0; i < applied; ++i) {
        core.Apply(h.log[i].first, h.log[i].second);
        if (i % 3 != 2 && i + 1 != applied) continue;
        store.Apply(core.overlay().Collect(h.log[i].first));
        core.overlay().Forget(h.log[i].first);
      }
    }
    CoordinatorCore core(h.config_, ThreeShards(), store);
    for (size_t i = applied; i < h.log.size(); ++i) core.Apply(h.log[i].first, h.log[i].second);
    core.CheckInvariants();
    EXPECT_EQ(AllRows(core.overlay()), expected) << "from LSN " << applied;
    EXPECT_EQ(core.unended_count(), h.core->unended_count());
    const auto list = core.ListTransactions(100);
    EXPECT_EQ(list.size(), h.core->unended_count());
    for (const TxnInfo& info : list) {
      EXPECT_EQ(info.state, TxnState::kPhaseTwo);
      EXPECT_EQ(info.branches.size(), h.core->FindTransaction(info.txn)->branches.size());
    }
  }
}

TEST(CoordinatorRecovery, UnendedCommitsAreToldAgain) {  // C4
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.Restart(2);
  h.Pass(kMs);
  EXPECT_EQ(h.Sent<Decide>().size(), 2u);  // who acknowledged is not in the log
  EXPECT_EQ(h.SentTo<Decide>(kS1).header.txn, txn);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  EXPECT_EQ(h.Appended<Ended>().size(), 1u);
}

TEST(CoordinatorRecovery, LostEndIsWrittenAgain) {  // C4: it is not forced
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  h.Restart(2);
  EXPECT_EQ(h.StateOf(txn), TxnState::kPhaseTwo);
}

TEST(CoordinatorRecovery, CommitThatWasLostIsAborted) {  // C1, C3
  Harness h;
  const TxnId txn = h.Committing(1);
  h.Restart(2, 0);
  h.From(kS1, Inquire{txn});
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kAbort);
}

TEST(CoordinatorRecovery,
     CommitThatSurvivedUnreplicatedIsCommitted) {  // R4: the new primary replicates its whole log
  Harness h;
  const TxnId txn = h.Committing(1);
  h.Restart(2, 1);
  h.From(kS1, Inquire{txn});
  EXPECT_EQ(h.SentTo<Decide>(kS1).decision, Decision::kCommit);
}

// How long it has been stuck is what an operator looks at.
TEST(CoordinatorRecovery, AgeOfAnUnendedCommitSurvivesAFailover) {
  Harness h;
  const TxnId txn = h.PhaseTwo(1);
  for (uint64_t epoch = 2; epoch <= 3; ++epoch) {
    h.Pass(300 * kSecond);
    h.Replicate();
    h.Restart(epoch);
  }
  h.now.mono_us -= 900 * kSecond;  // on another machine, which has another mono time
  EXPECT_EQ(AgeOf(*h.core->FindTransaction(txn), h.now), 600 * kSecond);
  h.log.emplace_back(Lsn{h.log.size() + 1},
                     Committed{TxnId{kGroup, Epoch{1}, 9}, {}, h.Tag(2).token, 1, 7, 0});
  h.Open();  // a version that did not note it wrote that
  EXPECT_EQ(AgeOf(*h.core->FindTransaction(TxnId{kGroup, Epoch{1}, 9}), h.now), std::nullopt);
}

TEST(CoordinatorRecovery, IdsAreNeverReused) {  // I-X2
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  h.Restart(2);
  h.Call(h.Puts(h.Tag(2), {kS1, kS2}));
  EXPECT_EQ(h.SentTo<Prepare>(kS1).header.txn, (TxnId{kGroup, Epoch{2}, 1}));
}

TEST(CoordinatorRecoveryDeathTest, BrokenContractsEndTheProcess) {
  Harness h;
  EXPECT_DEATH(h.core->Apply(Lsn{h.log.size() + 2}, EpochBegan{}), "gap in the log");
  EXPECT_DEATH(h.core->Apply(Lsn{h.log.size() + 1}, BranchDecided{}), "shard's record");
  EXPECT_DEATH(h.core->Apply(Lsn{h.log.size() + 1}, Ended{TxnId{kGroup, Epoch{1}, 1}}),
               "END without its COMMIT");
  RoleEffects out;
  EXPECT_DEATH(h.core->Step(h.now, Replicated{Lsn{99}}, out), "past the last append");
  EXPECT_DEATH(h.core->Step(h.now, Serving{Epoch{2}}, out), "serving twice");
  const TxnId txn = h.PhaseTwo(1);
  h.log.pop_back();
  h.log.push_back({Lsn{h.log.size() + 1}, Committed{txn, {{"", kS1, true}}, h.Tag(1).token, 1, 7, 0}});
  h.Open();
  EXPECT_DEATH(h.core->Step(h.now, Serving{Epoch{1}}, out), "an epoch has two lives");
}

}  // namespace
}  // namespace assent::coordinator
