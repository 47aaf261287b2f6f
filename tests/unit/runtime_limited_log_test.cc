// A line of the log for each kind of failure once a minute, with the number of those left out.
#include <gtest/gtest.h>

#include "runtime/limited_log.h"

namespace assent {
namespace {

constexpr uint64_t kSecond = 1'000'000;

TEST(LimitedLog, SaysTheFirstThenOneAMinuteWithTheNumberOfTheOthers) {
  LimitedLog log;
  EXPECT_EQ(log.Fails("a", 5), "");
  for (uint64_t i = 1; i <= 41; ++i) EXPECT_FALSE(log.Fails("a", 5 + i));
  EXPECT_EQ(log.Fails("b", 7), "") << "of another kind";
  EXPECT_EQ(log.Fails("a", 5 + 60 * kSecond), " (41 more since the last such line)");
  EXPECT_FALSE(log.Fails("a", 6 + 60 * kSecond));
  log.GoesWell("a");
  EXPECT_EQ(log.Fails("a", 7 + 60 * kSecond), "") << "it had gone well meanwhile";
}

}  // namespace
}  // namespace assent
