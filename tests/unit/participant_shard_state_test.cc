// The state that records leave at a shard: C5, C8.
#include <gtest/gtest.h>

#include "participant/shard_state.h"
#include "participant_testing.h"

namespace assent::participant {
namespace {

using Fate = ShardState::TokenFate;

class ParticipantState : public testing::Test {
 protected:
  Lsn Apply(const LogRecord& record) {
    lsn_ = Next(lsn_);
    state_.Apply(lsn_, record);
    state_.CheckInvariants();
    return lsn_;
  }
  std::optional<Row> Data(const std::string& key) const { return state_.overlay().Get(Table::kData, key); }
  static Prepared PreparedOf(uint64_t seq) {
    Prepared record;
    record.txn = Txn(seq);
    record.writes = {{"a", "new"}, {"b", std::nullopt}};
    return record;
  }
  static OnePhaseCommitted OnePhaseOf(uint64_t seq, uint64_t acked_below = 0) {
    return OnePhaseCommitted{Txn(seq), TokenOf(seq), 1, 99, acked_below, {{"k" + std::to_string(seq), "v"}}};
  }

  MapState store_;
  ShardState state_{store_};
  Lsn lsn_{};
};

TEST_F(ParticipantState, CommitWritesWhatWasPreparedWithItsOwnLsn) {
  store_.Put(Table::kData, "b", "old", Lsn{1});
  Apply(PreparedOf(1));
  EXPECT_EQ(Data("a"), std::nullopt);
  const Lsn lsn = Apply(BranchDecided{Txn(1), Decision::kCommit});
  EXPECT_EQ(Data("a"), (Row{"new", lsn}));
  EXPECT_EQ(Data("b"), std::nullopt);
  EXPECT_TRUE(state_.in_doubt().empty());
  EXPECT_EQ(state_.DecidedOf(Txn(1))->decision, Decision::kCommit);
  EXPECT_EQ(state_.DecidedOf(Txn(1))->lsn, lsn);
}

TEST_F(ParticipantState, AbortWritesNothing) {
  Apply(PreparedOf(1));
  Apply(BranchDecided{Txn(1), Decision::kAbort});
  Apply(BranchDecided{Txn(2), Decision::kAbort});  // a tombstone
  EXPECT_EQ(Data("a"), std::nullopt);
  EXPECT_EQ(state_.DecidedOf(Txn(1))->decision, Decision::kAbort);
  EXPECT_EQ(state_.DecidedOf(Txn(2))->decision, Decision::kAbort);
}

TEST_F(ParticipantState, OpenPreparedRecordsAreInTheSnapshot) {  // R13
  Apply(PreparedOf(1));
  MapState snapshot;
  snapshot.Apply(state_.overlay().Collect(lsn_));
  const ShardState restored(snapshot);
  ASSERT_EQ(restored.in_doubt().size(), 1u);
  EXPECT_EQ(restored.in_doubt().at(Txn(1)).record, PreparedOf(1));
  EXPECT_EQ(restored.in_doubt().at(Txn(1)).lsn, lsn_);
}

TEST_F(ParticipantState, TokenHasOneFate) {  // C5, C6
  EXPECT_EQ(state_.StateOf(TokenOf(1), 1).fate, Fate::kFresh);
  const Lsn refused = Apply(AttemptRefused{TokenOf(1), 2, 0});
  EXPECT_EQ(state_.StateOf(TokenOf(1), 2).fate, Fate::kRefused);
  EXPECT_EQ(state_.StateOf(TokenOf(1), 2).lsn, refused);
  EXPECT_EQ(state_.StateOf(TokenOf(1), 3).fate, Fate::kFresh);
  OnePhaseCommitted commit = OnePhaseOf(1);
  commit.attempt = 3;
  const Lsn committed = Apply(commit);
  EXPECT_EQ(state_.StateOf(TokenOf(1), 1).fate, Fate::kCommitted) << "for each attempt";
  EXPECT_EQ(state_.StateOf(TokenOf(1), 9).lsn, committed);
  EXPECT_EQ(state_.StateOf(TokenOf(1), 9).outcome.txn, Txn(1));
  EXPECT_EQ(state_.StateOf(TokenOf(1), 9).outcome.content, 99u);
}

TEST_F(ParticipantState, TokensOfOtherClientsAndGroupsAreOthers) {
  Apply(OnePhaseOf(1));
  EXPECT_EQ(state_.StateOf(TokenOf(1, 8), 1).fate, Fate::kFresh);
  Token other = TokenOf(1);
  other.coordinator.number = 2;
  EXPECT_EQ(state_.StateOf(other, 1).fate, Fate::kFresh);
}

TEST_F(ParticipantState, FloorDropsAllOutcomesBelow) {  // C5
  for (uint64_t seq = 1; seq <= 3; ++seq) Apply(OnePhaseOf(seq));
  Apply(OnePhaseOf(4, 3));
  EXPECT_EQ(state_.StateOf(TokenOf(1), 1).fate, Fate::kExpired);
  EXPECT_EQ(state_.StateOf(TokenOf(2), 1).fate, Fate::kExpired);
  EXPECT_EQ(state_.StateOf(TokenOf(3), 1).fate, Fate::kCommitted);
  Apply(OnePhaseOf(5, 2));
  EXPECT_EQ(state_.StateOf(TokenOf(2), 1).fate, Fate::kExpired) << "it does not fall";
}

TEST_F(ParticipantState, MarkDropsDecidedRowsBelowWithTheSameRecord) {  // C8
  for (uint64_t seq = 1; seq <= 3; ++seq) Apply(BranchDecided{Txn(seq), Decision::kAbort});
  const Lsn lsn = Apply(MarkRaised{Txn(3), 0});
  EXPECT_FALSE(state_.DecidedOf(Txn(2)).has_value());
  EXPECT_TRUE(state_.DecidedOf(Txn(3)).has_value());
  EXPECT_EQ(state_.MarkOf(kC1).lsn, lsn);
  // One SQLite transaction: whoever sees the rows gone sees the mark.
  for (const Mutation& change : state_.overlay().Collect(lsn)) {
    const bool dropped = change.table == Table::kDecided && !change.value;
    EXPECT_TRUE(change.lsn == lsn || (!dropped && change.table != Table::kMark));
  }
}

TEST_F(ParticipantState, MarkAndHorizonNeverFall) {  // C8, C5
  Apply(MarkRaised{Txn(5), 1'000});
  Apply(MarkRaised{Txn(3), 500});
  EXPECT_EQ(state_.MarkOf(kC1).mark, Txn(5));
  EXPECT_EQ(state_.MarkOf(kC1).horizon_us, 1'000u);
  EXPECT_TRUE(state_.IsBelowMark(Txn(4)));
  EXPECT_FALSE(state_.IsBelowMark(Txn(5)));
}

// G8: what expires goes in the end, although the horizon rises again before a sweep is through.
TEST_F(ParticipantState, SweepEndsThoughTheHorizonGoesOnRising) {  // C5
  const auto outcome = [&](uint64_t client, uint64_t birth_us) {
    OnePhaseCommitted record = OnePhaseOf(1);
    record.txn = Txn(client);
    record.token = TokenOf(1, client, birth_us);
    Apply(record);
  };
  for (uint64_t client = 1; client <= 3 * kSweepRowsMax; ++client) outcome(client, 1'000'000);  // young
  for (uint64_t client = 1; client <= 10; ++client) {
    outcome(100'000 + client, 1);
    OnePhaseCommitted record = OnePhaseOf(5, 5);
    record.token = TokenOf(5, 100'000 + client, 1);
    record.txn = Txn(200'000 + client);
    Apply(record);
  }
  for (uint64_t rises = 0; rises < 40; ++rises) Apply(MarkRaised{TxnId{kC1, Epoch{1}, 0}, 100 + rises});
  for (uint64_t client = 100'001; client <= 100'010; ++client) {
    EXPECT_FALSE(state_.overlay().Get(Table::kOutcome, OutcomeKey(TokenOf(5, client))));
    EXPECT_FALSE(state_.overlay().Get(Table::kFloor, ClientKey(TokenOf(5, client))));
  }
  EXPECT_TRUE(state_.overlay().Get(Table::kOutcome, OutcomeKey(TokenOf(1, 1))));
}

TEST_F(ParticipantState, BoundedMarkLeavesFewRowsToDrop) {
  for (uint64_t seq = 1; seq <= 10; ++seq) Apply(BranchDecided{Txn(seq), Decision::kAbort});
  EXPECT_EQ(state_.BoundedMark(Txn(20), 4), Txn(5));
  EXPECT_EQ(state_.BoundedMark(Txn(20), 10), Txn(20));
  EXPECT_EQ(state_.BoundedMark(Txn(3), 4), Txn(3));
}

using ParticipantStateDeathTest = ParticipantState;

TEST_F(ParticipantStateDeathTest, ContradictionsAreBugs) {
  EXPECT_DEATH(Apply(BranchDecided{Txn(1), Decision::kCommit}), "unknown branch");
  Apply(PreparedOf(1));
  EXPECT_DEATH(Apply(PreparedOf(1)), "prepared twice");
  Apply(OnePhaseOf(2));
  EXPECT_DEATH(Apply(OnePhaseOf(2)), "token cannot commit");
  EXPECT_DEATH(Apply(AttemptRefused{TokenOf(2), 1, 0}), "refusal of a committed token");
}

}  // namespace
}  // namespace assent::participant
