#include "common/view.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "common/check.h"

namespace assent {
namespace {

std::string Hex(uint64_t number) {
  char buffer[16];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number, 16);
  return error == std::errc{} ? std::string(buffer, end) : std::string();
}

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// FNV-1a: tells a damaged line from a sound one, not a forged one.
uint64_t Checksum(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

// The text before `separator`, or all; takes both off `rest`.
std::string_view Take(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return part;
}

// The value of `name=value`.
std::optional<std::string_view> Field(std::string_view part, std::string_view name) {
  if (!part.starts_with(name) || part.size() <= name.size() || part[name.size()] != '=') return std::nullopt;
  return part.substr(name.size() + 1);
}

std::optional<Member> ParseMember(std::string_view text) {
  const auto node = ParseNodeId(Take(text, ':'));
  const auto incarnation = ParseNumber(text, 16);
  if (!node || !incarnation) return std::nullopt;
  return Member{*node, Incarnation{*incarnation}};
}

bool ParseMembers(std::string_view text, std::vector<Member>& out) {
  while (!text.empty()) {
    const auto member = ParseMember(Take(text, ','));
    if (!member || out.size() == kMembersMax) return false;
    out.push_back(*member);
  }
  return true;
}

std::string Names(const std::vector<Member>& members) {
  std::string out;
  for (const Member& member : members) {
    out += (out.empty() ? "" : ",") + ToString(member.node) + ":" + Hex(Raw(member.incarnation));
  }
  return out;
}

std::optional<View> ParseLine(std::string_view line) {
  View view;
  if (Take(line, ' ') != "view") return std::nullopt;
  const auto group = ParseGroupId(Take(line, ' '));
  const auto epoch = Field(Take(line, ' '), "epoch");
  const auto primary = Field(Take(line, ' '), "primary");
  const auto life = Field(Take(line, ' '), "life");
  auto members = Field(Take(line, ' '), "members");
  auto removed = line.empty() ? std::optional<std::string_view>("") : Field(line, "removed");
  if (!group || !epoch || !primary || !life || !members || !removed) return std::nullopt;
  const auto epoch_number = ParseNumber(*epoch, 10);
  const auto primary_node = ParseNodeId(*primary);
  const auto life_number = ParseNumber(*life, 16);
  if (!epoch_number || !primary_node || !life_number) return std::nullopt;
  view = {*group, Epoch{*epoch_number}, *primary_node, *life_number, {}, {}};
  if (!ParseMembers(*members, view.members) || !ParseMembers(*removed, view.removed)) return std::nullopt;
  return view;
}

}  // namespace

const Member* View::Find(NodeId node) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.node == node; });
  return found == members.end() ? nullptr : &*found;
}

bool View::Names(const Member& member) const {
  const Member* found = Find(member.node);
  return found != nullptr && *found == member;
}

View View::Successor() const {
  View next = *this;
  next.epoch = Next(epoch);
  return next;
}

Status ValidateView(const View& view) {
  const auto invalid = [&](const char* what) {
    return Status(StatusCode::kInvalid, ToString(view) + ": " + what);
  };
  if (Raw(view.epoch) == 0) return invalid("no epoch");
  if (view.primary_life == 0) return invalid("no life");
  if (view.members.empty()) return invalid("no members");
  if (view.members.size() > kMembersMax) return invalid("too many members");
  for (size_t i = 0; i < view.members.size(); ++i) {
    if (Raw(view.members[i].incarnation) == 0) return invalid("a member without an incarnation");
    if (i > 0 && view.members[i - 1].node >= view.members[i].node)
      return invalid("members are not ascending");
  }
  if (view.Find(view.primary) == nullptr) return invalid("the primary is not a member");
  if (view.removed.size() > kMembersMax) return invalid("too many are removed");
  for (size_t i = 0; i < view.removed.size(); ++i) {
    if (view.Names(view.removed[i])) return invalid("a member is removed");
    if (i > 0 && view.removed[i - 1] >= view.removed[i]) return invalid("the removed are not ascending");
  }
  return {};
}

std::string ToString(const View& view) {
  std::string out = "view " + ToString(view.group) + " epoch=" + std::to_string(Raw(view.epoch)) +
                    " primary=" + ToString(view.primary) + " life=" + Hex(view.primary_life) +
                    " members=" + Names(view.members);
  if (!view.removed.empty()) out += " removed=" + Names(view.removed);
  return out;
}

std::string EncodeView(const View& view) {
  const Status status = ValidateView(view);
  ASSENT_CHECK(status.ok(), status.message());
  const std::string line = ToString(view);
  return line + " check=" + Hex(Checksum(line)) + "\n";
}

Result<View> DecodeView(std::string_view text) {
  const auto damaged = [&](const std::string& what) {
    return Status(StatusCode::kDamaged, "not a view of a group: " + what);
  };
  const size_t check = text.rfind(" check=");
  if (check == std::string_view::npos) return damaged("no checksum");
  const auto view = ParseLine(text.substr(0, check));
  if (!view) return damaged("bad line");
  if (const Status status = ValidateView(*view); !status.ok()) return damaged(status.message());
  // One text for one view: any other text that could be parsed was not written by Encode.
  if (EncodeView(*view) != text) return damaged("bad checksum");
  return *view;
}

}  // namespace assent
