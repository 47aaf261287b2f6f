#include "coordinator/resends.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutant.h"

namespace assent::coordinator {

uint64_t Resends::Random() {  // splitmix64
  random_ += 0x9e3779b97f4a7c15;
  uint64_t z = random_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void Resends::ScheduleAt(const ParticipantId& participant, const TxnId& txn, uint64_t at_us) {
  Queue& queue = queues_[participant];
  const auto [entry, fresh] = queue.at.try_emplace(txn, at_us);
  if (!fresh) {
    queue.order.erase({entry->second, txn});
    entry->second = at_us;
  }
  queue.order.emplace(at_us, txn);
}

void Resends::ScheduleAfter(const ParticipantId& participant, const TxnId& txn, uint64_t now_us,
                            uint32_t resends) {
  constexpr uint64_t kLoopUs = 1'000;
  if (Mutated(Mutant::kNoBackoff)) return ScheduleAt(participant, txn, now_us + kLoopUs);
  uint64_t backoff = times_.resend_first_us;
  for (uint32_t i = 0; i < resends && backoff < times_.resend_max_us; ++i) backoff *= 2;
  backoff = std::min(backoff, times_.resend_max_us);
  // Jitter of a quarter either way: messages that were sent together do not come again together.
  const uint64_t spread = backoff / 2;
  ScheduleAt(participant, txn, now_us + backoff - spread / 2 + (spread == 0 ? 0 : Random() % spread));
}

void Resends::Cancel(const ParticipantId& participant, const TxnId& txn) {
  const auto found = queues_.find(participant);
  if (found == queues_.end()) return;
  Queue& queue = found->second;
  const auto entry = queue.at.find(txn);
  if (entry == queue.at.end()) return;
  queue.order.erase({entry->second, txn});
  queue.at.erase(entry);
}

void Resends::Hasten(const ParticipantId& participant, uint64_t now_us) {
  const auto found = queues_.find(participant);
  if (found == queues_.end()) return;
  Queue& queue = found->second;
  queue.order.clear();
  for (auto& [txn, at_us] : queue.at) {
    at_us = std::min(at_us, now_us);
    queue.order.emplace(at_us, txn);
  }
}

std::vector<Resends::Due> Resends::Take(uint64_t now_us) {
  std::vector<Due> due;
  for (auto& [participant, queue] : queues_) {
    if (now_us >= queue.window_us + times_.resend_window_us) {
      queue.window_us = now_us;
      queue.sent = 0;
    }
    while (!queue.order.empty() && queue.order.begin()->first <= now_us &&
           (queue.sent < times_.resends_per_window || Mutated(Mutant::kNoBackoff))) {
      const TxnId txn = queue.order.begin()->second;
      queue.order.erase(queue.order.begin());
      queue.at.erase(txn);
      ++queue.sent;
      due.push_back(Due{participant, txn});
    }
  }
  return due;
}

uint64_t Resends::NextDue() const {
  uint64_t next = UINT64_MAX;
  for (const auto& [participant, queue] : queues_) {
    if (queue.order.empty()) continue;
    uint64_t at_us = queue.order.begin()->first;
    if (queue.sent >= times_.resends_per_window)
      at_us = std::max(at_us, queue.window_us + times_.resend_window_us);
    next = std::min(next, at_us);
  }
  return next;
}

bool Resends::Holds(const ParticipantId& participant, const TxnId& txn) const {
  const auto queue = queues_.find(participant);
  return queue != queues_.end() && queue->second.at.contains(txn);
}

size_t Resends::size() const {
  size_t sum = 0;
  for (const auto& [participant, queue] : queues_) {
    ASSENT_CHECK(queue.at.size() == queue.order.size());
    sum += queue.at.size();
  }
  return sum;
}

}  // namespace assent::coordinator
