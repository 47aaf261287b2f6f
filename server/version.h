#pragma once

namespace assent {

inline constexpr char kVersion[] = ASSENT_VERSION;

}  // namespace assent
