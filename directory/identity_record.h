#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "common/view.h"
#include "directory/directory.h"

namespace assent {

// An operator's decision when a directory was lost (R12): a new one was made from these replicas, in its
// place, and they follow it.
struct Adoption {
  DirectoryIncarnation succeeds{};
  uint64_t wall_us = 0;
  struct Heard {
    GroupId group;
    Member member;
    bool operator==(const Heard&) const = default;
  };
  std::vector<Heard> replicas;  // which go on in the new one
  bool operator==(const Adoption&) const = default;
};

// The identity of a directory, as a text record (docs/FORMAT.md, "The embedded directory").
struct DirectoryIdentity {
  std::string cluster;
  DirectoryIncarnation incarnation{};
  Epoch first_epoch{1};              // of the first view of each group
  std::optional<Adoption> adoption;  // none: it is the cluster's first
  bool operator==(const DirectoryIdentity&) const = default;
};

// The first epoch of a directory that is made now: the second of its birth. Views change less often, so a
// directory that is made anew begins above all epochs of the one before it: transaction ids carry epochs, and
// resource managers outside remember them. Within 32 bits until 2156, since clients' ids hold it.
Epoch FirstEpoch(uint64_t wall_us);

std::string EncodeIdentity(const DirectoryIdentity& identity);
// kDamaged, or kForeign where its format is newer. `path` is for the message.
Result<DirectoryIdentity> DecodeIdentity(std::string_view text, const std::string& path);

}  // namespace assent
