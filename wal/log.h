#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/log_entry.h"
#include "common/status.h"
#include "wal/file.h"
#include "wal/format.h"
#include "wal/recovery.h"
#include "wal/scan.h"
#include "wal/segment_files.h"

// The log of one replica of one group, as files in a directory (docs/FORMAT.md). It owns what is durable and
// what must be cut; it decides nothing about replication, starts no thread and knows no clock.
//
//   Open --> Append* --> Force --> Append* --> ...        any failed write or sync --> poisoned, for good
//
// Guarantees:
//   R4  A truncation is durable before it has any effect, and finished by Open if a crash interrupts it.
//       Truncated records never return, whatever is appended under the same LSNs afterwards.
//   R7  A failed write or sync poisons the log: every later call that writes returns the first error.
//   R8  Open tells a torn tail from damage; a torn tail is cut, zeroed to the segment's end and forced before
//       Open returns. Each batch carries the LSN that was durable when it was written.
//   R9  Nothing that an earlier life of a recycled segment held is ever read back. Epochs never fall.
//   R10 Force covers everything appended before it.
//
// A full disk (kDiskFull) while a new segment is made, or no descriptor to open it with (kUnavailable), is no
// failed write: the fragment is removed, nothing of the call is in the log, and the call may be repeated.
//
// Threads: one log thread calls Append, Force, PrepareNextSegment, Truncate, Trim and Reset. Read and the
// const queries may be called from any thread at any time, also while the log thread is inside a call.
namespace assent::wal {

struct LogOptions {
  std::string cluster;  // the cluster's id, at most kClusterBytesMax; a log of another cluster is kForeign
  GroupId group;
  // Size of each file. Also bounds a record: see PayloadBytesMax(). A log costs at least one such file, and
  // up to `spare_segments_max` more are kept for reuse.
  uint64_t segment_bytes = kSegmentBytesDefault;
  size_t spare_segments_max = 2;
  // The highest LSN that someone is known to count on: acknowledged by this replica to a peer, known
  // replicated, or applied to SQLite. A record missing or bad at or below it is damage, no torn tail (R8).
  Lsn known_acknowledged{};
  std::function<uint64_t()> random;  // salts of new segments (R9); called on the log thread
};

// Findings of Open, for the operator's log and for metrics.
struct RecoveryFacts {
  bool created = false;          // the directory held no log
  Lsn durable_watermark{};       // the highest LSN that the log itself proves to have been durable before the
                                 // restart
  uint64_t torn_batches = 0;     // batches with a sound header that were cut
  uint64_t cut_bytes = 0;        // from the cut to the last byte of the segment that was not zero
  uint64_t cut_offset = 0;       // where in the last segment the log now ends
  uint64_t last_segment = 0;     // its number
  uint64_t voided_segments = 0;  // left by an interrupted Truncate, Reset or Trim, now recycled
};

class Log {
 public:
  struct Opened {
    std::unique_ptr<Log> log;
    RecoveryFacts facts;
  };

  // Opens the log in `directory` (which exists), creating it if there is none and nothing is
  // known_acknowledged. `files` outlives the log. After Open everything up to last() is durable. Errors:
  // kDamaged (message names file, offset and LSN; nothing was changed on disk), kForeign, kInvalid (options),
  // kIo, kDiskFull. The caller compares base() with what it has applied: a base above it means that
  // segments were lost.
  static Result<Opened> Open(FileSystem& files, const std::string& directory, LogOptions options);

  // Log thread only:

  // Writes `entries` behind last(), in as many batches as it takes, without syncing the last of them.
  // kInvalid, with nothing written: LSNs that do not continue last(), an epoch that falls (R9),
  // a payload above PayloadBytesMax().
  Status Append(std::span<const LogEntry> entries);
  // Makes all that was appended durable. Nothing to do: returns at once.
  Status Force();
  Status AppendAndForce(std::span<const LogEntry> entries);

  // When idle: makes the next segment ahead of need if the current one is more than half full and there is no
  // spare. kDiskFull and kUnavailable are harmless here.
  Status PrepareNextSegment();
  // The same in steps, each about as long as a force, so that an append that comes meanwhile need not wait
  // for all of it. True: there is more to do.
  Result<bool> StepNextSegment();

  // Removes every record above `after` (R4). kInvalid if `after` lies below the base. The caller has made
  // sure that nothing above `after` is replicated or applied. Needs a spare segment or room for one.
  Status Truncate(Lsn after);
  // Recycles the segments that lie wholly below `below`; records at or above it stay.
  Status Trim(Lsn below);
  // Drops everything; the next record is base.lsn + 1. For a snapshot that was installed (R6).
  Status Reset(LogPosition base);

  // Any thread, from here on.

  // Durable entries from `from` on, in order: at least one if there is one, then up to about `bytes_max` of
  // payload. Empty: `from` is above durable(). kNotFound: at or below the base, or trimmed or truncated
  // meanwhile. kDamaged: bytes went bad since Open. kUnavailable: no descriptor to read it with.
  Result<std::vector<LogEntry>> Read(Lsn from, size_t bytes_max) const;

  LogPosition base() const;  // the record before the first one held; (0, 0) in a log never trimmed or reset
  LogPosition last() const;  // the last record appended, durable or not; base() if there is none
  LogPosition durable() const;  // the last record known durable
  // The epoch of a record held, or of base(). Nothing for any other LSN. Cheap: no I/O.
  std::optional<Epoch> EpochAt(Lsn lsn) const;
  Status status() const;  // ok, or the error that poisoned the log
  uint64_t segment_count() const;
  uint64_t PayloadBytesMax() const;

 private:
  struct Segment {
    uint64_t number = 0;
    uint64_t key = 0;
    LogPosition previous;
    Lsn last{};                    // the last record that counts; previous.lsn if there is none
    std::vector<BatchSpot> index;  // the first batch, then one about every kIndexStrideBytes
  };

  // Part of one segment to be read without the mutex.
  struct Extent {
    uint64_t number = 0;
    uint64_t key = 0;
    uint64_t offset = 0;  // of a batch
    Lsn last{};           // where to stop
  };

  Log(FileSystem& files, std::string directory, LogOptions options);

  Status Recover(RecoveryFacts& facts);
  Status RewriteTail(Recovered& recovered);
  // Makes a new last segment behind `previous`, which is durable, and recycles the segments of which nothing
  // counts any more. REQUIRES: a spare.
  Status Roll(LogPosition previous, bool starts);
  Status AppendBatch(std::span<const LogEntry> batch);
  Status CheckAppend(std::span<const LogEntry> entries) const;
  // How many of `entries`, from the front, go into one batch, with `room` bytes left in the segment. 0: none.
  static size_t FitBatch(std::span<const LogEntry> entries, uint64_t room);
  // How many new segments it takes to append `entries`.
  size_t CountRolls(std::span<const LogEntry> entries) const;
  Status RecycleSegments(const std::vector<uint64_t>& numbers, bool one_by_one);
  static bool MayRepeat(const Status& failed);
  Status Poison(Status status);
  Status ReadExtent(const Extent& extent, Lsn from, size_t bytes_max, std::vector<LogEntry>& entries,
                    size_t& payload_bytes) const;
  bool HoldsSegment(uint64_t number) const;
  static void IndexBatch(Segment& segment, BatchSpot spot);
  // Aborts the process if the fields contradict each other. O(1); after each call that moves more than the
  // end.
  void CheckInvariants() const;

  // Log thread only.
  FileSystem& files_;
  const std::string directory_;
  const LogOptions options_;
  SegmentFiles segment_files_;
  std::unique_ptr<File> tail_file_;  // the last segment
  uint64_t tail_offset_ = 0;         // where its next batch goes
  uint64_t tail_bytes_ = 0;          // its size: that of the options it was made under
  std::string buffer_;               // the batch being encoded, kept for its capacity

  // Written by the log thread only, under the mutex; it reads them without. Held for a few instructions,
  // never over I/O.
  mutable std::mutex mutex_;
  std::vector<Segment> segments_;          // never empty once open
  std::vector<LogPosition> epoch_starts_;  // the first record of each run of one epoch, ascending
  LogPosition base_;
  LogPosition last_;
  LogPosition durable_;
  Status status_;
};

}  // namespace assent::wal
