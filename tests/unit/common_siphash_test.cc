// SipHash against the values of the reference implementation.
#include <gtest/gtest.h>

#include "common/siphash.h"

namespace assent {
namespace {

// From the reference implementation: key 00 01 ... 0f, message 00 01 ... .
TEST(SipHash, GivesTheReferenceValues) {
  const SipKey key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(SipHash(key, {}), 0x726fdb47dd0e0e31);
  EXPECT_EQ(SipHash(key, {0x0706050403020100}), 0x93f5f5799a932462);
}

}  // namespace
}  // namespace assent
