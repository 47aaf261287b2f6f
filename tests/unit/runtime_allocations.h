#pragma once

#include <cstddef>

namespace assent::test {

// The largest block that operator new was asked for, by any thread, since a test last set this to 0.
extern size_t largest_allocation;

}  // namespace assent::test
