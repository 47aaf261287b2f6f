// Status and Result: what they say, early returns, misuse.
#include <gtest/gtest.h>

#include <memory>

#include "common/status.h"

namespace assent {
namespace {

Status Passes(const Status& first, bool* reached) {
  ASSENT_RETURN_IF_ERROR(first);
  *reached = true;
  return {};
}

TEST(Status, SaysCodeAndMessage) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().ToString(), "ok");
  const Status full(StatusCode::kDiskFull, "writing x");
  EXPECT_FALSE(full.ok());
  EXPECT_EQ(full.ToString(), "disk full: writing x");
}

TEST(Status, ErrorReturnsAtOnce) {
  bool reached = false;
  EXPECT_EQ(Passes(Status(StatusCode::kIo, "x"), &reached).code(), StatusCode::kIo);
  EXPECT_FALSE(reached);
  EXPECT_TRUE(Passes(Status(), &reached).ok());
  EXPECT_TRUE(reached);
}

TEST(Result, HoldsAValueOrTheReason) {
  Result<std::unique_ptr<int>> held(std::make_unique<int>(5));
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(**held, 5);
  const std::unique_ptr<int> taken = std::move(held).value();
  EXPECT_EQ(*taken, 5);
  const Result<int> none(Status(StatusCode::kNotFound, "no such thing"));
  EXPECT_FALSE(none.ok());
  EXPECT_EQ(none.status().message(), "no such thing");
}

TEST(Result, MisuseIsABug) {
  const Result<int> none(Status(StatusCode::kNotFound, "no such thing"));
  EXPECT_DEATH(static_cast<void>(none.value()), "no such thing");
  EXPECT_DEATH(Result<int>{Status()}, "check failed");
}

}  // namespace
}  // namespace assent
