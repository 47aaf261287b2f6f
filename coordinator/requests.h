#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/operations.h"
#include "common/placement.h"

// A client's request, before and after the protocol: is it within the limits, which shard does which part,
// what is its content hash, and how the parts' results become its results. Pure functions.
namespace assent::coordinator {

// The problem with the operations, for people: names the operation and what to change. nullopt = none.
std::optional<std::string> ProblemOf(const std::vector<Operation>& operations);
// Likewise of foreign work; `known` are the configured names.
std::optional<std::string> ProblemOf(const std::vector<ForeignWork>& foreign,
                                     const std::vector<std::string>& known, size_t count_max);
// Likewise of the votes in it, which only an interactive transaction's commit may bring (F2): of those that
// it has enlisted.
std::optional<std::string> ProblemOfVotes(const std::vector<ForeignWork>& foreign,
                                          const std::set<std::string>& enlisted);
// Of a resource manager's name alone.
std::optional<std::string> ProblemOfManager(const std::string& name, const std::vector<std::string>& known);

// One branch a resource manager and transaction: its number.
inline constexpr uint32_t kOnlyBranch = 1;
// Likewise of a branch: the bytes and the number of all its operations so far.
std::optional<std::string> ProblemOfBranch(GroupId shard, size_t bytes, size_t operations);

// Which parts' results make up each operation's result.
struct MergePlan {
  struct Source {
    uint32_t part = 0;   // index in `shards`
    uint32_t index = 0;  // of the operation within the part
  };
  struct Step {  // one a client's operation
    uint32_t first = 0;
    uint32_t count = 0;       // more than one only for a scan
    uint32_t scan_limit = 0;  // 0 = not a scan
  };
  std::vector<GroupId> shards;
  std::vector<Source> sources;
  std::vector<Step> steps;
};

struct ShardPart {
  GroupId shard;
  std::vector<Operation> operations;  // in the client's order
  bool writing = false;
  size_t bytes = 0;
};
struct SplitRequest {
  std::vector<ShardPart> parts;  // in shard order
  MergePlan plan;
};
// A scan goes to all shards that may hold its prefix.
SplitRequest Split(std::vector<Operation> operations, const Placement& placement);

// `parts[i]`: the results of plan.shards[i], one an operation. A scan's rows come in key order, cut to its
// limit; where a shard's rows were truncated, rows of others behind its last one are cut too, so that no gap
// can go unseen.
std::vector<OperationResult> Merge(const MergePlan& plan, std::vector<std::vector<OperationResult>> parts);

size_t SizeOf(const std::vector<OperationResult>& results);
size_t SizeOf(const std::vector<Operation>& operations);
size_t SizeOf(const std::vector<ForeignWork>& foreign);

// Hash of what a token stands for (C5), the same for each attempt and on each machine: FNV-1a, 64 bit.
uint64_t ContentOf(const std::vector<Operation>& operations, const std::vector<ForeignWork>& foreign);
uint64_t ContentOf(const TxnId& txn, const std::vector<ForeignWork>& foreign);

}  // namespace assent::coordinator
