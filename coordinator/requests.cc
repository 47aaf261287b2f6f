#include "coordinator/requests.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/check.h"
#include "common/message_codec.h"
#include "common/overloaded.h"

namespace assent::coordinator {
namespace {

class Fnv1a {
 public:
  void Byte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3; }
  void Number(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) Byte(static_cast<uint8_t>(number >> shift));
  }
  void Bytes(const std::string& bytes) {  // length first, so that neighbours cannot trade bytes
    Number(bytes.size());
    for (const char byte : bytes) Byte(static_cast<uint8_t>(byte));
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

void HashOperation(Fnv1a& hash, const Operation& operation) {
  hash.Byte(static_cast<uint8_t>(operation.index() + 1));
  hash.Bytes(KeyOf(operation));
  std::visit(
      Overloaded{[](const GetOp&) {}, [&](const PutOp& op) { hash.Bytes(op.value); }, [](const DeleteOp&) {},
                 [&](const CheckOp& op) {
                   hash.Byte(static_cast<uint8_t>(op.kind));
                   hash.Bytes(op.value);
                   hash.Number(op.version);
                 },
                 [&](const AddOp& op) {
                   hash.Number(static_cast<uint64_t>(op.delta));
                   hash.Byte(op.floor.has_value());
                   hash.Number(static_cast<uint64_t>(op.floor.value_or(0)));
                 },
                 [&](const ScanOp& op) {
                   hash.Number(op.limit);
                   if (!op.after.empty()) hash.Bytes(op.after);
                 }},
      operation);
}

void HashForeign(Fnv1a& hash, const std::vector<ForeignWork>& foreign) {
  hash.Number(foreign.size());
  for (const ForeignWork& work : foreign) {
    hash.Bytes(work.resource_manager);
    if (!work.voted) {
      hash.Bytes(work.payload);
      continue;
    }
    hash.Number(UINT64_MAX);  // no payload is as long
    hash.Byte(static_cast<uint8_t>(*work.voted));
    hash.Number(work.branch);  // holder and evidence may differ when it is sent again
  }
}

std::string Limit(size_t bytes) {
  return std::to_string(bytes) + " bytes";
}

}  // namespace

std::optional<std::string> ProblemOf(const std::vector<Operation>& operations) {
  for (size_t i = 0; i < operations.size(); ++i) {
    const Operation& operation = operations[i];
    const std::string name = "operation " + std::to_string(i + 1) + ": ";  // people count from 1
    const std::string& key = KeyOf(operation);
    const bool is_scan = std::holds_alternative<ScanOp>(operation);
    if (key.empty() && !is_scan) return name + "the key is empty; a key has 1 to " + Limit(kKeyBytesMax);
    if (key.size() > kKeyBytesMax) {
      return name + "the " + (is_scan ? "prefix" : "key") + " has " + Limit(key.size()) + "; use at most " +
             std::to_string(kKeyBytesMax);
    }
    const size_t value = SizeOf(operation) - key.size();
    if (value > kValueBytesMax) {
      return name + "the value has " + Limit(value) + "; use at most " + std::to_string(kValueBytesMax) +
             ", or spread it over several keys";
    }
    const auto* scan = std::get_if<ScanOp>(&operation);
    if (scan != nullptr && assent::ProblemOf(*scan) != nullptr) return name + assent::ProblemOf(*scan);
    if (scan != nullptr && scan->limit > kScanRowsMax) {
      return name + "a scan returns at most " + std::to_string(kScanRowsMax) + " rows; lower the limit of " +
             std::to_string(scan->limit) + ", and scan on from the last key";
    }
    if (const auto* check = std::get_if<CheckOp>(&operation);
        check != nullptr && (check->kind < CheckKind::kExists || check->kind > CheckKind::kVersion)) {
      return name + "unknown kind of check; use exists, absent, value or version";
    }
  }
  return std::nullopt;
}

std::optional<std::string> ProblemOf(const std::vector<ForeignWork>& foreign,
                                     const std::vector<std::string>& known, size_t count_max) {
  if (foreign.size() > count_max) {
    return "foreign work for " + std::to_string(foreign.size()) + " resource managers; use at most " +
           std::to_string(count_max);
  }
  std::set<std::string> seen;
  for (const ForeignWork& work : foreign) {
    const std::string& name = work.resource_manager;
    if (auto problem = ProblemOfManager(name, known)) return problem;
    if (!seen.insert(name).second) {
      return "resource manager '" + name + "' is named twice; put all of its work into one payload";
    }
    if (work.payload.size() > kValueBytesMax) {
      return "the payload for resource manager '" + name + "' has " + Limit(work.payload.size()) +
             "; use at most " + std::to_string(kValueBytesMax);
    }
    if (work.voted && !work.payload.empty()) {
      return "resource manager '" + name +
             "' has a vote and a payload; it was either prepared by the application, or is asked to prepare";
    }
    const bool yes = work.voted == Vote::kYes;
    if (!yes && !(work.holder.empty() && work.evidence.empty())) {
      return "resource manager '" + name + "' has holder or evidence, which go with the vote yes";
    }
    if (work.holder.size() > kNameBytesMax || work.evidence.size() > kNameBytesMax) {
      return "holder or evidence of resource manager '" + name + "' is over " + Limit(kNameBytesMax);
    }
  }
  if (SizeOf(foreign) > kBranchBytesMax) {
    return "the payloads of all resource managers have " + Limit(SizeOf(foreign)) + "; use at most " +
           std::to_string(kBranchBytesMax);
  }
  return std::nullopt;
}

std::optional<std::string> ProblemOfVotes(const std::vector<ForeignWork>& foreign,
                                          const std::set<std::string>& enlisted) {
  for (const ForeignWork& work : foreign) {
    const std::string name = "resource manager '" + work.resource_manager + "' ";
    const bool is_enlisted = enlisted.contains(work.resource_manager);
    if (work.voted && !is_enlisted) {
      return name + "was not enlisted in this transaction, so it has no vote; enlist it before working there";
    }
    if (work.voted && work.branch != kOnlyBranch) {
      return name + "has no branch " + std::to_string(work.branch) + " in this transaction; enlisting gave " +
             std::to_string(kOnlyBranch);
    }
    if (!work.voted && is_enlisted) {
      return name + "was enlisted; report its vote instead of a payload";
    }
  }
  return std::nullopt;
}

std::optional<std::string> ProblemOfManager(const std::string& name, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return std::nullopt;
  return "unknown resource manager '" + name + "'; add it to the configuration of the coordinator's nodes";
}

std::optional<std::string> ProblemOfBranch(GroupId shard, size_t bytes, size_t operations) {
  if (bytes > kBranchBytesMax) {
    return "the operations on shard " + ToString(shard) + " have " + Limit(bytes) + "; use at most " +
           std::to_string(kBranchBytesMax) + " a transaction and shard";
  }
  if (operations > kBranchOperationsMax) {
    return std::to_string(operations) + " operations on shard " + ToString(shard) + "; use at most " +
           std::to_string(kBranchOperationsMax) + " a transaction and shard";
  }
  return std::nullopt;
}

SplitRequest Split(std::vector<Operation> operations, const Placement& placement) {
  SplitRequest split;
  std::vector<std::vector<GroupId>> targets;
  std::map<GroupId, uint32_t> part_of;
  for (const Operation& operation : operations) {
    if (const auto* scan = std::get_if<ScanOp>(&operation)) {
      targets.push_back(placement.ShardsOfPrefix(scan->prefix));
    } else {
      targets.push_back({placement.ShardOf(KeyOf(operation))});
    }
    for (const GroupId shard : targets.back()) part_of.emplace(shard, 0);
  }
  for (auto& [shard, part] : part_of) {
    part = static_cast<uint32_t>(split.parts.size());
    split.parts.push_back(ShardPart{shard, {}, false, 0});
    split.plan.shards.push_back(shard);
  }
  for (size_t i = 0; i < operations.size(); ++i) {
    MergePlan::Step step{static_cast<uint32_t>(split.plan.sources.size()),
                         static_cast<uint32_t>(targets[i].size()), 0};
    if (const auto* scan = std::get_if<ScanOp>(&operations[i])) {
      step.scan_limit = scan->limit == 0 ? static_cast<uint32_t>(kScanRowsMax) : scan->limit;
    }
    split.plan.steps.push_back(step);
    for (const GroupId shard : targets[i]) {
      const uint32_t part_index = part_of.at(shard);
      ShardPart& part = split.parts[part_index];
      split.plan.sources.push_back({part_index, static_cast<uint32_t>(part.operations.size())});
      part.writing = part.writing || IsWrite(operations[i]);
      part.bytes += assent::SizeOf(operations[i]);
      if (targets[i].size() == 1) {
        part.operations.push_back(std::move(operations[i]));
      } else {
        part.operations.push_back(operations[i]);
      }
    }
  }
  return split;
}

std::vector<OperationResult> Merge(const MergePlan& plan, std::vector<std::vector<OperationResult>> parts) {
  std::vector<OperationResult> merged;
  merged.reserve(plan.steps.size());
  size_t bytes = sizeof(OperationResult) * plan.steps.size();
  for (const MergePlan::Step& step : plan.steps) {
    const auto source = [&](uint32_t i) -> OperationResult& {
      const MergePlan::Source& at = plan.sources[step.first + i];
      return parts[at.part][at.index];
    };
    if (step.count == 1) {
      merged.push_back(std::move(source(0)));
      for (const ResultRow& row : merged.back().rows) bytes += assent::SizeOf(row);
      continue;
    }
    OperationResult all;
    // Behind the last row of a truncated part nothing is known of that part: the merged rows end there too.
    std::optional<std::string> known_to;
    for (uint32_t i = 0; i < step.count; ++i) {
      OperationResult& part = source(i);
      if (part.truncated) {
        const std::string last = part.rows.empty() ? std::string() : part.rows.back().key;
        if (!known_to || last < *known_to) known_to = last;
        all.truncated = true;
      }
      std::move(part.rows.begin(), part.rows.end(), std::back_inserter(all.rows));
    }
    std::sort(all.rows.begin(), all.rows.end(),
              [](const ResultRow& a, const ResultRow& b) { return a.key < b.key; });
    if (known_to) {
      const auto end =
          std::upper_bound(all.rows.begin(), all.rows.end(), *known_to,
                           [](const std::string& key, const ResultRow& row) { return key < row.key; });
      all.rows.erase(end, all.rows.end());
    }
    // Each shard kept to one reply's size, all of them together may not.
    size_t rows = 0;
    while (rows < all.rows.size() && rows < step.scan_limit) {
      const size_t more = assent::SizeOf(all.rows[rows]);
      if (bytes + more > kResultBytesMax) break;
      bytes += more;
      ++rows;
    }
    all.truncated = all.truncated || rows < all.rows.size();
    all.rows.resize(rows);
    merged.push_back(std::move(all));
  }
  return merged;
}

size_t SizeOf(const std::vector<OperationResult>& results) {
  size_t bytes = 0;
  for (const OperationResult& result : results) {
    bytes += sizeof(OperationResult);
    for (const ResultRow& row : result.rows) bytes += assent::SizeOf(row);
  }
  return bytes;
}

size_t SizeOf(const std::vector<Operation>& operations) {
  size_t bytes = 0;
  for (const Operation& operation : operations) bytes += sizeof(Operation) + assent::SizeOf(operation);
  return bytes;
}

size_t SizeOf(const std::vector<ForeignWork>& foreign) {
  size_t bytes = 0;
  for (const ForeignWork& work : foreign) {
    bytes += work.resource_manager.size() + work.payload.size() + work.holder.size() + work.evidence.size();
  }
  return bytes;
}

uint64_t ContentOf(const std::vector<Operation>& operations, const std::vector<ForeignWork>& foreign) {
  Fnv1a hash;
  hash.Byte(1);  // a one-shot
  hash.Number(operations.size());
  for (const Operation& operation : operations) HashOperation(hash, operation);
  HashForeign(hash, foreign);
  return hash.hash();
}

uint64_t ContentOf(const TxnId& txn, const std::vector<ForeignWork>& foreign) {
  Fnv1a hash;
  hash.Byte(2);  // the end of an interactive transaction
  hash.Number(txn.coordinator.number);
  hash.Number(Raw(txn.epoch));
  hash.Number(txn.seq);
  HashForeign(hash, foreign);
  return hash.hash();
}

}  // namespace assent::coordinator
