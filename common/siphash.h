#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

namespace assent {

using SipKey = std::array<uint64_t, 2>;

// SipHash-2-4 (Aumasson and Bernstein 2012) of these numbers, each as 8 bytes: a keyed pseudorandom function,
// so who does not know the key cannot tell its values from random ones, however many others he has seen.
uint64_t SipHash(const SipKey& key, std::initializer_list<uint64_t> words);

}  // namespace assent
