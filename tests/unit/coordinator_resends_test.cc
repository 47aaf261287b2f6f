// C7: backoff and budgets.
#include <gtest/gtest.h>

#include "coordinator/resends.h"
#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

TxnId Id(uint64_t seq) {
  return TxnId{kGroup, Epoch{1}, seq};
}
const ParticipantId kParticipant1{kS1, ""};
const ParticipantId kParticipant2{kS2, ""};

TEST(CoordinatorResends, BackoffDoublesUpToItsLimitWithJitter) {
  Resends resends(CoordinatorTimes{}, 1);
  uint64_t expected = 200 * kMs;
  for (uint32_t i = 0; i < 12; ++i) {
    resends.ScheduleAfter(kParticipant1, Id(1), 0, i);
    EXPECT_GE(resends.NextDue(), expected * 3 / 4);
    EXPECT_LE(resends.NextDue(), expected * 5 / 4);
    expected = std::min(expected * 2, 2 * kSecond);
  }
  EXPECT_EQ(resends.size(), 1u);  // scheduling again replaces
}

TEST(CoordinatorResends, SameSeedSameSchedule) {
  Resends a(CoordinatorTimes{}, 5), b(CoordinatorTimes{}, 5), c(CoordinatorTimes{}, 6);
  for (uint64_t seq = 1; seq < 9; ++seq) {
    a.ScheduleAfter(kParticipant1, Id(seq), 0, 3);
    b.ScheduleAfter(kParticipant1, Id(seq), 0, 3);
    c.ScheduleAfter(kParticipant1, Id(seq), 0, 3);
  }
  EXPECT_EQ(a.NextDue(), b.NextDue());
  EXPECT_NE(a.NextDue(), c.NextDue());
}

TEST(CoordinatorResends, BudgetIsPerParticipantAndWindow) {
  Resends resends(CoordinatorTimes{}, 1);
  for (uint64_t seq = 1; seq <= 600; ++seq) {
    resends.ScheduleAt(kParticipant1, Id(seq), 0);
    if (seq <= 10) resends.ScheduleAt(kParticipant2, Id(seq), 0);
  }
  const uint64_t now = kSecond;
  EXPECT_EQ(resends.Take(now).size(), 266u);
  EXPECT_EQ(resends.Take(now + 50 * kMs).size(), 0u);
  EXPECT_EQ(resends.NextDue(), now + 100 * kMs);
  const auto next = resends.Take(now + 100 * kMs);
  ASSERT_EQ(next.size(), 256u);
  EXPECT_EQ(next.front().txn, Id(257));  // oldest first
  EXPECT_EQ(resends.Take(now + 200 * kMs).size(), 88u);
  EXPECT_EQ(resends.NextDue(), UINT64_MAX);
}

TEST(CoordinatorResends, CancelAndHasten) {
  Resends resends(CoordinatorTimes{}, 1);
  resends.ScheduleAt(kParticipant1, Id(1), 900);
  resends.ScheduleAt(kParticipant1, Id(2), 800);
  resends.ScheduleAt(kParticipant2, Id(3), 700);
  resends.Cancel(kParticipant1, Id(2));
  resends.Cancel(kParticipant1, Id(7));
  resends.Hasten(kParticipant1, 10);
  EXPECT_EQ(resends.NextDue(), 10u);
  EXPECT_FALSE(resends.Holds(kParticipant1, Id(2)));
  ASSERT_EQ(resends.Take(kSecond).size(), 2u);
}

TEST(CoordinatorResends, TenThousandUnendedCommitsDoNotStampede) {  // C7, I-Q1
  Harness h;
  for (uint64_t seq = 1; seq <= 10'000; ++seq) {
    const TxnId txn{kGroup, Epoch{1}, seq};
    const Lsn lsn{h.log.size() + 1};
    h.log.emplace_back(lsn, Committed{txn, {{"", kS1, true}, {"", kS2, true}}, h.Tag(seq).token, 1, 7, 0});
  }
  h.replicated = Lsn{h.log.size()};
  // CheckInvariants at each of many steps over 10,000 would take minutes: this test drives
  // the core by itself.
  h.Open();
  h.core->Apply(Next(h.replicated), EpochBegan{});
  RoleEffects out;
  h.core->Step(h.now, Serving{Epoch{2}}, out);
  EXPECT_TRUE(out.empty());
  std::map<GroupId, std::map<uint64_t, uint32_t>> sent;  // by window
  size_t total = 0;
  const uint64_t start = h.now.mono_us;
  while (h.core->NextDeadline() < start + 6 * kSecond) {
    h.now.mono_us = std::max(h.now.mono_us, h.core->NextDeadline());
    out.clear();
    h.core->Step(h.now, Tick{}, out);
    std::vector<std::pair<GroupId, TxnId>> acks;
    for (const RoleEffect& effect : out) {
      const auto* send = std::get_if<Send>(&effect);
      const auto* decide = send == nullptr ? nullptr : std::get_if<Decide>(&send->message);
      if (decide == nullptr) continue;
      EXPECT_EQ(decide->decision, Decision::kCommit);
      ++total;
      ++sent[send->to][(h.now.mono_us - start) / (100 * kMs)];
      acks.emplace_back(send->to, decide->header.txn);
    }
    for (const auto& [from, txn] : acks) {
      h.core->Step(h.now, Received{from, Epoch{5}, DecideAck{txn, Decision::kCommit}}, out);
    }
  }
  for (const auto& [shard, windows] : sent) {
    for (const auto& [window, count] : windows) EXPECT_LE(count, 256u) << ToString(shard) << " " << window;
  }
  EXPECT_EQ(total, 20'000u);  // each once: nothing was asked again before its turn
  EXPECT_EQ(h.core->unended_count(), 0u);
  h.core->CheckInvariants();
}

TEST(CoordinatorResends, NewEpochOfAShardDoesNotStampedeEither) {  // C7
  Harness h;
  for (uint64_t seq = 1; seq <= 600; ++seq) h.PhaseTwo(seq);
  h.Pass(500 * kMs);
  h.Clear();
  h.Step(GroupEpoch{kS1, Epoch{9}});
  h.Step(Tick{});
  EXPECT_LE(h.Sent<Decide>().size(), 2u * 256u);
}

}  // namespace
}  // namespace assent::coordinator
