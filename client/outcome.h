#pragma once

#include <assent/client.h>

#include <cstdint>
#include <string>

#include "common/client_api.h"

// Decides, after each send of a commit request, what the application may be told about its outcome: the one
// place where the library chooses between COMMITTED, ABORTED and UNKNOWN, without I/O.
//
//   send --> not sent: nothing new                 --+
//        --> lost, or UNKNOWN: it may take effect  --+--> send again, same attempt; at the deadline UNKNOWN
//        --> refused for now: it did nothing       --+    if some send may take effect, else ABORTED
//        --> refused for good: UNKNOWN if some *other* send may take effect, else ABORTED
//        --> UNKNOWN, and forgotten: UNKNOWN for good
//        --> COMMITTED
//        --> ABORTED: no send up to this attempt can take effect any more (C5); next attempt, or ABORTED
//
// Guarantees:
//   I-U1  ABORTED only where no send, of this process or an earlier one, can take effect any more.
//   C5    An attempt is raised only after ABORTED was answered for the one before.
namespace assent {

class CommitProgress {
 public:
  // kFresh: drawn for this call alone, to be replaced if it is too old. kGiven: the application's, surely
  // unsent. kSentOnce: sent by this process, as attempt 1 and no other. kSentBefore: the application's, and
  // perhaps sent by an earlier process, in attempts that are not known here.
  enum class TokenKind : uint8_t { kFresh = 1, kGiven, kSentOnce, kSentBefore };

  CommitProgress(TokenKind kind, int attempts_max);

  enum class Next : uint8_t {
    kDone = 1,
    kSendAgain,    // the same attempt, after a pause
    kSendAtOnce,   // the same attempt, or a higher one that is known not to be the last
    kNextAttempt,  // after a pause
    kNewToken,     // nothing was run, and this token never will be: draw another, then the same attempt
  };

  uint32_t attempt() const { return attempt_; }
  const Age& retry_of() const { return age_; }

  Next OnNotSent(const Status& why);
  Next OnLost(const Status& why);
  Next OnReply(ClientReply&& reply);  // a Refusal or an Ending
  void OnDeadline();

  // After kDone or OnDeadline.
  CommitResult&& TakeResult() { return std::move(result_); }

 private:
  Next OnRefusal(const Refusal& refusal);
  Next OnEnding(Ending&& ending);
  Next RefuseForGood(StatusCode code, const std::string& detail);
  void NameOpenAttempt();

  const int attempts_max_;
  bool sent_before_;
  bool may_take_effect_;  // some send, here or before
  bool renewable_;
  uint32_t attempt_ = 1;
  int runs_ = 1;  // attempts that count against attempts_max_
  Age age_;
  Status last_;     // why the last send brought nothing
  TxnId open_txn_;  // of this attempt, where the cluster said UNKNOWN of it
  CommitResult result_;
};

}  // namespace assent
