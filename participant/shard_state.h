#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/ids.h"
#include "common/overlay.h"
#include "common/records.h"
#include "common/state.h"

// The replicated state of a shard group: what its log says, and nothing else. The same records make the same
// state, to the byte, on the primary, on a backup and in recovery. It decides nothing;
// participant/participant.h decides what is appended and when a message may leave.
//
// Rows, beside user data (common/state.h, docs/FORMAT.md):
//   kPrepared  TxnKey                  the Prepared record; gone once decided
//   kDecided   TxnKey                  one byte, the Decision; also tombstones (P6) and refusals (P8)
//   kMark      GroupKey                the last MarkRaised (C8)
//   kOutcome   GroupKey + OutcomeKey   what became of a one-phase token (C6); client ids are a group's own
//   kFloor     GroupKey + ClientKey    the client's floor (C5)
//   kMeta      "sweep/" + GroupKey     where the sweep of kOutcome and kFloor for a risen horizon goes on
//
//   C8  A row of kDecided goes only with the record that raises the mark above it, so whoever has forgotten a
//       transaction also knows the mark.
//   C5  An outcome goes only below the client's floor or the horizon, both in the log.
namespace assent::participant {

// Rows that one record drops from kOutcome and kFloor at most. The rest goes with the records after it.
inline constexpr size_t kSweepRowsMax = 1024;

class ShardState {
 public:
  struct InDoubt {
    Prepared record;
    Lsn lsn{};
  };
  struct Decided {
    Decision decision{};
    Lsn lsn{};
  };
  struct Mark {
    TxnId mark;
    uint64_t horizon_us = 0;
    Lsn lsn{};
  };
  // The fate of a token's attempt, as the log tells it, and the record that says so.
  enum class TokenFate : uint8_t {
    kFresh,      // may run
    kCommitted,  // `outcome` did
    kRefused,    // this attempt, and perhaps later ones, may not commit
    kExpired,    // below the floor or the horizon: refused, and what became of it may be forgotten (C5)
  };
  struct TokenState {
    TokenFate fate = TokenFate::kFresh;
    TokenOutcome outcome;
    Lsn lsn{};
  };

  // Over the store's state as of its applied LSN. `store` outlives this.
  explicit ShardState(const StateReader& store);

  // LSNs come without gaps. A record of a coordinator group, or one that contradicts the state, is a bug.
  void Apply(Lsn lsn, const LogRecord& record);

  Lsn last_lsn() const { return last_lsn_; }  // 0 before the first Apply
  Overlay& overlay() { return overlay_; }
  const Overlay& overlay() const { return overlay_; }
  const std::map<TxnId, InDoubt>& in_doubt() const { return in_doubt_; }
  std::optional<Decided> DecidedOf(const TxnId& txn) const;
  // As appended; a promise that is made on its ground waits until its record is replicated.
  Mark MarkOf(GroupId coordinator) const;
  const std::map<GroupId, Mark>& marks() const { return marks_; }
  bool IsBelowMark(const TxnId& txn) const { return txn < MarkOf(txn.coordinator).mark; }
  TokenState StateOf(const Token& token, uint32_t attempt) const;
  // The highest mark up to `mark` that leaves at most `rows_max` rows of kDecided to be dropped
  // by its record.
  TxnId BoundedMark(const TxnId& mark, size_t rows_max) const;
  // True while rows below the horizon may be left: another MarkRaised, not necessarily a higher
  // one, drops more.
  bool IsSweeping(GroupId coordinator) const;

  // The in-memory maps equal the tables.
  void CheckInvariants() const;

 private:
  void ApplyPrepared(Lsn lsn, const Prepared& record);
  void ApplyDecided(Lsn lsn, const BranchDecided& record);
  void ApplyOnePhase(Lsn lsn, const OnePhaseCommitted& record);
  void ApplyRefused(Lsn lsn, const AttemptRefused& record);
  void ApplyMark(Lsn lsn, const MarkRaised& record);
  void PutWrites(Lsn lsn, const std::vector<Write>& writes);
  std::optional<TokenOutcome> OutcomeOf(const Token& token, Lsn* lsn) const;
  void RaiseFloor(Lsn lsn, const Token& token, uint64_t acked_below);
  void SweepHorizon(Lsn lsn, GroupId coordinator, uint64_t horizon_us);

  Overlay overlay_;
  Lsn last_lsn_{};
  std::map<TxnId, InDoubt> in_doubt_;
  std::map<GroupId, Mark> marks_;
};

}  // namespace assent::participant
