// C5: a token takes effect once.
#include <gtest/gtest.h>

#include <set>

#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TEST(CoordinatorTokens, SessionsGetDistinctClientsAndABirth) {
  Harness h;
  std::set<ClientId> clients;
  for (const uint64_t epoch : {1u, 2u}) {
    if (epoch == 2) h.Restart(epoch);
    for (int i = 0; i < 1'000; ++i) {
      const auto opened = h.AnswerTo<SessionOpened>(h.Call(OpenSession{}));
      EXPECT_TRUE(clients.insert(opened.client).second);
      EXPECT_EQ(opened.birth_us, h.now.wall_us);
      EXPECT_EQ(opened.epoch, Epoch{epoch});
      EXPECT_LE(Raw(opened.client), uint64_t{INT64_MAX});  // as the wire has it
      h.Clear();
    }
  }
}

// A stranger who knows a client's id could use its tokens up.
TEST(CoordinatorTokens, ClientIdsComeOfTheSecret) {
  CoordinatorConfig config = Harness::DefaultConfig();
  std::set<ClientId> clients;
  for (uint64_t secret = 1; secret <= 3; ++secret) {
    config.secret = {secret, 7};
    Harness h(1, config);
    EXPECT_TRUE(clients.insert(h.AnswerTo<SessionOpened>(h.Call(OpenSession{})).client).second);
  }
}

TEST(CoordinatorTokens, BadTagsAreRefused) {
  Harness h;
  const auto refusal = [&](CommitTag tag) { return h.AnswerTo<Refusal>(h.Call(h.Puts(tag, {kS1, kS2}))); };
  CommitTag tag = h.Tag(1);
  tag.token.coordinator.number = 2;
  EXPECT_EQ(refusal(tag).code, RefusalCode::kInvalid);
  tag = h.Tag(0);
  EXPECT_EQ(refusal(tag).code, RefusalCode::kInvalid);
  tag = h.Tag(1);
  tag.token.client = ClientId{};
  EXPECT_EQ(refusal(tag).code, RefusalCode::kInvalid);
  tag = h.Tag(1, 0);
  EXPECT_EQ(refusal(tag).code, RefusalCode::kInvalid);
  tag = h.Tag(3);
  tag.acked_below = 4;
  EXPECT_EQ(refusal(tag).code, RefusalCode::kInvalid);
  EXPECT_EQ(h.SendCount(), 0u);
}

// It would be kept for long. Its client may have it from an earlier primary, whose clock ran ahead, and a
// fresh one helps it.
TEST(CoordinatorTokens, TokenBornInTheFutureIsExpiredNotInvalid) {
  Harness h;
  CommitTag ahead = h.Tag(1);
  ahead.token.birth_us += 8 * 24 * kHour;
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(ahead, {kS1, kS2}))).code, RefusalCode::kTokenExpired);
  EXPECT_EQ(h.SendCount(), 0u);
  CommitTag fresh = h.Tag(1);
  fresh.token.birth_us = h.AnswerTo<SessionOpened>(h.Call(OpenSession{})).birth_us;
  h.Call(h.Puts(fresh, {kS1, kS2}));
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorTokens, RecordedOutcomeIsToldWhateverTheClockSays) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const RequestId first = h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kYes, 1);
  h.VoteFrom(kS2, h.LastTxn(), Vote::kYes, 1);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(first).outcome, Outcome::kCommitted);
  h.now.wall_us -= 2 * kHour;
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(request)).outcome, Outcome::kCommitted);
}

TEST(CoordinatorTokens, StaleEpochIsRefusedWithTheCurrentOne) {
  Harness h(3);
  CommitTag tag = h.Tag(1);
  for (const uint64_t epoch : {2u, 4u, 0u}) {
    tag.sent_to = Epoch{epoch};
    const auto refusal = h.AnswerTo<Refusal>(h.Call(h.Puts(tag, {kS1, kS2})));
    EXPECT_EQ(refusal.code, RefusalCode::kStaleEpoch);
    EXPECT_EQ(refusal.epoch, Epoch{3});
    const auto of_commit = h.AnswerTo<Refusal>(h.Call(Commit{tag, TxnId{kGroup, Epoch{2}, 1}, {}, {kS1}}));
    EXPECT_EQ(of_commit.code, RefusalCode::kStaleEpoch);
  }
  EXPECT_EQ(h.SendCount(), 0u);
}

TEST(CoordinatorTokens, LiveTokenIsJoined) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  std::vector<RequestId> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(h.Call(request));
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
  const TxnId txn = h.LastTxn();
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  calls.push_back(h.Call(request));  // COMMIT is appended, not replicated: no answer yet (R1)
  for (const RequestId call : calls) EXPECT_FALSE(h.Answered(call));
  h.Replicate();
  for (const RequestId call : calls) {
    const auto ending = h.AnswerTo<Ending>(call);
    EXPECT_EQ(ending.outcome, Outcome::kCommitted);
    EXPECT_EQ(ending.txn, txn);
    EXPECT_EQ(ending.results.size(), 2u);
  }
}

TEST(CoordinatorTokens, LiveTokenWithOtherContentIsAMismatch) {
  Harness h;
  h.Call(h.Puts(h.Tag(1), {kS1, kS2}));
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(1), {kS1, kS3}))).code, RefusalCode::kTokenMismatch);
  Execute reborn = h.Puts(h.Tag(1), {kS1, kS2});
  reborn.tag.token.birth_us -= 1;
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(reborn)).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorTokens, RecordedOutcomeIsReturnedNotRun) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const TxnId txn = h.PhaseTwo(1);
  h.AckFrom(kS1, txn, Decision::kCommit);
  h.AckFrom(kS2, txn, Decision::kCommit);
  h.Clear();
  Execute again = request;
  for (const uint32_t attempt : {1u, 2u}) {
    again.tag.attempt = attempt;
    const auto ending = h.AnswerTo<Ending>(h.Call(again));
    EXPECT_EQ(ending.outcome, Outcome::kCommitted);
    EXPECT_EQ(ending.txn, txn);
    EXPECT_TRUE(ending.repeated);
    EXPECT_TRUE(ending.results.empty());
  }
  EXPECT_EQ(h.SendCount(), 0u);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(1), {kS1, kS3}))).code, RefusalCode::kTokenMismatch);
}

TEST(CoordinatorTokens, RecordedOutcomeSurvivesRestart) {
  Harness h;
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const TxnId txn = h.PhaseTwo(1);
  h.Restart(2);
  request.tag.sent_to = Epoch{2};
  const auto ending = h.AnswerTo<Ending>(h.Call(request));
  EXPECT_EQ(ending.outcome, Outcome::kCommitted);
  EXPECT_EQ(ending.txn, txn);
}

TEST(CoordinatorTokens, AbortedIsToldWhenTheEndOfTheAttemptIsReplicated) {  // R1
  Harness h;
  const RequestId call = h.Call(h.Puts(h.Tag(1, 3), {kS1, kS2}));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  const auto refused = h.Appended<AttemptRefused>();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].attempt, 3u);
  EXPECT_EQ(h.SentTo<Decide>(kS2).decision, Decision::kAbort);  // locks do not wait for it
  h.Committing(2);                                              // nor does it wait for what came later
  ASSERT_TRUE(std::holds_alternative<AttemptRefused>(h.log[1].second));
  h.Step(Replicated{h.log[0].first});
  EXPECT_FALSE(h.Answered(call));
  h.Step(Replicated{h.log[1].first});
  EXPECT_EQ(h.AnswerTo<Ending>(call).outcome, Outcome::kAborted);
}

// The second would else have been told what only this process remembers.
TEST(CoordinatorTokens, DuplicateOfARefusedAttemptWaitsForTheRecordToo) {  // R1
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const RequestId first = h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  const RequestId second = h.Call(request);
  EXPECT_FALSE(h.Answered(first));
  EXPECT_EQ(h.AbortedAfterReplicating(second).reason, AbortReason::kRefusedAttempt);
  EXPECT_EQ(h.AnswerTo<Ending>(first).outcome, Outcome::kAborted);
  EXPECT_TRUE(h.Answered(h.Call(request)));  // it is known for good
}

TEST(CoordinatorTokens, NobodyIsHeldForACallThatIsGone) {  // G8
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  const RequestId duplicate = h.Call(request);
  h.Step(ClientGone{duplicate});
  h.Replicate();
  EXPECT_FALSE(h.Answered(duplicate));
}

// Else: a process that was told sends attempt 2, which stalls, and dies; the next one starts over with
// attempt 1, is told ABORTED as well, and then attempt 2 commits.
TEST(CoordinatorTokens, NobodyWasToldOfARefusalThatAFailoverLost) {  // R1, I-U1
  Harness h;
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  const RequestId first = h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  const RequestId duplicate = h.Call(request);
  h.Pass(20 * kSecond);  // however long that takes
  EXPECT_FALSE(h.Answered(first) || h.Answered(duplicate));
  h.Restart(2);
  request.tag.sent_to = Epoch{2};
  h.Call(request);  // the same attempt runs
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

TEST(CoordinatorTokens, StalledDuplicateOfAnAbortedAttemptNeverRuns) {
  Harness h;
  h.Call(h.Puts(h.Tag(1, 2), {kS1, kS2}));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  h.Replicate();
  h.Clear();
  for (const uint32_t attempt : {1u, 2u}) {
    const auto ending = h.AnswerTo<Ending>(h.Call(h.Puts(h.Tag(1, attempt), {kS1, kS2})));
    EXPECT_EQ(ending.outcome, Outcome::kAborted);
    EXPECT_EQ(ending.reason, AbortReason::kRefusedAttempt);
  }
  EXPECT_EQ(h.SendCount(), 0u);
  // Nor once a higher attempt runs, or has committed.
  const RequestId third = h.Call(h.Puts(h.Tag(1, 3), {kS1, kS2}));
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(h.Puts(h.Tag(1, 2), {kS1, kS2}))).outcome, Outcome::kAborted);
  const TxnId txn = h.SentTo<Prepare>(kS1).header.txn;
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(third).outcome, Outcome::kCommitted);
}

// A node that is behind must not be taken for one that is ahead.
TEST(CoordinatorTokens, HigherEpochThanItsOwnSendsTheClientToWhereIs) {
  Harness h;
  CommitTag tag = h.Tag(1);
  tag.sent_to = Epoch{2};
  const Refusal refusal = h.AnswerTo<Refusal>(h.Call(h.Puts(tag, {kS1, kS2})));
  EXPECT_EQ(refusal.code, RefusalCode::kStaleEpoch);
  EXPECT_EQ(refusal.epoch, Epoch{1});
  EXPECT_NE(refusal.detail.find("has not heard of"), std::string::npos) << refusal.detail;
}

// Its sender hears what becomes of the run that is under way, not that it is forgotten.
TEST(CoordinatorTokens, LiveTokenIsJoinedAlsoBelowTheHorizon) {
  Harness h;
  h.Pass(55 * kSecond);  // a horizon is due 5 s later
  h.Replicate();
  CommitTag tag = h.Tag(1);
  tag.token.birth_us -= kHour - kSecond;
  const RequestId first = h.Call(h.Puts(tag, {kS1, kS2}));
  ASSERT_EQ(h.Sent<Prepare>().size(), 2u);
  h.Pass(6 * kSecond);
  ASSERT_GT(h.Appended<HorizonRaised>().back().horizon_us, tag.token.birth_us);
  const RequestId second = h.Call(h.Puts(tag, {kS1, kS2}));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kYes);
  h.VoteFrom(kS2, h.LastTxn(), Vote::kYes);
  h.Replicate();
  EXPECT_EQ(h.AnswerTo<Ending>(first).outcome, Outcome::kCommitted);
  EXPECT_EQ(h.AnswerTo<Ending>(second).outcome, Outcome::kCommitted);
}

TEST(CoordinatorTokens, StalledDuplicateAfterAFailoverThatLostTheRefusal) {
  Harness h;
  const Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  h.Restart(2);  // the refusal was not replicated
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(request)).code, RefusalCode::kStaleEpoch);
  EXPECT_EQ(h.SendCount(), 0u);
}

TEST(CoordinatorTokens, RefusedAttemptsSurviveARestartThatKeptThem) {
  Harness h;
  Execute request = h.Puts(h.Tag(1), {kS1, kS2});
  h.Call(request);
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  h.Restart(2, 1);
  request.tag.sent_to = Epoch{2};
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(request)).outcome, Outcome::kAborted);
}

TEST(CoordinatorTokens, AbortEndsTheAttemptsThatJoined) {
  Harness h;
  h.Call(h.Puts(h.Tag(1, 1), {kS1, kS2}));
  const RequestId joined = h.Call(h.Puts(h.Tag(1, 4), {kS1, kS2}));
  h.VoteFrom(kS1, h.LastTxn(), Vote::kNo, 0);
  h.AbortedAfterReplicating(joined);
  ASSERT_EQ(h.Appended<AttemptRefused>().size(), 1u);
  EXPECT_EQ(h.Appended<AttemptRefused>()[0].attempt, 4u);
}

TEST(CoordinatorTokens, AcknowledgedTokenIsRefusedAtOnce) {  // floor, ahead of its record
  Harness h;
  Execute five = h.Puts(h.Tag(5), {kS1, kS2});
  five.tag.acked_below = 5;
  h.Call(five);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(4), {kS1, kS2}))).code, RefusalCode::kTokenExpired);
}

TEST(CoordinatorTokens, FloorTravelsInTheRecordAndDropsOutcomes) {
  Harness h;
  for (uint64_t seq = 1; seq <= 3; ++seq) h.PhaseTwo(seq);
  const auto row = [&](uint64_t seq) {
    return h.core->overlay().Get(Table::kOutcome, OutcomeKey(h.Tag(seq).token));
  };
  EXPECT_TRUE(row(1) && row(2) && row(3));
  Execute four = h.Puts(h.Tag(4), {kS1, kS2});
  four.tag.acked_below = 3;
  h.Clear();
  h.Call(four);
  const TxnId txn = h.SentTo<Prepare>(kS1).header.txn;
  EXPECT_TRUE(row(1));  // not dropped before the record
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  EXPECT_FALSE(row(1) || row(2));
  EXPECT_TRUE(row(3) && row(4));
  h.Replicate();
  h.Restart(2);
  CommitTag tag = h.Tag(2);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(tag, {kS1, kS2}))).code, RefusalCode::kTokenExpired);
  tag = h.Tag(3);
  EXPECT_EQ(h.AnswerTo<Ending>(h.Call(h.Puts(tag, {kS1, kS2}))).outcome, Outcome::kCommitted);
}

TEST(CoordinatorTokens, FloorTravelsInARefusalToo) {
  Harness h;
  h.PhaseTwo(1);
  Execute two = h.Puts(h.Tag(2), {kS1, kS2});
  two.tag.acked_below = 2;
  h.Clear();
  h.Call(two);
  h.VoteFrom(kS1, h.SentTo<Prepare>(kS1).header.txn, Vote::kNo, 0);
  h.Restart(2, 99);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(h.Puts(h.Tag(1), {kS1, kS2}))).code, RefusalCode::kTokenExpired);
}

TEST(CoordinatorTokens, OutcomesOfOtherClientsAreLeftAlone) {
  Harness h;
  h.PhaseTwo(1);
  Execute other = h.Puts(h.Tag(9), {kS1, kS2});
  other.tag.token.client = ClientId{1ull << 32 | 2};
  other.tag.acked_below = 9;
  h.Clear();
  h.Call(other);
  const TxnId txn = h.SentTo<Prepare>(kS1).header.txn;
  h.VoteFrom(kS1, txn, Vote::kYes);
  h.VoteFrom(kS2, txn, Vote::kYes);
  EXPECT_TRUE(h.core->overlay().Get(Table::kOutcome, OutcomeKey(h.Tag(1).token)).has_value());
}

TEST(CoordinatorTokens, KnownFloorsAreBoundedAndLosingOneIsSafe) {  // G8
  CoordinatorConfig config = Harness::DefaultConfig();
  config.limits.known_floors = 2;
  Harness h(1, config);
  for (uint64_t client = 1; client <= 3; ++client) {
    Execute request = h.Puts(h.Tag(5), {kS1, kS2});
    request.tag.token.client = ClientId{1ull << 32 | client};
    request.tag.acked_below = 5;
    h.Call(request);
  }
  Execute late = h.Puts(h.Tag(4), {kS1, kS2});
  late.tag.token.client = ClientId{1ull << 32 | 1};
  h.Clear();
  h.Call(late);  // the floor is not known any more, and no record has dropped anything: it runs
  EXPECT_EQ(h.Sent<Prepare>().size(), 2u);
}

}  // namespace
}  // namespace assent::coordinator
