#pragma once

namespace assent::cli {

inline constexpr char kVersion[] = ASSENT_VERSION;

}  // namespace assent::cli
