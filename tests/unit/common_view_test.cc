// Views as bytes, who is a member, and which views are refused.
#include <gtest/gtest.h>

#include "common/view.h"

namespace assent {
namespace {

const View kView{{GroupKind::kShard, 3},
                 Epoch{42},
                 NodeId{2},
                 0xfeedbeef,
                 {{NodeId{1}, Incarnation{0xa1}}, {NodeId{2}, Incarnation{UINT64_MAX}}},
                 {{NodeId{1}, Incarnation{0xa0}}, {NodeId{3}, Incarnation{7}}}};

TEST(View, DecodeReturnsWhatWasEncoded) {
  const auto decoded = DecodeView(EncodeView(kView));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(*decoded, kView);
  EXPECT_EQ(ToString(kView),
            "view s3 epoch=42 primary=n2 life=feedbeef members=n1:a1,n2:ffffffffffffffff removed=n1:a0,n3:7");
  View plain = kView;
  plain.removed.clear();
  EXPECT_EQ(ToString(plain), "view s3 epoch=42 primary=n2 life=feedbeef members=n1:a1,n2:ffffffffffffffff");
  EXPECT_EQ(*DecodeView(EncodeView(plain)), plain);
}

TEST(View, DecodeRefusesEveryTruncationAndEveryBitFlip) {
  const std::string text = EncodeView(kView);
  for (size_t length = 0; length < text.size(); ++length)
    EXPECT_FALSE(DecodeView(text.substr(0, length)).ok());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(DecodeView(flipped).ok()) << flipped;
  }
  EXPECT_FALSE(DecodeView(text + "x").ok());
  EXPECT_FALSE(DecodeView(text + text).ok());
}

TEST(View, NamesOnlyUnderTheIncarnationNamed) {
  EXPECT_TRUE(kView.Names({NodeId{1}, Incarnation{0xa1}}));
  EXPECT_FALSE(kView.Names({NodeId{1}, Incarnation{0xa2}}));
  EXPECT_FALSE(kView.Names({NodeId{3}, Incarnation{0xa1}}));
}

TEST(View, InvalidOnesAreRefused) {
  EXPECT_TRUE(ValidateView(kView).ok());
  const auto broken = [](auto change) {
    View view = kView;
    change(view);
    return ValidateView(view).code() == StatusCode::kInvalid;
  };
  EXPECT_TRUE(broken([](View& v) { v.epoch = {}; }));
  EXPECT_TRUE(broken([](View& v) { v.primary_life = 0; }));
  EXPECT_TRUE(broken([](View& v) { v.members.clear(); }));
  EXPECT_TRUE(broken([](View& v) { v.primary = NodeId{3}; }));
  EXPECT_TRUE(broken([](View& v) { v.members[0].incarnation = {}; }));
  EXPECT_TRUE(broken([](View& v) { std::swap(v.members[0], v.members[1]); }));
  EXPECT_TRUE(broken([](View& v) { v.members[0].node = NodeId{2}; }));
  EXPECT_TRUE(broken([](View& v) { v.removed[0] = v.members[0]; }));
  EXPECT_TRUE(broken([](View& v) { std::swap(v.removed[0], v.removed[1]); }));
  EXPECT_TRUE(broken([](View& v) {
    for (uint32_t i = 3; v.members.size() <= kMembersMax; ++i)
      v.members.push_back({NodeId{i}, Incarnation{1}});
  }));
}

}  // namespace
}  // namespace assent
