#include "sim/trace.h"

#include <cinttypes>

namespace assent::sim {

void Trace::Line(uint64_t now_us, NodeId node, GroupId group, std::string_view what, std::string_view text) {
  Note(now_us, uint64_t{Raw(node)} << 32 | group.number, what.size());
  for (const char c : text) hash_ = Mix(hash_, static_cast<unsigned char>(c));
  if (out_ == nullptr || now_us < from_us_) return;
  const std::string where = Raw(node) == 0 ? "" : ToString(node);
  const std::string which = group.number == 0 ? "" : ToString(group);
  std::fprintf(out_, "%4" PRIu64 ".%06" PRIu64 " %-3s %-3s %-14.*s %.*s\n", now_us / 1'000'000,
               now_us % 1'000'000, where.c_str(), which.c_str(), static_cast<int>(what.size()), what.data(),
               static_cast<int>(text.size()), text.data());
}

}  // namespace assent::sim
