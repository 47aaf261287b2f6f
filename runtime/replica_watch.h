#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/view.h"

// A line for each change of a group's view and service, for the log of a node that holds a replica of it.
namespace assent {

// The new view: who leads in it, and which nodes came and went. Reasons are given as far as views tell them:
// they name nodes that an operator took out; others that left had fallen silent, or said that they stop.
std::string DescribeChange(const std::optional<View>& before, const View& after);

// Looks at one replica again and again, and says what changed since.
class ReplicaWatch {
 public:
  // Both return the line to log; mostly none. `view`: the one that the replica acts in.
  std::string NoticeView(const std::optional<View>& view);
  // `waits_for`: why it does not serve; asked only if that is told.
  std::string NoticeServing(bool serving, uint64_t now_us, const std::function<std::string()>& waits_for);

  // When the last of NoticeServing changed; 0 = never.
  uint64_t serving_since_us() const { return serving_since_us_; }

 private:
  std::optional<View> view_;
  bool serving_ = false;
  uint64_t serving_since_us_ = 0;
  uint64_t spell_us_ = 0;  // since then at most so many lines
  uint32_t told_ = 0;
};

}  // namespace assent
