#pragma once

#include <string>

#include "backup/registration.h"
#include "common/node_register.h"

// Whether another process of this machine, or of another one, is gone (R3).
namespace assent {

// Of this process, which holds the lock file. What the system does not tell stays 0 or empty.
ProcessTrace TraceThisProcess(const std::string& lock_path);

// What can be told of a process from the trace that it left. `own`: of this process, as above.
backup::EarlierLife FollowTrace(const ProcessTrace& left, const ProcessTrace& own);

}  // namespace assent
