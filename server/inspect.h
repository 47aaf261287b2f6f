#pragma once

#include <optional>
#include <vector>

#include "assent_types.h"
#include "common/ids.h"
#include "driver/replica.h"

// The operators' view of a replica's role core, as wire structs. Loop thread.
namespace assent {

struct RoleGauges {
  size_t live = 0;
  size_t in_doubt = 0;
  uint64_t oldest_in_doubt_us = 0;
};
RoleGauges GaugesOf(const Replica& replica, const Instant& now);

// Its transactions or branches, oldest first, at most `count_max`.
std::vector<wire::TxnSummary> SummariesOf(const Replica& replica, const Instant& now,
                                          wire::TxnFilter::type filter, size_t count_max);
std::optional<wire::TxnDetail> DetailOf(const Replica& replica, const Instant& now, const TxnId& txn);

}  // namespace assent
