#pragma once

#include <sys/random.h>

#include <cstdint>

#include "common/check.h"

namespace assent {

// From the system's source, and never 0: for lives, incarnations, salts and secrets.
inline uint64_t RandomNumber() {
  uint64_t number = 0;
  while (number == 0) {
    const ssize_t got = getrandom(&number, sizeof number, 0);
    ASSENT_CHECK(got == sizeof number);
  }
  return number;
}

}  // namespace assent
