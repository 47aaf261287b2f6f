#include "directory/register_record.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "directory/text_record.h"

namespace assent {
namespace {

constexpr uint32_t kRegisterFormat = 1;
constexpr std::string_view kKind = "register";
constexpr const char* kConfirmed = "confirmed";  // a field for each: group, incarnation, epoch, LSN

// The numbers of a register, by the names of their fields.
template <typename Register>
auto NumbersOf(Register& held) {
  auto& process = held.process;
  using Number = std::pair<const char*, decltype(&held.version)>;
  return std::array{Number{"version", &held.version},   Number{"starts", &held.starts},
                    Number{"time_us", &held.wall_us},   Number{"pids", &process.pids},
                    Number{"pid", &process.pid},        Number{"started", &process.started},
                    Number{"device", &process.device},  Number{"inode", &process.inode},
                    Number{"born_ns", &process.born_ns}};
}

std::optional<Confirmed> ParseConfirmed(std::string_view text) {
  std::array<std::string_view, 4> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t end = i + 1 < words.size() ? text.find(' ') : text.size();
    if (end == std::string_view::npos) return std::nullopt;
    words[i] = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  const auto number = [](std::string_view word, int base) -> std::optional<uint64_t> {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return value;
  };
  const auto group = ParseGroupId(words[0]);
  const auto incarnation = number(words[1], 16);
  const auto epoch = number(words[2], 10);
  const auto lsn = number(words[3], 10);
  if (!group || !incarnation || !epoch || !lsn) return std::nullopt;
  return Confirmed{*group, Incarnation{*incarnation}, {Epoch{*epoch}, Lsn{*lsn}}};
}

}  // namespace

std::string EncodeRegister(const NodeRegister& held) {
  TextRecord record{std::string(kKind), kRegisterFormat, {}};
  auto& fields = record.fields;
  fields.emplace_back("node", ToString(held.node));
  fields.emplace_back("address", held.address);
  fields.emplace_back("life", Hex16(held.life));
  fields.emplace_back("files", Hex16(held.files));
  fields.emplace_back("boot", held.process.boot);
  fields.emplace_back("stopped", held.stopped ? "yes" : "no");
  for (const auto& [name, number] : NumbersOf(held)) fields.emplace_back(name, std::to_string(*number));
  for (const Confirmed& confirmed : held.confirmed) {
    fields.emplace_back(kConfirmed, ToString(confirmed.group) + " " + Hex16(Raw(confirmed.incarnation)) +
                                        " " + std::to_string(Raw(confirmed.position.epoch)) + " " +
                                        std::to_string(Raw(confirmed.position.lsn)));
  }
  return EncodeTextRecord(record);
}

Result<NodeRegister> DecodeRegister(std::string_view text, const std::string& path) {
  const auto record = DecodeTextRecord(text, kKind, kRegisterFormat, path);
  if (!record.ok()) return record.status();
  const Status damaged(StatusCode::kDamaged, path + ": a field is missing, or wrong. The file is damaged");
  NodeRegister held;
  const auto node = ParseNodeId(record->Find("node").value_or(""));
  const auto life = record->FindHex("life");
  const auto files = record->FindHex("files");
  const auto stopped = record->Find("stopped");
  if (!node || !life || !files || (stopped != "yes" && stopped != "no")) return damaged;
  held.node = *node;
  held.life = *life;
  held.files = *files;
  held.stopped = stopped == "yes";
  held.address = record->Find("address").value_or("");
  held.process.boot = record->Find("boot").value_or("");
  for (const auto& [name, number] : NumbersOf(held)) {
    const auto found = record->FindNumber(name);
    if (!found) return damaged;
    *number = *found;
  }
  for (const auto& [name, value] : record->fields) {
    if (name != kConfirmed) continue;
    const auto confirmed = ParseConfirmed(value);
    if (!confirmed) return damaged;
    held.confirmed.push_back(*confirmed);
  }
  return held;
}

}  // namespace assent
