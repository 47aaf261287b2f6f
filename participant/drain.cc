#include <algorithm>

#include "common/coverage.h"
#include "participant/participant.h"

// The group is being handed over (R3): work that only this primary's memory holds comes to its end first, so
// that no transaction fails by the change.
namespace assent::participant {
namespace {

constexpr uint64_t kConfirmRepeatUs = 100'000;
// So long a coordinator that is away holds the handover up.
constexpr uint64_t kConfirmMaxUs = 1'000'000;

}  // namespace

void ParticipantCore::OnDraining(const Draining& event) {
  draining_ = event.begun;
  confirm_due_us_ = TimerQueue::kNever;
  confirm_until_us_ = TimerQueue::kNever;
}

bool ParticipantCore::HasOpenWork() const {
  return !withheld_.empty() || std::any_of(branches_.begin(), branches_.end(), [](const auto& entry) {
    return entry.second.state != BranchState::kPrepared;
  });
}

bool ParticipantCore::AreRepliesConfirmed() const {
  return std::all_of(replies_.begin(), replies_.end(),
                     [](const auto& entry) { return entry.second.confirmed == entry.second.said; });
}

bool ParticipantCore::IsQuiet() const {
  return !HasOpenWork() && (AreRepliesConfirmed() || now_.mono_us >= confirm_until_us_);
}

// A new branch waits for the next primary: it is not answered, and its coordinator asks again (C7). Unless it
// is older than work that is open here: that work may wait elsewhere for locks of its transaction, and only
// those of older ones are waited for (P2), so that nobody waits in a circle.
bool ParticipantCore::IsHeldBack(const Age& age) const {
  if (!draining_) return false;
  const bool held = std::none_of(branches_.begin(), branches_.end(), [&](const auto& entry) {
    return entry.second.state == BranchState::kWorking && age < entry.second.age;
  });
  if (held) Reached(Situation::kBranchHeldBack);
  return held;
}

// The next primary could not repeat a read-only vote, nor anything but the verdict of another vote or reply.
// Without this a coordinator might hear the next primary before the last words of this one. From the first
// moment without open work on no branch is opened, and all that is said then can be said again: so the time
// that a coordinator has to confirm begins there, and once.
void ParticipantCore::AskToConfirmReplies() {
  if (!draining_) return;
  const bool due = now_.mono_us >= confirm_due_us_;
  if (HasOpenWork()) {
    if (due) confirm_due_us_ = now_.mono_us + kConfirmRepeatUs;
    return;
  }
  const bool begins = confirm_until_us_ == TimerQueue::kNever;
  if (begins) confirm_until_us_ = now_.mono_us + kConfirmMaxUs;
  if (const bool confirmed = AreRepliesConfirmed(); confirmed || now_.mono_us >= confirm_until_us_) {
    if (!confirmed && due) Reached(Situation::kRepliesUnconfirmed);
    confirm_due_us_ = TimerQueue::kNever;
    return;
  }
  for (auto& [coordinator, replies] : replies_) {
    if (replies.confirmed == replies.said || (replies.asked == replies.said && !begins && !due)) continue;
    replies.asked = replies.said;
    confirm_due_us_ = now_.mono_us + kConfirmRepeatUs;
    Emit(coordinator, ConfirmReplies{replies.said});
  }
}

void ParticipantCore::OnRepliesConfirmed(GroupId from, const RepliesConfirmed& message) {
  const auto found = replies_.find(from);
  if (found == replies_.end() || message.through > found->second.said) return;
  found->second.confirmed = std::max(found->second.confirmed, message.through);
}

}  // namespace assent::participant
