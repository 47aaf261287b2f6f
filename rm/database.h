#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "common/ids.h"
#include "common/role.h"
#include "common/status.h"
#include "rm/resource_manager.h"
#include "runtime/transport/socket.h"

// What the kinds of databases share.
namespace assent::rm {

using Clock = std::chrono::steady_clock;

// Waits for a socket of a client library, which works without blocking.
class SocketWait {
 public:
  enum class End { kReady, kTimeout, kInterrupted };

  SocketWait() : interruption_(MakeEventFd()) {}
  // `events` as poll() has them. Any of them, or an error of the socket: kReady.
  End For(int fd, short events, Clock::time_point until) const;
  bool interrupted() const { return interrupted_; }
  // Any thread: For returns at once, from now on.
  void Interrupt();

 private:
  OwnedFd interruption_;
  std::atomic<bool> interrupted_ = false;
};

// The first line of the file without what ends it; "" where `path` is. kInvalid: it cannot be read, or others
// than its owner may read it, which passwords are not to be shared with; says what to do.
Result<std::string> ReadPassword(const std::string& path);

// The branch of the transaction at `target`, as its id in the database has it (common/xid.h).
std::string XidText(const Target& target, const TxnId& txn);

// The name of the claim to be the one process that scans for the branches of `group` of this cluster (F10).
std::string ClaimName(const Target& target, GroupId group);

inline constexpr const char* kClaimedElsewhere =
    "another session scans for this coordinator group: for some 10 s after a failover that is the node which "
    "led "
    "before; if it goes on, a second copy of this cluster runs. Branches that nobody decided are left alone "
    "meanwhile";

// The resource manager has said this of the branch.
void Answer(ForeignAnswer answer, std::string detail, ForeignReply& reply);

// A branch at a database is the application's to prepare.
void RefuseToPrepare(const Target& target, ForeignReply& reply);

}  // namespace assent::rm
