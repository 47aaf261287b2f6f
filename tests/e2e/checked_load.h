#pragma once

#include <assent/client.h>

#include <cstdint>
#include <functional>

#include "sim/checker/workload.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {

// Runs the checker's workload over a few keys of both shards with the library's clients, and checks that what
// they saw is strictly serializable (G3). Failures are GoogleTest's. Of the options, keys are filled in;
// `client_options` may be empty. One at a time on a cluster, once in its life.
void RunChecked(const TestCluster& cluster, checker::WorkloadOptions options,
                const std::function<ClientOptions(uint32_t client)>& client_options = {});

}  // namespace assent::e2e
