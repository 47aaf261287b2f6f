#pragma once

#include <string>
#include <string_view>

#include "common/node_register.h"
#include "common/status.h"

// A node's register as a text record (docs/FORMAT.md, "The embedded directory").
namespace assent {

std::string EncodeRegister(const NodeRegister& held);
// kDamaged, or kForeign where its format is newer. `path` is for the message.
Result<NodeRegister> DecodeRegister(std::string_view text, const std::string& path);

}  // namespace assent
