#include "runtime/replica_watch.h"

#include <utility>

#include "common/view_text.h"

namespace assent {
namespace {

// A lease that comes and goes with a slow disk or network is not to fill the log.
constexpr uint64_t kSpellUs = 60'000'000;
constexpr uint32_t kTellsMax = 10;

bool IsRemoved(const View& view, NodeId node) {
  for (const Member& member : view.removed) {
    if (member.node == node) return true;
  }
  return false;
}

}  // namespace

std::string DescribeChange(const std::optional<View>& before, const View& after) {
  const std::string now = Brief(after);
  if (!before) return now + (after.epoch == Epoch{1} ? ": the group's first view" : ": found at the start");
  std::string what;
  const auto add = [&](const std::string& text) { what += (what.empty() ? "" : "; ") + text; };
  const auto why = [&](NodeId node) {
    return IsRemoved(after, node) ? "which an operator took out" : "which was silent, or stopped";
  };
  const std::string old_primary = ToString(before->primary);
  if (after.primary != before->primary) {
    add(after.Find(before->primary) == nullptr
            ? ToString(after.primary) + " took over from " + old_primary + ", " + why(before->primary)
            : old_primary + " handed over to " + ToString(after.primary));
  } else if (after.primary_life != before->primary_life) {
    add(old_primary + " restarted");
  }
  for (const Member& member : before->members) {
    const Member* still = after.Find(member.node);
    if (still == nullptr && (member.node != before->primary || after.primary == before->primary)) {
      add("without " + ToString(member.node) + ", " + why(member.node));
    } else if (still != nullptr && *still != member) {
      add(ToString(member.node) + " joined with a new data directory");
    }
  }
  for (const Member& member : after.members) {
    if (before->Find(member.node) == nullptr) add(ToString(member.node) + " joined");
  }
  if (what.empty()) what = "as before";
  const bool skipped = Raw(after.epoch) > Raw(before->epoch) + 1;
  return now + ": " + what + (skipped ? ", since epoch " + std::to_string(Raw(before->epoch)) : "");
}

std::string ReplicaWatch::NoticeView(const std::optional<View>& view) {
  if (!view || (view_ && view_->epoch == view->epoch)) return {};
  std::string line = DescribeChange(view_, *view);
  view_ = view;
  return line;
}

std::string ReplicaWatch::NoticeServing(bool serving, uint64_t now_us,
                                        const std::function<std::string()>& waits_for) {
  if (serving == serving_) return {};
  serving_ = serving;
  serving_since_us_ = now_us;
  if (now_us >= spell_us_ + kSpellUs) {
    spell_us_ = now_us;
    told_ = 0;
  }
  if (++told_ > kTellsMax) return {};
  std::string line = "serves";
  if (!serving) {
    const std::string waits = waits_for();
    line = "does not serve any more" + (waits.empty() ? "" : ": waits for " + waits);
  }
  if (told_ == kTellsMax) line += "; not told again for a minute, however often this changes";
  return line;
}

}  // namespace assent
