#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/text.h"
#include "common/base64.h"

// JSON as the commands print it.
namespace assent::cli {

using Json = nlohmann::ordered_json;

// Without loss: the text; where it is no UTF-8, null, and `<name>_base64`.
inline void SetBytes(Json& object, const std::string& name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    object[name] = bytes;
  } else {
    object[name] = nullptr;
    object[name + "_base64"] = Base64(bytes);
  }
}

// Never throws: sentences for people, which may quote anything, are cut to what is UTF-8.
inline std::string ToText(const Json& json, int indent = 2) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace assent::cli
