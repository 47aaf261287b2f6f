#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/role.h"
#include "participant/branch.h"
#include "participant/executor.h"
#include "participant/lock_table.h"
#include "participant/shard_state.h"
#include "participant/timer_queue.h"

// Participant half of atomic commit: the role core of a shard group. It owns the shard's locks, its branches
// and its votes. It does no I/O, replicates nothing itself, and decides nothing about a branch that has voted
// yes. (The Thrift service *Participant* is not served here: resource managers outside Assent implement it.)
//
//          Operate, or a               Prepare:                  Decide, PeerOutcome:
//          one-shot request            Prepared appended         BranchDecided appended
//   (none) ---------------> kWorking ------------------> kPrepared -----------------------------> (none)
//                              |  |
//                              |  |    CommitOnePhase                OnePhaseCommitted replicated
//                              |  +--------------------> kCommitting ---------------------------> (none)
//                              |
//                              +--> (none): check failed, wounded, idle, abort, read-only vote
//
// A one-shot request is a Prepare or a CommitOnePhase with the operations in it. Replicated state is in
// ShardState. All else here is the primary's memory and is lost with it: unprepared work, waiting messages,
// timers. Before Serving, Step ignores everything.
//
//   R1  A message that depends on a record waits in withheld_ until the record is replicated.
//   P1  At Serving, all locks of prepared branches are held before any message is looked at.
//   P2  Nobody waits for a younger branch unless it has voted; then its coordinator is asked, repeatedly.
//   P3  A yes leaves only after its Prepared is replicated; a repeated Prepare gets it again, in any epoch.
//   P4  Timers end working branches only, and only after their coordinator was asked whether they are live.
//   P5  A decision frees its locks when appended; the ack waits.
//   P6  Prepare, Decide and CommitOnePhase may come any number of times, in any order.
//   P8  In doubt: ask the coordinator, then the other writing shards. Nothing known here is no answer.
//   C6  One-phase: locks are held, and writes unseen, until the record is replicated; a no follows
//       a replicated refusal.
//   C8  Marks refuse early (as soon as seen) and promise late (once replicated).
namespace assent::participant {

struct ParticipantConfig {
  GroupId group{};
  uint64_t seed = 1;  // of the jitter

  // Bounds (G8). Past them new work is refused with kOverloaded.
  size_t branches_max = 10'000;        // working, prepared and committing
  size_t waiters_max = 5'000;          // branches that wait for a lock
  size_t work_bytes_max = 256u << 20;  // operations, writes and results of branches, and withheld results
  size_t unreplicated_bytes_max = 64u << 20;  // records appended and not yet replicated
  size_t overlay_bytes_max = 256u << 20;      // what the store has not taken yet (P7)
  size_t ended_max = 8'192;                   // ends remembered, to give a late message its reason

  // Work that one step does at most, about: the rest goes on at the next Tick, which is wanted at once, so
  // that leases and beacons wait for no branch. Estimated from operations, bytes and locks,
  // in about microseconds.
  uint64_t step_work_max = 1'000;

  uint64_t idle_timeout_us = 10'000'000;  // P4: unprepared work that its coordinator does not call live
  uint64_t lock_timeout_us = 2'000'000;   // P2: beside foreign branches, whose locks are invisible here
  uint64_t inquiry_first_us = 1'000'000;  // P8, P4
  uint64_t inquiry_news_us = 20'000;      // where the coordinator's group has a new primary
  uint64_t inquiry_max_us = 2'000'000;    // once what was in the way is gone, others wait for it no longer
  uint32_t inquiries_before_peers = 3;  // P8: how often the coordinator is asked before the other shards are
  uint32_t inquiries_per_round = 256;   // C7: and then a pause
  uint64_t inquiry_round_us = 100'000;  // C7
  uint64_t wound_first_us = 100'000;    // P2: between repeated wound requests
  uint64_t wound_max_us = 2'000'000;
  uint64_t mark_delay_us = 1'000'000;     // C8: a risen mark is logged so late,
  size_t mark_rows = 256;                 // or when so many branches were decided since the last time
  uint64_t mark_repeat_us = 100'000;      // between records while one was not enough
  uint64_t horizon_step_us = 10'000'000;  // a horizon is logged when it has risen so far
};

class ParticipantCore final : public RoleCore {
 public:
  // For operators: a branch that waits for its decision.
  struct InDoubtBranch {
    TxnId txn;
    std::vector<Participant> participants;
    uint64_t in_doubt_us = 0;  // since this primary prepared or took it over
    size_t writes = 0;
    size_t locks = 0;
    uint32_t inquiries = 0;
  };
  struct Gauges {
    size_t branches = 0;
    size_t in_doubt = 0;
    size_t waiters = 0;
    size_t work_bytes = 0;
    size_t unreplicated_bytes = 0;
    size_t withheld = 0;
  };

  // `store` is the group's state as of its applied LSN, and outlives this.
  ParticipantCore(const ParticipantConfig& config, const StateReader& store);

  void Apply(Lsn lsn, const LogRecord& record) noexcept override;
  void Step(const Instant& now, const RoleEvent& event, RoleEffects& effects) noexcept override;
  bool IsQuiet() const override;
  uint64_t NextDeadline() const override;
  Overlay& overlay() override { return state_.overlay(); }
  void CheckInvariants() const override;

  bool serving() const { return epoch_ != Epoch{}; }
  Lsn last_lsn() const { return state_.last_lsn(); }
  std::vector<InDoubtBranch> InDoubt(
      const Instant& now) const;  // in order of id; on a backup, without the times
  // Requests that wait for locks of `txn`, which has a branch here.
  size_t BlockedBy(const TxnId& txn) const { return locks_.Has(txn) ? locks_.BlockedBy(txn) : 0; }
  Gauges gauges() const;

 private:
  // Where a withheld message stands: by record, then one for each receiver, kind of message and transaction,
  // so that repeated requests do not pile up.
  using WithheldKey = std::tuple<Lsn, GroupId, size_t, TxnId>;
  struct SeenMark {
    TxnId mark;
    uint64_t horizon_us = 0;
    uint64_t due_us = TimerQueue::kNever;  // when to log it
    size_t decided = 0;                    // branches decided since it was last logged
    uint64_t heard_us = 0;                 // when the coordinator last said anything
  };
  struct WithheldMessage {
    Message message;
    size_t bytes = 0;
  };
  struct Replies {  // to one coordinator, counted
    uint64_t said = 0;
    uint64_t asked = 0;  // whether they arrived, up to this one
    uint64_t confirmed = 0;
  };
  struct TokenId {  // a Token without its birth time
    GroupId coordinator;
    ClientId client{};
    uint64_t seq = 0;
    auto operator<=>(const TokenId&) const = default;
  };

  // ---- Events: participant.cc ----
  void OnServing(const Serving& event);
  void OnReplicated(Lsn lsn);
  void OnReceived(const Received& event);
  bool HearCoordinator(GroupId from, const TxnHeader& header);
  void HearOf(Branch& branch);
  void OnGroupEpoch(const GroupEpoch& event);
  void RestorePrepared(const TxnId& txn, const ShardState::InDoubt& in_doubt);

  // ---- Work and votes: two_phase.cc ----
  void OnOperate(const Operate& message);
  void OnPrepare(Prepare message);
  void OnDecide(const Decide& message);
  std::optional<Failure> WhyNotOpen(const TxnId& txn, const BranchId& named, bool begins) const;
  bool IsKnownCommitted(const TxnId& txn) const;
  void Vote(Branch& branch);
  void SendYes(const Branch& branch);
  void VoteNo(const TxnId& txn, const Failure& failure);
  void Acknowledge(Lsn lsn, const TxnId& txn, Decision decision);
  Lsn Settle(Branch& branch, Decision decision);
  Lsn RefuseForGood(const TxnId& txn);

  // ---- One phase: one_phase.cc ----
  void OnCommitOnePhase(CommitOnePhase message);
  void OnSettleToken(const SettleToken& message);
  bool AnswerFromRecord(const TxnId& txn, const Token& token, uint32_t attempt);
  Branch* FindLive(const Token& token);
  void Join(Branch& branch, const TxnId& txn, uint32_t attempt);
  void CommitBranch(Branch& branch);
  void FinishCommitting(Branch& branch, Lsn lsn);
  // Says no to all that asked, once it is on record. `askers` is not empty.
  void RefuseAttempts(const Token& token, uint64_t acked_below, const std::vector<TokenJoiner>& askers,
                      const Failure& failure);

  // ---- In doubt: in_doubt.cc ----
  void OnPeerInquire(GroupId from, const PeerInquire& message);
  void OnPeerOutcome(GroupId from, const PeerOutcome& message);
  void BecomeInDoubt(Branch& branch, Lsn prepared_lsn);
  void ScheduleInquiry(const Branch& branch, uint64_t around_us);
  size_t AskForDecision(Branch& branch);  // returns how many messages it took
  void AskDueInDoubt();
  void CountInquiries(size_t sent);
  void RequestWound(Branch& holder);
  void RepeatWounds();

  // ---- Time and marks: timers.cc ----
  void OnTick();
  void ExpireWork();
  bool IsLockTimeout(const Branch& branch) const;
  void AskWhetherLive(Branch& branch);
  void OnMarkNews(GroupId from, const MarkNews& news);
  void NoteMark(GroupId coordinator, const TxnId& mark, uint64_t horizon_us);
  void NoteDecided(GroupId coordinator);
  void LogMark(GroupId coordinator, SeenMark& seen);
  bool IsBelowAnyMark(const TxnId& txn) const;

  // ---- Handing over: drain.cc ----
  void OnDraining(const Draining& event);
  bool HasOpenWork() const;
  bool AreRepliesConfirmed() const;
  bool IsHeldBack(const Age& age) const;
  void AskToConfirmReplies();
  void OnRepliesConfirmed(GroupId from, const RepliesConfirmed& message);

  // ---- Branches: branches.cc ----
  Branch* FindBranch(const TxnId& txn);
  Branch& OpenBranch(const TxnHeader& header);
  void Start(Branch& branch, BranchRequest request, std::vector<Operation> operations);
  void Run(Branch& branch);
  void WaitForLock(Branch& branch);
  void FinishRequest(Branch& branch);
  void MakeRunnable(Branch& branch);
  void RunRunnable();
  // Ends a working branch and says so to whoever waits for it. The reference is gone after this,
  // and after DropBranch.
  void EndBranch(Branch& branch, const Failure& failure);
  void DropBranch(Branch& branch);
  void Remember(const TxnId& txn, Failure failure);
  void ArmWorkTimer(const Branch& branch);
  void Charge(Branch& branch);
  bool HoldsTooMuch() const;
  bool IsOverloaded() const;
  bool TakesNoWrites() const;  // the log or the store is behind: no new writes
  bool IsLogFull() const;      // further behind: no refusals either; decisions only

  // ---- Effects: branches.cc ----
  Lsn Append(LogRecord record);
  void Emit(GroupId to, Message message);
  void Withhold(Lsn lsn, GroupId to, const TxnId& txn, Message message);
  void ReportDamage(std::string text);
  uint64_t Jitter(uint64_t range_us);
  void CheckBranch(const Branch& branch) const;

  const ParticipantConfig config_;
  ShardState state_;

  // All below is the primary's memory only.
  Epoch epoch_{};  // being served; 0 = not serving
  Lsn replicated_{};
  bool draining_ = false;
  std::map<GroupId, Replies> replies_;
  uint64_t confirm_due_us_ = TimerQueue::kNever;
  uint64_t confirm_until_us_ = TimerQueue::kNever;
  LockTable locks_;
  std::map<TxnId, Branch> branches_;
  uint64_t branches_opened_ = 0;
  std::map<TokenId, TxnId> live_tokens_;  // one-phase commits that run or are being committed (C6)
  std::map<Lsn, TxnId> committing_;
  // In turn; some may have ended since. The next step does those that this one does not come to.
  std::deque<TxnId> runnable_;
  std::map<TxnId, Failure> ended_;
  std::deque<TxnId> ended_order_;
  std::map<WithheldKey, WithheldMessage> withheld_;
  size_t withheld_bytes_ = 0;
  std::deque<std::pair<Lsn, size_t>> unreplicated_;
  size_t unreplicated_bytes_ = 0;
  size_t work_bytes_ = 0;
  std::map<GroupId, SeenMark> seen_marks_;
  TimerQueue work_timers_;     // working branches: the end of a wait, or the next question
  TimerQueue inquiry_timers_;  // prepared branches
  TimerQueue wound_timers_;    // voted branches that somebody older waits for
  size_t inquiries_sent_ = 0;  // since the last pause
  uint64_t inquiry_pause_until_us_ = 0;
  uint64_t jitter_state_ = 0;

  // The step being taken.
  Instant now_;
  RoleEffects* effects_ = nullptr;
  uint64_t step_work_ = 0;  // done in it so far, against step_work_max
};

}  // namespace assent::participant
