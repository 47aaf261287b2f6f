// Lines of the log about views and about who serves: each change once.
#include <gtest/gtest.h>

#include "runtime/replica_watch.h"

namespace assent {
namespace {

constexpr uint64_t kSecond = 1'000'000;

Member MemberOf(uint32_t node, uint64_t incarnation = 1) {
  return {NodeId{node}, Incarnation{incarnation}};
}

View ViewOf(uint64_t epoch, uint32_t primary, std::vector<Member> members, uint64_t life = 1) {
  return {{GroupKind::kCoordinator, 1}, Epoch{epoch}, NodeId{primary}, life, std::move(members)};
}

TEST(ViewNews, SaysWhoLeadsWhoCameAndWhoWent) {
  const View two = ViewOf(3, 1, {MemberOf(1), MemberOf(2)});
  EXPECT_EQ(DescribeChange(std::nullopt, ViewOf(1, 1, {MemberOf(1)})),
            "epoch 1, primary n1, no backup: the group's first view");
  EXPECT_EQ(DescribeChange(std::nullopt, two), "epoch 3, primary n1, backups n2: found at the start");
  EXPECT_EQ(DescribeChange(two, ViewOf(4, 2, {MemberOf(2)})),
            "epoch 4, primary n2, no backup: n2 took over from n1, which was silent, or stopped");
  EXPECT_EQ(DescribeChange(two, ViewOf(4, 2, {MemberOf(1), MemberOf(2)})),
            "epoch 4, primary n2, backups n1: n1 handed over to n2");
  EXPECT_EQ(DescribeChange(two, ViewOf(4, 1, {MemberOf(1)})),
            "epoch 4, primary n1, no backup: without n2, which was silent, or stopped");
  View removed = ViewOf(4, 1, {MemberOf(1)});
  removed.removed = {MemberOf(2)};
  EXPECT_EQ(DescribeChange(two, removed),
            "epoch 4, primary n1, no backup: without n2, which an operator took out");
  EXPECT_EQ(DescribeChange(removed, ViewOf(5, 1, {MemberOf(1), MemberOf(2)})),
            "epoch 5, primary n1, backups n2: n2 joined");
  EXPECT_EQ(DescribeChange(two, ViewOf(4, 1, {MemberOf(1), MemberOf(2)}, 2)),
            "epoch 4, primary n1, backups n2: n1 restarted");
  EXPECT_EQ(DescribeChange(two, ViewOf(6, 1, {MemberOf(1), MemberOf(2, 9)})),
            "epoch 6, primary n1, backups n2: n2 joined with a new data directory, since epoch 3");
}

TEST(ReplicaWatch, TellsEachViewOnce) {
  ReplicaWatch watch;
  EXPECT_EQ(watch.NoticeView(std::nullopt), "");
  const View view = ViewOf(3, 1, {MemberOf(1)});
  EXPECT_NE(watch.NoticeView(view), "");
  EXPECT_EQ(watch.NoticeView(view), "");
  EXPECT_NE(watch.NoticeView(ViewOf(4, 1, {MemberOf(1)}, 2)), "");
}

TEST(ReplicaWatch, TellsWhenServingBeginsAndEndsAndSinceWhen) {
  ReplicaWatch watch;
  const auto why = [] { return std::string("an answer"); };
  EXPECT_EQ(watch.NoticeServing(false, kSecond, why), "");
  EXPECT_EQ(watch.NoticeServing(true, 2 * kSecond, why), "serves");
  EXPECT_EQ(watch.NoticeServing(true, 3 * kSecond, why), "");
  EXPECT_EQ(watch.serving_since_us(), 2 * kSecond);
  EXPECT_EQ(watch.NoticeServing(false, 4 * kSecond, why), "does not serve any more: waits for an answer");
  EXPECT_EQ(watch.serving_since_us(), 4 * kSecond);
}

TEST(ReplicaWatch, OneThatComesAndGoesFillsNoLog) {
  ReplicaWatch watch;
  int lines = 0;
  bool serving = false;
  for (uint64_t now_us = 1; now_us < 60 * kSecond; now_us += kSecond / 10) {
    serving = !serving;
    lines += watch.NoticeServing(serving, now_us, [] { return std::string(); }).empty() ? 0 : 1;
  }
  EXPECT_LE(lines, 10);
  EXPECT_NE(watch.NoticeServing(!serving, 200 * kSecond, [] { return std::string(); }), "");
}

}  // namespace
}  // namespace assent
