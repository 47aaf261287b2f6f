#include "directory/identity_record.h"

#include <charconv>
#include <utility>

#include "directory/text_record.h"

namespace assent {
namespace {

constexpr uint32_t kIdentityFormat = 1;
constexpr const char* kHeard = "heard";  // a field for each: group, node, incarnation

std::optional<Adoption::Heard> ParseHeard(std::string_view text) {
  const size_t first = text.find(' ');
  const size_t second = first == std::string_view::npos ? first : text.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto group = ParseGroupId(text.substr(0, first));
  const auto node = ParseNodeId(text.substr(first + 1, second - first - 1));
  const std::string_view digits = text.substr(second + 1);
  uint64_t incarnation = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), incarnation, 16);
  if (!group || !node || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return Adoption::Heard{*group, {*node, Incarnation{incarnation}}};
}

}  // namespace

Epoch FirstEpoch(uint64_t wall_us) {
  constexpr uint64_t k2020 = 1'577'836'800;
  const uint64_t seconds = wall_us / 1'000'000;
  return Epoch{seconds > k2020 ? seconds - k2020 : 1};
}

std::string EncodeIdentity(const DirectoryIdentity& identity) {
  TextRecord record{"directory",
                    kIdentityFormat,
                    {{"cluster", identity.cluster},
                     {"incarnation", Hex16(Raw(identity.incarnation))},
                     {"first_epoch", std::to_string(Raw(identity.first_epoch))}}};
  if (identity.adoption) {
    record.fields.emplace_back("succeeds", Hex16(Raw(identity.adoption->succeeds)));
    record.fields.emplace_back("adopted_us", std::to_string(identity.adoption->wall_us));
    for (const Adoption::Heard& heard : identity.adoption->replicas) {
      record.fields.emplace_back(kHeard, ToString(heard.group) + " " + ToString(heard.member.node) + " " +
                                             Hex16(Raw(heard.member.incarnation)));
    }
  }
  return EncodeTextRecord(record);
}

Result<DirectoryIdentity> DecodeIdentity(std::string_view text, const std::string& path) {
  const auto record = DecodeTextRecord(text, "directory", kIdentityFormat, path);
  if (!record.ok()) return record.status();
  const Status damaged(StatusCode::kDamaged, path + ": a field is missing, or wrong. The file is damaged");
  const auto cluster = record->Find("cluster");
  const auto incarnation = record->FindHex("incarnation");
  if (!cluster || !incarnation || *incarnation == 0) return damaged;
  // Directories that were made before epochs began anywhere but at 1 do not say.
  DirectoryIdentity identity{
      *cluster, DirectoryIncarnation{*incarnation}, Epoch{record->FindNumber("first_epoch").value_or(1)}, {}};
  if (!record->Find("succeeds")) return identity;
  const auto succeeds = record->FindHex("succeeds");
  const auto adopted_us = record->FindNumber("adopted_us");
  if (!succeeds || !adopted_us) return damaged;
  identity.adoption = Adoption{DirectoryIncarnation{*succeeds}, *adopted_us, {}};
  for (const auto& [name, value] : record->fields) {
    if (name != kHeard) continue;
    const auto heard = ParseHeard(value);
    if (!heard) return damaged;
    identity.adoption->replicas.push_back(*heard);
  }
  return identity;
}

}  // namespace assent
