#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/messages.h"
#include "common/overlay.h"
#include "common/records.h"

// A role core (participant/, coordinator/), as the driver that runs it sees it.
namespace assent {

// ---- Events ----

// This replica is the primary of `epoch` and its whole log is replicated in that view (R4): serve.
struct Serving {
  Epoch epoch{};
};
// All records up to `lsn` are durable on every replica of the view (R1).
struct Replicated {
  Lsn lsn{};
};
// A message that passed R2. From a group: `epoch` is the sender's.
struct Received {
  GroupId from;
  Epoch epoch{};
  Message message;
};
// A group's epoch is now `epoch`; messages sent to an older one may be lost.
struct GroupEpoch {
  GroupId group;
  Epoch epoch{};
};
struct ClientCall {
  RequestId id{};
  ClientRequest request;
};
// The client of an open call is gone or gave up waiting.
struct ClientGone {
  RequestId id{};
};
// A foreign resource manager's answer to CallForeign, or that none came (not `reached`: it may or may not
// have run; if `unsent`, it surely has not).
enum class ForeignVerb : uint8_t { kPrepare = 1, kCommit, kRollback, kRecover };
// What a resource manager said of a branch that it was told to commit or roll back (F6). It states facts;
// what follows from them is the core's business.
enum class ForeignAnswer : uint8_t {
  kNone = 1,      // nothing usable: not reached, or not asked that
  kDone,          // the branch has ended so, durably, now or before, by the resource manager's own record
  kAbsent,        // it holds no such branch (looked for where all are listed), and cannot say how it ended
  kBusy,          // it holds the branch and cannot end it now: somebody else has it
  kContradicted,  // the branch ended the other way, by the resource manager's own record
  kRefused,       // it says no more than that it was not done
};
struct ForeignReply {
  std::string resource_manager;
  ForeignVerb verb{};
  TxnId txn;  // not for kRecover
  bool reached = false;
  bool unsent = false;
  Vote vote = Vote::kNo;                        // kPrepare
  ForeignAnswer answer = ForeignAnswer::kNone;  // kCommit, kRollback
  std::string detail;                           // for people: why not, or what shows it
  std::vector<TxnId> prepared;  // kRecover: branches of this cluster and coordinator group in doubt there
  Epoch epoch{};                // as CallForeign had it
};
// An operator hands the group over to another replica. While `begun`, nothing new is taken on that would be
// lost with this process's memory, and what is open goes on to its end, until IsQuiet().
struct Draining {
  bool begun = false;
};
// NextDeadline() has come.
struct Tick {};

using RoleEvent = std::variant<Serving, Replicated, Received, GroupEpoch, ClientCall, ClientGone,
                               ForeignReply, Draining, Tick>;

// ---- Effects, performed in order ----

// The core has already applied it. `lsn` is the next of the group's log.
struct Append {
  Lsn lsn{};
  LogRecord record;
};
// To the primary of `to`. The driver fills in the epochs that it knows.
struct Send {
  GroupId to;
  Message message;
};
struct Answer {
  RequestId id{};
  ClientReply reply;
};
struct CallForeign {
  std::string resource_manager;
  ForeignVerb verb{};
  TxnId txn;
  std::string payload{};  // kPrepare
  std::string
      holder{};  // kCommit, kRollback: the session that may still hold the branch, as its vote said (F6)
  std::string evidence{};  // kCommit, kRollback: by which its end can be looked up, as its vote said (F6)
  Epoch epoch{};           // the driver fills in the one that asks: its answer is for no other
};
// Something that an operator must see (P6, G7): damage, or a contradiction. The replica goes
// on or halts as said.
struct Report {
  std::string text;
  bool halt = false;
};

using RoleEffect = std::variant<Append, Send, Answer, CallForeign, Report>;
using RoleEffects = std::vector<RoleEffect>;

// A deterministic state machine over a replicated log: no I/O, clock, thread or random source inside.
//
// Life: constructed over the store's state as of its applied LSN; then Apply for each later record of the
// log, on every replica alike; on the primary, from Serving on, Step for each event. Step applies the records
// that it appends, before it returns: the driver calls Apply only for records that it did not get from this
// core. A core whose replica ceases to be primary, or had records truncated that it took in (R4), is
// discarded and built anew.
//
// Nothing that depends on a record leaves in an effect before Replicated for it (R1): the core withholds it.
class RoleCore {
 public:
  virtual ~RoleCore() = default;

  // Takes in one record. LSNs come without gaps.
  virtual void Apply(Lsn lsn, const LogRecord& record) noexcept = 0;

  // Primary only. Appends what follows from the event to `effects`. Never blocks, never throws.
  virtual void Step(const Instant& now, const RoleEvent& event, RoleEffects& effects) noexcept = 0;

  // Primary only: nobody would notice if this process's memory were lost now, but by asking again.
  virtual bool IsQuiet() const = 0;

  // When Tick is wanted next, in mono_us; UINT64_MAX = not. May be early or late.
  virtual uint64_t NextDeadline() const = 0;

  // Committed state: the store's, and what is not there yet.
  virtual Overlay& overlay() = 0;

  // Aborts the process if an invariant does not hold. Costs time in proportion to the state;
  // for simulation and tests.
  virtual void CheckInvariants() const = 0;
};

}  // namespace assent
