// Timers: earliest first, moved, cancelled.
#include <gtest/gtest.h>

#include "participant/timer_queue.h"
#include "participant_testing.h"

namespace assent::participant {
namespace {

TEST(ParticipantTimers, GivesOutWhatIsDueEarliestFirst) {
  TimerQueue timers;
  EXPECT_EQ(timers.NextDue(), TimerQueue::kNever);
  timers.Set(Txn(1), 30);
  timers.Set(Txn(2), 10);
  timers.Set(Txn(3), 20);
  EXPECT_EQ(timers.NextDue(), 10u);
  EXPECT_EQ(timers.PopDue(9), std::nullopt);
  EXPECT_EQ(timers.PopDue(20), Txn(2));
  EXPECT_EQ(timers.PopDue(20), Txn(3));
  EXPECT_EQ(timers.PopDue(20), std::nullopt);
  EXPECT_TRUE(timers.Has(Txn(1)));
}

TEST(ParticipantTimers, SetAgainMovesAndCancelRemoves) {
  TimerQueue timers;
  timers.Set(Txn(1), 10);
  timers.Set(Txn(1), 50);
  EXPECT_EQ(timers.size(), 1u);
  EXPECT_EQ(timers.PopDue(49), std::nullopt);
  timers.Cancel(Txn(1));
  timers.Cancel(Txn(1));
  EXPECT_EQ(timers.PopDue(100), std::nullopt);
}

}  // namespace
}  // namespace assent::participant
