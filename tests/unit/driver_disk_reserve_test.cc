// How much of a disk is kept free, and when that is reached.
#include <gtest/gtest.h>

#include "driver/disk_reserve.h"

namespace assent {
namespace {

constexpr uint64_t kMb = uint64_t{1} << 20;

TEST(DiskReserve, IsATwentiethOfASmallDisk) {
  EXPECT_EQ(ReserveOf({0, 100'000 * kMb}, 128 * kMb), 128 * kMb);
  EXPECT_EQ(ReserveOf({0, 200 * kMb}, 128 * kMb), 10 * kMb);
  EXPECT_EQ(ReserveOf({0, 200 * kMb}, 0), 0U);
}

TEST(DiskReserve, IsLeftByWhatIsWritten) {
  const DiskSpaceFn space = [] { return DiskSpace{50 * kMb, 200 * kMb}; };
  EXPECT_TRUE(RoomFor(space, 40 * kMb, 128 * kMb).ok());
  const Status full = RoomFor(space, 40 * kMb + 1, 128 * kMb);
  EXPECT_EQ(full.code(), StatusCode::kDiskFull);
  EXPECT_NE(full.message().find("50 MB left; 40 MB more are needed, and 10 MB"), std::string::npos)
      << full.message();
  EXPECT_EQ(RoomFor(space, 51 * kMb, 0).code(), StatusCode::kDiskFull);
  EXPECT_FALSE(RoomFor([] { return Result<DiskSpace>(Status(StatusCode::kIo, "gone")); }, 0, 0).ok());
  EXPECT_TRUE(SpaceOn("/").ok());
}

}  // namespace
}  // namespace assent
