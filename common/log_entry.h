#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "common/ids.h"

namespace assent {

// One record of a group's log as it is stored and shipped. The payload (an encoded LogRecord,
// common/records.h) is immutable and shared: the same bytes go to the log writer and to each link
// without a copy.
struct LogEntry {
  static constexpr size_t kFields = 2;
  LogPosition position;
  std::shared_ptr<const std::string> payload;
};

}  // namespace assent
