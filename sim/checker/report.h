#pragma once

#include <string>

#include "sim/checker/checker.h"
#include "sim/checker/dependency_graph.h"
#include "sim/checker/observations.h"

// Cycles, named and put into words.
namespace assent::checker {

// Joins the two halves of each rw edge that goes through a key's gathering node: a node that is no
// transaction. The edges left go from transaction to transaction.
Cycle WithoutGatheringNodes(const Cycle& cycle, size_t transactions);

AnomalyKind Classify(const Cycle& cycle);

// The transactions of the cycle, then each step with its evidence.
Anomaly DescribeCycle(const History& history, const Observations& seen, const Cycle& cycle);

}  // namespace assent::checker
