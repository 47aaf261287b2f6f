#include "sim/trace.h"

#include <unistd.h>

#include <cinttypes>

namespace assent::sim {

void Trace::Line(uint64_t now_us, NodeId node, GroupId group, std::string_view what, std::string_view text) {
  Note(now_us, uint64_t{Raw(node)} << 32 | group.number, what.size());
  for (const char c : text) hash_ = Mix(hash_, static_cast<unsigned char>(c));
  const std::string where = Raw(node) == 0 ? "" : ToString(node);
  const std::string which = group.number == 0 ? "" : ToString(group);
  char head[64];
  std::snprintf(head, sizeof head, "%4" PRIu64 ".%06" PRIu64 " %-3s %-3s ", now_us / 1'000'000,
                now_us % 1'000'000, where.c_str(), which.c_str());
  last_.assign(head)
      .append(what)
      .append(what.size() < 14 ? 14 - what.size() : 0, ' ')
      .append(" ")
      .append(text);
  if (out_ == nullptr || now_us < from_us_) return;
  std::fprintf(out_, "%s\n", last_.c_str());
}

void Trace::WriteLastLine(int fd) const {
  if (::write(fd, last_.data(), last_.size()) < 0) return;  // nobody is left to be told
}

}  // namespace assent::sim
