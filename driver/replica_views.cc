// A replica's part in the views of its group: the directory is asked, what was seen is made durable, and the
// role core is given a moment before a view that nobody waits for.

#include <utility>

#include "common/mutant.h"
#include "driver/replica.h"

namespace assent {
namespace {

// A planned change of the view: open work may take so long to end, and new work waits.
constexpr uint64_t kQuietMaxUs = 150'000;
// Before a view that lacked a descriptor is made durable again.
constexpr uint64_t kPersistPauseUs = 100'000;

}  // namespace

void Replica::Perform(backup::PersistView& effect) {
  const Status persisted =
      Mutated(Mutant::kEpochNotPersisted) ? Status() : host_.PersistView(group(), effect);
  if (persisted.code() == StatusCode::kUnavailable) {  // nothing was written: not a reason to stop (R7)
    unpersisted_ = effect;
    persist_at_us_ = host_.Now().mono_us + kPersistPauseUs;
    return;
  }
  HaltUnless(persisted);
  Enqueue(backup::Event(backup::ViewPersisted{effect.seen_epoch}));
}

void Replica::Perform(backup::BecomePrimary& effect) {
  host_.LearnView(effect.view);
  StopServing();
  snapshots_.StopSink();
}

void Replica::Perform(backup::Serve& effect) {
  // A role core that served an epoch before is no follower of the new one: its live work belongs to the old
  // epoch, and is gone as if the process had restarted (P3, C3).
  if (!role_is_fresh_) HaltUnless(state_.Rebuild(log_));
  if (halted_) return;
  role_is_fresh_ = false;
  role_serves_ = true;
  Enqueue(RoleEvent(Serving{effect.epoch}));
  Enqueue(RoleEvent(Replicated{replication_.replicated()}));
  for (Early& message : std::exchange(early_, {})) GiveToRole(std::move(message));
  // R3. Others ask again for what they asked the primary before, when they hear of this epoch (C7): they need
  // not wait until that is due, or until they look at the directory.
  for (const GroupId other : host_.Groups()) {
    const auto leader = host_.LeaderOf(other);
    if (other != group() && leader) Tell(other, *leader, EpochNews{});
  }
}

void Replica::Perform(backup::BecomeFollower& effect) {
  host_.LearnView(effect.view);
  StopServing();
  snapshots_.StopSink();
  if (!role_is_fresh_) HaltUnless(state_.Rebuild(log_));
  role_is_fresh_ = true;
}

void Replica::Perform(backup::ReadDirectory&) {
  host_.ReadDirectory(group());
}
// The role core is built anew in the next epoch, so what it has not finished is lost to its clients.
void Replica::Perform(backup::ProposeView& effect) {
  if (!effect.planned || !role_serves_) return host_.ProposeView(effect.view);
  proposal_ = std::move(effect.view);
  propose_at_us_ = host_.Now().mono_us + kQuietMaxUs;
  draining_ = quieted_for_view_ = true;
  Enqueue(RoleEvent(Draining{true}));
}
void Replica::LetGoProposal() {
  propose_at_us_ = UINT64_MAX;
  draining_ = false;
  host_.ProposeView(*std::exchange(proposal_, std::nullopt));
}
void Replica::Perform(backup::Register& effect) {
  host_.Register(group(), effect.self);
}

void Replica::EndQuiet(backup::CasOutcome outcome) {
  // It may still be made; but work goes on as long as it is not. A view that was made ends the drain
  // with the epoch.
  if (std::exchange(quieted_for_view_, false) && outcome != backup::CasOutcome::kOk) {
    Enqueue(RoleEvent(Draining{false}));
  }
}

void Replica::SeeToViews(uint64_t now_us) {
  if (propose_at_us_ <= now_us) LetGoProposal();
  if (persist_at_us_ > now_us) return;
  persist_at_us_ = UINT64_MAX;
  backup::PersistView again = *std::exchange(unpersisted_, std::nullopt);
  Perform(again);
}

}  // namespace assent
