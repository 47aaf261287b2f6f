#pragma once

#include <string>

#include "common/status.h"

namespace assent::cli {

// Runs `command` by the shell, and waits for it, at most a minute. What it prints goes to stderr. Not ok: it
// could not be run, failed, or did not end; the message says so of `option`, which gave it. Any thread.
Status RunCommand(const std::string& option, const std::string& command);

}  // namespace assent::cli
