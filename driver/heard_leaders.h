#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "common/ids.h"
#include "driver/replica_host.h"

namespace assent {

// Primaries of other groups that spoke to this one before the host's picture of the views showed them. They
// are answered at once: the answer would go to the old primary otherwise, and there may be no second one
// (P3, P9). A leader that the directory does not bear out within a second is not believed any more, however
// often it speaks.
class HeardLeaders {
 public:
  // True if it is news. Groups that the host does not know are none of ours.
  bool Hear(ReplicaHost& host, GroupId group, const Leader& leader) {
    const auto known = host.LeaderOf(group);
    if (!known || known->epoch >= leader.epoch) return false;
    Heard& heard = heard_[group];
    if (heard.leader.epoch >= leader.epoch) return false;
    heard = Heard{leader, host.Now().mono_us};
    return true;
  }
  std::optional<Leader> LeaderOf(ReplicaHost& host, GroupId group) {
    const auto known = host.LeaderOf(group);
    const auto found = heard_.find(group);
    if (found == heard_.end()) return known;
    const auto [leader, at_us] = found->second;
    if (known && known->epoch >= leader.epoch) {
      heard_.erase(found);
      return known;
    }
    return host.Now().mono_us < at_us + kBelievedUs ? leader : known;
  }

 private:
  // Long against a reading of the directory, short against the damage that a peer's wrong word could do.
  static constexpr uint64_t kBelievedUs = 1'000'000;

  struct Heard {
    Leader leader;
    uint64_t at_us = 0;
  };
  std::map<GroupId, Heard> heard_;
};

}  // namespace assent
