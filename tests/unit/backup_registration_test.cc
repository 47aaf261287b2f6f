// The directory's register of a node: claim, renewal, a second process of the node, files of an
// earlier state.
#include <gtest/gtest.h>

#include "backup/registration.h"

namespace assent::backup {
namespace {

using State = Registration::State;
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr uint64_t kSecond = 1'000'000;

// The directory's register of a node, and what becomes of processes that want it.
class RegistrationTest : public testing::Test {
 protected:
  static NodeRegister Own(uint64_t life, uint64_t starts, uint64_t files = 77) {
    NodeRegister own;
    own.node = NodeId{3};
    own.life = life;
    own.files = files;
    own.starts = starts;
    own.address = "127.0.0.1:" + std::to_string(7400 + life);
    return own;
  }
  static OwnReplica Replica(uint64_t incarnation = 11, GroupId group = kS1) {
    return {group, Incarnation{incarnation}};
  }
  static Confirmed Position(uint64_t lsn, uint64_t epoch = 4, uint64_t incarnation = 11) {
    return {kS1, Incarnation{incarnation}, {Epoch{epoch}, Lsn{lsn}}};
  }

  // Does what the process wants done now; false: it waits.
  bool Step(Registration& process, EarlierLife earlier = EarlierLife::kGone) {
    const auto work = process.Next(now_us_);
    if (!work) return false;
    if (const auto* next = std::get_if<NodeRegister>(&*work)) {
      const bool won = (held_ ? held_->version : 0) + 1 == next->version;
      if (won) held_ = *next;
      process.OnSwapped(now_us_, won);
    } else {
      process.OnLooked(now_us_, held_, earlier);
    }
    return true;
  }
  void Run(Registration& process, EarlierLife earlier = EarlierLife::kGone) {
    while (Step(process, earlier)) {
    }
  }
  // A process that ran as the node until just now: it confirmed `position`.
  void WasHeld(uint64_t life, uint64_t starts, const Confirmed& position, bool stopped = false) {
    Registration earlier(Own(life, starts), {{kS1, position.incarnation}});
    Run(earlier);
    ASSERT_EQ(earlier.state(), State::kHeld);
    earlier.Confirm(1'795'713'601'000'000, {position});
    now_us_ += kRenewUs;
    Run(earlier);
    if (stopped) held_ = earlier.Farewell(held_);
  }

  static Lsn ConfirmedOf(const Registration& process, uint64_t incarnation = 11) {
    return process.ConfirmedOf(kS1, Incarnation{incarnation}).lsn;
  }

  uint64_t now_us_ = 1'000 * kSecond;
  std::optional<NodeRegister> held_;
};

using RegistrationClaim = RegistrationTest;
using RegistrationOldFiles = RegistrationTest;
using RegistrationSecondLife = RegistrationTest;
using RegistrationRenewal = RegistrationTest;

TEST_F(RegistrationClaim, FirstProcessOfANodeHoldsItAtOnce) {
  Registration process(Own(1, 1), {Replica()});
  Run(process);
  EXPECT_EQ(process.state(), State::kHeld);
  EXPECT_EQ(held_->life, 1u);
  EXPECT_EQ(held_->version, 1u);
  EXPECT_EQ(ConfirmedOf(process), Lsn{});
}

TEST_F(RegistrationClaim, RestartInPlaceIsNotSlower) {
  WasHeld(1, 1, Position(10));
  Registration process(Own(2, 2), {Replica()});
  Run(process, EarlierLife::kGone);
  EXPECT_EQ(process.state(), State::kHeld);
  EXPECT_EQ(held_->life, 2u);
}

TEST_F(RegistrationClaim, SwapWithoutAnAnswerIsLookedUp) {
  Registration process(Own(1, 1), {});
  ASSERT_TRUE(Step(process));  // nothing there
  held_ = std::get<NodeRegister>(*process.Next(now_us_));
  process.OnSwapped(now_us_, false);
  Run(process);
  EXPECT_EQ(process.state(), State::kHeld);
  EXPECT_EQ(held_->version, 1u);
  now_us_ += kRenewUs;
  Run(process);
  EXPECT_EQ(held_->version, 2u);
}

TEST_F(RegistrationClaim, OfTwoAtOnceOneHoldsIt) {
  Registration one(Own(1, 1), {});
  Registration two(Own(2, 1, 78), {});
  Step(one);
  Step(two);
  Step(one);
  ASSERT_EQ(one.state(), State::kHeld);
  Run(two, EarlierLife::kRuns);
  EXPECT_EQ(two.state(), State::kRefused);
  EXPECT_NE(two.text().find("n3 runs already at 127.0.0.1:7401"), std::string::npos) << two.text();
  EXPECT_EQ(held_->life, 1u);
}

// A copy that was made while the node was stopped; the node ran on since.
TEST_F(RegistrationOldFiles, LaterStartThanTheyKnowOfRefusesThem) {
  WasHeld(1, 5, Position(10));
  Registration copy(Own(2, 5), {Replica()});
  Run(copy, EarlierLife::kGone);
  EXPECT_EQ(copy.state(), State::kRefused);
  EXPECT_NE(copy.text().find("older than what n3 confirmed at 2026-11-26 "), std::string::npos)
      << copy.text();
  EXPECT_EQ(held_->life, 1u);
}

TEST_F(RegistrationOldFiles, StoppedInOrderDoesNotExcuseThem) {
  WasHeld(1, 5, Position(10), /*stopped=*/true);
  Registration copy(Own(2, 5), {Replica()});
  Run(copy, EarlierLife::kUnknown);
  EXPECT_EQ(copy.state(), State::kRefused);
}

TEST_F(RegistrationOldFiles, NewDataDirectoryCountsAnew) {
  WasHeld(1, 5, Position(10));
  Registration process(Own(2, 1, /*files=*/78), {Replica(12)});
  Run(process);
  EXPECT_EQ(process.state(), State::kHeld);
  EXPECT_EQ(ConfirmedOf(process, 12), Lsn{});
}

// Of the time before others took their place: the last ones, or a copy. The register may not know of their
// last second, nor of their last start.
TEST_F(RegistrationOldFiles, FilesThatOthersTookThePlaceOfStayOut) {
  WasHeld(1, 5, Position(10));
  Registration others(Own(2, 1, /*files=*/78), {Replica(12)});
  Run(others);
  ASSERT_EQ(others.state(), State::kHeld);
  for (const bool stopped : {false, true}) {
    if (stopped) held_ = others.Farewell(held_);
    for (const unsigned starts : {1u, 5u, 6u}) {
      Registration back(Own(3, starts), {Replica(11)});
      Run(back);
      EXPECT_EQ(back.state(), State::kRefused);
      EXPECT_NE(back.text().find("other files took the place of these"), std::string::npos) << back.text();
    }
  }
  EXPECT_EQ(held_->life, 2u);
  Registration again(Own(4, 2, /*files=*/78), {Replica(12)});
  Run(again);
  EXPECT_EQ(again.state(), State::kHeld);
}

TEST_F(RegistrationOldFiles, WhatWasConfirmedIsOwed) {
  WasHeld(1, 1, Position(10));
  Registration process(Own(2, 2), {Replica(), Replica(21, kS2)});
  Run(process);
  EXPECT_EQ(process.state(), State::kHeld);
  EXPECT_EQ(process.ConfirmedOf(kS1, Incarnation{11}), (LogPosition{Epoch{4}, Lsn{10}}));
  EXPECT_EQ(process.ConfirmedOf(kS2, Incarnation{21}), LogPosition{});
  EXPECT_NE(process.ConfirmedBy().find("n3 had confirmed by 2026-11-26 "), std::string::npos)
      << process.ConfirmedBy();
  // It stays so while the replica confirms less.
  process.Confirm(0, {Position(9)});
  now_us_ += kRenewUs;
  Run(process);
  Registration again(Own(3, 3), {Replica()});
  Run(again);
  EXPECT_EQ(ConfirmedOf(again), Lsn{10});
}

// Opened again after it had no room, or for the first time since then.
TEST_F(RegistrationOldFiles, ReplicaThatIsOpenedLaterOwesTheSame) {
  WasHeld(1, 1, Position(10));
  Registration process(Own(2, 2), {});
  Run(process);
  EXPECT_EQ(ConfirmedOf(process), Lsn{10});
  process.Confirm(1'795'713'602'000'000, {Position(12)});
  EXPECT_EQ(ConfirmedOf(process), Lsn{12});
}

TEST_F(RegistrationOldFiles, ReplicaMadeAnewOwesNothingAndTheOldOneStillDoes) {
  WasHeld(1, 1, Position(10));
  Registration process(Own(2, 2), {Replica(12)});
  Run(process);
  EXPECT_EQ(ConfirmedOf(process, 12), Lsn{});
  Registration again(Own(3, 3), {Replica(11)});  // files that were aside
  Run(again);
  EXPECT_EQ(ConfirmedOf(again), Lsn{10});
}

TEST_F(RegistrationOldFiles, LostIncarnationsDoNotGather) {  // G8
  for (uint64_t i = 1; i <= 50; ++i) WasHeld(i, i, Position(10, 4, i));
  EXPECT_LE(held_->confirmed.size(), static_cast<size_t>(kIncarnationsKept));
  EXPECT_EQ(held_->confirmed.back().incarnation, Incarnation{50});
}

TEST_F(RegistrationSecondLife, RunningOneRefusesAtOnce) {
  WasHeld(1, 5, Position(10));
  Registration copy(Own(2, 6), {Replica()});
  Run(copy, EarlierLife::kRuns);
  EXPECT_EQ(copy.state(), State::kRefused);
  EXPECT_NE(copy.text().find("n3 runs already at 127.0.0.1:7401"), std::string::npos) << copy.text();
}

TEST_F(RegistrationSecondLife, OneOfWhichNothingIsKnownIsWatchedAndSeenToRun) {
  Registration original(Own(1, 5), {Replica()});
  Run(original);
  Registration copy(Own(2, 6), {Replica()});
  for (int i = 0; i < 10 && copy.state() == State::kLooking; ++i) {
    Run(copy, EarlierLife::kUnknown);
    EXPECT_NE(copy.state(), State::kHeld);
    now_us_ += kRenewUs / 2;
    Run(original);
  }
  EXPECT_EQ(copy.state(), State::kRefused);
  EXPECT_NE(copy.text().find("n3 runs already at"), std::string::npos) << copy.text();
  EXPECT_EQ(original.state(), State::kHeld);
}

TEST_F(RegistrationSecondLife, SilenceIsNoDeathOfTheOriginalOfACopy) {
  WasHeld(1, 5, Position(10));
  Registration copy(Own(2, 6), {Replica()});
  for (int i = 0; i < 100 && copy.state() == State::kLooking; ++i) {
    Run(copy, EarlierLife::kUnknown);
    now_us_ += kLookUs;
  }
  EXPECT_EQ(copy.state(), State::kRefused);
  EXPECT_NE(copy.text().find("`assent directory release n3`"), std::string::npos) << copy.text();
  held_->version += 1;  // an operator vouches for it
  held_->stopped = true;
  Registration released(Own(3, 7), {Replica()});
  Run(released, EarlierLife::kUnknown);
  EXPECT_EQ(released.state(), State::kHeld);
}

TEST_F(RegistrationSecondLife, StopInOrderLetsItsFilesBeMoved) {
  WasHeld(1, 5, Position(10), /*stopped=*/true);
  Registration moved(Own(2, 6), {Replica()});
  Run(moved, EarlierLife::kUnknown);
  EXPECT_EQ(moved.state(), State::kHeld);
  EXPECT_FALSE(held_->stopped);
}

TEST_F(RegistrationSecondLife, OfMachinesThatStartedAnewTheWatchDecides) {
  WasHeld(1, 5, Position(10));
  Registration process(Own(2, 6), {Replica()});
  const uint64_t began_us = now_us_;
  while (process.state() != State::kHeld) {
    Run(process, EarlierLife::kMachineRestarted);
    ASSERT_NE(process.state(), State::kRefused) << process.text();
    now_us_ += kLookUs;
  }
  EXPECT_GE(now_us_ - began_us, kWatchUs);
  EXPECT_LE(now_us_ - began_us, 2 * kWatchUs);
}

TEST_F(RegistrationSecondLife, FilesWithoutAReplicaOfItAreNobodysCopy) {
  WasHeld(1, 5, Position(10));
  Registration process(Own(2, 1, /*files=*/78), {Replica(12)});
  Run(process, EarlierLife::kUnknown);
  EXPECT_EQ(process.state(), State::kLooking);  // it is watched all the same: two would take turns
  while (process.state() == State::kLooking) {
    now_us_ += kLookUs;
    Run(process, EarlierLife::kUnknown);
  }
  EXPECT_EQ(process.state(), State::kHeld);
}

TEST_F(RegistrationRenewal, IsDueEachSecondAndCarriesWhatIsConfirmed) {
  Registration process(Own(1, 1), {Replica()});
  Run(process);
  EXPECT_FALSE(process.Next(now_us_ + kRenewUs - 1));
  process.Confirm(5, {Position(12)});
  now_us_ += kRenewUs;
  Run(process);
  EXPECT_EQ(held_->version, 2u);
  EXPECT_EQ(held_->wall_us, 5u);
  EXPECT_EQ(held_->confirmed, (std::vector<Confirmed>{Position(12)}));
  process.Confirm(6, {Position(11)});  // never falls
  now_us_ += kRenewUs;
  Run(process);
  EXPECT_EQ(held_->confirmed, (std::vector<Confirmed>{Position(12)}));
}

TEST_F(RegistrationRenewal, DirectoryThatDoesNotAnswerStopsNothing) {
  Registration process(Own(1, 1), {});
  Run(process);
  for (int i = 0; i < 5; ++i) {
    now_us_ += kRenewUs;
    ASSERT_TRUE(process.Next(now_us_));
    process.OnSwapped(now_us_, false);
    ASSERT_TRUE(process.Next(now_us_));
    process.OnNoAnswer(now_us_);
    EXPECT_FALSE(process.Next(now_us_ + kRenewUs - 1));
    EXPECT_EQ(process.state(), State::kHeld);
  }
  now_us_ += kRenewUs;
  Run(process);
  EXPECT_EQ(held_->version, 2u);
}

TEST_F(RegistrationRenewal, AnotherLifeInItsRegisterEndsThisOne) {
  Registration process(Own(1, 1), {});
  Run(process);
  held_ = Own(2, 2);
  held_->version = 2;
  process.Doubt();
  Run(process);
  EXPECT_EQ(process.state(), State::kLost);
  EXPECT_NE(process.text().find("n3 runs at 127.0.0.1:7402 now"), std::string::npos) << process.text();
  EXPECT_FALSE(process.Next(now_us_ + 100 * kSecond));
  EXPECT_FALSE(process.Farewell(held_));
  EXPECT_EQ(held_->life, 2u);
}

}  // namespace
}  // namespace assent::backup
