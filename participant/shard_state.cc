#include "participant/shard_state.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"
#include "common/overloaded.h"

namespace assent::participant {
namespace {

std::string SweepKeyOf(GroupId coordinator) {
  return "sweep/" + GroupKey(coordinator);
}

// Our own bytes, so damage is a bug here: the store vouches for what it returns.
template <typename Record>
Record Decode(const Row& row) {
  auto record = DecodeRecord(row.value);
  ASSENT_CHECK(record.ok(), record.status().message());
  Record* wanted = std::get_if<Record>(&record.value());
  ASSENT_CHECK(wanted != nullptr, "a row of another record type");
  return std::move(*wanted);
}

}  // namespace

ShardState::ShardState(const StateReader& store) : overlay_(store) {
  overlay_.Scan(Table::kPrepared, {}, {}, [this](std::string_view key, const Row& row) {
    in_doubt_.emplace(ParseTxnKey(key), InDoubt{Decode<Prepared>(row), row.lsn});
    return true;
  });
  overlay_.Scan(Table::kMark, {}, {}, [this](std::string_view, const Row& row) {
    const auto record = Decode<MarkRaised>(row);
    marks_[record.mark.coordinator] = Mark{record.mark, record.horizon_us, row.lsn};
    return true;
  });
}

void ShardState::Apply(Lsn lsn, const LogRecord& record) {
  ASSENT_CHECK(last_lsn_ == Lsn{} || lsn == Next(last_lsn_), "gap in the log", last_lsn_, lsn);
  last_lsn_ = lsn;
  std::visit(Overloaded{[](const EpochBegan&) {}, [&](const Prepared& r) { ApplyPrepared(lsn, r); },
                        [&](const BranchDecided& r) { ApplyDecided(lsn, r); },
                        [&](const OnePhaseCommitted& r) { ApplyOnePhase(lsn, r); },
                        [&](const AttemptRefused& r) { ApplyRefused(lsn, r); },
                        [&](const MarkRaised& r) { ApplyMark(lsn, r); },
                        [&](const NoneOf<ShardRecord> auto&) {
                          ASSENT_CHECK(false, "a coordinator's record in a shard's log:", Describe(record));
                        }},
             record);
}

void ShardState::ApplyPrepared(Lsn lsn, const Prepared& record) {
  const bool is_new = in_doubt_.emplace(record.txn, InDoubt{record, lsn}).second;
  ASSENT_CHECK(is_new, "prepared twice", ToString(record.txn));
  overlay_.Put(Table::kPrepared, TxnKey(record.txn), EncodeRecord(record), lsn);
}

void ShardState::ApplyDecided(Lsn lsn, const BranchDecided& record) {
  const auto prepared = in_doubt_.find(record.txn);
  if (prepared != in_doubt_.end()) {
    if (record.decision == Decision::kCommit) PutWrites(lsn, prepared->second.record.writes);
    in_doubt_.erase(prepared);
    overlay_.Delete(Table::kPrepared, TxnKey(record.txn), lsn);
  } else {
    ASSENT_CHECK(record.decision == Decision::kAbort, "commit of an unknown branch", ToString(record.txn));
  }
  // C8: below the mark nothing needs to be remembered, and no later MarkRaised would look there again.
  if (IsBelowMark(record.txn)) return;
  overlay_.Put(Table::kDecided, TxnKey(record.txn), std::string(1, static_cast<char>(record.decision)), lsn);
}

void ShardState::PutWrites(Lsn lsn, const std::vector<Write>& writes) {
  for (const Write& write : writes) {
    if (write.value) {
      overlay_.Put(Table::kData, write.key, *write.value, lsn);
    } else {
      overlay_.Delete(Table::kData, write.key, lsn);
    }
  }
}

std::optional<TokenOutcome> ShardState::OutcomeOf(const Token& token, Lsn* lsn) const {
  const auto row = overlay_.Get(Table::kOutcome, OutcomeKey(token));
  if (!row) return std::nullopt;
  const auto outcome = DecodeTokenOutcome(row->value);
  ASSENT_CHECK(outcome.ok(), outcome.status().message());
  if (lsn != nullptr) *lsn = row->lsn;
  return outcome.value();
}

void ShardState::ApplyOnePhase(Lsn lsn, const OnePhaseCommitted& record) {
  PutWrites(lsn, record.writes);
  TokenOutcome outcome = OutcomeOf(record.token, nullptr).value_or(TokenOutcome{});
  ASSENT_CHECK((!outcome.committed || Mutated(Mutant::kDuplicateCommitAppliedAgain)) &&
                   (outcome.refused < record.attempt || Mutated(Mutant::kAbortedTokenRunsLater)),
               "token cannot commit", ToString(record.token));
  outcome.committed = true;
  outcome.txn = record.txn;
  outcome.content = record.content;
  outcome.birth_us = record.token.birth_us;
  overlay_.Put(Table::kOutcome, OutcomeKey(record.token), EncodeRow(outcome), lsn);
  RaiseFloor(lsn, record.token, record.acked_below);
}

void ShardState::ApplyRefused(Lsn lsn, const AttemptRefused& record) {
  TokenOutcome outcome = OutcomeOf(record.token, nullptr).value_or(TokenOutcome{});
  ASSENT_CHECK(!outcome.committed || Mutated(Mutant::kDuplicateCommitAppliedAgain),
               "refusal of a committed token", ToString(record.token));
  outcome.refused = std::max(outcome.refused, record.attempt);
  outcome.birth_us = record.token.birth_us;
  overlay_.Put(Table::kOutcome, OutcomeKey(record.token), EncodeRow(outcome), lsn);
  RaiseFloor(lsn, record.token, record.acked_below);
}

// C5: an acknowledgement raises the client's floor, and only below it are outcomes dropped.
void ShardState::RaiseFloor(Lsn lsn, const Token& token, uint64_t acked_below) {
  // The record's own token is not acknowledged yet, whatever the client says.
  const uint64_t floor = std::min(acked_below, token.seq);
  ClientFloor row;
  if (const auto old = overlay_.Get(Table::kFloor, ClientKey(token))) {
    const auto decoded = DecodeClientFloor(old->value);
    ASSENT_CHECK(decoded.ok(), decoded.status().message());
    row = decoded.value();
  }
  if (floor <= row.floor || floor <= 1) return;  // sequences start at 1: a floor of 1 says nothing
  row.floor = floor;
  row.last_birth_us = std::max(row.last_birth_us, token.birth_us);
  overlay_.Put(Table::kFloor, ClientKey(token), EncodeRow(row), lsn);

  std::vector<std::string> dropped;
  Token first = token;
  first.seq = 0;
  Token end = token;
  end.seq = floor;
  overlay_.Scan(Table::kOutcome, OutcomeKey(first), OutcomeKey(end), [&](std::string_view key, const Row&) {
    dropped.emplace_back(key);
    return dropped.size() < kSweepRowsMax;
  });
  for (std::string& key : dropped) overlay_.Delete(Table::kOutcome, std::move(key), lsn);
}

void ShardState::ApplyMark(Lsn lsn, const MarkRaised& record) {
  const GroupId coordinator = record.mark.coordinator;
  const Mark old = MarkOf(coordinator);
  // C8: neither ever falls.
  Mark raised{std::max(old.mark, record.mark), std::max(old.horizon_us, record.horizon_us), lsn};
  // Nothing stands below the old mark: it was dropped with the record that raised it. The primary chooses the
  // new one so that this range is short (BoundedMark).
  std::vector<std::string> dropped;
  overlay_.Scan(Table::kDecided, TxnKey(old.mark), TxnKey(raised.mark),
                [&](std::string_view key, const Row&) {
                  dropped.emplace_back(key);
                  return true;
                });
  for (std::string& key : dropped) overlay_.Delete(Table::kDecided, std::move(key), lsn);
  if (!Mutated(Mutant::kMarkNotLogged)) {
    overlay_.Put(Table::kMark, GroupKey(coordinator),
                 EncodeRecord(MarkRaised{raised.mark, raised.horizon_us}), lsn);
  }
  const bool rose = raised.horizon_us > old.horizon_us;
  marks_[coordinator] = raised;
  // A sweep that is under way goes on: begun anew at each rise it might never come to its end (G8). The next
  // one takes the rows that it has passed.
  if (rose && !IsSweeping(coordinator))
    overlay_.Put(Table::kMeta, SweepKeyOf(coordinator), std::string(), lsn);
  if (IsSweeping(coordinator)) SweepHorizon(lsn, coordinator, raised.horizon_us);
}

// C5. A risen horizon starts a sweep over the group's outcomes, then its floors, kSweepRowsMax rows a record.
// Its place is a row like any other, so that every replica sweeps alike: the table, then the last key seen.
// No row = no sweep.
void ShardState::SweepHorizon(Lsn lsn, GroupId coordinator, uint64_t horizon_us) {
  const std::string group = GroupKey(coordinator);
  const std::string place = overlay_.Get(Table::kMeta, SweepKeyOf(coordinator))->value;
  Table table = place.empty() ? Table::kOutcome : static_cast<Table>(place[0]);
  std::string from = place.empty() ? group : place.substr(1) + '\0';  // the key after the last one
  size_t visited = 0;
  std::string last;
  while (visited < kSweepRowsMax) {
    std::vector<std::string> dropped;
    overlay_.Scan(table, from, PrefixEnd(group), [&](std::string_view key, const Row& row) {
      uint64_t birth_us = 0;
      if (table == Table::kOutcome) {
        const auto outcome = DecodeTokenOutcome(row.value);
        ASSENT_CHECK(outcome.ok(), outcome.status().message());
        birth_us = outcome->birth_us;
      } else {
        const auto floor = DecodeClientFloor(row.value);
        ASSENT_CHECK(floor.ok(), floor.status().message());
        birth_us = floor->last_birth_us;
      }
      if (birth_us < horizon_us) dropped.emplace_back(key);
      last = key;
      return ++visited < kSweepRowsMax;
    });
    for (std::string& key : dropped) overlay_.Delete(table, std::move(key), lsn);
    if (visited >= kSweepRowsMax) break;
    if (table == Table::kFloor) {
      overlay_.Delete(Table::kMeta, SweepKeyOf(coordinator), lsn);
      return;
    }
    table = Table::kFloor;
    from = group;
  }
  overlay_.Put(Table::kMeta, SweepKeyOf(coordinator), std::string(1, static_cast<char>(table)) + last, lsn);
}

std::optional<ShardState::Decided> ShardState::DecidedOf(const TxnId& txn) const {
  const auto row = overlay_.Get(Table::kDecided, TxnKey(txn));
  if (!row) return std::nullopt;
  ASSENT_CHECK(row->value.size() == 1);
  return Decided{static_cast<Decision>(row->value[0]), row->lsn};
}

ShardState::Mark ShardState::MarkOf(GroupId coordinator) const {
  const auto found = marks_.find(coordinator);
  return found == marks_.end() ? Mark{TxnId{coordinator, Epoch{}, 0}, 0, Lsn{}} : found->second;
}

ShardState::TokenState ShardState::StateOf(const Token& token, uint32_t attempt) const {
  TokenState state;
  if (const auto outcome = OutcomeOf(token, &state.lsn)) {
    state.outcome = *outcome;
    if (outcome->committed) {
      state.fate = TokenFate::kCommitted;
      return state;
    }
    if (attempt <= outcome->refused && !Mutated(Mutant::kAbortedTokenRunsLater)) {
      state.fate = TokenFate::kRefused;
      return state;
    }
  }
  if (const Mark mark = MarkOf(token.coordinator); token.birth_us < mark.horizon_us) {
    Reached(Situation::kTokenBeforeHorizon);
    return TokenState{TokenFate::kExpired, {}, mark.lsn};
  }
  if (const auto row = overlay_.Get(Table::kFloor, ClientKey(token))) {
    const auto floor = DecodeClientFloor(row->value);
    ASSENT_CHECK(floor.ok(), floor.status().message());
    if (token.seq < floor->floor && !Mutated(Mutant::kAcknowledgedTokenRuns)) {
      Reached(Situation::kTokenBelowFloor);
      return TokenState{TokenFate::kExpired, {}, row->lsn};
    }
  }
  return state;
}

TxnId ShardState::BoundedMark(const TxnId& mark, size_t rows_max) const {
  size_t rows = 0;
  TxnId bounded = mark;
  overlay_.Scan(Table::kDecided, TxnKey(MarkOf(mark.coordinator).mark), TxnKey(mark),
                [&](std::string_view key, const Row&) {
                  if (++rows <= rows_max) return true;
                  bounded = ParseTxnKey(key);
                  return false;
                });
  return bounded;
}

bool ShardState::IsSweeping(GroupId coordinator) const {
  return overlay_.Get(Table::kMeta, SweepKeyOf(coordinator)).has_value();
}

void ShardState::CheckInvariants() const {
  size_t rows = 0;
  overlay_.Scan(Table::kPrepared, {}, {}, [&](std::string_view key, const Row& row) {
    const auto found = in_doubt_.find(ParseTxnKey(key));
    ASSENT_CHECK(found != in_doubt_.end(), "a PREPARED row that is not in memory");
    ASSENT_CHECK(EncodeRecord(found->second.record) == row.value && found->second.lsn == row.lsn);
    ++rows;
    return true;
  });
  ASSENT_CHECK(rows == in_doubt_.size(), "PREPARED rows", rows, in_doubt_.size());
  rows = 0;
  overlay_.Scan(Table::kMark, {}, {}, [&](std::string_view, const Row& row) {
    const auto record = Decode<MarkRaised>(row);
    const Mark mark = MarkOf(record.mark.coordinator);
    ASSENT_CHECK(mark.mark == record.mark && mark.horizon_us == record.horizon_us && mark.lsn == row.lsn);
    ++rows;
    return true;
  });
  ASSENT_CHECK(rows == marks_.size(), "mark rows", rows, marks_.size());
  // C8: no decided row is left below its mark.
  overlay_.Scan(Table::kDecided, {}, {}, [&](std::string_view key, const Row&) {
    ASSENT_CHECK(!IsBelowMark(ParseTxnKey(key)), "decided row below the mark");
    return true;
  });
}

}  // namespace assent::participant
