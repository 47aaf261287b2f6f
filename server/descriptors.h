#pragma once

#include <cstdint>

#include "common/status.h"
#include "runtime/config/config.h"

// How a node shares out the descriptors that its process may have. Logs, stores and links come first: a
// connection that finds none is refused, a log that finds none stands still (G8).
namespace assent {

struct DescriptorPlan {
  uint64_t limit = 0;          // that it was made for
  uint64_t reserved = 0;       // for all but connections that come in
  size_t connections_max = 0;  // of clients: as configured, or what there is room for
  size_t operators_max = 0;
  size_t peers_max = 0;
  size_t unclaimed_max = 0;
};

// kInvalid: `limit` is too low for a few clients; the message says what it must be, and how to raise it.
Result<DescriptorPlan> PlanDescriptors(const NodeConfig& config, uint64_t limit);

// Raises this process's limit of open files to what the system lets it have, and returns it.
uint64_t RaiseDescriptorLimit();

}  // namespace assent
