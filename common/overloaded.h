#pragma once

// A visitor of a variant from one lambda for each alternative: std::visit(Overloaded{...}, variant).
namespace assent {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;  // Clang 14, and so clang-tidy, does not find it by itself

}  // namespace assent
