#include "common/messages.h"

namespace assent {

std::string_view ToString(AbortReason reason) {
  switch (reason) {
    case AbortReason::kNone:
      return "none";
    case AbortReason::kCheckFailed:
      return "check failed";
    case AbortReason::kBelowFloor:
      return "below floor";
    case AbortReason::kNotANumber:
      return "not a number";
    case AbortReason::kWounded:
      return "wounded";
    case AbortReason::kLockTimeout:
      return "lock timeout";
    case AbortReason::kBranchLost:
      return "branch lost";
    case AbortReason::kVoteTimeout:
      return "vote timeout";
    case AbortReason::kExpired:
      return "expired";
    case AbortReason::kRolledBack:
      return "rolled back";
    case AbortReason::kForeignRefused:
      return "foreign participant refused";
    case AbortReason::kTooLarge:
      return "too large";
    case AbortReason::kBelowMark:
      return "below mark";
    case AbortReason::kRefusedAttempt:
      return "refused attempt";
    case AbortReason::kOverloaded:
      return "overloaded";
    case AbortReason::kTokenExpired:
      return "token expired";
  }
  return "?";
}

bool IsTransient(AbortReason reason) {
  switch (reason) {
    case AbortReason::kWounded:
    case AbortReason::kLockTimeout:
    case AbortReason::kBranchLost:
    case AbortReason::kVoteTimeout:
    case AbortReason::kExpired:
    case AbortReason::kBelowMark:
    case AbortReason::kRefusedAttempt:
    case AbortReason::kOverloaded:
      return true;
    case AbortReason::kNone:
    case AbortReason::kCheckFailed:
    case AbortReason::kBelowFloor:
    case AbortReason::kNotANumber:
    case AbortReason::kRolledBack:
    case AbortReason::kForeignRefused:
    case AbortReason::kTooLarge:
    case AbortReason::kTokenExpired:
      return false;
  }
  return false;
}

}  // namespace assent
