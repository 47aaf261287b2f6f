#include "client/outcome.h"

#include <utility>
#include <variant>

namespace assent {

CommitProgress::CommitProgress(TokenKind kind, int attempts_max)
    : attempts_max_(attempts_max),
      sent_before_(kind == TokenKind::kSentBefore),
      may_take_effect_(sent_before_ || kind == TokenKind::kSentOnce),
      renewable_(kind == TokenKind::kFresh) {}

CommitProgress::Next CommitProgress::OnNotSent(const Status& why) {
  last_ = why;
  // A request that is too large for a frame will be so the next time, too.
  if (why.code() == StatusCode::kInvalid) return RefuseForGood(why.code(), why.message());
  return Next::kSendAgain;
}

CommitProgress::Next CommitProgress::OnLost(const Status& why) {
  last_ = why;
  may_take_effect_ = true;
  return Next::kSendAgain;
}

CommitProgress::Next CommitProgress::OnReply(ClientReply&& reply) {
  if (auto* const refusal = std::get_if<Refusal>(&reply)) return OnRefusal(*refusal);
  if (auto* const ending = std::get_if<Ending>(&reply)) return OnEnding(std::move(*ending));
  return OnLost(Status(StatusCode::kUnavailable, "the node gave an answer to something else"));
}

CommitProgress::Next CommitProgress::OnRefusal(const Refusal& refusal) {
  switch (refusal.code) {
    case RefusalCode::kStaleEpoch:
      last_ = Status(StatusCode::kUnavailable, refusal.detail);
      return Next::kSendAtOnce;
    case RefusalCode::kNotServing:
      last_ = Status(StatusCode::kUnavailable, refusal.detail);
      return Next::kSendAgain;
    case RefusalCode::kBusy:
    case RefusalCode::kOverloaded:
      last_ = Status(StatusCode::kOverloaded, refusal.detail);
      return Next::kSendAgain;
    case RefusalCode::kInvalid:
      return RefuseForGood(StatusCode::kInvalid, refusal.detail);
    case RefusalCode::kTokenMismatch:
      return RefuseForGood(StatusCode::kConflict, refusal.detail);
    case RefusalCode::kTokenExpired:
      // A client that was idle for longer than outcomes are kept. Once only: a second time it
      // is not about age.
      if (!may_take_effect_ && renewable_) {
        renewable_ = false;
        return Next::kNewToken;
      }
      return RefuseForGood(StatusCode::kConflict, refusal.detail);
    case RefusalCode::kNoSuchTxn:
      // In answer to a transaction's first commit: nothing of it was, or will be, committed.
      if (may_take_effect_) return RefuseForGood(StatusCode::kConflict, refusal.detail);
      result_.outcome = Outcome::kAborted;
      result_.reason = AbortReason::kExpired;
      result_.detail = refusal.detail;
      return Next::kDone;
  }
  return OnLost(Status(StatusCode::kUnavailable, "unknown refusal"));
}

CommitProgress::Next CommitProgress::OnEnding(Ending&& ending) {
  if (ending.outcome == Outcome::kUnknown) {
    if (ending.txn.valid()) open_txn_ = ending.txn;
    if (ending.reason != AbortReason::kTokenExpired) {
      return OnLost(Status(StatusCode::kUnavailable, ending.detail));
    }
    may_take_effect_ = true;  // or did, and nobody remembers
    return RefuseForGood(StatusCode::kConflict, ending.detail);
  }
  result_.attempts = attempt_;
  result_.txn = ending.txn;
  result_.detail = std::move(ending.detail);
  if (ending.outcome == Outcome::kCommitted) {
    result_.outcome = Outcome::kCommitted;
    result_.reason = AbortReason::kNone;
    result_.results = std::move(ending.results);
    result_.repeated = ending.repeated;
    result_.finished = ending.finished;
    return Next::kDone;
  }
  // P2: the oldest is the place in line.
  if (ending.age.txn.valid() && (!age_.txn.valid() || ending.age < age_)) age_ = ending.age;
  if (ending.reason == AbortReason::kRefusedAttempt && sent_before_) {
    // The earlier process was told the same, and may have sent a higher attempt: that one may yet commit.
    // Ask for it.
    ++attempt_;
    return Next::kSendAtOnce;
  }
  // C5: this attempt and all before it are over. A higher one was never sent: by us, since we raise it only
  // below; by an earlier process, since it would have been told this abort first, and we kRefusedAttempt.
  sent_before_ = false;
  may_take_effect_ = false;
  result_.outcome = Outcome::kAborted;
  result_.reason = ending.reason;
  if (!IsTransient(ending.reason) || runs_ >= attempts_max_) return Next::kDone;
  last_ = Status(StatusCode::kUnavailable, result_.detail);
  open_txn_ = TxnId{};
  ++runs_;
  ++attempt_;
  return Next::kNextAttempt;
}

CommitProgress::Next CommitProgress::RefuseForGood(StatusCode code, const std::string& detail) {
  result_.outcome = may_take_effect_ ? Outcome::kUnknown : Outcome::kAborted;
  if (may_take_effect_) NameOpenAttempt();
  result_.reason = AbortReason::kNone;
  result_.refused = Status(code, detail);
  result_.detail = detail;
  return Next::kDone;
}

// For an UNKNOWN. An attempt before this one aborted: its transaction is not the one that may take effect.
void CommitProgress::NameOpenAttempt() {
  result_.attempts = attempt_;
  result_.txn = open_txn_;
}

void CommitProgress::OnDeadline() {
  if (may_take_effect_) {
    result_.outcome = Outcome::kUnknown;
    result_.reason = AbortReason::kNone;
    NameOpenAttempt();
    result_.detail = "no answer before the deadline";
  } else if (result_.outcome == Outcome::kAborted) {
    return;  // the last attempt aborted, and the next was never sent: that abort stands
  } else {
    result_.outcome = Outcome::kAborted;
    result_.refused =
        last_.ok() ? Status(StatusCode::kUnavailable, "the deadline passed before the first send") : last_;
    result_.detail = "not sent, or refused, until the deadline";
  }
  if (!last_.ok()) result_.detail += ": " + last_.message();
}

}  // namespace assent
