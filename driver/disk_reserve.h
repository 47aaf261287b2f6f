#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/status.h"

// The room kept free on the disk with a node's data (G8): for what is open already to end, for checkpoints
// and for trimming, so that a full disk heals when room is made.
namespace assent {

struct DiskSpace {
  uint64_t free_bytes = 0;  // that may be written
  uint64_t total_bytes = 0;
};
using DiskSpaceFn = std::function<Result<DiskSpace>()>;

// The space of the file system that `path` lies on.
Result<DiskSpace> SpaceOn(const std::string& path);

// A twentieth of the disk at most: a small one is not all reserve.
uint64_t ReserveOf(const DiskSpace& space, uint64_t reserve_bytes);

// kDiskFull, with the figures, where `bytes` more would leave less than the reserve.
Status RoomFor(const DiskSpaceFn& space, uint64_t bytes, uint64_t reserve_bytes);

std::string Megabytes(uint64_t bytes);  // "12 MB"

}  // namespace assent
