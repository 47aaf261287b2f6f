#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/status.h"

// A group's view: which replicas hold copies of it, and which of them leads. The directory agrees on it, by
// compare-and-swap on `epoch`.
namespace assent {

// One replica's data directory. A node that lost its disk comes back under another incarnation, and is
// nobody's member until an operator adds it (R3).
struct Member {
  NodeId node{};
  Incarnation incarnation{};
  auto operator<=>(const Member&) const = default;
};

// Bounds what a damaged or hostile directory can make a process hold; far above any sensible
// number of copies.
inline constexpr size_t kMembersMax = 16;

struct View {
  GroupId group;
  Epoch epoch{};
  NodeId primary{};
  // Drawn at random by the primary's process at its start: an epoch belongs to one process lifetime (R3), so
  // a primary that reads a view of another life leads nothing.
  uint64_t primary_life = 0;
  std::vector<Member> members;  // the primary included; ascending by node
  // Taken out by an operator, not by a fault: these come back only by an operator's command. Ascending.
  std::vector<Member> removed = {};
  bool operator==(const View&) const = default;

  // nullptr if the node is not named.
  const Member* Find(NodeId node) const;
  // True only under the incarnation named.
  bool Names(const Member& member) const;
  // The view that may replace this one: as it is, under the next epoch.
  View Successor() const;
};

// kInvalid, with the reason: no epoch, no life, no members or more than kMembersMax, one without an
// incarnation, nodes not ascending, the primary not among them; a removed one that is a member.
Status ValidateView(const View& view);

// One line: `view s1 epoch=4 primary=n1 life=9f3c members=n1:ab12,n2:77e0`.
std::string ToString(const View& view);

// ToString, a checksum and a newline. The view must be valid. Decode accepts only what Encode writes:
// kDamaged for anything else, a part of it included.
std::string EncodeView(const View& view);
Result<View> DecodeView(std::string_view text);

}  // namespace assent
