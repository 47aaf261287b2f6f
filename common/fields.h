#pragma once

#include <cstddef>
#include <type_traits>

// The fields of a struct, visited in the order of their declaration. A struct says how many it has:
//
//   struct Decide {
//     static constexpr size_t kFields = 2;
//     TxnHeader header;
//     Decision decision = Decision::kAbort;
//   };
//
// Its encoding, its size and its samples in tests follow from that (common/encoding.h): there is no other
// place that lists the fields. A field that is added without counting it does not compile. The order of
// declaration is the order of the bytes, so fields of what is stored are neither moved nor removed.
namespace assent {

template <typename T>
concept HasFields = requires {
  std::remove_const_t<T>::kFields;
};

// Calls visit(field) for each field of `object`, which may be const.
template <HasFields T, typename Visit>
constexpr void ForEachField(T& object, Visit&& visit) {
  constexpr size_t kCount = std::remove_const_t<T>::kFields;
  static_assert(kCount <= 10, "add a case below");
  if constexpr (kCount == 0) {
    static_assert(std::is_empty_v<T>, "the struct has fields: count them in kFields");
  } else if constexpr (kCount == 1) {
    auto& [a] = object;
    visit(a);
  } else if constexpr (kCount == 2) {
    auto& [a, b] = object;
    visit(a), visit(b);
  } else if constexpr (kCount == 3) {
    auto& [a, b, c] = object;
    visit(a), visit(b), visit(c);
  } else if constexpr (kCount == 4) {
    auto& [a, b, c, d] = object;
    visit(a), visit(b), visit(c), visit(d);
  } else if constexpr (kCount == 5) {
    auto& [a, b, c, d, e] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e);
  } else if constexpr (kCount == 6) {
    auto& [a, b, c, d, e, f] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e), visit(f);
  } else if constexpr (kCount == 7) {
    auto& [a, b, c, d, e, f, g] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g);
  } else if constexpr (kCount == 8) {
    auto& [a, b, c, d, e, f, g, h] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g), visit(h);
  } else if constexpr (kCount == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g), visit(h), visit(i);
  } else {
    auto& [a, b, c, d, e, f, g, h, i, j] = object;
    visit(a), visit(b), visit(c), visit(d), visit(e), visit(f), visit(g), visit(h), visit(i), visit(j);
  }
}

}  // namespace assent
