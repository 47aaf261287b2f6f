#include "tests/unit/runtime_allocations.h"

#include <cstdlib>
#include <new>

namespace assent::test {
size_t largest_allocation = 0;
}

void* operator new(size_t bytes) {
  if (bytes > assent::test::largest_allocation) assent::test::largest_allocation = bytes;
  if (void* at = std::malloc(bytes)) return at;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) {
  return operator new(bytes);
}
void operator delete(void* at) noexcept {
  std::free(at);
}
void operator delete[](void* at) noexcept {
  std::free(at);
}
void operator delete(void* at, size_t) noexcept {
  std::free(at);
}
void operator delete[](void* at, size_t) noexcept {
  std::free(at);
}
