#pragma once

#include <assent/export.h>

#include <cstdint>
#include <string_view>

// How a transaction ends, and why.
namespace assent {

enum class Outcome : uint8_t { kCommitted = 1, kAborted, kUnknown };

// Why a transaction or an attempt aborted.
enum class AbortReason : uint8_t {
  kNone = 0,
  kCheckFailed,     // a `check` operation did not hold
  kBelowFloor,      // an `add` would fall below its floor
  kNotANumber,      // `add` on a value that does not lead with a number, or overflow
  kWounded,         // an older transaction needed a lock (P2): retry, keeping the age
  kLockTimeout,     // waited too long beside a foreign branch (P2)
  kBranchLost,      // the shard restarted or failed over in mid-transaction (P3)
  kVoteTimeout,     // a participant did not vote in time (C7)
  kExpired,         // the transaction lived too long, or idled (C7)
  kRolledBack,      // by the client
  kForeignRefused,  // a foreign participant voted no
  kTooLarge,        // a branch is over its limits
  kBelowMark,       // the shard may have forgotten this id (C8), or refused it (P8)
  kRefusedAttempt,  // this attempt of the token was ended before (C5, C6)
  kOverloaded,      // a bound of the participant was reached (G8)
  kTokenExpired,    // below its client's floor or the horizon: what became of it may be forgotten, so this is
                    // no proof of an abort (C5). In an OnePhaseReply; to clients with UNKNOWN only
};
ASSENT_API std::string_view ToString(AbortReason reason);
// True where the same request may well succeed if simply tried again.
ASSENT_API bool IsTransient(AbortReason reason);

}  // namespace assent
