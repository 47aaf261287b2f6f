#include "participant/executor.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutant.h"
#include "common/number.h"
#include "common/overloaded.h"

namespace assent::participant {
namespace {

// The row at `key` as the branch sees it: its own write, or the committed row.
std::optional<ResultRow> Read(Branch& branch, const StateReader& state, const std::string& key) {
  if (const auto own = branch.writes.find(key); own != branch.writes.end()) {
    if (!own->second) return std::nullopt;
    branch.touched_bytes += own->second->size();
    return ResultRow{key, *own->second, 0};
  }
  auto row = state.Get(Table::kData, key);
  if (!row) return std::nullopt;
  branch.touched_bytes += row->value.size();
  return ResultRow{key, std::move(row->value), Raw(row->lsn)};
}

std::optional<Failure> SetWrite(Branch& branch, const std::string& key, std::optional<std::string> value) {
  const size_t size = key.size() + (value ? value->size() : 0);
  const auto [write, is_new] = branch.writes.try_emplace(key);
  if (!is_new) branch.write_bytes -= key.size() + (write->second ? write->second->size() : 0);
  write->second = std::move(value);
  branch.write_bytes += size;
  if (branch.write_bytes <= kBranchBytesMax) return std::nullopt;
  return Failure{AbortReason::kTooLarge,
                 "the branch writes more than " + std::to_string(kBranchBytesMax) + " bytes"};
}

// The value at `key` as the branch sees it, to be written again: its own value, which may be long and which
// many operations may change, is not copied for that.
std::optional<std::string> TakeValue(Branch& branch, const StateReader& state, const std::string& key) {
  const auto own = branch.writes.find(key);
  if (own == branch.writes.end()) {
    auto row = Read(branch, state, key);
    return row ? std::optional(std::move(row->value)) : std::nullopt;
  }
  std::optional<std::string> value = std::move(own->second);
  branch.write_bytes -= key.size() + (value ? value->size() : 0);
  branch.writes.erase(own);
  return value;
}

void AddRow(Branch& branch, OperationResult& result, ResultRow row) {
  branch.result_bytes += SizeOf(row);
  if (!Mutated(
          Mutant::kOnePhaseLocksFreedAtAppend)) {  // else this would hide it: readers wait for the record
    branch.newest_read = std::max(branch.newest_read, Lsn{row.version});
  }
  result.rows.push_back(std::move(row));
}

std::optional<Failure> DoGet(Branch& branch, const StateReader& state, const GetOp& op,
                             OperationResult& result) {
  auto row = Read(branch, state, op.key);
  if (!row) return std::nullopt;
  if (branch.result_bytes + SizeOf(*row) > kResultBytesMax) {
    return Failure{AbortReason::kTooLarge, "get " + Quoted(op.key) +
                                               ": the results of this request are over " +
                                               std::to_string(kResultBytesMax) + " bytes"};
  }
  AddRow(branch, result, std::move(*row));
  return std::nullopt;
}

std::optional<Failure> DoCheck(Branch& branch, const StateReader& state, const CheckOp& op) {
  const auto row = Read(branch, state, op.key);
  const auto failed = [&](const std::string& what) {
    return Failure{AbortReason::kCheckFailed, "check " + Quoted(op.key) + ": " + what};
  };
  switch (op.kind) {
    case CheckKind::kExists:
      if (!row) return failed("the key does not exist");
      return std::nullopt;
    case CheckKind::kAbsent:
      if (row) return failed("the key exists");
      return std::nullopt;
    case CheckKind::kValue:
      if (!row) return failed("the key does not exist");
      if (row->value != op.value) return failed("the value is another one");
      return std::nullopt;
    case CheckKind::kVersion:
      if (!row) return failed("the key does not exist");
      if (row->version != op.version) {
        return failed("the version is " + std::to_string(row->version) + ", not " +
                      std::to_string(op.version));
      }
      return std::nullopt;
  }
  return failed("unknown kind of check");
}

std::optional<Failure> DoAdd(Branch& branch, const StateReader& state, const AddOp& op,
                             OperationResult& result) {
  const auto failed = [&](AbortReason reason, const std::string& what) {
    return Failure{reason, "add to " + Quoted(op.key) + ": " + what};
  };
  std::optional<std::string> value = TakeValue(branch, state, op.key);
  const auto number = value ? LeadingNumber(*value) : std::optional<int64_t>(0);
  if (!number)
    return failed(AbortReason::kNotANumber, "the value does not lead with a 64-bit decimal number");
  const auto sum = CheckedAdd(*number, op.delta);
  if (!sum) return failed(AbortReason::kNotANumber, "the sum does not fit 64 bits");
  if (op.floor && *sum < *op.floor) {
    return failed(AbortReason::kBelowFloor, std::to_string(*number) + " " + (op.delta < 0 ? "- " : "+ ") +
                                                std::to_string(op.delta).substr(op.delta < 0 ? 1 : 0) +
                                                " is below the floor of " + std::to_string(*op.floor));
  }
  if (!value) value.emplace();
  SetLeadingNumber(*value, *sum);
  if (value->size() > kValueBytesMax) return failed(AbortReason::kTooLarge, "the value would be too long");
  result.number = *sum;
  return SetWrite(branch, op.key, std::move(value));  // P7: the result is what gets logged
}

void DoScan(Branch& branch, const StateReader& state, const ScanOp& op, OperationResult& result) {
  const std::string end = PrefixEnd(op.prefix);
  const size_t limit = op.limit == 0 ? kScanRowsMax : std::min<size_t>(op.limit, kScanRowsMax);
  const auto take = [&](ResultRow row) {
    branch.touched_bytes += SizeOf(row);
    if (result.rows.size() >= limit || branch.result_bytes + SizeOf(row) > kResultBytesMax) {
      result.truncated = true;
      return false;
    }
    AddRow(branch, result, std::move(row));
    return true;
  };
  const std::string start = ScanStart(op);
  auto own = branch.writes.lower_bound(start);
  const auto own_in_range = [&] { return own != branch.writes.end() && (end.empty() || own->first < end); };
  const auto take_own = [&] {
    const auto& [key, value] = *own++;
    return !value || take(ResultRow{key, *value, 0});
  };
  bool more = true;
  state.Scan(Table::kData, start, end, [&](std::string_view key, const Row& row) {
    while (more && own_in_range() && own->first < key) more = take_own();
    if (!more) return false;
    const bool is_own = own_in_range() && own->first == key;
    more = is_own ? take_own() : take(ResultRow{std::string(key), row.value, Raw(row.lsn)});
    return more;
  });
  while (more && own_in_range()) more = take_own();
}

}  // namespace

Lock LockFor(const Operation& operation) {
  return std::visit(Overloaded{[](const GetOp& op) {
                                 return Lock{op.key, LockMode::kShared, false, {}};
                               },
                               [](const PutOp& op) {
                                 return Lock{op.key, LockMode::kExclusive, false, {}};
                               },
                               [](const DeleteOp& op) {
                                 return Lock{op.key, LockMode::kExclusive, false, {}};
                               },
                               [](const CheckOp& op) {
                                 return Lock{op.key, LockMode::kShared, false, {}};
                               },
                               [](const AddOp& op) {
                                 return Lock{op.key, LockMode::kExclusive, false, {}};
                               },
                               [](const ScanOp& op) {
                                 return Lock{ScanStart(op), LockMode::kShared, true, PrefixEnd(op.prefix)};
                               }},
                    operation);
}

std::optional<Failure> CheckLimits(const Branch& branch, const std::vector<Operation>& operations) {
  const auto too_large = [](const std::string& what) { return Failure{AbortReason::kTooLarge, what}; };
  if (branch.operation_count + operations.size() > kBranchOperationsMax) {
    return too_large("the branch has more than " + std::to_string(kBranchOperationsMax) + " operations");
  }
  size_t bytes = branch.operation_bytes;
  for (const Operation& operation : operations) {
    const std::string& key = KeyOf(operation);
    if (key.empty() && !std::holds_alternative<ScanOp>(operation)) return too_large("a key is empty");
    if (key.size() > kKeyBytesMax) {
      return too_large("key " + Quoted(key) + " is longer than " + std::to_string(kKeyBytesMax) + " bytes");
    }
    if (SizeOf(operation) - key.size() > kValueBytesMax) {
      return too_large("the value for " + Quoted(key) + " is longer than " + std::to_string(kValueBytesMax) +
                       " bytes");
    }
    if (const auto* scan = std::get_if<ScanOp>(&operation); scan != nullptr && ProblemOf(*scan) != nullptr) {
      return too_large(ProblemOf(*scan));
    }
    bytes += SizeOf(operation);
  }
  if (bytes > kBranchBytesMax) {
    return too_large("the branch is larger than " + std::to_string(kBranchBytesMax) + " bytes");
  }
  return std::nullopt;
}

std::optional<Failure> DoNextOperation(Branch& branch, const StateReader& state) {
  ASSENT_CHECK(branch.next < branch.operations.size());
  OperationResult result;
  const auto failure =
      std::visit(Overloaded{[&](const GetOp& op) { return DoGet(branch, state, op, result); },
                            [&](const PutOp& op) {
                              branch.touched_bytes += op.value.size();
                              return SetWrite(branch, op.key, op.value);
                            },
                            [&](const DeleteOp& op) { return SetWrite(branch, op.key, std::nullopt); },
                            [&](const CheckOp& op) { return DoCheck(branch, state, op); },
                            [&](const AddOp& op) { return DoAdd(branch, state, op, result); },
                            [&](const ScanOp& op) {
                              DoScan(branch, state, op, result);
                              return std::optional<Failure>();
                            }},
                 branch.operations[branch.next]);
  if (failure) return failure;
  branch.results.push_back(std::move(result));
  ++branch.next;
  ++branch.done;
  return std::nullopt;
}

std::string Quoted(std::string_view key) {
  constexpr size_t kShown = 64;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : key.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out + (key.size() > kShown ? "...\"" : "\"");
}

}  // namespace assent::participant
