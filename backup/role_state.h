#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "backup/peer_progress.h"
#include "backup/replication_events.h"
#include "common/check.h"
#include "common/client_api.h"
#include "common/ids.h"
#include "common/view.h"

// What a ReplicationCore knows as primary, and as backup or learner. It begins anew with each epoch, and is
// gone with the role.
namespace assent::backup {

// Records that wait for something which comes in the order of the log, and how large they are.
class Backlog {
 public:
  void Add(Lsn lsn, size_t bytes) {
    records_.emplace_back(lsn, bytes);
    bytes_ += bytes;
  }
  void DropUpTo(Lsn lsn) {
    while (!records_.empty() && records_.front().first <= lsn) {
      bytes_ -= records_.front().second;
      records_.pop_front();
    }
  }
  void Clear() { *this = {}; }

  uint64_t bytes() const { return bytes_; }
  uint64_t BytesAbove(Lsn lsn) const {
    uint64_t bytes = 0;
    for (auto i = records_.rbegin(); i != records_.rend() && i->first > lsn; ++i) bytes += i->second;
    return bytes;
  }

  void CheckInvariants() const {
    ASSENT_CHECK(std::is_sorted(records_.begin(), records_.end()));
    uint64_t bytes = 0;
    for (const auto& [lsn, size] : records_) bytes += size;
    ASSENT_CHECK(bytes == bytes_, "a backlog miscounted", bytes, bytes_);
  }

 private:
  std::deque<std::pair<Lsn, size_t>> records_;
  uint64_t bytes_ = 0;
};

// A change of the members on its way (R6), by an operator, or the return of a replica that
// a fault took out.
struct Change {
  std::optional<RequestId> id;  // of the operator who waits for it; none: it comes about by itself
  ChangeKind kind{};
  Member member;
  bool required = false;          // the learner's ack is needed for every new record
  uint64_t last_progress_us = 0;  // of the learner
  Lsn catch_up_to{};              // where the log ended when the change began
  uint64_t caught_up_us = 0;      // since when the learner has made that durable; 0 = it has not
  // kPromote
  uint64_t drain_until_us = 0;
  bool force = false;
  bool drained = false;
};

// A primary's.
struct Leading {
  bool serving = false;
  Lsn serve_at{};  // this epoch's EpochBegan
  uint64_t next_beacon_us = 0;
  uint64_t present_since_us = 0;  // backups' silence counts from here: the epoch's beginning, or a stop's end
  std::map<Member, PeerProgress> peers;  // of one node there may be two: a member, and who takes its place
  std::optional<Change> change;
  uint64_t handed_over_us = 0;  // since when this primary has no lease any more, for good; 0 = it may have
  Backlog unreplicated;         // appended in this epoch

  bool IsAdding() const { return change && change->kind == ChangeKind::kAddReplica; }
  bool IsPromoting() const { return change && change->kind == ChangeKind::kPromote; }
};

// A backup's or learner's.
struct Following {
  uint64_t heard_us = 0;        // when the last beacon of this epoch was taken in, or the epoch entered
  uint64_t beacon_sent_us = 0;  // when that was sent, by the primary's clock; 0 = none was
  Lsn matched{};                // R4: the prefix verified against this epoch's primary; volatile
  Lsn primary_replicated{};     // the highest Ship.replicated of this epoch
  Backlog unforced;             // appended in this epoch, not durable yet
};

}  // namespace assent::backup
