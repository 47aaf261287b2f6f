#include "common/view_text.h"

namespace assent {

std::string Brief(const View& view) {
  std::string backups;
  for (const Member& member : view.members) {
    if (member.node != view.primary) backups += " " + ToString(member.node);
  }
  return "epoch " + std::to_string(Raw(view.epoch)) + ", primary " + ToString(view.primary) +
         (backups.empty() ? ", no backup" : ", backups" + backups);
}

}  // namespace assent
