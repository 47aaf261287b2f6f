#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "common/role.h"
#include "common/status.h"
#include "runtime/transport/socket.h"

// What a store that is not ours must do to take part in transactions: four calls. Each kind of store has one
// implementation, which is a file here and a row of kKinds (kinds.cc).
namespace assent::rm {

class SeenServer;

// How to reach a resource manager, as the configuration and the lane that calls it say.
struct Target {
  std::string cluster{};
  std::string name{};                  // as configured: a part of its branches' ids
  Address address{};                   // `thrift`
  std::string dsn{};                   // databases: as each kind says
  std::string password_file{};         // databases; empty: none
  std::shared_ptr<SeenServer> seen{};  // of all its connections; databases need one
  int connect_timeout_ms = 0;
  int timeout_ms = 0;        // of one call, until its answer begins
  size_t recovered_max = 0;  // branches that one Recover reports; a later one sees the rest
};

// A Recover begins no further page of a list after this long.
inline constexpr int kListMs = 8'000;

// One connection to a resource manager. One thread at a time, but for Interrupt().
//
// Each call fills in `reply`, whose names of the call are set:
//   reached      the answer is to this very request: a vote, `answer`, the whole list
//   unsent       the request surely had no effect
//   neither      it may have had one; asked again later (C7)
//   detail       why, in the resource manager's words where there are any
class ResourceManager {
 public:
  virtual ~ResourceManager() = default;

  // Connects if need be. Not ok: no call was or can be made.
  virtual Status Open() = 0;

  // REQUIRES: Open() was ok just before. A yes is durable there: it can be committed and rolled back whatever
  // happens to the connection or to its process.
  virtual void Prepare(const CallForeign& call, ForeignReply& reply) = 0;
  // Any number of times; of a branch that it does not know, too. `reached`: `answer` is one of those that
  // state something (F6).
  virtual void Commit(const CallForeign& call, ForeignReply& reply) = 0;
  virtual void Rollback(const CallForeign& call, ForeignReply& reply) = 0;
  // The branches of `group` that it holds prepared, ascending; all or none.
  virtual void Recover(GroupId group, ForeignReply& reply) = 0;

  // No call came for a while, so this may have become another node's work: gives up the connection and what
  // the server keeps for it. The next Open connects again.
  virtual void Rest() = 0;

  // Any thread: ends the call that is under way, and each later one, at once.
  virtual void Interrupt() = 0;
};

// A kind of resource manager, as `kind` in [[resource_managers]] names it.
struct Kind {
  std::string_view name;
  std::unique_ptr<ResourceManager> (*make)(const Target& target);
  // What is wrong with its settings, without a connection; kInvalid.
  Status (*check)(const Target& target);
};

// kInvalid: there is no such kind; says which there are.
Result<const Kind*> FindKind(std::string_view name);

}  // namespace assent::rm
