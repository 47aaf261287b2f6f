#pragma once

#include <functional>
#include <string>

#include "common/status.h"
#include "runtime/config/config.h"

namespace assent {

struct NodeProcessOptions {
  NodeConfig config;
  bool allow_crash_points = false;
  std::function<void(const std::string& address)> ready;  // called once requests are accepted
};

// kInvalid: a resource manager is of a kind that this program does not know. RunNode says so, too.
Status CheckResourceManagers(const NodeConfig& config);

// Runs a node with all its services until SIGTERM or SIGINT, then hands over what it leads, leaves the views
// that it is in, and stops. Blocks these signals in the calling thread, which must not have started others
// before, ignores SIGHUP, and takes over what the process logs (runtime/log_lines.h).
Status RunNode(const NodeProcessOptions& options);

}  // namespace assent
