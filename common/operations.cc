#include "common/operations.h"

#include "common/overloaded.h"

namespace assent {

bool IsWrite(const Operation& operation) {
  return std::holds_alternative<PutOp>(operation) || std::holds_alternative<DeleteOp>(operation) ||
         std::holds_alternative<AddOp>(operation);
}

const std::string& KeyOf(const Operation& operation) {
  return std::visit(Overloaded{[](const ScanOp& op) -> const std::string& { return op.prefix; },
                               [](const auto& op) -> const std::string& { return op.key; }},
                    operation);
}

size_t SizeOf(const Operation& operation) {
  const size_t value = std::visit(
      Overloaded{[](const PutOp& op) { return op.value.size(); },
                 [](const CheckOp& op) { return op.value.size(); },
                 [](const ScanOp& op) { return op.after.size(); }, [](const auto&) { return size_t{0}; }},
      operation);
  return KeyOf(operation).size() + value;
}

size_t SizeOf(const ResultRow& row) {
  return sizeof(ResultRow) + row.key.size() + row.value.size();
}

const char* ProblemOf(const ScanOp& op) {
  if (op.after.size() > kKeyBytesMax) return "the key to scan on from is longer than 1,024 bytes";
  if (!op.after.empty() && !op.after.starts_with(op.prefix)) {
    return "the key to scan on from does not start with the prefix";
  }
  return nullptr;
}

const char* ProblemOf(const Operation& operation) {
  const auto* scan = std::get_if<ScanOp>(&operation);
  const std::string& key = KeyOf(operation);
  if (key.size() > kKeyBytesMax) return "key over 1,024 bytes";
  if (key.empty() && scan == nullptr) return "empty key";
  if (scan != nullptr && scan->limit > kScanRowsMax) return "scan limit out of range";
  if (scan != nullptr && ProblemOf(*scan) != nullptr) return ProblemOf(*scan);
  return SizeOf(operation) - key.size() > kValueBytesMax ? "value over 262,144 bytes" : nullptr;
}

const char* ProblemOf(const OperationResult& result) {
  if (result.rows.size() > kScanRowsMax) return "too many rows in a result";
  for (const ResultRow& row : result.rows) {
    if (row.key.empty() || row.key.size() > kKeyBytesMax || row.value.size() > kValueBytesMax) {
      return "row with an impossible size";
    }
  }
  return nullptr;
}

std::string ScanStart(const ScanOp& op) {
  return op.after.empty() ? op.prefix : op.after + '\0';
}

std::string PrefixEnd(const std::string& prefix) {
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace assent
