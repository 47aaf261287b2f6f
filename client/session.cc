#include "client/session.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "thrift/codec_client.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

constexpr size_t kAddressesMax = 64;  // configured and learned; a cluster has fewer nodes
constexpr uint64_t kPinnedMax = 16;   // so many tokens behind one that is not settled, and a session is left
constexpr int kWhereIsTimeoutMs = 2'000;  // answered from a node's memory

}  // namespace

int MillisLeft(Deadline deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1'000'000'000));
}

Backoff::Backoff(const ClientOptions& options)
    : max_ms_(std::max(1, options.backoff_max_ms)),
      next_ms_(std::clamp(options.backoff_min_ms, 1, max_ms_)),
      random_(std::random_device{}()) {}

void Backoff::Pause(Deadline deadline) {
  const int drawn = std::uniform_int_distribution<int>(next_ms_ / 2 + 1, next_ms_)(random_);
  next_ms_ = std::min(max_ms_, next_ms_ * 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::min(drawn, MillisLeft(deadline))));
}

Session::Session(std::vector<Address> addresses, const ClientOptions& options)
    : options_(options), addresses_(std::move(addresses)), cluster_(options.cluster) {
  if (options.coordinator) group_ = *options.coordinator;
}

std::unique_ptr<Connection<wire::TransactionManagerClient>> Session::MakeConnection(
    const Address& address) const {
  ConnectionOptions connection;
  connection.peer = address;
  connection.service = "TransactionManager";
  connection.connect_timeout_ms = options_.connect_timeout_ms;
  connection.send_timeout_ms = options_.call_timeout_ms;
  connection.recv_timeout_ms = options_.call_timeout_ms;
  return std::make_unique<Connection<wire::TransactionManagerClient>>(connection);
}

Status Session::FindLeader(Deadline deadline) {
  return AskNodes(deadline).status;
}

Session::Round Session::AskNodes(Deadline deadline) {
  connection_.reset();
  std::string reasons;
  bool all_foreign = true;
  const size_t count = addresses_.size();
  // Each round begins where the last ended: a node whose news are old is not asked first again.
  size_t asked_of = 0;
  for (; asked_of < count && MillisLeft(deadline) > 0; ++asked_of) {
    const Address address = addresses_[next_address_];
    next_address_ = (next_address_ + 1) % addresses_.size();
    const Status asked = AskNode(address, deadline);
    if (asked.ok()) return {asked, true};
    all_foreign = all_foreign && asked.code() == StatusCode::kForeign;
    reasons += (reasons.empty() ? "" : "; ") + asked.message();
  }
  if (reasons.empty()) return {Status(StatusCode::kUnavailable, "the deadline passed"), false};
  return {Status(all_foreign ? StatusCode::kForeign : StatusCode::kUnavailable, std::move(reasons)),
          asked_of == count};
}

Status Session::AwaitLeader(Deadline deadline) {
  Backoff backoff(options_);
  Status why;  // of the last round that came to its end: what the deadline cuts off says less
  while (true) {
    Round round = AskNodes(deadline);
    if (round.status.ok() || round.status.code() == StatusCode::kForeign) return round.status;
    if (round.whole || why.ok()) why = std::move(round.status);
    if (!reached_ || MillisLeft(deadline) == 0) return why;
    backoff.Pause(deadline);
  }
}

// Asks one node who leads, and takes its word for it unless we know of a later epoch.
Status Session::AskNode(const Address& address, Deadline deadline) {
  auto news = NewsFrom(address, std::min(kWhereIsTimeoutMs, MillisLeft(deadline)));
  if (!news.ok()) return news.status();
  group_ = news->group;
  epoch_ = news->epoch;
  connection_ = news->address == address ? std::move(news->connection) : MakeConnection(news->address);
  return {};
}

Result<Session::LeaderNews> Session::NewsFrom(const Address& address, int timeout_ms) {
  auto connection = MakeConnection(address);
  connection->set_recv_timeout_ms(std::max(1, timeout_ms));
  wire::WhereIsRequest request;
  request.cluster = cluster_;
  wire::WhereIsReply reply;
  ASSENT_RETURN_IF_ERROR(connection->Open());
  reached_ = true;
  const CallStatus called =
      connection->Call([&](wire::TransactionManagerClient& client) { client.where_is(reply, request); });
  if (!called.ok()) return called.status;
  if (reply.__isset.refusal || (!cluster_.empty() && reply.cluster != cluster_)) {
    return Status(StatusCode::kForeign, ToString(address) + ": " + codec::CutDetail(reply.refusal.detail));
  }
  if (reply.cluster.empty() || reply.cluster.size() > codec::kNameBytesMax) {
    return Status(StatusCode::kForeign, ToString(address) + ": not a node of an Assent cluster");
  }
  cluster_ = reply.cluster;
  for (const std::string& text : reply.addresses) {
    const auto other = ParseAddress(text);
    if (other.ok() && addresses_.size() < kAddressesMax &&
        std::find(addresses_.begin(), addresses_.end(), *other) == addresses_.end()) {
      addresses_.push_back(*other);
    }
  }
  for (const wire::Leader& leader : reply.leaders) {
    GroupId group;
    codec::Fault fault;
    const auto leads_at = ParseAddress(leader.address);
    if (!leads_at.ok() || !codec::Decode(leader.group, group, fault) || leader.epoch < 1) continue;
    if (group_.number != 0 && group != group_) continue;
    if (static_cast<Epoch>(leader.epoch) < epoch_) continue;  // an older view than the one we have heard of
    return LeaderNews{group, static_cast<Epoch>(leader.epoch), *leads_at, std::move(connection)};
  }
  return Status(StatusCode::kUnavailable, ToString(address) + ": knows no leader of the coordinator group");
}

// A long wait tells nothing: the request may wait for a lock. But a leader that was stopped, or cut off from
// us, would be waited for in vain, so others are asked meanwhile. Once the group has a later epoch, what its
// old leader may still say is no better than what the new one knows (C5).
Status Session::AwaitAnswer(Deadline deadline) {
  const Deadline call_deadline = std::min(
      deadline, std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.call_timeout_ms));
  while (!connection_->AwaitAnswer(std::min(std::max(1, options_.patience_ms), MillisLeft(call_deadline)))) {
    if (MillisLeft(call_deadline) == 0) {
      return Status(StatusCode::kUnavailable, ToString(connection_->options().peer) + ": no answer in time");
    }
    Status replaced = AskWhetherReplaced();
    // The last word of a leader that is there is worth more than the news: it may carry results.
    if (!replaced.ok() && !connection_->AwaitAnswer(0)) return replaced;
  }
  return {};
}

// Not ok if it was. Asks one node, another one each time.
Status Session::AskWhetherReplaced() {
  const Address& leader = connection_->options().peer;
  Address asked = addresses_[next_address_];
  if (asked == leader) {
    next_address_ = (next_address_ + 1) % addresses_.size();
    asked = addresses_[next_address_];
    if (asked == leader) return {};  // nobody else is known
  }
  const auto news = NewsFrom(asked, std::min(kWhereIsTimeoutMs, options_.patience_ms));
  if (news.ok() && news->epoch > epoch_) {
    epoch_ = news->epoch;
    return Status(StatusCode::kUnavailable, ToString(leader) + " did not answer, and " +
                                                ToString(news->address) + " leads in epoch " +
                                                std::to_string(Raw(epoch_)));
  }
  next_address_ = (next_address_ + 1) % addresses_.size();
  return {};
}

Status Session::Ready(Deadline deadline) {
  if (MillisLeft(deadline) == 0) return Status(StatusCode::kUnavailable, "the deadline passed");
  if (connection_ == nullptr) {
    if (Status found = FindLeader(deadline); !found.ok()) return found;
  }
  connection_->set_recv_timeout_ms(std::max(1, std::min(options_.call_timeout_ms, MillisLeft(deadline))));
  return {};
}

Sent Session::Failed(const CallStatus& called) {
  Status why = called.status;
  if (why.code() == StatusCode::kInvalid && connection_->open()) {
    // Too large for a frame: not the leader's fault.
  } else {
    // An address that does not resolve (any more) is one, too: another may lead by now.
    if (why.code() == StatusCode::kInvalid) why = Status(StatusCode::kUnavailable, why.message());
    ForgetLeader();
  }
  return {called.maybe_executed ? Sent::Kind::kLost : Sent::Kind::kNotSent, std::move(why), {}};
}

void Session::ForgetLeader() {
  connection_.reset();
}

void Session::Learn(const ClientReply& reply) {
  if (const auto* refusal = std::get_if<Refusal>(&reply)) {
    if (refusal->code == RefusalCode::kNotServing) ForgetLeader();
    if (refusal->code == RefusalCode::kStaleEpoch) {
      if (refusal->epoch > epoch_) {
        epoch_ = refusal->epoch;
      } else {
        ForgetLeader();  // it is behind what we know, or does not say: somebody else leads
      }
    }
  }
  if (const auto* ending = std::get_if<Ending>(&reply)) birth_us_ = std::max(birth_us_, ending->birth_us);
  if (const auto* opened = std::get_if<SessionOpened>(&reply))
    birth_us_ = std::max(birth_us_, opened->birth_us);
}

Result<Token> Session::DrawToken(Deadline deadline) {
  const auto oldest = held_.lower_bound({client_, 0});
  if (oldest != held_.end() && oldest->first.first == client_ &&
      oldest->first.second + kPinnedMax < next_seq_) {
    Renew();
  }
  Backoff backoff(options_);
  while (client_ == ClientId{}) {
    wire::OpenSessionRequest request;
    Sent sent = Send<wire::OpenSessionReply>(
        deadline, [&] { request = codec::EncodeRequest(cluster_, group_, OpenSession{}); },
        [&](wire::TransactionManagerClient& client) { client.send_open_session(request); },
        [](wire::TransactionManagerClient& client, wire::OpenSessionReply& reply) {
          client.recv_open_session(reply);
        },
        [](wire::OpenSessionReply&& reply) { return codec::DecodeReply(std::move(reply)); });
    // A session that was opened and never heard of costs the group a number.
    std::string why = sent.why.message();
    if (sent.kind == Sent::Kind::kReplied) {
      if (const auto* opened = std::get_if<SessionOpened>(&sent.reply); opened != nullptr) {
        client_ = opened->client;
        break;
      }
      if (const auto* refusal = std::get_if<Refusal>(&sent.reply); refusal != nullptr) {
        why = refusal->detail;
        if (refusal->code == RefusalCode::kInvalid) return Status(StatusCode::kInvalid, why);
      }
    }
    if (MillisLeft(deadline) == 0) return Status(StatusCode::kUnavailable, "no session: " + why);
    backoff.Pause(deadline);
  }
  return Token{group_, client_, next_seq_++, birth_us_};
}

void Session::Renew() {
  std::erase_if(held_, [&](const auto& one) { return one.first.first == client_ && !one.second.kept; });
  client_ = ClientId{};
  next_seq_ = 1;
  birth_us_ = 0;
}

void Session::Hold(const Token& token, bool kept) {
  if (token.client != client_) return;
  Held& held = held_[{token.client, token.seq}];
  held.kept = held.kept || kept;
}

void Session::MarkSent(const Token& token) {
  if (const auto held = held_.find({token.client, token.seq}); held != held_.end()) held->second.sent = true;
}

void Session::Release(const Token& token) {
  held_.erase({token.client, token.seq});
}

bool Session::SurelyUnsent(const Token& token) const {
  const auto held = held_.find({token.client, token.seq});
  return held != held_.end() && !held->second.sent;
}

size_t Session::kept() const {
  return static_cast<size_t>(
      std::count_if(held_.begin(), held_.end(), [](const auto& one) { return one.second.kept; }));
}

// Tokens of other sessions, and of those left, are not all known here: their owners may still want to ask
// about them, so they are not ours to acknowledge.
uint64_t Session::AckedBelow(const Token& token) const {
  if (token.client != client_ || client_ == ClientId{}) return 0;
  const auto oldest = held_.lower_bound({client_, 0});
  const bool none = oldest == held_.end() || oldest->first.first != client_;
  return std::min(none ? next_seq_ : oldest->first.second, token.seq);
}

}  // namespace assent
