#include <assent/client.h>

#include <utility>

#include "client/client_impl.h"
#include "common/answer_timeout.h"
#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace op {

Operation Get(std::string key) {
  return GetOp{std::move(key)};
}
Operation Put(std::string key, std::string value) {
  return PutOp{std::move(key), std::move(value)};
}
Operation Delete(std::string key) {
  return DeleteOp{std::move(key)};
}
Operation Add(std::string key, int64_t delta, std::optional<int64_t> floor) {
  return AddOp{std::move(key), delta, floor};
}
Operation Scan(std::string prefix, uint32_t limit, std::string after) {
  return ScanOp{std::move(prefix), limit, std::move(after)};
}
Operation CheckExists(std::string key) {
  return CheckOp{std::move(key), CheckKind::kExists, {}, 0};
}
Operation CheckAbsent(std::string key) {
  return CheckOp{std::move(key), CheckKind::kAbsent, {}, 0};
}
Operation CheckValue(std::string key, std::string value) {
  return CheckOp{std::move(key), CheckKind::kValue, std::move(value), 0};
}
Operation CheckVersion(std::string key, uint64_t version) {
  return CheckOp{std::move(key), CheckKind::kVersion, {}, version};
}

}  // namespace op

namespace {

static_assert(kCallTimeoutMs >= static_cast<int>(kAnswerTimeoutUs / 1'000) + 2'000,
              "what a node says at last is heard");

constexpr size_t kTokensHeldMax = 1024;  // NewToken's; each holds up what the cluster may forget

}  // namespace

std::string Describe(const CommitResult& result) {
  std::string text;
  switch (result.outcome) {
    case Outcome::kCommitted:
      text = "committed";
      break;
    case Outcome::kAborted:
      text = result.refused.ok() ? "aborted" : "not run";
      break;
    case Outcome::kUnknown:
      text = "unknown";
      break;
  }
  if (result.txn.valid()) text += " " + ToString(result.txn);
  if (result.reason != AbortReason::kNone) text += ": " + std::string(ToString(result.reason));
  if (!result.detail.empty()) text += ": " + result.detail;
  return text;
}

Status StatusOf(const CommitResult& result) {
  if (!result.refused.ok()) return result.refused;
  switch (result.outcome) {
    case Outcome::kCommitted:
      return {};
    case Outcome::kAborted:
      return Status(StatusCode::kConflict, Describe(result));
    case Outcome::kUnknown:
      break;
  }
  return Status(StatusCode::kUnavailable, Describe(result));
}

wire::CommitTag Client::Impl::Tagged(const Token& token, uint32_t attempt) {
  session.MarkSent(token);
  sent_tag = CommitTag{token, session.epoch(), attempt, session.AckedBelow(token)};
  wire::CommitTag tag;
  tag.token = codec::Encode(token);
  tag.sent_to = codec::Number(sent_tag.sent_to);
  tag.attempt = codec::SmallNumber(attempt);
  tag.acked_below = codec::Number(sent_tag.acked_below);
  return tag;
}

CommitResult Client::Impl::Execute(CommitProgress::TokenKind kind, const Token& token,
                                   std::vector<Operation>&& operations, std::vector<ForeignWork>&& foreign) {
  assent::Execute execute;
  execute.operations = std::move(operations);
  execute.foreign = std::move(foreign);
  // Made once: a send changes only the tag, so that what is repeated is the same content (C5).
  wire::ExecuteRequest request = codec::EncodeRequest("", session.group(), std::move(execute));
  const Deadline deadline = NewDeadline();
  return RunCommit(
      kind, token, session.options().attempts, deadline,
      [&](const Token& used, const CommitProgress& progress) {
        return session.Send<wire::ExecuteReply>(
            deadline,
            [&] {
              request.cluster = session.cluster();
              request.group = codec::Encode(session.group());
              request.tag = Tagged(used, progress.attempt());
              // P2: the next attempt keeps the place in line of the one before.
              if (progress.retry_of().begin_us != 0) {
                request.__set_retry_of(codec::Encode(progress.retry_of()));
              }
            },
            [&](wire::TransactionManagerClient& client) { client.send_execute(request); },
            [](wire::TransactionManagerClient& client, wire::ExecuteReply& reply) {
              client.recv_execute(reply);
            },
            [&](wire::ExecuteReply&& reply) { return codec::DecodeReply(std::move(reply), sent_tag); });
      });
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<Client> Client::Connect(const std::vector<std::string>& addresses, const ClientOptions& options) {
  std::vector<Address> parsed;
  for (const std::string& text : addresses) {
    auto address = ParseAddress(text);
    if (!address.ok()) return address.status();
    parsed.push_back(std::move(address).value());
  }
  if (parsed.empty()) return Status(StatusCode::kInvalid, "name at least one node's address, as host:port");
  auto impl = std::make_shared<Impl>(std::move(parsed), options);
  ASSENT_RETURN_IF_ERROR(impl->session.AwaitLeader(impl->NewDeadline()));
  return Client(std::move(impl));
}

const std::string& Client::cluster() const {
  return impl_->session.cluster();
}

CommitResult Client::Execute(std::vector<Operation> operations, std::vector<ForeignWork> foreign) {
  return impl_->Execute(CommitProgress::TokenKind::kFresh, Token{}, std::move(operations),
                        std::move(foreign));
}

CommitResult Client::Execute(const Token& token, std::vector<Operation> operations,
                             std::vector<ForeignWork> foreign) {
  if (!token.valid() || token.coordinator != impl_->session.group()) {
    CommitResult result;
    result.detail = "the token belongs to another coordinator group; set ClientOptions::coordinator to " +
                    ToString(token.coordinator);
    result.refused = Status(StatusCode::kInvalid, result.detail);
    result.token = token;
    return result;
  }
  const auto kind = impl_->session.SurelyUnsent(token) ? CommitProgress::TokenKind::kGiven
                                                       : CommitProgress::TokenKind::kSentBefore;
  return impl_->Execute(kind, token, std::move(operations), std::move(foreign));
}

Result<Token> Client::NewToken() {
  if (impl_->session.kept() >= kTokensHeldMax) {
    return Status(StatusCode::kOverloaded,
                  "too many tokens are neither settled nor released; see Client::Release");
  }
  Result<Token> token = impl_->session.DrawToken(impl_->NewDeadline());
  if (token.ok()) impl_->session.Hold(*token, /*kept=*/true);
  return token;
}

void Client::Release(const Token& token) {
  impl_->session.Release(token);
}

Result<std::optional<ResultRow>> Client::Get(std::string key) {
  std::vector<Operation> operations;
  operations.push_back(op::Get(std::move(key)));
  CommitResult result = Execute(operations);
  // The answer to an earlier send got lost, and with it what was read: read again, under a token of its own.
  if (result.committed() && result.results.size() != 1) result = Execute(std::move(operations));
  ASSENT_RETURN_IF_ERROR(StatusOf(result));
  if (result.results.size() != 1) return Status(StatusCode::kUnavailable, "the answer got lost; try again");
  auto& rows = result.results[0].rows;
  if (rows.empty()) return std::optional<ResultRow>();
  return std::optional<ResultRow>(std::move(rows[0]));
}

Result<std::vector<ResultRow>> Client::Scan(const std::string& prefix, size_t limit) {
  std::vector<Operation> operations;
  operations.push_back(op::Scan(prefix, ScanLimit(limit, 0)));
  CommitResult result = Execute(operations);
  if (result.committed() && result.results.size() != 1) result = Execute(std::move(operations));
  ASSENT_RETURN_IF_ERROR(StatusOf(result));
  if (result.results.size() != 1) return Status(StatusCode::kUnavailable, "the answer got lost; try again");
  std::vector<ResultRow> rows = std::move(result.results[0].rows);
  if (!result.results[0].truncated || (limit != 0 && rows.size() >= limit)) return rows;
  const CommitResult whole = Run([&](Transaction& transaction) {
    auto read = transaction.Scan(prefix, limit);
    if (!read.ok()) return read.status();
    rows = std::move(read).value();
    return Status();
  });
  ASSENT_RETURN_IF_ERROR(StatusOf(whole));
  return rows;
}

CommitResult Client::Put(std::string key, std::string value) {
  return Execute({op::Put(std::move(key), std::move(value))});
}

CommitResult Client::Delete(std::string key) {
  return Execute({op::Delete(std::move(key))});
}

CommitResult Client::Run(const std::function<Status(Transaction&)>& body) {
  const Deadline deadline = impl_->NewDeadline();
  Backoff backoff(impl_->session.options());
  CommitResult result;
  std::optional<Transaction> last;
  for (int attempt = 1;; ++attempt) {
    Result<Transaction> begun = last ? BeginAgain(*last) : Begin();
    if (!begun.ok()) {
      if (last) return result;  // its abort stands
      result.outcome = Outcome::kAborted;
      result.refused = begun.status();
      result.detail = begun.status().message();
      return result;
    }
    last.emplace(std::move(begun).value());
    const Status said = body(*last);
    if (!said.ok() && last->open()) {
      last->Rollback();
      result = CommitResult{};
      result.outcome = Outcome::kAborted;
      result.reason = AbortReason::kRolledBack;
      result.refused = said;
      result.detail = said.message();
      result.attempts = static_cast<uint32_t>(attempt);
      return result;
    }
    result = last->Commit();
    result.attempts = static_cast<uint32_t>(attempt);
    const bool again =
        result.outcome == Outcome::kAborted && result.refused.ok() && IsTransient(result.reason);
    if (!again || attempt >= impl_->session.options().attempts || MillisLeft(deadline) == 0) return result;
    backoff.Pause(deadline);
  }
}

}  // namespace assent
