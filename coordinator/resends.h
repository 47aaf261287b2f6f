#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "coordinator/config.h"
#include "coordinator/transaction.h"

namespace assent::coordinator {

// C7: decides what is sent again, to whom, when. Backoff with jitter for each branch, and a budget for each
// participant, so that ten thousand unended commits after a restart do not fall on it at once: at most
// `resends_per_window` in any window; what is over waits for the next. First sends are not its business.
class Resends {
 public:
  struct Due {
    ParticipantId participant;
    TxnId txn;
  };

  Resends(const CoordinatorTimes& times, uint64_t seed) : times_(times), random_(seed) {}

  // At `at_us`; replaces what was scheduled for this branch.
  void ScheduleAt(const ParticipantId& participant, const TxnId& txn, uint64_t at_us);
  // After the backoff that follows `resends` resends.
  void ScheduleAfter(const ParticipantId& participant, const TxnId& txn, uint64_t now_us, uint32_t resends);
  void Cancel(const ParticipantId& participant, const TxnId& txn);
  // All that waits for this participant is due now: messages sent to it may be lost.
  void Hasten(const ParticipantId& participant, uint64_t now_us);

  // Takes out what is due and within the budget, participant by participant, oldest first.
  std::vector<Due> Take(uint64_t now_us);
  // When Take will next give something; UINT64_MAX = never.
  uint64_t NextDue() const;

  bool Holds(const ParticipantId& participant, const TxnId& txn) const;
  size_t size() const;

 private:
  struct Queue {
    std::map<TxnId, uint64_t> at;
    std::set<std::pair<uint64_t, TxnId>> order;
    uint64_t window_us = 0;  // when the current one began
    uint32_t sent = 0;       // in it
  };
  uint64_t Random();

  const CoordinatorTimes times_;
  uint64_t random_;
  std::map<ParticipantId, Queue> queues_;
};

}  // namespace assent::coordinator
