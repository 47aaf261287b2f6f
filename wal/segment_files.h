#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "wal/file.h"
#include "wal/format.h"

// The files of one log's directory and their names. Only SegmentFiles creates, renames or removes one.
//
//   new-N --written through with zeros, synced--> spare-N --header written, synced--> log-N
//                                                    ^                                  |
//                                                    +------------ recycled ------------+   (or removed)
//
// A log-N that exists has therefore always had a whole, durable header and its full length: anything else is
// damage. A spare's contents do not matter: the header's salt tells its next life from the last one (R9).
namespace assent::wal {

enum class SegmentFileKind : uint8_t { kLive, kSpare, kNew };

struct SegmentFileName {
  SegmentFileKind kind;
  uint64_t number;
};

// "log-0000000000000007". Parse: nothing for the name of a file that is not the log's.
std::string FormatSegmentFileName(SegmentFileName name);
std::optional<SegmentFileName> ParseSegmentFileName(const std::string& text);

// On the log thread. A kDiskFull or a kUnavailable leaves no fragment and may be tried again; any other error
// is final (R7).
class SegmentFiles {
 public:
  SegmentFiles(FileSystem& files, std::string directory, uint64_t segment_bytes, size_t spares_max);

  // Takes stock: removes what an interrupted creation left and spares of another size.
  Status Load();

  // Makes spares until there are `count`, and opens as many: the slow part of a new segment, off the commit
  // path, and all of it that may have to be tried again.
  Status EnsureSpares(size_t count);
  // Likewise, but does only the next part of it, which takes about as long as a force. True: there
  // is more to do.
  Result<bool> StepTowardsSpares(size_t count);
  size_t spares() const { return spares_.size(); }

  // Above every number in the directory: the number for the next live segment.
  uint64_t next_number() const { return next_number_; }

  // Turns a spare into the live segment that `header` describes, durably. REQUIRES: EnsureSpares(); the
  // header has next_number(); recycled segments are durably so. The segment's appearance in the directory is
  // the moment at which a truncation or a reset has happened.
  Result<std::unique_ptr<File>> MakeLive(const SegmentHeader& header);

  // Takes live segment `number` out of the log: keeps it as a spare, or removes it if there are enough or it
  // has another size.
  // Durable after SyncDirectory().
  Status Recycle(uint64_t number);
  Status SyncDirectory();

  std::string Path(SegmentFileName name) const;

 private:
  struct Spare {
    uint64_t number = 0;         // in its name
    std::unique_ptr<File> file;  // once it was opened
  };
  // A spare that is being written through.
  struct Growing {
    uint64_t number = 0;
    std::unique_ptr<File> file;
    uint64_t bytes = 0;
  };

  Result<bool> HasFullLength(const std::string& path) const;
  Status GrowSpare(uint64_t bytes);
  Status OpenSpares(size_t count);
  Status WriteZeros(uint64_t bytes);

  FileSystem& files_;
  const std::string directory_;
  const uint64_t segment_bytes_;
  const size_t spares_max_;
  std::vector<Spare> spares_;
  std::optional<Growing> growing_;
  uint64_t next_number_ = 1;      // above every number in the directory
  bool directory_dirty_ = false;  // a segment's rename or removal is not durable yet
};

}  // namespace assent::wal
