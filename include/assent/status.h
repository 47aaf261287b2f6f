#pragma once

#include <assent/export.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace assent {

// Errors of the environment. A code exists only where some caller reacts to it differently.
enum class StatusCode {
  kOk = 0,
  kInvalid,  // bad input: the message says what to change
  kNotFound,
  kConflict,     // a compare-and-swap lost, or the thing exists already
  kDamaged,      // bytes on disk that were durable are wrong (G7)
  kIo,           // a system call failed; on a log or store it is final (R7)
  kDiskFull,     // ENOSPC or EDQUOT
  kUnavailable,  // not reachable or not serving now: retry
  kOverloaded,   // a bound was reached (G8): retry later
  kForeign,      // belongs to another cluster, group or a newer format
};

ASSENT_API std::string_view ToString(StatusCode code);

// Success, or a code and a message for people. Messages say what was being done to what.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  ASSENT_API std::string ToString() const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

namespace internal {
// Ends the process: value() of a Result that has none, or a Result made of a Status that is ok.
[[noreturn]] ASSENT_API void EndForMisuse(const Status& status);
}  // namespace internal

// A value or the Status that says why there is none. value() of a failed Result is a bug.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {  // NOLINT
    if (status_.ok()) internal::EndForMisuse(status_);
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & {
    if (!ok()) internal::EndForMisuse(status_);
    return *value_;
  }
  const T& value() const& {
    if (!ok()) internal::EndForMisuse(status_);
    return *value_;
  }
  T&& value() && {
    if (!ok()) internal::EndForMisuse(status_);
    return *std::move(value_);
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace assent
