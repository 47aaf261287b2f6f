#include <assent/status.h>

#include <cstdio>
#include <cstdlib>

namespace assent {

std::string_view ToString(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kInvalid:
      return "invalid";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kConflict:
      return "conflict";
    case StatusCode::kDamaged:
      return "damaged";
    case StatusCode::kIo:
      return "i/o error";
    case StatusCode::kDiskFull:
      return "disk full";
    case StatusCode::kUnavailable:
      return "unavailable";
    case StatusCode::kOverloaded:
      return "overloaded";
    case StatusCode::kForeign:
      return "foreign";
  }
  return "?";
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  return std::string(assent::ToString(code_)) + ": " + message_;
}

void internal::EndForMisuse(const Status& status) {
  if (status.ok()) {
    std::fprintf(stderr, "assent: check failed: a Result was made of a Status that is ok\n");
  } else {
    std::fprintf(stderr, "assent: check failed: value() of a Result that has none: %s\n",
                 status.message().c_str());
  }
  std::abort();
}

}  // namespace assent
