#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/answer_timeout.h"
#include "common/ids.h"
#include "common/siphash.h"

namespace assent {

struct CoordinatorLimits {
  size_t live_txns_max = 20'000;  // undecided; each may hold locks, so more would only queue behind those
  size_t live_tokens_per_client = 256;   // commit requests of one client at a time
  size_t waiters_per_token = 16;         // calls that wait for the same token
  size_t unended_max = 100'000;          // decided commits that some shard has not acknowledged (C4)
  size_t open_per_manager_max = 2'000;   // branches at one resource manager that have not ended
  size_t aborting_max = 20'000;          // aborts told to participants; past it they have to ask (C3)
  size_t bytes_max = 256u << 20;         // operations, payloads and results held for live transactions
  size_t overlay_bytes_max = 64u << 20;  // applied and not yet in SQLite
  size_t foreign_per_txn_max = 16;
  size_t recent_endings = 4'096;        // interactive transactions whose end a late call may still ask for
  size_t known_floors = 65'536;         // clients whose floor is remembered beyond what the log says (C5)
  size_t recent_acknowledged = 16'384;  // of one resource manager's commits: what its scans are compared with
};

// Intervals in microseconds of mono time.
struct CoordinatorTimes {
  uint64_t vote_timeout_us = 10'000'000;  // C7: a vote that is not in by then is a no
  uint64_t idle_timeout_us = 10'000'000;  // an interactive transaction without a call
  uint64_t life_max_us = 60'000'000;      // C7: any undecided transaction
  uint64_t resend_first_us = 200'000;     // doubles with each resend, with jitter
  uint64_t resend_max_us = 2'000'000;     // once what was in the way is gone, others wait for it no longer
  uint64_t resend_window_us = 100'000;  // C7: at most `resends_per_window` go to one participant in a window
  uint32_t resends_per_window = 256;
  uint32_t abort_resends_max = 8;    // then the participant has to ask (C3)
  uint32_t unsent_prepares_max = 4;  // in a row, of one branch: then its vote is waited for no longer
  // What an application is about to end itself is left to it so long after it was told (F4).
  uint64_t finish_after_us = 500'000;
  uint64_t foreign_call_us = 20'000'000;  // a call without any answer counts as lost after this
  uint64_t foreign_scan_us = 2'000'000;   // what a dead primary left there holds its locks so long
  uint64_t mark_news_us = 1'000'000;      // silence towards a shard after which a risen mark is news (C8)
  uint64_t mark_refresh_us = 30'000'000;  // silence after which any mark is: the last news may be lost
  uint64_t retention_us = 3'600'000'000;  // C5: tokens older than this are refused
  // The horizon rises in steps of this, which is also how tokens are sorted by birth: fixed while
  // a group lives.
  uint64_t horizon_step_us = 60'000'000;
  uint64_t report_us = 60'000'000;  // between reports of one kind about one resource manager
};

static_assert(CoordinatorTimes{}.vote_timeout_us <= kVoteTimeoutMaxUs);

struct CoordinatorConfig {
  GroupId group{GroupKind::kCoordinator, 0};
  std::vector<std::string> resource_managers;  // configured foreign participants
  CoordinatorLimits limits;
  CoordinatorTimes times;
  uint64_t seed = 1;  // of the jitter
  SipKey secret{};    // client ids and the keys of transactions come of it: drawn anew for each core
};

}  // namespace assent
