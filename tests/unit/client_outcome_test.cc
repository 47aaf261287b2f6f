// The one place where a client decides between UNKNOWN and ABORTED (G3, G4).
#include <gtest/gtest.h>

#include "client/outcome.h"

namespace assent {
namespace {

using Kind = CommitProgress::TokenKind;
using Next = CommitProgress::Next;

const Status kAway(StatusCode::kUnavailable, "away");

ClientReply Ended(Outcome outcome, AbortReason reason = AbortReason::kNone) {
  Ending ending;
  ending.outcome = outcome;
  ending.reason = reason;
  ending.txn = {{GroupKind::kCoordinator, 1}, Epoch{1}, 5};
  ending.age = {77, ending.txn};
  return ending;
}
ClientReply Committed() {
  return Ended(Outcome::kCommitted);
}
ClientReply Aborted(AbortReason reason) {
  return Ended(Outcome::kAborted, reason);
}
ClientReply Refused(RefusalCode code) {
  return Refusal{code, "refused", Epoch{2}};
}

CommitResult AtDeadline(CommitProgress& progress) {
  progress.OnDeadline();
  return progress.TakeResult();
}

TEST(CommitProgress, NeverSentIsAborted) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnNotSent(kAway), Next::kSendAgain);
  const CommitResult result = AtDeadline(progress);
  EXPECT_EQ(result.outcome, Outcome::kAborted);
  EXPECT_EQ(result.refused.code(), StatusCode::kUnavailable);
}

TEST(CommitProgress, LostAnswerIsUnknownNeverAborted) {  // I-U1; mutant 24: timeout -> "aborted"
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnLost(kAway), Next::kSendAgain);
  EXPECT_EQ(progress.attempt(), 1u);  // C5: the same attempt
  EXPECT_EQ(progress.OnNotSent(kAway), Next::kSendAgain);
  EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);
}

TEST(CommitProgress, UnknownFromTheClusterIsAskedAgain) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnReply(Ended(Outcome::kUnknown)), Next::kSendAgain);
  EXPECT_EQ(progress.attempt(), 1u);
  EXPECT_EQ(progress.OnReply(Committed()), Next::kDone);
  EXPECT_EQ(progress.TakeResult().outcome, Outcome::kCommitted);
}

TEST(CommitProgress, UnknownNamesTheTransactionThatIsOpenAndNoOther) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kWounded)), Next::kNextAttempt);
  EXPECT_EQ(progress.OnLost(kAway), Next::kSendAgain);
  CommitResult result = AtDeadline(progress);
  EXPECT_EQ(result.outcome, Outcome::kUnknown);
  EXPECT_FALSE(result.txn.valid());  // the one that is known has aborted
  EXPECT_EQ(result.attempts, 2u);

  CommitProgress told(Kind::kFresh, 16);
  EXPECT_EQ(told.OnReply(Ended(Outcome::kUnknown)), Next::kSendAgain);
  result = AtDeadline(told);
  EXPECT_EQ(result.txn, (TxnId{{GroupKind::kCoordinator, 1}, Epoch{1}, 5}));

  CommitProgress refused(Kind::kFresh, 16);
  EXPECT_EQ(refused.OnReply(Ended(Outcome::kUnknown)), Next::kSendAgain);
  EXPECT_EQ(refused.OnReply(Refused(RefusalCode::kTokenExpired)), Next::kDone);
  result = refused.TakeResult();
  EXPECT_EQ(result.outcome, Outcome::kUnknown);
  EXPECT_TRUE(result.txn.valid());
  EXPECT_EQ(result.attempts, 1u);
}

// Not even with another token: the send that was answered so may have taken effect.
TEST(CommitProgress, ForgottenOutcomeIsUnknownForGood) {  // C5, I-U1
  Ending forgotten;
  forgotten.outcome = Outcome::kUnknown;
  forgotten.reason = AbortReason::kTokenExpired;
  for (const Kind kind : {Kind::kFresh, Kind::kGiven, Kind::kSentBefore}) {
    CommitProgress progress(kind, 16);
    EXPECT_EQ(progress.OnReply(ClientReply(forgotten)), Next::kDone);
    const CommitResult result = progress.TakeResult();
    EXPECT_EQ(result.outcome, Outcome::kUnknown);
    EXPECT_EQ(result.refused.code(), StatusCode::kConflict);
  }
}

TEST(CommitProgress, OldestAgeIsKept) {  // P2: after a failover it may not be known, or be a new one
  CommitProgress progress(Kind::kFresh, 16);
  progress.OnReply(Aborted(AbortReason::kWounded));
  ASSERT_EQ(progress.retry_of().begin_us, 77u);
  Ending ending;
  ending.outcome = Outcome::kAborted;
  ending.reason = AbortReason::kBranchLost;
  progress.OnReply(ClientReply(ending));
  EXPECT_EQ(progress.retry_of().begin_us, 77u);
  ending.age = Age{78, TxnId{{GroupKind::kCoordinator, 1}, Epoch{2}, 1}};
  progress.OnReply(ClientReply(ending));
  EXPECT_EQ(progress.retry_of().begin_us, 77u);
}

TEST(CommitProgress, RefusalsSayNothingAboutAnEarlierSend) {  // I-U1
  for (const RefusalCode code : {RefusalCode::kInvalid, RefusalCode::kNoSuchTxn, RefusalCode::kTokenExpired,
                                 RefusalCode::kTokenMismatch}) {
    CommitProgress progress(Kind::kFresh, 16);
    progress.OnLost(kAway);
    EXPECT_EQ(progress.OnReply(Refused(code)), Next::kDone);
    const CommitResult result = progress.TakeResult();
    EXPECT_EQ(result.outcome, Outcome::kUnknown) << static_cast<int>(code);
    EXPECT_FALSE(result.refused.ok());
  }
  for (const RefusalCode code :
       {RefusalCode::kOverloaded, RefusalCode::kNotServing, RefusalCode::kStaleEpoch, RefusalCode::kBusy}) {
    CommitProgress progress(Kind::kFresh, 16);
    progress.OnLost(kAway);
    EXPECT_NE(progress.OnReply(Refused(code)), Next::kDone);
    EXPECT_EQ(progress.attempt(), 1u);
    EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);
  }
}

TEST(CommitProgress, RefusedFirstSendIsAborted) {
  CommitProgress invalid(Kind::kFresh, 16);
  EXPECT_EQ(invalid.OnReply(Refused(RefusalCode::kInvalid)), Next::kDone);
  const CommitResult result = invalid.TakeResult();
  EXPECT_EQ(result.outcome, Outcome::kAborted);
  EXPECT_EQ(result.refused.code(), StatusCode::kInvalid);

  CommitProgress busy(Kind::kFresh, 16);
  EXPECT_EQ(busy.OnReply(Refused(RefusalCode::kOverloaded)), Next::kSendAgain);
  EXPECT_EQ(AtDeadline(busy).refused.code(), StatusCode::kOverloaded);
}

TEST(CommitProgress, TransientAbortIsTriedAgainAsTheNextAttemptWithItsAge) {  // C5, P2
  CommitProgress progress(Kind::kFresh, 3);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kWounded)), Next::kNextAttempt);
  EXPECT_EQ(progress.attempt(), 2u);
  EXPECT_EQ(progress.retry_of().begin_us, 77u);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kBranchLost)), Next::kNextAttempt);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kWounded)), Next::kDone);  // attempts used up
  const CommitResult result = progress.TakeResult();
  EXPECT_EQ(result.outcome, Outcome::kAborted);
  EXPECT_EQ(result.reason, AbortReason::kWounded);
  EXPECT_EQ(result.attempts, 3u);
}

TEST(CommitProgress, AbortForGoodIsNotRepeated) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kCheckFailed)), Next::kDone);
  EXPECT_EQ(progress.TakeResult().reason, AbortReason::kCheckFailed);
}

TEST(CommitProgress, AbortEndsTheLostSendsBeforeIt) {  // C5
  CommitProgress progress(Kind::kFresh, 16);
  progress.OnLost(kAway);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kCheckFailed)), Next::kDone);
  EXPECT_EQ(progress.TakeResult().outcome, Outcome::kAborted);
}

TEST(CommitProgress, DeadlineAfterAnAbortLeavesThatAbort) {
  CommitProgress unsent(Kind::kFresh, 16);
  unsent.OnReply(Aborted(AbortReason::kWounded));
  EXPECT_EQ(AtDeadline(unsent).reason, AbortReason::kWounded);
  CommitProgress lost(Kind::kFresh, 16);
  lost.OnReply(Aborted(AbortReason::kWounded));
  lost.OnLost(kAway);  // the second attempt may take effect
  EXPECT_EQ(AtDeadline(lost).outcome, Outcome::kUnknown);
}

TEST(CommitProgress, TokenTooOldIsReplacedOnceIfSurelyNotRun) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnReply(Refused(RefusalCode::kTokenExpired)), Next::kNewToken);
  EXPECT_EQ(progress.OnReply(Refused(RefusalCode::kTokenExpired)), Next::kDone);
  EXPECT_EQ(progress.TakeResult().outcome, Outcome::kAborted);
  CommitProgress given(Kind::kGiven, 16);  // the application's own is never replaced
  EXPECT_EQ(given.OnReply(Refused(RefusalCode::kTokenExpired)), Next::kDone);
}

TEST(CommitProgress, TokenThatWasSentOnceIsUnknownUntilItsOneAttemptIsJudged) {
  CommitProgress progress(Kind::kSentOnce, 1);
  EXPECT_EQ(progress.OnNotSent(kAway), Next::kSendAgain);
  EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);
  // No higher attempt was ever sent, so that there is none to ask for: a cluster that refused attempt 1 would
  // refuse each next one as well, for ever.
  CommitProgress refused(Kind::kSentOnce, 1);
  EXPECT_EQ(refused.OnReply(Aborted(AbortReason::kRefusedAttempt)), Next::kDone);
  EXPECT_EQ(refused.attempt(), 1u);
  EXPECT_EQ(refused.TakeResult().outcome, Outcome::kAborted);
}

TEST(CommitProgress, TokenOfAnEarlierProcessIsUnknownUntilTheClusterSays) {
  CommitProgress progress(Kind::kSentBefore, 16);
  EXPECT_EQ(progress.OnNotSent(kAway), Next::kSendAgain);
  EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);
  for (const RefusalCode code :
       {RefusalCode::kTokenExpired, RefusalCode::kTokenMismatch, RefusalCode::kInvalid}) {
    CommitProgress refused(Kind::kSentBefore, 16);
    EXPECT_EQ(refused.OnReply(Refused(code)), Next::kDone);
    EXPECT_EQ(refused.TakeResult().outcome, Outcome::kUnknown);
  }
}

TEST(CommitProgress, AttemptsOfAnEarlierProcessAreFollowedToTheLast) {  // C5
  CommitProgress progress(Kind::kSentBefore, 1);
  EXPECT_EQ(progress.OnReply(Aborted(AbortReason::kRefusedAttempt)), Next::kSendAtOnce);
  EXPECT_EQ(progress.attempt(), 2u);
  EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);  // attempt 2 of that process may be under way
  CommitProgress again(Kind::kSentBefore, 1);
  EXPECT_EQ(again.OnReply(Aborted(AbortReason::kRefusedAttempt)), Next::kSendAtOnce);
  EXPECT_EQ(again.OnReply(Committed()), Next::kDone);
  EXPECT_EQ(again.TakeResult().outcome, Outcome::kCommitted);
  CommitProgress over(Kind::kSentBefore, 1);
  EXPECT_EQ(over.OnReply(Aborted(AbortReason::kRefusedAttempt)), Next::kSendAtOnce);
  EXPECT_EQ(over.OnReply(Aborted(AbortReason::kCheckFailed)), Next::kDone);
  EXPECT_EQ(over.TakeResult().outcome, Outcome::kAborted);
}

TEST(CommitProgress, AnswerToSomethingElseIsALostOne) {
  CommitProgress progress(Kind::kFresh, 16);
  EXPECT_EQ(progress.OnReply(RolledBack{}), Next::kSendAgain);
  EXPECT_EQ(AtDeadline(progress).outcome, Outcome::kUnknown);
}

}  // namespace
}  // namespace assent
