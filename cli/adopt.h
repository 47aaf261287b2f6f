#pragma once

#include <string>
#include <vector>

#include "common/ids.h"
#include "common/status.h"

namespace assent::cli {

struct AdoptOptions {
  std::vector<std::string> configs;  // of the nodes that are heard; none of them may run
  std::vector<NodeId> lost;          // and those that are given up
};

// R12: makes a directory in the place of one that is lost for good, from the replicas of stopped nodes: for
// each group a view of the next epoch above all that were seen, led by the replica whose log reaches
// furthest, and without others, which join it again. Returns what was done, for people. Errors: kConflict
// where the directory is not lost, or something stands in its place; kUnavailable where a node runs; kInvalid
// where a node is neither heard nor named as lost, and kNotFound where of a group no replica is heard.
// Nothing was changed then.
Result<std::string> AdoptDirectory(const AdoptOptions& options);

}  // namespace assent::cli
