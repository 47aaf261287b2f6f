#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/state.h"
#include "participant/branch.h"
#include "participant/lock_table.h"

// The meaning of single operations: which lock they need, and what they do to a branch that holds it. No
// locking and no messages here.
namespace assent::participant {

// Why a branch must end.
struct Failure {
  AbortReason reason = AbortReason::kNone;
  std::string detail;  // for people: names the key and what was asked
};

Lock LockFor(const Operation& operation);

// Checks operations from outside, and the branch with them, against the limits of common/operations.h.
std::optional<Failure> CheckLimits(const Branch& branch, const std::vector<Operation>& operations);

// Does branch.operations[branch.next], whose lock the branch holds, and appends its result. Reads see the
// branch's own writes (version 0) before `state`. After a failure the branch can only be ended.
std::optional<Failure> DoNextOperation(Branch& branch, const StateReader& state);

// Key bytes for people: quoted, escaped, cut at 64 bytes.
std::string Quoted(std::string_view key);

}  // namespace assent::participant
