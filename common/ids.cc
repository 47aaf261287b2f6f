#include "common/ids.h"

#include <charconv>

namespace assent {
namespace {

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string Hex(uint64_t number) {
  char buffer[16];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number, 16);
  return error == std::errc{} ? std::string(buffer, end) : std::string();
}

}  // namespace

std::string ToString(GroupId group) {
  return (group.kind == GroupKind::kCoordinator ? "c" : "s") + std::to_string(group.number);
}

std::string ToString(NodeId node) {
  return "n" + std::to_string(Raw(node));
}

std::string ToString(const TxnId& txn) {
  return ToString(txn.coordinator) + "." + std::to_string(Raw(txn.epoch)) + "." + Hex(txn.seq);
}

std::string ToString(const LogPosition& position) {
  return "(e" + std::to_string(Raw(position.epoch)) + ", " + std::to_string(Raw(position.lsn)) + ")";
}

std::string ToString(const Token& token) {
  return ToString(token.coordinator) + "/" + Hex(Raw(token.client)) + "/" + std::to_string(token.seq);
}

// Each compares with the text that it would print: that refuses leading zeros and upper-case digits, of which
// from_chars makes nothing.

std::optional<GroupId> ParseGroupId(std::string_view text) {
  if (text.size() < 2 || (text[0] != 'c' && text[0] != 's')) return std::nullopt;
  const auto number = ParseNumber<uint16_t>(text.substr(1));
  if (!number) return std::nullopt;
  const GroupId group{text[0] == 'c' ? GroupKind::kCoordinator : GroupKind::kShard, *number};
  return ToString(group) == text ? std::optional(group) : std::nullopt;
}

std::optional<NodeId> ParseNodeId(std::string_view text) {
  if (text.size() < 2 || text[0] != 'n') return std::nullopt;
  const auto number = ParseNumber<uint32_t>(text.substr(1));
  if (!number || ToString(NodeId{*number}) != text) return std::nullopt;
  return NodeId{*number};
}

std::optional<TxnId> ParseTxnId(std::string_view text) {
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto group = ParseGroupId(text.substr(0, first));
  const auto epoch = ParseNumber<uint64_t>(text.substr(first + 1, second - first - 1));
  const auto seq = ParseNumber<uint64_t>(text.substr(second + 1), 16);
  if (!group || group->kind != GroupKind::kCoordinator || !epoch || !seq) return std::nullopt;
  const TxnId txn{*group, Epoch{*epoch}, *seq};
  return ToString(txn) == text ? std::optional(txn) : std::nullopt;
}

}  // namespace assent
