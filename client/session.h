#pragma once

#include <assent/client.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "TransactionManager.h"
#include "common/client_api.h"
#include "runtime/transport/client.h"

// The connection of one Client: finds the leader of its coordinator group, sends it one request at a time,
// and keeps the client's tokens. It never repeats a request: its caller decides what a failure means.
namespace assent {

using Deadline = std::chrono::steady_clock::time_point;

int MillisLeft(Deadline deadline);  // at least 0

// Pauses between sends: doubled with each failure in a row, each drawn from its upper half, so that many
// clients of a node that restarts do not come back at once.
class Backoff {
 public:
  explicit Backoff(const ClientOptions& options);
  void Pause(Deadline deadline);

 private:
  struct Round {
    Status status;
    bool whole = false;  // each address was asked, or the leader found
  };
  Round AskNodes(Deadline deadline);
  const int max_ms_;
  int next_ms_;
  std::minstd_rand random_;
};

// The result of one send.
struct Sent {
  enum class Kind : uint8_t { kNotSent = 1, kLost, kReplied };  // kLost: it may have been executed
  Kind kind = Kind::kNotSent;
  Status why;         // not kReplied
  ClientReply reply;  // kReplied
};

class Session {
 public:
  Session(std::vector<Address> addresses, const ClientOptions& options);

  // Finds the leader. One round over the addresses known; kUnavailable, or kForeign if all of them are nodes
  // of another cluster. The message has the reason of each.
  Status FindLeader(Deadline deadline);
  // The same with pauses until the deadline; but kForeign at once, and kUnavailable after one round in which
  // no connection was made.
  Status AwaitLeader(Deadline deadline);

  const ClientOptions& options() const { return options_; }
  const std::string& cluster() const { return cluster_; }
  GroupId group() const { return group_; }
  Epoch epoch() const { return epoch_; }  // of the group, the highest heard of

  // One send to the leader, who is looked for if need be. `fill(wire_request)` runs once group, cluster and
  // epoch are known, just before; `ask(client)` and `receive(client, wire_reply)` are the halves of the call;
  // `decode(wire_reply)` gives a Result<ClientReply>.
  template <typename WireReply, typename Fill, typename Ask, typename Receive, typename Decode>
  Sent Send(Deadline deadline, Fill&& fill, Ask&& ask, Receive&& receive, Decode&& decode) {
    if (Status ready = Ready(deadline); !ready.ok()) return {Sent::Kind::kNotSent, std::move(ready), {}};
    fill();
    WireReply wire_reply;
    const CallStatus called = connection_->Call(
        ask, [&] { return AwaitAnswer(deadline); },
        [&](wire::TransactionManagerClient& client) { receive(client, wire_reply); });
    if (!called.ok()) return Failed(called);
    Result<ClientReply> reply = decode(std::move(wire_reply));
    if (!reply.ok()) {
      // The server may have done anything, and anything may come next on this connection.
      connection_->Close();
      return {Sent::Kind::kLost, reply.status(), {}};
    }
    Learn(*reply);
    return {Sent::Kind::kReplied, {}, std::move(reply).value()};
  }

  // ---- Tokens

  // Opens a session with the group if there is none.
  Result<Token> DrawToken(Deadline deadline);
  // Leaves the session: tokens drawn from here on are of a new one.
  void Renew();
  // C5: tokens that are not settled hold up their session's acknowledgements, so one that would do so for
  // long is left behind: later tokens are of another session. `kept`: the application's, until Release; the
  // others are not acknowledged once their session is left.
  void Hold(const Token& token, bool kept);
  void MarkSent(const Token& token);
  void Release(const Token& token);
  bool SurelyUnsent(const Token& token) const;
  size_t kept() const;
  uint64_t AckedBelow(const Token& token) const;

 private:
  struct Round {
    Status status;
    bool whole = false;  // each address was asked, or the leader found
  };
  Round AskNodes(Deadline deadline);
  struct Held {
    bool kept = false;
    bool sent = false;
  };

  // The leader, as one node sees it.
  struct LeaderNews {
    GroupId group;
    Epoch epoch{};
    Address address;
    std::unique_ptr<Connection<wire::TransactionManagerClient>> connection;  // to the node that was asked
  };

  Status Ready(Deadline deadline);
  Status AskNode(const Address& address, Deadline deadline);
  Result<LeaderNews> NewsFrom(const Address& address, int timeout_ms);
  // For the request that was just sent. Not ok: none within call_timeout_ms, or the leader's epoch is over.
  Status AwaitAnswer(Deadline deadline);
  Status AskWhetherReplaced();
  Sent Failed(const CallStatus& called);
  void Learn(const ClientReply& reply);
  void ForgetLeader();
  std::unique_ptr<Connection<wire::TransactionManagerClient>> MakeConnection(const Address& address) const;

  const ClientOptions options_;
  std::vector<Address> addresses_;
  size_t next_address_ = 0;  // where the next round begins
  bool reached_ = false;     // some node accepted a connection
  std::string cluster_;
  GroupId group_{GroupKind::kCoordinator, 0};
  Epoch epoch_{};
  std::unique_ptr<Connection<wire::TransactionManagerClient>> connection_;  // to the leader; null: not known

  ClientId client_{};  // 0: no session
  uint64_t next_seq_ = 1;
  uint64_t birth_us_ = 0;
  std::map<std::pair<ClientId, uint64_t>, Held> held_;  // by session and sequence
};

}  // namespace assent
