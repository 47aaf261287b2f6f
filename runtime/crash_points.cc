#include "runtime/crash_points.h"

#include <csignal>
#include <type_traits>

namespace assent {
namespace {

// The point that lies just before this effect; empty if there is none.
std::string_view PointBefore(const RoleEffect& effect) {
  if (const auto* append = std::get_if<Append>(&effect)) {
    if (std::holds_alternative<Committed>(append->record)) return "coordinator.before-decision";
    if (std::holds_alternative<Ended>(append->record)) return "coordinator.before-end";
    if (std::holds_alternative<Prepared>(append->record)) return "participant.before-prepared";
    if (std::holds_alternative<BranchDecided>(append->record)) return "participant.before-decided";
    if (std::holds_alternative<OnePhaseCommitted>(append->record)) return "participant.before-one-phase";
    return {};
  }
  if (const auto* send = std::get_if<Send>(&effect)) {
    if (std::holds_alternative<Prepare>(send->message)) return "coordinator.before-prepare";
    if (std::holds_alternative<VoteReply>(send->message)) return "participant.before-vote";
    if (std::holds_alternative<DecideAck>(send->message)) return "participant.before-ack";
    if (const auto* decide = std::get_if<Decide>(&send->message)) {
      return decide->decision == Decision::kCommit ? "coordinator.before-phase-two"
                                                   : "coordinator.before-abort";
    }
    return {};
  }
  if (const auto* answer = std::get_if<Answer>(&effect)) {
    if (const auto* ending = std::get_if<Ending>(&answer->reply)) {
      if (ending->outcome == Outcome::kCommitted) return "coordinator.before-answer";
    }
    return {};
  }
  if (const auto* call = std::get_if<CallForeign>(&effect)) {
    if (call->verb == ForeignVerb::kPrepare) return "coordinator.before-prepare";
    if (call->verb == ForeignVerb::kCommit) return "coordinator.before-phase-two";
  }
  return {};
}

}  // namespace

const std::vector<CrashPoint>& AllCrashPoints() {
  static const std::vector<CrashPoint> points = {
      {"coordinator.before-prepare", "about to send a prepare"},
      {"participant.before-prepared", "about to log a yes vote"},
      {"participant.before-vote", "a yes vote is replicated; about to send it"},
      {"coordinator.before-decision", "all votes are in; about to log COMMIT"},
      {"coordinator.before-answer", "COMMIT is replicated; about to tell the client"},
      {"coordinator.before-phase-two", "COMMIT is replicated; about to send it to a participant"},
      {"coordinator.before-abort", "about to send an abort to a participant"},
      {"participant.before-decided", "about to log a decision"},
      {"participant.before-one-phase", "about to log a one-phase commit"},
      {"participant.before-ack", "a decision is replicated; about to acknowledge it"},
      {"coordinator.before-end", "every participant acknowledged; about to log END"},
  };
  return points;
}

bool CrashPoints::Arm(std::string_view name, uint64_t count) {
  for (const CrashPoint& point : AllCrashPoints()) {
    if (point.name == name) {
      name_ = point.name;
      left_ = count;
      return true;
    }
  }
  return false;
}

void CrashPoints::Check(const RoleEffect& effect) {
  if (PointBefore(effect) == name_ && --left_ == 0) std::raise(SIGKILL);
}

}  // namespace assent
