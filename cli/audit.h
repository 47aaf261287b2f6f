#pragma once

#include <string>
#include <vector>

#include "cli/cluster_view.h"
#include "common/status.h"

// Checks of a cluster at rest, as its nodes show it.
namespace assent::cli {

// Waits until no transaction is in doubt or unended anywhere; returns the seconds that it took. kUnavailable
// with what is left after `timeout_s`.
Result<double> AwaitNothingInDoubt(const ClusterView& cluster, double timeout_s);

// Waits until all replicas of each group have applied the same, then compares their contents (I-C1).
// kDamaged, naming the replicas, if they differ; kUnavailable if they do not get level within `timeout_s`.
Status CompareReplicas(const ClusterView& cluster, double timeout_s);

}  // namespace assent::cli
