// Operations: which write, what they touch, their size, where a scan goes on.
#include <gtest/gtest.h>

#include <random>

#include "common/operations.h"

namespace assent {
namespace {

TEST(Operations, WritesArePutDeleteAndAdd) {
  EXPECT_TRUE(IsWrite(PutOp{"k", "v"}));
  EXPECT_TRUE(IsWrite(DeleteOp{"k"}));
  EXPECT_TRUE(IsWrite(AddOp{"k", 1, std::nullopt}));
  EXPECT_FALSE(IsWrite(GetOp{"k"}));
  EXPECT_FALSE(IsWrite(CheckOp{"k", CheckKind::kExists, "", 0}));
  EXPECT_FALSE(IsWrite(ScanOp{"k", 0}));
}

TEST(Operations, KeyIsWhatIsTouched) {
  EXPECT_EQ(KeyOf(GetOp{"a"}), "a");
  EXPECT_EQ(KeyOf(PutOp{"b", "v"}), "b");
  EXPECT_EQ(KeyOf(DeleteOp{"c"}), "c");
  EXPECT_EQ(KeyOf(CheckOp{"d", CheckKind::kAbsent, "", 0}), "d");
  EXPECT_EQ(KeyOf(AddOp{"e", 1, 0}), "e");
  EXPECT_EQ(KeyOf(ScanOp{"f", 9}), "f");
}

TEST(Operations, SizeCountsKeysAndValues) {
  EXPECT_EQ(SizeOf(GetOp{"abc"}), 3u);
  EXPECT_EQ(SizeOf(PutOp{"abc", "de"}), 5u);
  EXPECT_EQ(SizeOf(CheckOp{"abc", CheckKind::kValue, "defg", 0}), 7u);
  EXPECT_EQ(SizeOf(DeleteOp{""}), 0u);
  EXPECT_EQ(SizeOf(ScanOp{"ab", 0}), 2u);
  EXPECT_EQ(SizeOf(ScanOp{"ab", 0, "abc"}), 5u);
}

TEST(Operations, ScanGoesOnBehindAKeyOfItsPrefix) {
  EXPECT_EQ(ScanStart(ScanOp{"ab", 0}), "ab");
  EXPECT_EQ(ScanStart(ScanOp{"ab", 0, "ab"}), std::string("ab\0", 3));
  EXPECT_EQ(ScanStart(ScanOp{"", 0, "x"}), std::string("x\0", 2));
  EXPECT_EQ(ProblemOf(ScanOp{"ab", 0}), nullptr);
  EXPECT_EQ(ProblemOf(ScanOp{"ab", 0, "abc"}), nullptr);
  EXPECT_EQ(ProblemOf(ScanOp{"", 0, "abc"}), nullptr);
  EXPECT_NE(ProblemOf(ScanOp{"ab", 0, "a"}), nullptr);
  EXPECT_NE(ProblemOf(ScanOp{"ab", 0, "b"}), nullptr);
  EXPECT_EQ(ProblemOf(ScanOp{"a", 0, std::string(kKeyBytesMax, 'a')}), nullptr);
  EXPECT_NE(ProblemOf(ScanOp{"a", 0, std::string(kKeyBytesMax + 1, 'a')}), nullptr);
}

TEST(PrefixEnd, IsTheLeastAboveAllWithThePrefix) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd(""), "");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\x7f"), "\x80");  // bytes are unsigned
  EXPECT_EQ(PrefixEnd(std::string(1, '\0')), "\x01");
}

TEST(PrefixEnd, SplitsAllKeysAsStartsWithDoes) {
  std::mt19937_64 random(3);
  const auto word = [&](size_t length_max) {
    std::string out;
    for (size_t n = random() % (length_max + 1); n > 0; --n) out += "\x01\x7f\x80\xfe\xff"[random() % 5];
    return out;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string prefix = word(3);
    const std::string key = word(5);
    const std::string end = PrefixEnd(prefix);
    EXPECT_EQ(key >= prefix && (end.empty() || key < end), key.starts_with(prefix));
  }
}

}  // namespace
}  // namespace assent
