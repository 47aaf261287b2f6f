// One test for each rule that the driver could break though the cores keep it. Each was seen to fail with the
// rule broken in runtime/.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "participant/participant.h"
#include "sim/world.h"

namespace assent::sim {
namespace {

constexpr GroupId kC9{GroupKind::kCoordinator, 9};  // the test itself
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr NodeId kN1{1}, kN2{2}, kN3{3}, kN9{9};
constexpr uint64_t kMs = 1'000;
constexpr uint64_t kSecond = 1'000'000;

// s1 on n1 (primary) and n2, n3 a learner; the test speaks for its coordinator.
class DriverOfAShard : public testing::Test {
 protected:
  DriverOfAShard() : world(1, {.groups = {{kS1, {kN1, kN2}, {kN3}}}}) {
    world.StartAll();
    EXPECT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
    world.AddOutside(View{kC9, Epoch{1}, kN9, 1, {{kN9, Incarnation{1}}}});
    world.RunFor(50 * kMs);
    world.record_sent = true;
  }

  TxnHeader Header(uint64_t seq) const {
    const TxnId txn{kC9, Epoch{1}, seq};
    return {txn, Age{seq, txn}, false, TxnId{kC9, Epoch{1}, 1}, 0};
  }
  Envelope From(Message message) {
    return {kC9, kN9, Epoch{1}, kS1, world.ViewOf(kS1)->epoch, std::move(message)};
  }
  Message PrepareOf(uint64_t seq, std::string key, std::string value) const {
    Prepare prepare;
    prepare.header = Header(seq);
    prepare.operations = {PutOp{std::move(key), std::move(value)}};
    prepare.participants = {{"", kS1, true}, {"", kS2, true}};
    return prepare;
  }
  Message DecideOf(uint64_t seq) const { return Decide{Header(seq), Decision::kCommit}; }
  void SendTo(NodeId node, Message message) { world.Inject(node, From(std::move(message))); }
  // A transaction from its prepare to its ack.
  void CommitOne(uint64_t seq, std::string key, std::string value) {
    const NodeId primary = *world.PrimaryNode(kS1);
    world.ClearSent();
    SendTo(primary, PrepareOf(seq, std::move(key), std::move(value)));
    ASSERT_TRUE(world.RunUntil([&] { return !world.Sent<VoteReply>().empty(); }, kSecond)) << seq;
    ASSERT_EQ(world.Sent<VoteReply>().front().second.vote, Vote::kYes);
    SendTo(primary, DecideOf(seq));
    ASSERT_TRUE(world.RunUntil([&] { return !world.Sent<DecideAck>().empty(); }, kSecond)) << seq;
  }
  size_t InDoubt(NodeId node) {
    const RoleCore* role = world.Find(node, kS1)->state().find_role();
    return static_cast<const participant::ParticipantCore*>(role)->InDoubt({}).size();
  }
  Lsn LastAt(NodeId node) { return world.Find(node, kS1)->log().last().lsn; }

  World world;
};

TEST_F(DriverOfAShard, R1NoVoteLeavesBeforeBothReplicasHoldItsRecord) {
  for (const auto& [slow, seq] : {std::pair(kN1, uint64_t{1}), std::pair(kN2, uint64_t{2})}) {
    world.ClearSent();
    world.HoldLog(slow, kS1, true);
    SendTo(kN1, PrepareOf(seq, "k" + std::to_string(seq), "v"));
    world.RunFor(100 * kMs);
    EXPECT_TRUE(world.Sent<VoteReply>().empty()) << "while " << ToString(slow) << " has not forced";
    world.HoldLog(slow, kS1, false);
    world.RunFor(20 * kMs);
    ASSERT_EQ(world.Sent<VoteReply>().size(), 1u);
    EXPECT_EQ(world.Sent<VoteReply>().front().second.vote, Vote::kYes);
  }
}

TEST_F(DriverOfAShard, R2MessageForAnOlderEpochIsAnsweredWithOursAndHasNoEffect) {
  const Lsn before = LastAt(kN1);
  for (const uint64_t old : {uint64_t{0}, Raw(world.ViewOf(kS1)->epoch) - 1}) {
    world.ClearSent();
    Envelope envelope = From(PrepareOf(1, "k", "v"));
    envelope.to_epoch = Epoch{old};
    world.Inject(kN1, envelope);
    world.RunFor(50 * kMs);
    const auto news = world.Sent<EpochNews>();
    ASSERT_EQ(news.size(), 1u) << old;
    EXPECT_EQ(news.front().first.from_epoch, world.ViewOf(kS1)->epoch);
    EXPECT_EQ(news.front().first.to_group, kC9);
    EXPECT_TRUE(world.Sent<VoteReply>().empty());
    EXPECT_EQ(LastAt(kN1), before);
  }
}

TEST_F(DriverOfAShard, R2BackupAnswersMessagesForItsPrimaryWithTheEpoch) {
  world.ClearSent();
  SendTo(kN2, PrepareOf(1, "k", "v"));
  world.RunFor(50 * kMs);
  EXPECT_EQ(world.Sent<EpochNews>().size(), 1u);
  EXPECT_TRUE(world.Sent<VoteReply>().empty());
}

// A vote that goes to the old primary of its coordinator is lost, and a read-only one has no second.
TEST_F(DriverOfAShard, R2NewPrimaryOfAnotherGroupIsAnsweredBeforeTheDirectoryShowsIt) {
  constexpr NodeId kN8{8};
  const auto vote_goes_to = [&](Envelope prepare) {
    world.ClearSent();
    world.Inject(kN1, std::move(prepare));
    world.RunFor(50 * kMs);
    for (const auto& [to, envelope] : world.sent()) {
      if (std::holds_alternative<VoteReply>(envelope.message)) return std::pair(to, envelope.to_epoch);
    }
    return std::pair(NodeId{}, Epoch{});
  };
  Envelope newer = From(PrepareOf(1, "k", "v"));
  newer.from_node = kN8;
  newer.from_epoch = Epoch{2};
  EXPECT_EQ(vote_goes_to(newer), std::pair(kN8, Epoch{2}));
  EXPECT_EQ(vote_goes_to(From(PrepareOf(1, "k", "v"))), std::pair(kN8, Epoch{2}));
  world.RunFor(kSecond);  // the directory does not bear it out
  EXPECT_EQ(vote_goes_to(From(PrepareOf(1, "k", "v"))), std::pair(kN9, Epoch{1}));
}

TEST_F(DriverOfAShard, R3RestartedPrimaryTakesANewEpochBeforeItSaysAnything) {
  CommitOne(1, "k", "v");
  const Epoch before = world.ViewOf(kS1)->epoch;
  world.Crash(kN1, false);
  world.ClearSent();
  world.options().directory_trouble = 1;  // no read is answered
  world.Start(kN1);
  world.RunFor(2 * kSecond);
  EXPECT_EQ(world.Primary(kS1), nullptr);
  SendTo(kN1, PrepareOf(2, "k2", "v"));
  world.RunFor(100 * kMs);
  for (const auto& [to, envelope] : world.sent()) {
    EXPECT_FALSE(envelope.from_node == kN1 && !std::holds_alternative<EpochNews>(envelope.message));
  }
  world.options().directory_trouble = 0;
  ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
  EXPECT_EQ(world.ViewOf(kS1)->epoch, Next(before));
  for (const auto& [to, envelope] : world.sent()) {
    if (envelope.from_node != kN1 || std::holds_alternative<EpochNews>(envelope.message)) continue;
    EXPECT_GE(envelope.from_epoch, Next(before));
  }
  EXPECT_EQ(world.Value(*world.Primary(kS1), "k"), "v");
}

// n1 has records that n2 never saw; n2 is made primary and goes on; n1 comes back.
TEST_F(DriverOfAShard, R4DivergentTailIsCutAndTheRoleCoreRebuilt) {
  CommitOne(1, "a", "1");
  world.Cut(kN1, kN2, true);
  SendTo(kN1, PrepareOf(2, "b", "lost"));
  SendTo(kN1, PrepareOf(3, "c", "lost"));
  world.RunFor(20 * kMs);
  const Lsn divergent = LastAt(kN1);
  ASSERT_GT(divergent, LastAt(kN2));
  world.Crash(kN1, false);
  world.Cut(kN1, kN2, false);
  world.Start(kN1);
  // It has read its log, and not yet its group's view.
  ASSERT_TRUE(world.RunUntil([&] { return world.IsRegistered(kN1); }, kSecond));
  EXPECT_EQ(InDoubt(kN1), 2u);
  world.Promote(kS1, kN2);
  const uint64_t cuts = world.counts().truncations;
  // The truncation takes its time.
  world.HoldLog(kN1, kS1, true);
  world.RunFor(3 * kSecond);
  world.CheckState(kN2, kS1);
  world.HoldLog(kN1, kS1, false);
  ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
  EXPECT_EQ(world.PrimaryNode(kS1), kN2);
  EXPECT_EQ(world.counts().truncations, cuts + 1);
  EXPECT_EQ(InDoubt(kN1), 0u);
  world.CheckState(kN1, kS1);
  CommitOne(4, "b", "2");
  world.RunFor(kSecond);
  world.CheckState(kN1, kS1);
  EXPECT_EQ(world.Value(*world.Find(kN1, kS1), "b"), "2");
  world.RunFor(2 * kSecond);
  EXPECT_EQ(world.Find(kN1, kS1)->state().find_store()->applied(),
            world.Find(kN2, kS1)->state().find_store()->applied());
}

// A read done under a lease that is over waits: in the same epoch nobody else has led meanwhile.
TEST_F(DriverOfAShard, R5ReadWaitsWhileTheLeaseIsOverAndLeavesWhenItIsBack) {
  CommitOne(1, "k", "v");
  const Epoch epoch = world.ViewOf(kS1)->epoch;
  world.Cut(kN2, kN1, true);  // beacons arrive, their answers do not
  world.RunFor(2'100 * kMs);
  world.ClearSent();
  SendTo(kN1, Operate{Header(2), BranchId{}, 1, {GetOp{"k"}}});
  world.RunFor(100 * kMs);
  EXPECT_TRUE(world.Sent<OperateReply>().empty());
  world.Cut(kN2, kN1, false);
  ASSERT_TRUE(world.RunUntil([&] { return !world.Sent<OperateReply>().empty(); }, 200 * kMs));
  EXPECT_EQ(world.ViewOf(kS1)->epoch, epoch);
  EXPECT_EQ(world.Sent<OperateReply>().front().second.results.at(0).rows.at(0).value, "v");
}

TEST_F(DriverOfAShard, R5ReadOfADeposedPrimaryNeverLeaves) {
  CommitOne(1, "k", "v");
  const Epoch epoch = world.ViewOf(kS1)->epoch;
  for (const NodeId other : {kN2, kN3}) {
    world.Cut(kN1, other, true);
    world.Cut(other, kN1, true);
  }
  world.options().directory_trouble = 1;  // it does not learn, nor may it shrink the view
  world.RunFor(2'100 * kMs);
  world.ClearSent();
  SendTo(kN1, Operate{Header(2), BranchId{}, 1, {GetOp{"k"}}});
  world.RunFor(10 * kMs);
  world.Promote(kS1, kN2);
  world.options().directory_trouble = 0;
  ASSERT_TRUE(world.RunUntil([&] { return world.PrimaryNode(kS1) == kN2; }, 5 * kSecond));
  for (const NodeId other : {kN2, kN3}) {
    world.Cut(kN1, other, false);
    world.Cut(other, kN1, false);
  }
  ASSERT_TRUE(world.RunUntil([&] { return world.ViewOf(kS1)->members.size() == 2; }, 10 * kSecond));
  world.Promote(kS1, kN1);  // nor when it leads again
  ASSERT_TRUE(world.RunUntil([&] { return world.PrimaryNode(kS1) == kN1; }, 5 * kSecond));
  world.RunFor(kSecond);
  EXPECT_GT(world.ViewOf(kS1)->epoch, epoch);
  for (const auto& [envelope, reply] : world.Sent<OperateReply>()) EXPECT_GT(envelope.from_epoch, epoch);
}

TEST_F(DriverOfAShard, R3KilledPrimaryIsReplacedAndComesBackAsABackup) {
  CommitOne(1, "k", "v");
  world.Crash(kN1, true);
  ASSERT_TRUE(world.RunUntil([&] { return world.PrimaryNode(kS1) == kN2; }, 5 * kSecond));
  CommitOne(2, "k2", "w");
  EXPECT_EQ(world.Value(*world.Primary(kS1), "k"), "v");
  world.Start(kN1);
  const auto is_back = [&] { return world.ViewOf(kS1)->Find(kN1) != nullptr && LastAt(kN1) == LastAt(kN2); };
  ASSERT_TRUE(world.RunUntil(is_back, 10 * kSecond)) << world.Describe();
}

TEST_F(DriverOfAShard, R7FailedWriteHaltsTheReplicaWhichThenSaysNothing) {
  world.BreakDisk(kN1, kS1, 1, wal::MemoryFileSystem::Fault::kError);
  SendTo(kN1, PrepareOf(1, "k", "v"));
  world.RunFor(50 * kMs);
  ASSERT_TRUE(world.Find(kN1, kS1)->halted());
  ASSERT_EQ(world.reports(kN1).size(), 1u);
  EXPECT_NE(world.reports(kN1).front().find("the log failed"), std::string::npos);
  world.ClearSent();
  SendTo(kN1, PrepareOf(2, "k", "v"));
  world.RunFor(kSecond);
  for (const auto& [to, envelope] : world.sent()) EXPECT_NE(envelope.from_node, kN1);
  EXPECT_EQ(world.Find(kN1, kS1)->NextDeadline(), UINT64_MAX);
  // The disk decides.
  world.Crash(kN1, true);
  world.Start(kN1);
  ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
  CommitOne(3, "k3", "v3");
}

TEST_F(DriverOfAShard, R7FullDiskSaysWhatToDo) {
  world.BreakDisk(kN1, kS1, 1, wal::MemoryFileSystem::Fault::kDiskFull);
  SendTo(kN1, PrepareOf(1, "k", "v"));
  world.RunFor(50 * kMs);
  ASSERT_TRUE(world.Find(kN1, kS1)->halted());
  EXPECT_NE(world.reports(kN1).front().find("make room"), std::string::npos) << world.reports(kN1).front();
}

TEST_F(DriverOfAShard, P5AckOfAHeldBackDecisionLeavesSoonThoughNothingElseHappens) {
  SendTo(kN1, PrepareOf(1, "k", "v"));
  world.RunFor(kSecond);  // all else has come to rest
  ASSERT_EQ(world.Sent<VoteReply>().size(), 1u);
  const size_t forces = world.forces(kN1, kS1);
  SendTo(kN1, DecideOf(1));
  world.RunFor(2 * kMs);
  EXPECT_EQ(world.forces(kN1, kS1), forces) << "a decision alone is not worth a force";
  ASSERT_TRUE(world.RunUntil([&] { return !world.Sent<DecideAck>().empty(); }, 8 * kMs));
}

TEST_F(DriverOfAShard, R10HeldBackDecisionSharesTheForceOfTheNextPrepare) {
  SendTo(kN1, PrepareOf(1, "k", "v"));
  world.RunFor(kSecond);
  const size_t forces = world.forces(kN1, kS1);
  SendTo(kN1, DecideOf(1));
  SendTo(kN1, PrepareOf(2, "k2", "v"));
  ASSERT_TRUE(world.RunUntil([&] { return !world.Sent<DecideAck>().empty(); }, 4 * kMs));
  EXPECT_EQ(world.forces(kN1, kS1), forces + 1);
}

// The same process serves a second view: what was prepared stays, and is decided there.
TEST_F(DriverOfAShard, ServeAgainKeepsWhatIsPreparedAndForgetsUnpreparedWork) {
  CommitOne(1, "a", "1");
  world.ClearSent();
  SendTo(kN1, PrepareOf(2, "b", "2"));
  Operate work;
  work.header = Header(3);
  work.operations = {PutOp{"c", "3"}};
  SendTo(kN1, work);
  world.RunFor(100 * kMs);
  ASSERT_EQ(world.Sent<VoteReply>().size(), 1u);
  const Epoch before = world.ViewOf(kS1)->epoch;
  const auto added = world.Change(kN1, kS1, backup::ChangeKind::kAddReplica, kN3, 10 * kSecond);
  ASSERT_TRUE(added && added->ok()) << (added ? added->ToString() : "no answer");
  ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 5 * kSecond));
  EXPECT_EQ(world.ViewOf(kS1)->epoch, Next(before));
  EXPECT_EQ(InDoubt(kN1), 1u);
  world.CheckState(kN1, kS1);
  world.ClearSent();
  SendTo(kN1, DecideOf(2));
  Prepare late;  // of the work that an older epoch did
  late.header = Header(3);
  late.branch = {before, 1};
  late.last = 1;
  late.participants = {{"", kS1, true}, {"", kS2, true}};
  SendTo(kN1, late);
  world.RunFor(100 * kMs);
  ASSERT_EQ(world.Sent<DecideAck>().size(), 1u);
  ASSERT_EQ(world.Sent<VoteReply>().size(), 1u);
  EXPECT_EQ(world.Sent<VoteReply>().front().second.vote, Vote::kNo);  // P3
  world.RunFor(kSecond);
  EXPECT_EQ(world.Value(*world.Find(kN3, kS1), "b"), "2");
  EXPECT_TRUE(world.AreEqual(kS1));
}

// R13: whatever the moment of a crash, the store holds only what is replicated (World checks it), and store
// and log together give the state that was (Start checks it).
TEST_F(DriverOfAShard, R13StoreAndLogGiveTheStateBackWhereverThePowerGoes) {
  uint64_t seq = 1;
  for (uint64_t effect = 1; effect <= 40; ++effect) {
    for (const NodeId node : {kN1, kN2}) {
      world.CrashAtEffect(node, effect, /*power=*/true);
      for (int i = 0; i < 3 && world.IsUp(node); ++i, ++seq) {
        if (!world.IsUp(kN1)) break;
        SendTo(kN1, PrepareOf(seq, "k" + std::to_string(seq % 7), std::to_string(seq)));
        world.RunFor(3 * kMs);
        if (world.IsUp(kN1)) SendTo(kN1, DecideOf(seq));
        world.RunFor(30 * kMs);
      }
      if (world.IsUp(node)) world.Crash(node, true);
      world.Start(node);
      ASSERT_TRUE(world.RunUntil([&] { return world.Primary(kS1) != nullptr; }, 10 * kSecond)) << effect;
      // Those that voted are decided now.
      for (uint64_t open = seq > 3 ? seq - 3 : 1; open < seq; ++open) {
        SendTo(kN1, Decide{Header(open), Decision::kAbort});
      }
      world.RunFor(50 * kMs);
    }
  }
  world.RunFor(2 * kSecond);
  world.CheckState(kN1, kS1);
  world.CheckState(kN2, kS1);
}

// ---- Snapshots (R6) ----

class DriverSnapshot : public DriverOfAShard {
 protected:
  // Until the log is trimmed, so that a new replica needs the store.
  void Fill() {
    world.record_sent = true;
    const std::string value(400, 'v');
    for (uint64_t seq = 1; world.Find(kN1, kS1)->log().base().lsn == Lsn{}; ++seq) {
      ASSERT_LT(seq, 2'000u) << "the log is never trimmed";
      CommitOne(seq, "k" + std::to_string(seq), value + std::to_string(seq));
      world.RunFor(25 * kMs);
    }
    world.record_sent = false;
  }
  Status Add() {
    const auto added = world.Change(kN1, kS1, backup::ChangeKind::kAddReplica, kN3, 60 * kSecond);
    return added ? *added : Status(StatusCode::kUnavailable, "no answer");
  }
};

TEST_F(DriverSnapshot, LearnerBehindTheLogGetsTheStoreThenTheLogThenItsSeat) {
  world.options().checkpoint_bytes = 1 << 16;
  world.Crash(kN3, false);
  Fill();
  world.Start(kN3);
  world.RunFor(kSecond);
  const Status added = Add();
  ASSERT_TRUE(added.ok()) << added.ToString();
  EXPECT_EQ(world.counts().resets, 1u);
  world.RunFor(2 * kSecond);
  world.CheckState(kN3, kS1);
  EXPECT_TRUE(world.AreEqual(kS1));
}

// A snapshot on its way in is a scratch file: what it lacks is no failure of the replica.
TEST_F(DriverSnapshot, DiskWithoutRoomForOneHaltsNobodyAndHealsWhenThereIsRoom) {
  world.Crash(kN3, false);
  Fill();
  world.Start(kN3);
  world.RunFor(kSecond);
  world.LimitDisk(kN3, kS1, 4096, /*of_store=*/true);
  EXPECT_FALSE(Add().ok());
  ASSERT_FALSE(world.Find(kN3, kS1)->halted()) << world.Find(kN3, kS1)->halt_reason();
  EXPECT_EQ(world.counts().resets, 0u);
  world.LimitDisk(kN3, kS1, std::nullopt);
  world.RunFor(15 * kSecond);
  const Status added = Add();
  ASSERT_TRUE(added.ok()) << added.ToString();
  world.RunFor(2 * kSecond);
  EXPECT_TRUE(world.AreEqual(kS1));
}

TEST_F(DriverSnapshot, CrashBetweenInstallationAndResetLosesNothingAndStartsClean) {
  world.Crash(kN3, false);
  Fill();
  for (const bool power : {false, true}) {
    world.Start(kN3);
    world.RunFor(kSecond);
    world.HoldLog(kN3, kS1, true);  // the store is replaced, the log is not reset
    const auto adding = world.Change(kN1, kS1, backup::ChangeKind::kAddReplica, kN3, 1);
    ASSERT_FALSE(adding.has_value());
    ASSERT_TRUE(
        world.RunUntil([&] { return world.Find(kN3, kS1)->state().find_role() == nullptr; }, 10 * kSecond));
    const auto has_store = [&] { return world.Find(kN3, kS1)->state().find_store() != nullptr; };
    ASSERT_TRUE(world.RunUntil(has_store, 10 * kSecond));
    const LogPosition installed = world.Find(kN3, kS1)->state().find_store()->applied();
    world.Crash(kN3, power);
    world.Start(kN3);  // checks that store and log fit
    world.RunFor(1);
    EXPECT_EQ(world.Find(kN3, kS1)->log().base(), installed);
    EXPECT_EQ(world.Find(kN3, kS1)->log().last(), installed);
    // It goes on from there, to the end.
    ASSERT_TRUE(world.RunUntil([&] { return world.ViewOf(kS1)->Find(kN3) != nullptr; }, 60 * kSecond));
    world.RunFor(2 * kSecond);
    EXPECT_TRUE(world.AreEqual(kS1));
    const auto removed = world.Change(kN1, kS1, backup::ChangeKind::kRemoveReplica, kN3, 10 * kSecond);
    ASSERT_TRUE(removed && removed->ok());
    world.RunFor(2 * kSecond);
    world.Crash(kN3, false);
    world.Wipe(kN3, kS1);
  }
}

TEST_F(DriverSnapshot, CrashAtEachEffectOfAnInstallationOnTheLogsDiskIsSurvived) {
  world.Crash(kN3, false);
  Fill();
  for (uint64_t effect = 1;; ++effect) {
    world.Wipe(kN3, kS1);
    world.Start(kN3);
    world.RunFor(2 * kSecond);
    world.BreakDisk(kN3, kS1, effect, wal::MemoryFileSystem::Fault::kStop);
    const uint64_t before = world.DiskEffects(kN3, kS1);
    const auto added = world.Change(kN1, kS1, backup::ChangeKind::kAddReplica, kN3, 3 * kSecond);
    const bool reached = world.DiskEffects(kN3, kS1) - before >= effect;
    world.Crash(kN3, /*power=*/true);
    world.Start(kN3);  // checks that store and log fit
    world.RunFor(3 * kSecond);
    EXPECT_FALSE(world.Find(kN3, kS1)->halted()) << effect << " " << world.reports(kN3).back();
    if (world.ViewOf(kS1)->Find(kN3) != nullptr) {
      const auto removed = world.Change(kN1, kS1, backup::ChangeKind::kRemoveReplica, kN3, 10 * kSecond);
      ASSERT_TRUE(removed && removed->ok()) << effect;
      world.RunFor(kSecond);
    } else {
      const auto given_up = world.Change(kN1, kS1, backup::ChangeKind::kRemoveReplica, kN3, 10 * kSecond);
      ASSERT_TRUE(given_up.has_value()) << effect;
    }
    world.Crash(kN3, false);
    if (!reached) break;
    ASSERT_LT(effect, 200u);
  }
}

TEST_F(DriverSnapshot, LearnerThatDiesInTheMiddleOfASnapshotBeginsAnew) {
  world.Crash(kN3, false);
  Fill();
  world.Start(kN3);
  world.RunFor(kSecond);
  world.CrashAtEffect(kN3, 2, false);  // it has acknowledged a piece at most
  const auto adding = world.Change(kN1, kS1, backup::ChangeKind::kAddReplica, kN3, kSecond);
  world.RunFor(40 * kSecond);  // the primary gives it up
  ASSERT_FALSE(adding && adding->ok());
  ASSERT_FALSE(world.IsUp(kN3));
  world.Start(kN3);
  world.RunFor(kSecond);
  EXPECT_TRUE(Add().ok());
}

// ---- Clients ----

}  // namespace
}  // namespace assent::sim
