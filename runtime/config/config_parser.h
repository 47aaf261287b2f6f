#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/status.h"
#include "runtime/config/config.h"

// TOML text -> NodeConfig, and where each part of it stood. Checks shape only: types, known keys, the meaning
// of each text.
namespace assent {

// "groups[1].replicas" -> line. A part that is not in the file has none.
using ConfigLines = std::map<std::string, uint32_t>;

struct ParsedConfig {
  NodeConfig config;
  ConfigLines lines;
};

Result<ParsedConfig> ParseConfigText(std::string_view text, const std::string& name);

}  // namespace assent
