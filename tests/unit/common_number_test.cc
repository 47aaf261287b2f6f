// Numbers in values: the one that leads a text, and what adding to it leaves.
#include <gtest/gtest.h>

#include <limits>

#include "common/number.h"

namespace assent {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST(Number, LeadsUpToTheFirstBlank) {
  EXPECT_EQ(LeadingNumber("100"), 100);
  EXPECT_EQ(LeadingNumber("-5"), -5);
  EXPECT_EQ(LeadingNumber("100 opened 2026-11-02"), 100);
  EXPECT_EQ(LeadingNumber("0 "), 0);
  EXPECT_EQ(LeadingNumber("9223372036854775807"), kMax);
  EXPECT_EQ(LeadingNumber("-9223372036854775808 x"), kMin);
}

TEST(Number, NothingElseIsOne) {
  for (const char* value :
       {"", " ", " 1", "a", "1a", "1.5", "+1", "--1", "-", "0x10", "9223372036854775808", "1\t2", "1\n"}) {
    EXPECT_FALSE(LeadingNumber(value)) << value;
  }
  EXPECT_FALSE(LeadingNumber(std::string_view("1\0", 2)));
}

TEST(Number, ReplacingKeepsWhatFollows) {
  const auto with = [](std::string value, int64_t number) {
    SetLeadingNumber(value, number);
    return value;
  };
  EXPECT_EQ(with("100", -7), "-7");
  EXPECT_EQ(with("100 opened  twice", 1), "1 opened  twice");
  EXPECT_EQ(with("5 ", 6), "6 ");
  EXPECT_EQ(with("", kMin), "-9223372036854775808");
}

TEST(Number, OverflowIsNoSum) {
  EXPECT_EQ(CheckedAdd(2, -5), -3);
  EXPECT_EQ(CheckedAdd(kMax, kMin), -1);
  EXPECT_EQ(CheckedAdd(kMax - 1, 1), kMax);
  EXPECT_FALSE(CheckedAdd(kMax, 1));
  EXPECT_FALSE(CheckedAdd(kMin, -1));
}

}  // namespace
}  // namespace assent
