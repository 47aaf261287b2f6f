#include "common/operations.h"

namespace assent {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

}  // namespace

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
