#pragma once

#include <type_traits>
#include <variant>

// Overloaded makes a visitor of lambdas, one for each alternative. A visitor that drops many of them takes
// these in one lambda, and NoneOf says which: any other that it forgot does not compile.
//
//   std::visit(Overloaded{[&](const Decide& m) { OnDecide(m); }, ...,
//                         [](const NoneOf<ToShard> auto&) {}},  // not for us
//              message);
namespace assent {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;  // Clang 14, and so clang-tidy, does not find it by itself

namespace internal {

template <typename T, typename Variant>
constexpr bool kIsAlternative = false;
template <typename T, typename... Ts>
constexpr bool kIsAlternative<T, std::variant<Ts...>> = (std::is_same_v<T, Ts> || ...);

}  // namespace internal

// T is one of the alternatives of Variant.
template <typename T, typename Variant>
concept OneOf = internal::kIsAlternative<T, Variant>;
template <typename T, typename Variant>
concept NoneOf = !OneOf<T, Variant>;

}  // namespace assent
