#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/answer_timeout.h"
#include "common/client_api.h"
#include "runtime/call_gate.h"

namespace apache::thrift {
class TProcessor;
}

// The wire half of a coordinator group: serves the TransactionManager service of assent.thrift over whatever
// runs the cores. It validates requests, passes them on, waits for the answer up to a deadline, and maps it
// back. It decides nothing about a transaction, and keeps none.
//
// Guarantees:
//   I-U1  A commit request that was passed on and not answered in time is answered UNKNOWN, never ABORTED,
//         and not by a Refusal, which would say that nothing was done.
//   G8    Waiting calls are bounded by the gate; what it or the loop does not admit is refused as OVERLOADED,
//         having surely not run.
namespace assent {

// The primary of a coordinator group, as this node knows it.
struct CoordinatorPlace {
  GroupId group;
  Epoch epoch{};
  NodeId node{};
  std::string address;  // host:port for clients
};

struct ClusterPlaces {
  std::vector<CoordinatorPlace> leaders;  // of coordinator groups whose primary is known
  std::vector<std::string> addresses;     // host:port of all nodes, for clients
};

// The runner of the cores, as this server sees it. All methods are called on server threads, concurrently,
// and must not wait for the loop.
class ClientGateway {
 public:
  virtual ~ClientGateway() = default;

  // Passes a request on to the group's core, if this node is its primary; else answers Refusal{kNotServing}
  // through `reply`, at once or later. `id` is unused by any other open call of this node. A `reply` that is
  // destroyed unanswered counts as lost: it may have run. False: not taken, since too much waits.
  virtual bool Submit(GroupId group, RequestId id, ClientRequest request, ReplyTo<ClientReply> reply) = 0;

  // The caller of `id` gave up waiting: its reply will find nobody. For ClientGone.
  virtual void Abandon(GroupId group, RequestId id) = 0;

  virtual ClusterPlaces Places() = 0;
};

struct TransactionManagerOptions {
  std::string cluster;
  uint64_t answer_timeout_us = kAnswerTimeoutUs;
  std::map<std::string, std::string> kinds{};  // of the configured resource managers, by name
};

// Serves as "TransactionManager" in a multiplexed processor. REQUIRES: `gateway` and `gate` outlive it.
std::shared_ptr<apache::thrift::TProcessor> MakeTransactionManager(const TransactionManagerOptions& options,
                                                                   ClientGateway& gateway, CallGate& gate);

}  // namespace assent
