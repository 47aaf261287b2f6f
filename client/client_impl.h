#pragma once

#include <assent/client.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "client/outcome.h"
#include "client/session.h"

namespace assent {

// The state that a Client and its Transactions share.
struct Client::Impl {
  Impl(std::vector<Address> addresses, const ClientOptions& options)
      : session(std::move(addresses), options) {}

  Deadline NewDeadline() const {
    return std::chrono::steady_clock::now() + std::chrono::milliseconds(session.options().deadline_ms);
  }

  // Sends a commit request until its outcome is known or the deadline passes. `send(tag, retry_of)` is one
  // send, with the tag's epoch and acknowledgement filled in by Tagged(). `token` not valid: one is drawn.
  template <typename SendOnce>
  CommitResult RunCommit(CommitProgress::TokenKind kind, Token token, int attempts, Deadline deadline,
                         SendOnce&& send);

  CommitResult Execute(CommitProgress::TokenKind kind, const Token& token,
                       std::vector<Operation>&& operations, std::vector<ForeignWork>&& foreign);

  // Just before a send: the rest of its tag.
  wire::CommitTag Tagged(const Token& token, uint32_t attempt);

  Session session;
  CommitTag sent_tag;  // of the send under way, to compare its reply with
};

template <typename SendOnce>
CommitResult Client::Impl::RunCommit(CommitProgress::TokenKind kind, Token token, int attempts,
                                     Deadline deadline, SendOnce&& send) {
  using Next = CommitProgress::Next;
  CommitProgress progress(kind, attempts);
  Backoff backoff(session.options());
  Next next = Next::kNextAttempt;
  auto attempt_began = std::chrono::steady_clock::now();
  while (next != Next::kDone) {
    if (MillisLeft(deadline) == 0) {
      progress.OnDeadline();
      break;
    }
    if (!token.valid()) {
      Result<Token> drawn = session.DrawToken(deadline);
      if (!drawn.ok()) {
        next = progress.OnNotSent(drawn.status());
        continue;
      }
      token = *drawn;
      session.Hold(token, /*kept=*/false);
    }
    Sent sent = send(token, progress);
    switch (sent.kind) {
      case Sent::Kind::kNotSent:
        next = progress.OnNotSent(sent.why);
        break;
      case Sent::Kind::kLost:
        next = progress.OnLost(sent.why);
        break;
      case Sent::Kind::kReplied:
        next = progress.OnReply(std::move(sent.reply));
        break;
    }
    if (next == Next::kNextAttempt) {
      // One that is likely to end as late as the last, and behind the deadline, would make
      // UNKNOWN of ABORTED.
      const auto now = std::chrono::steady_clock::now();
      if (now + (now - attempt_began) > deadline) {
        progress.OnDeadline();
        break;
      }
    }
    if (next == Next::kSendAgain || next == Next::kNextAttempt) backoff.Pause(deadline);
    if (next == Next::kNextAttempt) attempt_began = std::chrono::steady_clock::now();
    if (next == Next::kNewToken) {
      session.Renew();
      token = Token{};
    }
  }
  CommitResult result = progress.TakeResult();
  result.token = token;
  // C5: outcomes that the application is told for certain need not be remembered any longer; its own tokens
  // it releases itself.
  if (kind == CommitProgress::TokenKind::kFresh && result.outcome != Outcome::kUnknown)
    session.Release(token);
  return result;
}

// The limit to ask for in a scan that has `have` rows of `limit` (0 = all).
inline uint32_t ScanLimit(size_t limit, size_t have) {
  return limit == 0 ? 0 : static_cast<uint32_t>(std::min(limit - have, kScanRowsMax));
}

// The error that a read or a piece of work ends with, where its transaction did not commit.
Status StatusOf(const CommitResult& result);

}  // namespace assent
