#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/records.h"
#include "coordinator/transaction.h"

// A coordinator's transactions, as operators see them.
namespace assent::coordinator {

struct BranchInfo {
  Participant participant;
  BranchState state{};
  uint32_t resends = 0;
  uint64_t asked_us = 0;  // mono time since which its answer is awaited, if kAsked
  std::string trouble;    // of a resource manager: what came last instead of the answer
};
struct TxnInfo {
  TxnId txn;
  Age age;
  TxnState state{};
  bool interactive = false;
  Token token;                 // invalid until a commit was asked for
  uint64_t begun_us = 0;       // mono time; 0 = restored from the log
  uint64_t begin_wall_us = 0;  // 0 = not known
  std::vector<BranchInfo> branches;
  std::vector<Participant> waiting_on;
};

// Since it began, by the wall clock where another process began it; nullopt: not known.
std::optional<uint64_t> AgeOf(const TxnInfo& info, const Instant& now);

struct CoordinatorStats {
  uint64_t committed = 0;  // by a COMMIT record
  uint64_t one_phase = 0;  // by a shard's record (C6)
  uint64_t read_only = 0;  // without any record
  uint64_t aborted = 0;
  uint64_t unknown = 0;  // answered so
  uint64_t ended = 0;    // END records
  uint64_t resends = 0;
  uint64_t presumed_aborts = 0;  // inquiries answered by presumption (C3)
  uint64_t overloaded = 0;       // refusals for a bound (G8)
  uint64_t assumed_commits = 0;  // branches that were absent, and may have been committed before (F6)
};

std::string_view ToString(TxnState state);
std::string_view ToString(BranchState state);

}  // namespace assent::coordinator
