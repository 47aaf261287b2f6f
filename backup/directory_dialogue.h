#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backup/replication_events.h"
#include "common/ids.h"
#include "common/view.h"

namespace assent::backup {

// What one replica asks of the directory about its group's views, and what it knows from the answers, as a
// deterministic state machine: no I/O, no clock. It owns the question on its way, the proposal whose fate is
// open, the view that is about to be acted in, and since when an epoch was the current one. Which view to
// propose, and what a replica is in a view, is the ReplicationCore's (views.cc).
//
//   question:   none --Issue: ReadDirectory or ProposeView--> asked --OnRead, OnUnread, OnSwapped--> none
//   proposal:   none --Propose--> made --won, or a view of its epoch or a later one is known--> none
//                                  |  '--surely failed, and so did every try before--> none
//                                  '--lost, or not answered--> made: reads, then proposes the same again
//   next view:  none --Enter--> persisting --OnPersisted--> ready --TakeNext, the log at rest--> none
//
// Guarantees (CheckInvariants()):
//   R3   A proposal whose fate is not known is repeated as it was, and no other takes its place; nor is one
//        that came to nothing made again at once.
//   R5   The directory's word for an epoch counts from when it was asked. Nothing is proposed before the
//        leases that may hold are over (ProposeNothingBefore).
//   R12  Another directory, and an older copy of the one that is known, are told from it.
//   I-R4 No view is ready before its epoch is persisted.
class DirectoryDialogue {
 public:
  // `seed`: of the pauses between proposals, so that replicas do not ask in step.
  DirectoryDialogue(GroupId group, Member self, uint64_t seed) : group_(group), self_(self), jitter_(seed) {}

  // As of the last PersistView before the start; 0 = never.
  void Start(Epoch seen_epoch, Incarnation directory);

  // ---- What the core wants ----

  void Read() { want_read_ = true; }
  void ReadAt(uint64_t us) { next_read_us_ = us; }  // at the latest, of itself
  // `planned`: the first try can wait for a moment. REQUIRES: none is made, or this very one.
  void Propose(View view, bool planned);
  void ProposeAgain() { want_propose_ = true; }  // REQUIRES: one is made
  void ProposeNothingBefore(uint64_t us) { bound_until_us_ = us; }
  // R5: `epoch` was the current one at `us`, as its primary knows without asking.
  void NoteCurrent(Epoch epoch, uint64_t us);
  // The directory's view is `view`: a proposal of its epoch or a lower one is over. False: a view that is as
  // high is about to be entered already.
  bool Learn(const View& view);
  // `view` is to be acted in. REQUIRES: Learn(view).
  void Enter(const View& view);
  // The view to act in from now on, once it is ready; until then what it needs goes to `effects`.
  std::optional<View> TakeNext(bool is_log_at_rest, Effects& effects);

  // What is to be asked now, if anything: after each event.
  void Issue(uint64_t now_us, Effects& effects);
  void OnTick(uint64_t now_us);
  uint64_t NextDeadline() const;  // of OnTick and Issue; UINT64_MAX = none

  // ---- What the directory answers ----

  // Not empty: why nobody may act on this answer, for people (R12). `acts_in`: the view that the replica
  // acts in.
  std::string OnRead(const ViewRead& read, const std::optional<View>& acts_in, Effects& effects);
  void OnUnread(uint64_t now_us);
  enum class Fate : uint8_t {
    kWon = 1,
    kFailed,  // nothing was made, nor will be: the proposal is forgotten
    kOpen,
  };
  Fate OnSwapped(uint64_t now_us, const CasDone& done);
  void OnPersisted(Epoch seen_epoch);

  // ---- What is known ----

  Epoch seen_epoch() const { return seen_epoch_; }
  const std::vector<Member>& registered() const { return registered_; }  // as of the last reading
  // Its fate is not known: the replica is bound by it, and by the view that it acts in (R3).
  const std::optional<View>& proposed() const { return proposed_; }
  const std::optional<View>& entering() const { return entering_; }
  // Whether a proposal would be sent now, as far as the pauses between them go.
  bool MayPropose(uint64_t now_us) const { return now_us >= next_propose_us_; }
  uint64_t next_propose_us() const { return next_propose_us_; }
  // R5: when `epoch` was the current one for sure; 0 = not known.
  uint64_t CurrentAt(Epoch epoch) const { return epoch == current_epoch_ ? current_us_ : 0; }

  // Aborts the process if an invariant does not hold; also compares with the state at the last call.
  void CheckInvariants() const;

 private:
  std::string WhyNotThisDirectory(const ViewRead& read) const;
  void PauseProposals(uint64_t now_us);
  void ForgetProposal();

  const GroupId group_;
  const Member self_;

  Epoch seen_epoch_{};       // persisted (I-R4)
  Incarnation directory_{};  // the one that is known; 0 = none yet
  std::vector<Member> registered_;
  Epoch current_epoch_{};
  uint64_t current_us_ = 0;

  bool busy_ = false;  // ReadDirectory or ProposeView is unanswered
  uint64_t asked_us_ = 0;
  bool want_read_ = false;
  uint64_t next_read_us_ = 0;
  uint64_t no_read_before_us_ = 0;  // the last one failed

  std::optional<View> proposed_;
  bool want_propose_ = false;    // proposed_ is to be sent (again)
  bool planned_ = false;         // and it can wait for a moment
  bool is_fate_open_ = false;    // of a try of proposed_: it may be applied at any time
  uint64_t bound_until_us_ = 0;  // R5
  uint64_t pause_us_ = 0;        // behind the last try that came to nothing
  uint64_t next_propose_us_ = 0;
  uint64_t jitter_;  // of that pause

  std::optional<View> entering_;  // read or won; acted in once persisted and the log is at rest
  bool persisting_ = false;

  // As of the last CheckInvariants().
  struct Checked {
    Epoch seen_epoch{};
    Incarnation directory{};
    std::optional<View> open;  // a proposal of which a try may be applied at any time
  };
  mutable Checked checked_;
};

}  // namespace assent::backup
