#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/mutant.h"
#include "common/overlay.h"
#include "common/placement.h"
#include "common/role.h"
#include "coordinator/config.h"
#include "coordinator/inspect.h"
#include "coordinator/marks.h"
#include "coordinator/resends.h"
#include "coordinator/tokens.h"
#include "coordinator/transaction.h"

namespace assent::coordinator {

// The coordinator's half of two-phase commit with presumed abort (Mohan, Lindsay and Obermarck 1986) as a
// deterministic state machine. It owns the commit decisions of its group, transaction ids and ages, and
// client tokens. It holds no data, grants no locks and does no I/O. States of a transaction: transaction.h.
//
// Guarantees (CheckInvariants() here; across nodes, the simulator's checkers):
//   C1   A commit decision leaves, for a client or a participant, only after its COMMIT record is
//        replicated; once the record is appended the transaction cannot abort.
//   C2   The client is answered as soon as C1 holds.
//   C3   Presumed abort: a transaction that is not known here is aborted, unless its epoch is above ours.
//   C4   COMMIT is kept until each of its participants acknowledged; then END is appended.
//   C5   A token takes effect once: recorded outcomes are returned, live ones joined; no ended attempt runs.
//   C6   One participant decides by itself; ABORTED is said of it only if it said so.
//   C7   Each send is repeated with backoff within a budget a participant; waiting has an end.
//   C8   Marks: see marks.h.
//   F1, F2, F4  A resource manager that was enlisted reports its vote, or the transaction aborts. Its branch
//        is left to the application for a while, and then ended.
//   P2   A wound aborts a transaction unless COMMIT is appended.
//   I-X2 Ids are (group, epoch, sequence from 1), and an epoch belongs to one process lifetime.
class CoordinatorCore final : public RoleCore {
 public:
  // `store` is the group's state as of its applied LSN; it must outlive this.
  CoordinatorCore(const CoordinatorConfig& config, const Placement& placement, const StateReader& store);
  CoordinatorCore(const CoordinatorCore&) = delete;
  CoordinatorCore& operator=(const CoordinatorCore&) = delete;

  void Apply(Lsn lsn, const LogRecord& record) noexcept override;
  void Step(const Instant& now, const RoleEvent& event, RoleEffects& effects) noexcept override;
  bool IsQuiet() const override {
    return marks_.live().empty() && pending_aborts_.empty() && finish_waits_.empty();
  }
  uint64_t NextDeadline() const override;
  Overlay& overlay() override { return overlay_; }
  void CheckInvariants() const override;

  // ---- For operators: undecided and unended transactions, oldest first ----
  std::vector<TxnInfo> ListTransactions(size_t count_max) const;
  std::optional<TxnInfo> FindTransaction(const TxnId& txn) const;
  const CoordinatorStats& stats() const { return stats_; }
  size_t live_count() const { return marks_.live().size(); }
  size_t unended_count() const { return unended_; }

 private:
  using Transactions = std::map<TxnId, Transaction>;
  using TokenKey = std::pair<ClientId, uint64_t>;

  struct Census;
  void CheckTransaction(const Transaction& txn, Census& census) const;

  // How an interactive transaction ended, to tell its late calls. Bounded, and lost with the process.
  struct RecentEnding {
    Age age;
    Outcome outcome = Outcome::kAborted;
    AbortReason reason = AbortReason::kNone;
    std::string detail;
    uint64_t content = 0;  // of its commit request
  };
  // A resource manager by name: also one that is not configured any more, if a decision names it.
  struct Manager {
    size_t open = 0;  // branches there, of any state before kAcknowledged
    // Its last commits that it acknowledged here, and when.
    std::map<TxnId, uint64_t> acknowledged;
    std::deque<TxnId> acknowledged_order;
    std::string trouble;  // what it said last, if that was no answer
    // When the next report may say that it does not answer, by what it was asked for, and that it answers
    // something that cannot be.
    std::map<ForeignVerb, uint64_t> next_silence_report_us;
    uint64_t next_contradiction_report_us = 0;
    // The scan for what it holds in doubt.
    uint64_t next_scan_us = UINT64_MAX;  // never: not configured, or not served here
    bool scanning = false;
    uint64_t scan_begun_us = 0;
    TxnId asked_up_to;       // by the last scan that found more than it might ask about
    std::set<TxnId> listed;  // by the last scan, of this epoch
  };
  struct ShardLink {
    Epoch epoch{};
    TxnId mark_sent;
    uint64_t horizon_sent = 0;
    uint64_t last_sent_us = 0;
  };

  // ---- coordinator.cc: the two entrances and what all parts use ----
  void OnServing(const Serving& event);
  void OnDraining(const Draining& event);
  void OnReplicated(const Replicated& event);
  void OnReceived(const Received& event);
  void OnGroupEpoch(const GroupEpoch& event);
  void ApplyCommitted(Lsn lsn, const Committed& record);
  void ApplyEnded(Lsn lsn, const Ended& record);
  Lsn AppendRecord(LogRecord record);
  void AnswerCall(RequestId id, ClientReply reply);
  void Refuse(RequestId id, RefusalCode code, std::string detail);
  void AnswerAborted(RequestId id, Ending ending);
  void AbortWaiters(Transaction& txn, const Ending& ending);
  void AnswerWaiters(Transaction& txn, const ClientReply& reply);
  void AddWaiter(Transaction& txn, RequestId id, uint64_t wait_finished_us);
  void SendShard(GroupId to, Message message);
  TxnHeader HeaderFor(const Transaction& txn, GroupId to) const;
  TxnHeader BareHeader(const TxnId& txn, GroupId to) const;
  TxnId NextId() const {
    return TxnId{config_.group, Mutated(Mutant::kIdsRestart) ? Epoch{1} : epoch_, next_seq_};
  }
  void StartClock();
  uint64_t GroupClock() const { return now_.mono_us + clock_offset_us_; }
  uint64_t ToldHorizon() const;
  uint64_t KeyOf(const TxnId& txn) const;
  Transaction* Find(const TxnId& txn);
  static Branch* BranchAt(Transaction& txn, const ParticipantId& participant);
  void SetDeadline(Transaction& txn, uint64_t at_us);
  void AddBytes(Transaction& txn, size_t bytes);
  void DropBytes(Transaction& txn);

  // ---- clients.cc: calls, admission, tokens ----
  void OnClientCall(const ClientCall& call);
  void OnClientGone(const ClientGone& event);
  void OnOpenSession(RequestId id);
  void OnExecute(RequestId id, const Execute& request);
  void OnBegin(RequestId id, const Begin& request);
  void OnWork(RequestId id, const Work& request);
  void OnCommit(RequestId id, const Commit& request);
  void OnRollback(RequestId id, const Rollback& request);
  Transaction* FindOpen(RequestId id, const TxnId& txn, uint64_t key);
  void RefuseBusy(RequestId id, const Transaction& txn);
  bool IsOwner(const TxnId& txn, uint64_t key) const;
  void RefuseWork(RequestId id, const Transaction& txn, RefusalCode code, std::string detail);
  void CommitOfUnknown(RequestId id, const Commit& request, uint64_t content);
  std::optional<std::string> ProblemOfTag(const CommitTag& tag) const;
  void RefuseEpoch(RequestId id, Epoch sent_to);
  bool AnsweredByToken(RequestId id, const CommitTag& tag, uint64_t content, uint64_t wait_finished_us = 0);
  void AnswerCommitted(RequestId id, Ending ending, uint64_t wait_finished_us);
  void Join(RequestId id, Transaction& txn, const CommitTag& tag, uint64_t content,
            uint64_t wait_finished_us);
  std::optional<std::string> Overload(size_t bytes) const;
  std::optional<std::string> ForeignOverload(const std::string& name) const;
  bool RefusedAdmission(RequestId id, size_t bytes, const CommitTag* tag,
                        const std::vector<ForeignWork>& foreign = {});
  Age AgeFor(const TxnId& txn, const Age& retry_of) const;
  Transaction& NewTransaction(const Age& retry_of);
  void AdoptTag(Transaction& txn, RequestId id, const CommitTag& tag, uint64_t content,
                uint64_t wait_finished_us = 0);
  void AddForeign(Transaction& txn, const std::vector<ForeignWork>& foreign);
  void StartCommit(Transaction& txn, const Commit& request);
  void RefuseAttempt(const Token& token, uint32_t attempt, uint64_t acked_below);
  void Remember(const Transaction& txn, Outcome outcome, AbortReason reason, const std::string& detail);

  // ---- enlist.cc: what the application does at resource managers itself ----
  void OnEnlist(RequestId id, const Enlist& request);
  void OnKeepAlive(RequestId id, const KeepAlive& request);
  void OnFinished(RequestId id, const Finished& request);
  std::optional<std::string> ProblemOfFinished(const Finished& request, const Transaction& txn) const;
  bool RefusedEnlisting(RequestId id, const TxnId& txn, const std::set<std::string>& enlisted,
                        const std::vector<std::string>& names);
  void EnlistIn(Transaction& txn, const std::string& name);
  void KeepOpen(Transaction& txn);
  bool IsLeftToApplication(const Transaction& txn, const Branch& branch) const;
  void HoldUntilFinished(RequestId id, Transaction& txn, Ending ending, uint64_t wait_us);
  void AnswerFinishWaiter(RequestId id, bool finished);
  void AnswerFinishWaiters(Transaction& txn, bool finished);
  void ExpireFinishWaits();

  // ---- phase_one.cc: work, votes, and how they end ----
  void AskBranches(Transaction& txn);  // sends each branch that is kAsked what its state asks for
  void Ask(Transaction& txn, Branch& branch);
  void SendBranch(Transaction& txn, Branch& branch);
  void StartPreparing(Transaction& txn);
  bool AskForVotes(Transaction& txn);  // false: all have voted
  std::string NoAnswerFrom(const Branch& branch, const char* what) const;
  void OnOperateReply(GroupId from, const OperateReply& reply);
  void OnBranchAborted(GroupId from, const BranchAborted& message);
  void OnVoteReply(GroupId from, const VoteReply& reply);
  void TakeVote(Transaction& txn, Branch& branch, Vote vote, AbortReason reason, const std::string& detail);
  bool KeepResults(Transaction& txn, Branch& branch, const std::vector<OperationResult>& results);
  std::optional<std::vector<OperationResult>> MergedResults(Transaction& txn) const;
  void FinishIfAllAnswered(Transaction& txn);
  void DecideCommit(Transaction& txn);
  void Abort(Transaction& txn, AbortReason reason, const std::string& detail);
  void Close(Transaction& txn);  // no longer live: token, age, deadline, resends, bytes
  void Erase(const TxnId& id);

  // ---- one_phase.cc: C6 ----
  void StartOnePhase(Transaction& txn);
  void OnOnePhaseReply(GroupId from, const OnePhaseReply& reply);
  void StartSettling(RequestId id, const Commit& request, uint64_t content);
  void AskNextToSettle(Transaction& txn);
  void TakeRefusalOf(Transaction& txn, Branch& branch, const OnePhaseReply& reply);
  void TellUnknown(Transaction& txn, AbortReason reason, const std::string& detail);
  void GiveUpOnShards(Transaction& txn);

  // ---- phase_two.cc: decisions told and asked for ----
  void BecomePhaseTwo(Transaction& txn);
  void OnDecideAck(GroupId from, const DecideAck& ack);
  void Acknowledge(Transaction& txn, Branch& branch);
  void OnInquire(GroupId from, const Inquire& inquire);
  void OnWoundRequest(GroupId from, const WoundRequest& request);

  // ---- foreign.cc ----
  void OnForeignReply(const ForeignReply& reply);
  void OnForeignVote(Transaction& txn, Branch& branch, const ForeignReply& reply);
  void OnRecovered(const ForeignReply& reply);
  void CallForeignFor(Transaction& txn, Branch& branch);
  static bool IsSettled(const Transaction& txn, const Branch& branch, const ForeignReply& reply);
  void ReportSilence(Manager& manager, const ForeignReply& reply);
  bool ReportContradiction(Manager& manager, const std::string& name, const std::string& what);
  void RememberAcknowledged(const std::string& name, const TxnId& txn);
  void CountOpen(const Branch& branch, int change);
  void CountOpen(const std::string& name, int change);

  // ---- timers.cc ----
  void OnTick();
  void ExpireDeadlines();
  std::string MissingOf(const Transaction& txn, const char* what) const;
  void ResendDue();
  void TellMarks();
  void RaiseHorizon();
  void ScanForeign();
  uint64_t NextHorizon() const;
  uint64_t NextMarkNews() const;

  const CoordinatorConfig config_;
  const Placement placement_;
  Overlay overlay_;
  Tokens tokens_;

  // Replicated state, by the records applied so far.
  Transactions transactions_;  // kPhaseTwo ones come from the log; all others are this process' own
  Lsn last_lsn_{};
  size_t unended_ = 0;            // kCommitting and kPhaseTwo
  size_t unended_at_shards_ = 0;  // of these, those that some shard has not acknowledged
  std::map<std::string, Manager> managers_;

  // The primary's own. Set by Serving.
  bool serving_ = false;
  bool draining_ = false;
  Epoch epoch_{};
  uint64_t next_seq_ = 1;
  uint64_t next_client_ = 1;
  Lsn replicated_{};
  uint64_t clock_offset_us_ = 0;        // modulo 2^64: from mono time to the group's clock
  uint64_t replicated_horizon_us_ = 0;  // the last whose record is replicated: shards act on it for good (R1)
  std::deque<std::pair<Lsn, uint64_t>> pending_horizons_;
  std::deque<std::pair<Lsn, TxnId>> pending_commits_;  // in LSN order
  struct PendingAnswer {
    Lsn after{};
    RequestId id{};
    ClientReply reply;
  };
  std::deque<PendingAnswer> pending_aborts_;  // in LSN order: ABORTED, until its AttemptRefused is replicated
  Lsn last_refusal_{};
  std::deque<std::pair<Lsn, TxnId>> pending_ends_;  // in LSN order
  std::set<TxnId>
      ending_;  // those of pending_ends_: should END be lost, they are committed and unended again
  Marks marks_;
  Resends resends_;
  std::set<std::pair<uint64_t, TxnId>> deadlines_;
  std::set<Age> ages_;  // of undecided transactions
  std::map<TokenKey, TxnId> live_tokens_;
  std::multiset<uint64_t> live_births_;  // of live_tokens_
  struct OpenCall {
    TxnId txn;
    uint64_t wait_finished_us = 0;
    uint64_t arrived_us = 0;  // mono
  };
  std::map<RequestId, OpenCall> calls_;  // those that wait for a transaction
  // Calls that would be told COMMITTED, and wait for the end of phase two, or for so long.
  struct FinishWait {
    TxnId txn;
    uint64_t until_us = 0;
    Ending ending;
  };
  std::map<RequestId, FinishWait> finish_waits_;
  std::set<std::pair<uint64_t, RequestId>> finish_deadlines_;
  std::map<TxnId, RecentEnding> recent_;
  std::deque<TxnId> recent_order_;
  std::map<GroupId, ShardLink> links_;
  uint64_t next_horizon_check_us_ = 0;
  size_t bytes_ = 0;
  size_t aborting_ = 0;
  CoordinatorStats stats_;

  // The step that runs.
  Instant now_;
  RoleEffects* effects_ = nullptr;
};

}  // namespace assent::coordinator

namespace assent {
using coordinator::CoordinatorCore;
}  // namespace assent
