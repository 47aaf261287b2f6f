#pragma once

#include <functional>
#include <string>

#include "cli/output.h"

namespace assent::cli {

// Runs `work` in a process of its own, with a new directory below the current one, and removes that when the
// process and all that it started have ended: by themselves, or because this process was interrupted, which
// it then is. To be called before this process has threads.
ExitCode WithScratchDirectory(const std::string& prefix,
                              const std::function<ExitCode(const std::string&)>& work);

}  // namespace assent::cli
