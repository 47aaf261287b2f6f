#pragma once

#include <memory>
#include <string>
#include <vector>

#include "Participant.h"
#include "common/role.h"
#include "runtime/transport/client.h"

namespace assent::rm {

// One call to a service, and what came back, as it came: nothing is checked or mended here.
struct Reply {
  std::string sent;  // for people: the call and its arguments
  CallStatus called;
  wire::ParticipantStatus::type status = wire::ParticipantStatus::UNSPECIFIED;
  std::string detail;
  wire::TxnId echoed;
  wire::Vote::type vote = wire::Vote::UNSPECIFIED;
  bool done = false;
  bool is_recover = false;
  std::vector<wire::TxnId> prepared;
  bool more = false;

  bool answered(wire::ParticipantStatus::type wanted) const { return called.ok() && status == wanted; }
  // No answer at all, as from a service that is down or stands still.
  bool lost() const { return called.status.code() == StatusCode::kUnavailable; }
  std::string Answer() const;  // for people
};

std::string TextOf(const wire::TxnId& txn);

// Calls to a Participant service, each on a connection of its own that is closed afterwards. Any thread.
class Probe {
 public:
  using Service = Connection<wire::ParticipantClient>;

  Probe(Address address, std::string cluster, int call_ms)
      : address_(std::move(address)), cluster_(std::move(cluster)), call_ms_(call_ms) {}

  Reply Prepare(const wire::TxnId& txn, const std::string& payload) const;
  Reply Commit(const wire::TxnId& txn) const;
  Reply Rollback(const wire::TxnId& txn) const;
  Reply Recover(GroupId group) const;                            // the first page
  Reply Recover(GroupId group, const wire::TxnId& after) const;  // the one behind `after`
  // One that stays open, and on which `recover` was answered.
  Reply Open(GroupId group, std::unique_ptr<Service>& service) const;

  Probe InTheNameOf(std::string cluster) const { return {address_, std::move(cluster), call_ms_}; }
  const std::string& cluster() const { return cluster_; }
  int call_ms() const { return call_ms_; }

 private:
  ConnectionOptions Options() const;
  Reply Finish(const char* verb, const wire::TxnId& txn) const;
  Reply Recover(const wire::RecoverRequest& request, std::string sent) const;
  static Reply Recover(Service& service, const wire::RecoverRequest& request, std::string sent);

  Address address_;
  std::string cluster_;
  int call_ms_;
};

}  // namespace assent::rm
