#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/role.h"

// Named places between two effects of the protocol at which a node can be told to kill itself, as kill -9
// would: for demonstrations, recovery drills and tests. Inert unless a node was started with them allowed.
namespace assent {

struct CrashPoint {
  std::string_view name;
  std::string_view meaning;
};
// All of them, in the order in which a transaction meets them.
const std::vector<CrashPoint>& AllCrashPoints();

class CrashPoints {
 public:
  // The process is killed at the `count`-th time (1 = the next) that a replica of this node is about to
  // perform an effect at the point. False: no such point.
  bool Arm(std::string_view name, uint64_t count);
  // To be called before each effect is performed. One branch when nothing is armed.
  void Before(const RoleEffect& effect) {
    if (left_ != 0) Check(effect);
  }

 private:
  void Check(const RoleEffect& effect);

  std::string_view name_;
  uint64_t left_ = 0;
};

}  // namespace assent
