#pragma once

#include <string>

#include "backup/registration.h"
#include "common/node_register.h"

// Tells whether another process, of this machine or another one, is gone (R3).
namespace assent {

// The trace of this process, which holds the lock file. Facts that the system does not tell stay 0 or empty.
ProcessTrace TraceThisProcess(const std::string& lock_path);

// The state of a process, as far as the trace that it left tells. `own`: the trace of this process, as above.
backup::EarlierLife FollowTrace(const ProcessTrace& left, const ProcessTrace& own);

}  // namespace assent
