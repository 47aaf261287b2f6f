#include "driver/disk_reserve.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace assent {

Result<DiskSpace> SpaceOn(const std::string& path) {
  struct statvfs facts {};
  if (::statvfs(path.c_str(), &facts) != 0) {
    return Status(StatusCode::kIo, "asking for the space in " + path + ": " + std::strerror(errno));
  }
  return DiskSpace{uint64_t{facts.f_bavail} * facts.f_frsize, uint64_t{facts.f_blocks} * facts.f_frsize};
}

uint64_t ReserveOf(const DiskSpace& space, uint64_t reserve_bytes) {
  return std::min(reserve_bytes, space.total_bytes / 20);
}

Status RoomFor(const DiskSpaceFn& space, uint64_t bytes, uint64_t reserve_bytes) {
  const auto found = space();
  if (!found.ok()) return found.status();
  const uint64_t reserve = ReserveOf(*found, reserve_bytes);
  if (found->free_bytes >= bytes && found->free_bytes - bytes >= reserve) return {};
  return Status(StatusCode::kDiskFull, "the disk has " + Megabytes(found->free_bytes) + " left; " +
                                           Megabytes(bytes) + " more are needed, and " + Megabytes(reserve) +
                                           " are kept in reserve (limits.disk_reserve_bytes)");
}

std::string Megabytes(uint64_t bytes) {
  return std::to_string(bytes >> 20) + " MB";
}

}  // namespace assent
