// Views, epochs and the directory: R3, R12, I-R4.

#include <gtest/gtest.h>

#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

TEST(BackupViews, NewGroupIsFoundedOnceAllMembersRegistered) {
  Replica r(1);
  r.Start({}, 0, 0);
  ASSERT_EQ(r.Take<ReadDirectory>().size(), 1U);
  r.Step(ViewRead{std::nullopt, kDirectory, {}});
  ASSERT_EQ(r.Take<Register>().size(), 1U);
  EXPECT_FALSE(r.Has<ProposeView>());

  r.Wait(kReadWaitingUs).Step(ViewRead{std::nullopt, kDirectory, {Node(1)}});
  EXPECT_FALSE(r.Has<ProposeView>());
  r.Wait(kReadWaitingUs).Step(ViewRead{std::nullopt, kDirectory, {Node(1), Node(2)}});
  const auto proposed = r.Take<ProposeView>();
  ASSERT_EQ(proposed.size(), 1U);
  EXPECT_EQ(proposed[0].view, ViewOf(1, 1, kLife, {1, 2}));
}

TEST(BackupViews, NewGroupBeginsAtTheDirectorysFirstEpoch) {  // R3
  Replica r(1);
  r.Start({}, 0, 0);
  r.Step(ViewRead{std::nullopt, kDirectory, {Node(1), Node(2)}, Epoch{1000}});
  const auto proposed = r.Take<ProposeView>();
  ASSERT_EQ(proposed.size(), 1U);
  EXPECT_EQ(proposed[0].view, ViewOf(1000, 1, kLife, {1, 2}));
}

TEST(BackupViews, OnlyTheConfiguredPrimaryFoundsTheGroup) {
  Replica r(2);
  r.Start({}, 0, 0).Read(std::nullopt);
  EXPECT_FALSE(r.Has<ProposeView>());
}

// R3: it shipped (e1, 111)=X, died before its own force, came back and would write (e1, 111)=Y.
TEST(BackupViews, RestartedPrimaryTakesAnEpochOfItsOwnFirst) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1).Read(ViewOf(1, 1, /*life=*/499, {1, 2}));
  const auto proposed = r.Take<ProposeView>();
  ASSERT_EQ(proposed.size(), 1U);
  EXPECT_EQ(proposed[0].view, ViewOf(2, 1, kLife, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kStarting);
  EXPECT_FALSE(r.Has<AppendToLog>() || r.Has<SendTo>() || r.Has<BecomePrimary>());

  r.Step(CasDone{proposed[0].view, CasOutcome::kOk});
  EXPECT_EQ(r.core.role(), Role::kStarting);  // I-R4: the epoch is not persisted yet
  ASSERT_EQ(r.Take<PersistView>().size(), 1U);
  EXPECT_FALSE(r.Has<AppendToLog>() || r.Has<SendTo>() || r.Has<BecomePrimary>());
  r.Step(ViewPersisted{Epoch{2}});
  EXPECT_EQ(r.core.role(), Role::kPrimary);
  const auto appended = r.Take<AppendToLog>();
  ASSERT_EQ(appended.size(), 1U);
  EXPECT_EQ(appended[0].entries[0].position, At(2, 2));
  EXPECT_EQ(*appended[0].entries[0].payload, EncodeRecord(EpochBegan{}));
  EXPECT_EQ(r.Sent<Ship>(2).size(), 1U);
  EXPECT_FALSE(r.core.serving());
}

TEST(BackupViews, UnansweredProposalIsRepeatedUntilTheDirectoryShowsWhichHolds) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1).Read(ViewOf(1, 1, 499, {1, 2}));
  const View proposed = r.Take<ProposeView>().at(0).view;
  r.Step(CasDone{proposed, CasOutcome::kUnknown});
  r.Take<ReadDirectory>();
  r.Read(ViewOf(1, 1, 499, {1, 2}));  // not applied, or not yet
  r.Wait(kProposalPauseMinUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, proposed);
  r.Step(CasDone{proposed, CasOutcome::kLost});  // the first one came through meanwhile
  EXPECT_FALSE(r.Has<PersistView>());
  r.Enter(proposed);
  EXPECT_EQ(r.core.role(), Role::kPrimary);
  EXPECT_EQ(r.core.epoch(), Epoch{2});
}

// A directory that cannot be written, or does not answer, is asked a few times a second and not more often.
TEST(BackupViews, ProposalThatCameToNothingIsMadeAgainAfterAPauseThatDoubles) {
  for (const CasOutcome outcome : {CasOutcome::kUnknown, CasOutcome::kFailed, CasOutcome::kLost}) {
    Replica r(1);
    const View theirs = ViewOf(1, 1, 499, {1, 2});
    r.Start({Entry(1, 1, "a")}, 0, 1).Read(theirs);
    r.Take<ReadDirectory>();
    std::vector<uint64_t> at_us;
    const uint64_t end_us = r.now_us + 20'000'000;
    size_t steps = 0;
    while (r.now_us < end_us) {
      ASSERT_LT(++steps, 1000U) << "a deadline that has passed keeps the loop spinning";
      for (const ProposeView& propose : r.Take<ProposeView>()) {
        at_us.push_back(r.now_us);
        r.Step(CasDone{propose.view, outcome, "no room"});
      }
      if (!r.Take<ReadDirectory>().empty()) r.Read(theirs);
      if (r.Has<ProposeView>()) continue;
      r.now_us = std::max(r.now_us, r.core.NextDeadline());
      r.Step(Tick{});
    }
    ASSERT_GT(at_us.size(), 8U);
    EXPECT_LT(at_us.size(), 25U);
    EXPECT_LE(at_us[1] - at_us[0], 2 * kProposalPauseMinUs) << "the first try again comes soon";
    EXPECT_GE(at_us[8] - at_us[7], kProposalPauseMaxUs / 2);
    EXPECT_LE(at_us[8] - at_us[7], 2 * kProposalPauseMaxUs);
  }
}

TEST(BackupViews, PausesOfTwoReplicasAreNotTheSame) {
  std::vector<uint64_t> deadlines;
  for (const uint64_t life : {500U, 501U}) {
    ReplicationConfig config = Replica::Config(1);
    config.life = life;
    MemoryLog log;
    ReplicationCore core(config, log);
    Effects effects;
    core.Step(1, Started{{}, {}, Epoch{1}, kDirectory}, effects);
    core.Step(1, ViewRead{ViewOf(1, 1, 499, {1, 2}), kDirectory, {Node(1), Node(2)}}, effects);
    core.Step(1, CasDone{std::get<ProposeView>(effects.back()).view, CasOutcome::kUnknown}, effects);
    core.Step(1, ViewRead{ViewOf(1, 1, 499, {1, 2}), kDirectory, {Node(1), Node(2)}}, effects);
    deadlines.push_back(core.NextDeadline());
  }
  EXPECT_NE(deadlines[0], deadlines[1]);
}

// R3: bound by what it proposed until it knows better, which it does where nothing was made.
TEST(BackupViews, ProposalThatSurelyFailedDoesNotBindUnlessAnEarlierTryMay) {
  for (const bool unknown_before : {false, true}) {
    Replica r(1);
    r.silent = {2};
    r.Lead(ViewOf(2, 1, kLife, {1, 2}), {Entry(1, 1, "a")});
    while (!r.Has<ProposeView>()) {
      r.Wait(kBeaconUs);
      if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
    }
    View proposed = r.Take<ProposeView>().at(0).view;
    if (unknown_before) {
      r.Step(CasDone{proposed, CasOutcome::kUnknown});
      r.Take<ReadDirectory>();
      r.Read(*r.core.view());
      r.Wait(kProposalPauseMinUs);
      proposed = r.Take<ProposeView>().at(0).view;
    }
    r.Step(CasDone{proposed, CasOutcome::kFailed, "no room"});
    if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
    // The backup is back: nothing need be proposed any more, unless it was.
    r.silent.clear();
    r.Receive(2, 2, BeaconAck{r.now_us, 0, Node(2).incarnation});
    for (int i = 0; i < 100; ++i) {
      r.Wait(kBeaconUs);
      if (!r.Take<ReadDirectory>().empty()) r.Read(*r.core.view());
    }
    EXPECT_EQ(r.Has<ProposeView>(), unknown_before);
  }
}

TEST(BackupViews, DirectoryThatCannotBeReadIsAskedAfterAPauseWhateverComes) {
  Replica r(2);
  r.Start({Entry(1, 1, "a")}, 1, 1).Enter(ViewOf(2, 1, kLife, {1, 2}));
  r.Clear();
  r.Step(PeerEpoch{NodeId{1}, Epoch{3}});
  EXPECT_EQ(r.Take<ReadDirectory>().size(), 1U);
  r.Step(ViewUnread{});
  for (int i = 0; i < 10; ++i) r.Step(PeerEpoch{NodeId{1}, Epoch{3}});
  EXPECT_FALSE(r.Has<ReadDirectory>());
  EXPECT_LE(r.core.NextDeadline(), r.now_us + kReadWaitingUs);
  r.Wait(kReadWaitingUs);
  EXPECT_EQ(r.Take<ReadDirectory>().size(), 1U);
}

TEST(BackupViews, AnEarlierLifesLateProposalIsNotTakenForOurs) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1).Read(ViewOf(1, 1, 499, {1, 2}));
  const View ours = r.Take<ProposeView>().at(0).view;
  r.Step(CasDone{ours, CasOutcome::kLost});
  r.Take<ReadDirectory>();
  r.Read(ViewOf(2, 1, /*life=*/499, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kStarting);
  // R5: a life between that one and ours may have answered the old primary's beacons meanwhile.
  const uint64_t read_us = r.now_us;
  while (!r.Has<ProposeView>()) {
    r.Wait(kBeaconUs);
    if (!r.Take<ReadDirectory>().empty()) r.Read(ViewOf(2, 1, /*life=*/499, {1, 2}));
    ASSERT_LE(r.now_us, read_us + 2 * kGraceUs);
  }
  EXPECT_GE(r.now_us, read_us + kGraceUs);
  EXPECT_EQ(r.Take<ProposeView>().at(0).view, ViewOf(3, 1, kLife, {1, 2}));
}

// R3: only with the durable identity that the view names.
TEST(BackupViews, AnotherDataDirectoryIsALearnerEvenWhereTheNodeIsNamedPrimary) {
  View view = ViewOf(3, 1, 499, {1, 2});
  view.members[0].incarnation = Incarnation{999};
  Replica r(1);
  r.Start({}, 0, 0).Enter(view);
  EXPECT_EQ(r.core.role(), Role::kLearner);
  EXPECT_FALSE(r.Has<ProposeView>() || r.Has<AppendToLog>());
}

TEST(BackupViews, MemberFollowsAndStrangerLearns) {
  Replica backup(2);
  backup.Start({}, 0, 0).Enter(ViewOf(1, 1, 499, {1, 2}));
  EXPECT_EQ(backup.core.role(), Role::kBackup);
  Replica stranger(3);
  stranger.Start({}, 0, 0).Enter(ViewOf(1, 1, 499, {1, 2}));
  EXPECT_EQ(stranger.core.role(), Role::kLearner);
}

// I-R4
TEST(BackupViews, EpochIsPersistedBeforeItIsActedIn) {
  Replica r(2);
  r.Start({}, 0, 0).Read(ViewOf(1, 1, 499, {1, 2}));
  EXPECT_TRUE(r.Has<PersistView>());
  EXPECT_FALSE(r.Has<BecomeFollower>());
  EXPECT_EQ(r.core.epoch(), Epoch{});
  r.Step(ViewPersisted{Epoch{1}});
  EXPECT_TRUE(r.Has<BecomeFollower>());
  EXPECT_EQ(r.core.epoch(), Epoch{1});
}

// R12
// R3: files that were put back from an older copy.
TEST(BackupViews, MemberThatLacksWhatWasConfirmedOfItHalts) {
  for (const uint32_t primary : {1U, 2U}) {
    Replica r(1);
    r.confirmed = At(1, 3);
    r.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, 0, 1).Read(ViewOf(1, primary, 499, {1, 2}));
    EXPECT_EQ(r.core.role(), Role::kHalted);
    EXPECT_FALSE(r.Has<ProposeView>());
    const auto halted = r.Take<Halt>();
    ASSERT_EQ(halted.size(), 1U);
    EXPECT_NE(halted[0].text.find("older than what n1 confirmed before"), std::string::npos)
        << halted[0].text;
  }
  Replica other(1);  // a longer tail, which was cut since (R4)
  other.confirmed = At(2, 2);
  other.Start({Entry(1, 1, "a"), Entry(1, 2, "b"), Entry(1, 3, "c")}, 0, 2).Read(ViewOf(2, 2, 499, {1, 2}));
  EXPECT_EQ(other.core.role(), Role::kHalted);
  Replica whole(1);
  whole.confirmed = At(1, 2);
  whole.Start({Entry(1, 1, "a"), Entry(1, 2, "b")}, 0, 1).Read(ViewOf(1, 2, 499, {1, 2}));
  EXPECT_NE(whole.core.role(), Role::kHalted);
  for (const uint64_t confirmed : {0U, 1U, 2U}) {  // what lies below the log's base is in the store
    Replica trimmed(1);
    if (confirmed != 0) trimmed.confirmed = At(1, confirmed);
    for (const char* value : {"a", "b"}) trimmed.log.Append(Entry(1, Raw(trimmed.log.last().lsn) + 1, value));
    trimmed.log.Trim(Lsn{2});
    trimmed.Start({Entry(1, 3, "c")}, 2, 1).Read(ViewOf(1, 2, 499, {1, 2}));
    EXPECT_NE(trimmed.core.role(), Role::kHalted) << confirmed;
  }
}

// R6: it may have begun again with a snapshot from below; it has all of it again when it is taken in.
TEST(BackupViews, LearnerOwesItOnceItIsNamed) {
  Replica r(1);
  r.confirmed = At(1, 3);
  r.Start({Entry(1, 1, "a")}, 0, 2).Read(ViewOf(2, 2, 499, {2}));
  EXPECT_EQ(r.core.role(), Role::kLearner);
  r.Wait(kReadSettledUs).Read(ViewOf(3, 2, 499, {1, 2}));  // older files all the same
  EXPECT_EQ(r.core.role(), Role::kHalted);
}

TEST(BackupViews, DirectoryRestoredFromACopyHaltsTheReplica) {
  Replica r(1);
  r.Start({Entry(4, 1, "a")}, 0, 5).Read(ViewOf(4, 1, 499, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kHalted);
  EXPECT_TRUE(r.Has<Halt>());
  EXPECT_FALSE(r.Has<ProposeView>());
}

TEST(BackupViews, EmptiedDirectoryHaltsTheReplica) {
  Replica r(1);
  r.Start({Entry(4, 1, "a")}, 0, 4).Read(std::nullopt);
  EXPECT_EQ(r.core.role(), Role::kHalted);
}

TEST(BackupViews, LogAboveTheDirectoryHaltsTheReplicaEvenWithoutAPersistedEpoch) {
  Replica r(1);
  r.Start({Entry(4, 1, "a")}, 0, 0).Read(ViewOf(3, 1, 499, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kHalted);
}

TEST(BackupViews, AnotherDirectoryHaltsTheReplica) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1);
  r.Step(ViewRead{ViewOf(1, 1, 499, {1, 2}), Incarnation{78}, {}});
  EXPECT_EQ(r.core.role(), Role::kHalted);
  EXPECT_FALSE(r.Has<ProposeView>());
}

TEST(BackupViews, TwoViewsUnderOneEpochHaltTheReplica) {
  Replica r(1);
  r.Lead(ViewOf(2, 1, kLife, {1, 2}), {Entry(1, 1, "a")});
  r.Wait(kReadSettledUs);
  r.Read(ViewOf(2, 2, 499, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kHalted);
}

TEST(BackupViews, StoreAheadOfTheLogHaltsTheReplica) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 2, 1);
  EXPECT_EQ(r.core.role(), Role::kHalted);
}

TEST(BackupViews, DeposedPrimaryFollows) {
  Replica r(1);
  r.Lead(ViewOf(2, 1, kLife, {1, 2}), {Entry(1, 1, "a")});
  r.Step(PeerEpoch{NodeId{2}, Epoch{3}});
  ASSERT_TRUE(r.Has<ReadDirectory>());
  r.Enter(ViewOf(3, 2, 499, {1, 2}));
  EXPECT_EQ(r.core.role(), Role::kBackup);
  EXPECT_FALSE(r.core.serving());
  EXPECT_TRUE(r.Has<BecomeFollower>());
}

TEST(BackupViews, UnreachableDirectoryIsAskedAgain) {
  Replica r(1);
  r.Start({Entry(1, 1, "a")}, 0, 1);
  r.Take<ReadDirectory>();
  r.Step(ViewUnread{});
  EXPECT_FALSE(r.Has<ReadDirectory>());
  r.Wait(kReadWaitingUs);
  EXPECT_TRUE(r.Has<ReadDirectory>());
}

}  // namespace
}  // namespace assent::backup
