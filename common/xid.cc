#include "common/xid.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/base64.h"
#include "common/check.h"

namespace assent {
namespace {

constexpr size_t kClusterDigits = 32;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLowerHex(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f');
}

bool IsCluster(std::string_view digits) {
  return digits.size() == kClusterDigits && std::all_of(digits.begin(), digits.end(), IsLowerHex);
}

std::string Hex(uint64_t number) {
  char buffer[16];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number, 16);
  ASSENT_CHECK(error == std::errc{}, number);
  return std::string(buffer, end);
}

// All of the text. More than Hex and to_string print, such as leading zeros: the whole xid is compared.
template <typename Number>
std::optional<Number> ParseNumber(std::string_view text, int base) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Up to the next '.', which is taken away with it.
std::string_view TakePart(std::string_view& text) {
  const size_t dot = text.find('.');
  const std::string_view part = text.substr(0, dot);
  text.remove_prefix(dot == std::string_view::npos ? text.size() : dot + 1);
  return part;
}

}  // namespace

bool IsManagerName(std::string_view name) {
  return !name.empty() && name.size() <= kManagerNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                  c == '.';
         });
}

std::string ClusterDigits(std::string_view uuid) {
  std::string digits;
  for (const char c : uuid) {
    if (c != '-') digits += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  ASSENT_CHECK(IsCluster(digits), "no uuid:", uuid);
  return digits;
}

bool HasXid(const TxnId& txn) {
  return txn.valid() && txn.coordinator.kind == GroupKind::kCoordinator && Raw(txn.epoch) <= kXidEpochMax &&
         txn.seq <= kXidSeqMax;
}

Xid XidOf(const BranchXid& branch) {
  ASSENT_CHECK(IsCluster(branch.cluster), branch.cluster);
  ASSENT_CHECK(HasXid(branch.txn), ToString(branch.txn));
  ASSENT_CHECK(IsManagerName(branch.resource_manager) && branch.branch > 0, branch.resource_manager,
               branch.branch);
  Xid xid{kXidFormat,
          branch.cluster + "." + ToString(branch.txn.coordinator) + "." + Hex(Raw(branch.txn.epoch)) + "." +
              Hex(branch.txn.seq),
          branch.resource_manager + "." + std::to_string(branch.branch)};
  ASSENT_CHECK(xid.gtrid.size() <= kXidPartBytesMax && xid.bqual.size() <= kXidPartBytesMax, xid.gtrid,
               xid.bqual);
  return xid;
}

std::string ToString(const Xid& xid) {
  return std::to_string(xid.format_id) + "_" + Base64(xid.gtrid) + "_" + Base64(xid.bqual);
}

std::optional<BranchXid> ParseXid(const Xid& xid) {
  if (xid.format_id != kXidFormat) return std::nullopt;
  std::string_view gtrid = xid.gtrid;
  BranchXid branch;
  branch.cluster = TakePart(gtrid);
  const auto group = ParseGroupId(TakePart(gtrid));
  const auto epoch = ParseNumber<uint64_t>(TakePart(gtrid), 16);
  const auto seq = ParseNumber<uint64_t>(gtrid, 16);
  const size_t dot = xid.bqual.rfind('.');  // names have dots
  if (!IsCluster(branch.cluster) || !group || !epoch || !seq || dot == std::string::npos) return std::nullopt;
  branch.txn = TxnId{*group, Epoch{*epoch}, *seq};
  branch.resource_manager = xid.bqual.substr(0, dot);
  const auto number = ParseNumber<uint32_t>(std::string_view(xid.bqual).substr(dot + 1), 10);
  if (!HasXid(branch.txn) || !IsManagerName(branch.resource_manager) || !number || *number == 0) {
    return std::nullopt;
  }
  branch.branch = *number;
  return XidOf(branch) == xid ? std::optional(std::move(branch)) : std::nullopt;
}

std::optional<BranchXid> ParseXid(std::string_view text) {
  const size_t first = text.find('_');  // Base64 has none
  const size_t second = first == std::string_view::npos ? first : text.find('_', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto format = ParseNumber<int32_t>(text.substr(0, first), 10);
  auto gtrid = ParseBase64(text.substr(first + 1, second - first - 1));
  auto bqual = ParseBase64(text.substr(second + 1));
  if (!format || !gtrid || !bqual) return std::nullopt;
  const Xid xid{*format, std::move(*gtrid), std::move(*bqual)};
  return ToString(xid) == text ? ParseXid(xid) : std::nullopt;
}

}  // namespace assent
