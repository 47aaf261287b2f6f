#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace assent {

// Keeps repeated failures from filling a log: the first of each kind is told, then one a minute, with the
// number of those that were not; and again the first one after it went well. Kinds come from a small set. Any
// thread may call.
class LimitedLog {
 public:
  // The text to append to the line, "" or " (41 more since the last such line)"; nothing: do not log now.
  // `now_us` never falls.
  std::optional<std::string> Fails(const std::string& kind, uint64_t now_us) {
    const std::lock_guard lock(mutex_);
    const auto [found, is_first] = kinds_.try_emplace(kind, Kind{now_us, 0});
    Kind& known = found->second;
    if (!is_first && now_us - known.said_us < kPauseUs) {
      ++known.unsaid;
      return std::nullopt;
    }
    known.said_us = now_us;
    const uint64_t unsaid = std::exchange(known.unsaid, 0);
    if (unsaid == 0) return "";
    return " (" + std::to_string(unsaid) + " more since the last such line)";
  }
  void GoesWell(const std::string& kind) {
    const std::lock_guard lock(mutex_);
    kinds_.erase(kind);
  }

 private:
  static constexpr uint64_t kPauseUs = 60'000'000;

  struct Kind {
    uint64_t said_us = 0;
    uint64_t unsaid = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace assent
