#pragma once

#include <functional>
#include <string>

#include "common/status.h"
#include "runtime/config/config.h"

namespace assent::cli {

struct NodeProcessOptions {
  NodeConfig config;
  bool allow_crash_points = false;
  std::function<void(const std::string& address)> ready;  // called once requests are accepted
};

// Runs a node with all its services until SIGTERM or SIGINT. Blocks these signals in the calling thread,
// which must not have started others before.
Status RunNode(const NodeProcessOptions& options);

}  // namespace assent::cli
