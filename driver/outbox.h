#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <variant>

#include "common/client_api.h"
#include "common/messages.h"
#include "common/role.h"
#include "driver/replica_host.h"

namespace assent {

// All that a role core says to others leaves through here: messages to other groups, answers to clients,
// calls of resource managers.
//
// R5: each may depend on what was read here, and so on nobody else leading meanwhile. What comes while the
// lease does not hold waits in order, goes out if the lease comes back in the same epoch, and is lost with
// the epoch. Loop thread only.
class Outbox {
 public:
  using Leaving = std::variant<std::pair<NodeId, Envelope>, Answer, CallForeign>;

  // `lease_holds`: now. `host` outlives this.
  Outbox(ReplicaHost& host, GroupId group, std::function<bool()> lease_holds)
      : host_(host), group_(group), lease_holds_(std::move(lease_holds)) {}

  // A client's call goes to the role core.
  void Open(RequestId id, const ClientRequest& request);
  // Its client gave up waiting. False: the call is answered already.
  bool Close(RequestId id) { return open_calls_.erase(id) != 0; }

  void Leave(Leaving effect);
  void LetGoWhatWaited();
  // What waits would be lost if the lease were given up now.
  bool IsEmpty() const { return waiting_.empty(); }

  // The role core is discarded: what waits is lost, and each open call is told what its fate may be.
  void Lose();

 private:
  void LetGo(Leaving& effect);

  ReplicaHost& host_;
  const GroupId group_;
  const std::function<bool()> lease_holds_;

  std::deque<Leaving> waiting_;
  // Open client calls, and the reply each gets if the role core never gives one.
  std::map<RequestId, ClientReply> open_calls_;
};

}  // namespace assent
