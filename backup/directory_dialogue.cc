#include "backup/directory_dialogue.h"

#include <algorithm>
#include <utility>

#include "backup/timing.h"
#include "common/check.h"
#include "common/coverage.h"
#include "common/view_text.h"

namespace assent::backup {

void DirectoryDialogue::Start(Epoch seen_epoch, Incarnation directory) {
  seen_epoch_ = seen_epoch;
  directory_ = directory;
}

// ---- What is asked ----

void DirectoryDialogue::OnTick(uint64_t now_us) {
  if (!busy_ && now_us >= next_read_us_) want_read_ = true;
}

uint64_t DirectoryDialogue::NextDeadline() const {
  if (busy_) return UINT64_MAX;
  uint64_t deadline = next_read_us_;
  if (want_read_) deadline = std::min(deadline, no_read_before_us_);
  if (want_propose_) deadline = std::min(deadline, std::max(bound_until_us_, next_propose_us_));
  return deadline;
}

void DirectoryDialogue::Issue(uint64_t now_us, Effects& effects) {
  if (busy_) return;
  if (want_propose_ && now_us >= bound_until_us_ && MayPropose(now_us)) {
    want_propose_ = false;
    effects.emplace_back(ProposeView{*proposed_, std::exchange(planned_, false)});
  } else if (want_read_ && now_us >= no_read_before_us_) {
    want_read_ = false;
    effects.emplace_back(ReadDirectory{});
  } else {
    return;
  }
  busy_ = true;
  asked_us_ = now_us;
}

void DirectoryDialogue::NoteCurrent(Epoch epoch, uint64_t us) {
  current_epoch_ = epoch;
  current_us_ = us;
}

// ---- Readings ----

void DirectoryDialogue::OnUnread(uint64_t now_us) {
  ASSENT_CHECK(busy_, "an answer that was not asked for");
  busy_ = false;
  next_read_us_ = no_read_before_us_ = now_us + kReadWaitingUs;
}

std::string DirectoryDialogue::OnRead(const ViewRead& read, const std::optional<View>& acts_in,
                                      Effects& effects) {
  ASSENT_CHECK(busy_, "an answer that was not asked for");
  busy_ = false;
  if (std::string why = WhyNotThisDirectory(read); !why.empty()) return why;
  directory_ = read.directory_incarnation;
  registered_ = read.registered;
  if (std::find(registered_.begin(), registered_.end(), self_) == registered_.end()) {
    effects.emplace_back(Register{self_});
  }
  if (!read.view) return {};
  NoteCurrent(read.view->epoch, asked_us_);  // R5: it may have been another one since
  if (acts_in && read.view->epoch <= acts_in->epoch && *read.view != *acts_in) {
    return "the directory now shows " + ToString(*read.view) + ", where this replica acted in " +
           ToString(*acts_in) + ": it was restored from a copy, or edited (R12).";
  }
  if (!proposed_) return {};
  if (read.view->epoch >= proposed_->epoch) {
    Reached(*read.view == *proposed_ ? Situation::kProposalFoundApplied : Situation::kProposalFoundLost);
  } else if (acts_in && read.view->epoch == acts_in->epoch) {
    // Not applied, but it may still be: only asking again for the very same view can tell (R3, R6).
    want_propose_ = true;
  }
  return {};
}

// R12: nobody serves from a directory that is another one, or an older copy of itself.
std::string DirectoryDialogue::WhyNotThisDirectory(const ViewRead& read) const {
  const Epoch epoch_there = read.view ? read.view->epoch : Epoch{};
  if (read.view && read.view->group != group_) {
    return "the directory answered with a view of " + ToString(read.view->group) + " for " +
           ToString(group_) + ".";
  }
  if (Raw(directory_) != 0 && read.directory_incarnation != directory_) {
    return "this is not the directory that the replica knows (R12). Point it at that directory again; if it "
           "is "
           "lost for good, an operator must accept the loss.";
  }
  if (epoch_there < seen_epoch_) {
    return "the directory shows epoch " + std::to_string(Raw(epoch_there)) +
           ", this replica has seen epoch " + std::to_string(Raw(seen_epoch_)) +
           ": the directory was restored from a copy, or lost (R12). Bring back the newest copy, or an "
           "operator must accept the loss.";
  }
  return {};
}

// ---- Proposals ----

void DirectoryDialogue::Propose(View view, bool planned) {
  ASSENT_CHECK(!proposed_ || *proposed_ == view, "R3: the fate is not known of", ToString(*proposed_));
  proposed_ = std::move(view);
  planned_ = planned;
  want_propose_ = true;
}

DirectoryDialogue::Fate DirectoryDialogue::OnSwapped(uint64_t now_us, const CasDone& done) {
  ASSENT_CHECK(busy_ && proposed_ && done.attempted == *proposed_, "an answer that was not asked for");
  busy_ = false;
  if (done.outcome == CasOutcome::kOk) {
    NoteCurrent(done.attempted.epoch, asked_us_);
    return Fate::kWon;
  }
  PauseProposals(now_us);
  if (done.outcome == CasOutcome::kUnknown) is_fate_open_ = true;
  if (done.outcome == CasOutcome::kFailed && !is_fate_open_) {
    // This replica is bound by the view that it acts in alone, and the reason for another one may be over
    // before it can be proposed again.
    ForgetProposal();
    return Fate::kFailed;
  }
  // Lost: an earlier try of the same proposal may have won. Unknown: it may be applied at any time.
  // The directory knows.
  want_read_ = true;
  return Fate::kOpen;
}

// R3: a proposal that came to nothing is not made again at once: a directory that cannot be written would be
// asked, and said to be so, thousands of times a second. With jitter, so that replicas do not ask in step.
void DirectoryDialogue::PauseProposals(uint64_t now_us) {
  pause_us_ = std::clamp(2 * pause_us_, kProposalPauseMinUs, kProposalPauseMaxUs);
  jitter_ = jitter_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX generator
  next_propose_us_ = now_us + pause_us_ / 2 + (jitter_ >> 32) % (pause_us_ / 2);
}

void DirectoryDialogue::ForgetProposal() {
  proposed_.reset();
  want_propose_ = false;
  is_fate_open_ = false;
}

// ---- The next view ----

bool DirectoryDialogue::Learn(const View& view) {
  if (entering_ && entering_->epoch >= view.epoch) return false;
  if (proposed_ && view.epoch >= proposed_->epoch) ForgetProposal();
  return true;
}

void DirectoryDialogue::Enter(const View& view) {
  ASSENT_CHECK(!entering_ || entering_->epoch < view.epoch, "goes back to", view.epoch);
  entering_ = view;
}

std::optional<View> DirectoryDialogue::TakeNext(bool is_log_at_rest, Effects& effects) {
  if (!entering_ || persisting_) return std::nullopt;
  if (seen_epoch_ < entering_->epoch) {
    // I-R4: a crash right after acting in the epoch must not forget it.
    persisting_ = true;
    effects.emplace_back(PersistView{entering_->epoch, directory_});
    return std::nullopt;
  }
  if (!is_log_at_rest) return std::nullopt;
  pause_us_ = next_propose_us_ = 0;
  return std::exchange(entering_, std::nullopt);
}

void DirectoryDialogue::OnPersisted(Epoch seen_epoch) {
  ASSENT_CHECK(persisting_, "an answer that was not asked for");
  persisting_ = false;
  seen_epoch_ = std::max(seen_epoch_, seen_epoch);
}

void DirectoryDialogue::CheckInvariants() const {
  ASSENT_CHECK(proposed_ || (!want_propose_ && !is_fate_open_), "no proposal, but to be made or open");
  ASSENT_CHECK(!persisting_ || (entering_ && seen_epoch_ < entering_->epoch), "persists what is not entered",
               seen_epoch_);
  ASSENT_CHECK(seen_epoch_ >= checked_.seen_epoch, "I-R4: an epoch fell", seen_epoch_, checked_.seen_epoch);
  ASSENT_CHECK(Raw(checked_.directory) == 0 || directory_ == checked_.directory, "R12: another directory",
               Raw(directory_));
  // A proposal that may be applied at any time gives way to what was read only, which is as high.
  ASSENT_CHECK(
      !checked_.open || !proposed_ || *proposed_ == *checked_.open || proposed_->epoch > checked_.open->epoch,
      "R3: two proposals for one epoch", proposed_->epoch);
  checked_ = {seen_epoch_, directory_, is_fate_open_ ? proposed_ : std::nullopt};
}

}  // namespace assent::backup
