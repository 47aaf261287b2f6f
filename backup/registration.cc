#include "backup/registration.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::backup {

Registration::Registration(NodeRegister own, std::vector<OwnReplica> replicas)
    : own_(std::move(own)), replicas_(std::move(replicas)) {
  ASSENT_CHECK(own_.life != 0 && own_.files != 0 && own_.starts != 0, "a process without a life, or files");
  if (Mutated(Mutant::kRegistrationIgnored)) {
    state_ = State::kHeld;
    next_us_ = UINT64_MAX;
  }
}

std::optional<Registration::Work> Registration::Next(uint64_t now_us) {
  if (busy_ || now_us < NextDeadline()) return std::nullopt;
  busy_ = true;
  if (state_ == State::kLooking || doubts_) return Look{};
  ++own_.version;
  return own_;
}

uint64_t Registration::NextDeadline() const {
  if (busy_ || state_ == State::kRefused || state_ == State::kLost) return UINT64_MAX;
  return doubts_ ? 0 : next_us_;
}

void Registration::OnNoAnswer(uint64_t now_us) {
  ASSENT_CHECK(busy_, "an answer that was not asked for");
  busy_ = doubts_ = false;
  next_us_ = now_us + (state_ == State::kHeld ? kRenewUs : kLookUs);
}

void Registration::OnSwapped(uint64_t now_us, bool won) {
  ASSENT_CHECK(busy_, "an answer that was not asked for");
  busy_ = false;
  if (won) {
    state_ = State::kHeld;
    next_us_ = now_us + kRenewUs;
    return;
  }
  // The register that holds there now says what came of it: our own life's, or another's.
  --own_.version;
  if (state_ == State::kClaiming) {
    state_ = State::kLooking;
    next_us_ = now_us;
  } else {
    doubts_ = true;
  }
}

void Registration::OnLooked(uint64_t now_us, const std::optional<NodeRegister>& seen, EarlierLife earlier) {
  ASSENT_CHECK(busy_, "an answer that was not asked for");
  busy_ = doubts_ = false;
  next_us_ = now_us;
  if (seen && seen->life == own_.life) {  // ours, by a swap without an answer
    own_.version = seen->version;
    state_ = State::kHeld;
    next_us_ = now_us + kRenewUs;
  } else if (state_ == State::kHeld && seen) {
    state_ = State::kLost;
    text_ = ToString(own_.node) + " runs at " + seen->address + " now, by its register (R3), since " +
            UtcTime(seen->wall_us) +
            ": this process must not go on beside that one. Stop it; its files are worth nothing any more.";
  } else if (!seen) {
    Claim(NodeRegister{});
  } else {
    Judge(now_us, *seen, earlier);
  }
}

void Registration::Judge(uint64_t now_us, const NodeRegister& seen, EarlierLife earlier) {
  if (!seen.stopped && earlier == EarlierLife::kRuns) return RefuseForARunningOne(seen);
  // Each start is counted on disk before it is registered, so what was registered and is not on disk was
  // never done by these files.
  if (seen.files == own_.files && seen.starts >= own_.starts && !Mutated(Mutant::kFloorIgnored)) {
    Reached(Situation::kOldFilesRefused);
    return Refuse("these files are older than what " + ToString(own_.node) + " confirmed at " +
                  UtcTime(seen.wall_us) + ": processes were started on them " + std::to_string(seen.starts) +
                  " times by then, and they know of " + std::to_string(own_.starts - 1) +
                  " (R3). If newer files of this node exist, put those in their place. Otherwise move these "
                  "aside: the node joins again, as a new replica of each group");
  }
  // Replicas of this node, but not the files that it is registered with: those took their place once. What
  // was confirmed of them last is known as of a renewal, which their last process may have outlived.
  if (seen.files != own_.files && SharesReplicas(seen) && !Mutated(Mutant::kFloorIgnored)) {
    Reached(Situation::kOldFilesRefused);
    return Refuse(
        "other files took the place of these: with those " + ToString(own_.node) +
        " was registered last, at " + UtcTime(seen.wall_us) +
        " (R3). Nothing tells whether these are the last ones from before, or an older copy. If those "
        "exist, put them back. Otherwise move these aside: the node joins again, as a new replica of "
        "each group");
  }
  if (!seen.stopped && earlier != EarlierLife::kGone) {
    if (watched_ && seen.version != watched_->version) return RefuseForARunningOne(seen);
    if (!IsWatchOver(now_us, seen)) return;
    // Silent, so it is away, cut off or stopped, and may come back; acknowledgements of both would count.
    if (earlier == EarlierLife::kUnknown && SharesReplicas(seen)) {
      Reached(Situation::kUnknownLifeRefused);
      const std::string node = ToString(own_.node);
      return Refuse(
          "these are not the files that " + node + " ran on when it was last heard of, at " +
          UtcTime(seen.wall_us) + " by the name of " + seen.address +
          ", but a copy, or moved ones; and that process did not end in order (R3). If it is gone for "
          "good and these files are its last ones, `assent directory release " +
          node +
          "` says so; then start the node again. If they are an older copy, move them aside: the "
          "node joins again, as a new replica of each group");
    }
    Reached(Situation::kMachineRestartWatched);
  }
  Claim(seen);
}

bool Registration::IsWatchOver(uint64_t now_us, const NodeRegister& seen) {
  if (!watched_) {
    watched_ = seen;
    watched_us_ = now_us;
  }
  next_us_ = now_us + kLookUs;
  return now_us - watched_us_ >= kWatchUs;
}

bool Registration::SharesReplicas(const NodeRegister& seen) const {
  return std::any_of(seen.confirmed.begin(), seen.confirmed.end(), [&](const Confirmed& confirmed) {
    return std::any_of(replicas_.begin(), replicas_.end(), [&](const OwnReplica& own) {
      return own.group == confirmed.group && own.incarnation == confirmed.incarnation;
    });
  });
}

void Registration::Claim(const NodeRegister& seen) {
  own_.version = seen.version;
  own_.confirmed = seen.confirmed;  // of other incarnations, too: their files may come back
  std::vector<Confirmed> here;
  for (const OwnReplica& replica : replicas_) here.push_back({replica.group, replica.incarnation, {}});
  Confirm(own_.wall_us, here);
  confirmed_us_ = seen.wall_us;
  state_ = State::kClaiming;
  next_us_ = 0;
}

void Registration::Refuse(std::string text) {
  state_ = State::kRefused;
  text_ = std::move(text);
}

void Registration::RefuseForARunningOne(const NodeRegister& seen) {
  Reached(Situation::kRunningLifeRefused);
  Refuse(ToString(own_.node) + " runs already at " + seen.address +
         (seen.process.pid == 0 ? "" : ", process " + std::to_string(seen.process.pid)) +
         " (R3). A copy of a node's files cannot run beside it");
}

void Registration::Confirm(uint64_t wall_us, const std::vector<Confirmed>& positions) {
  own_.wall_us = confirmed_us_ = wall_us;
  for (const Confirmed& position : positions) {
    const auto found = std::find_if(own_.confirmed.begin(), own_.confirmed.end(), [&](const Confirmed& held) {
      return held.group == position.group && held.incarnation == position.incarnation;
    });
    if (found == own_.confirmed.end()) {
      own_.confirmed.push_back(position);
      ForgetOldest(position.group);
    } else if (position.position.lsn > found->position.lsn) {
      found->position = position.position;
    }
  }
}

// G8: each loss of a disk leaves an incarnation behind.
void Registration::ForgetOldest(GroupId group) {
  const auto is_of_group = [&](const Confirmed& held) { return held.group == group; };
  if (std::count_if(own_.confirmed.begin(), own_.confirmed.end(), is_of_group) <= kIncarnationsKept) return;
  own_.confirmed.erase(std::find_if(own_.confirmed.begin(), own_.confirmed.end(), is_of_group));
}

LogPosition Registration::ConfirmedOf(GroupId group, Incarnation incarnation) const {
  for (const Confirmed& held : own_.confirmed) {
    if (held.group == group && held.incarnation == incarnation) return held.position;
  }
  return {};
}

std::string Registration::ConfirmedBy() const {
  return ToString(own_.node) + " had confirmed by " + UtcTime(confirmed_us_);
}

std::optional<NodeRegister> Registration::Farewell(const std::optional<NodeRegister>& seen) const {
  if (!seen || seen->life != own_.life) return std::nullopt;
  NodeRegister last = own_;
  last.version = seen->version + 1;
  last.stopped = true;
  return last;
}

}  // namespace assent::backup
