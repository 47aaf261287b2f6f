#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <string_view>

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

// The claim to be the one process that scans `target` for the branches of `group` (F10), by name. The session
// that has it is ended by the server when it has said nothing for kClaimLostSeconds: its process may have
// lost its network, or its power.
std::string ClaimName(const Target& target, GroupId group);
inline constexpr int kClaimLostSeconds = 15;
inline constexpr const char* kClaimedElsewhere =
    "another session scans for this coordinator group: for some 15 s after a failover that is the node which "
    "led before; "
    "if it goes on, a second copy of this cluster runs. Branches that nobody decided are left alone "
    "meanwhile";

// What one session has claimed.
class Claims {
 public:
  // Of a group that is scanned now.
  bool Has(GroupId group);
  void Add(GroupId group) { scanned_[group] = Clock::now(); }
  // A group that is scanned no longer, which another node may lead by now: the session is to be given up.
  bool HasLeftOver() const;
  void Clear() { scanned_.clear(); }

 private:
  std::map<GroupId, Clock::time_point> scanned_;
};

// The resource manager has said this of the branch, in words that are cut.
void Answer(ForeignAnswer answer, std::string_view detail, ForeignReply& reply);

// A branch at a database is the application's to prepare.
void RefuseToPrepare(const Target& target, ForeignReply& reply);

}  // namespace assent::rm
