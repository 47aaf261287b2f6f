#include <algorithm>
#include <string>
#include <vector>

#include "rm/conformance/clauses.h"
#include "thrift/codec_fields.h"

// Clauses that kill the service. Calls go on until one fails, so that the kill comes right behind an answer,
// or between the service's disk and its answer.
namespace assent::rm {
namespace {

constexpr size_t kCallsMax = 256;  // what was answered is asked about again, call by call
constexpr char kPowerNote[] = "looked at with a kill; a loss of power was not";

bool IsYes(const Reply& reply) {
  return reply.answered(wire::ParticipantStatus::OK) && reply.vote == wire::Vote::YES;
}
bool IsDone(const Reply& reply) {
  return reply.answered(wire::ParticipantStatus::OK) && reply.done;
}

// A call without effect: is the service gone?
bool IsGone(Trial& t) {
  return t.probe().Recover(t.branches().group()).lost();
}

}  // namespace

bool YesOutlivesKill(Trial& t) {
  t.Note(kPowerNote);
  std::vector<TxnId> said_yes = {t.branches().New()};
  if (!t.Prepare(said_yes.front(), Want::kYes)) return false;
  const bool killed = t.Kill([&] {
    if (!t.many() || said_yes.size() >= kCallsMax) return IsGone(t);
    const TxnId txn = t.branches().New();
    t.Opened(txn);
    const Reply reply = t.probe().Prepare(codec::Encode(txn), t.Payload(txn));
    if (IsYes(reply)) said_yes.push_back(txn);
    return reply.lost();
  });
  if (!killed) return false;
  for (const TxnId& txn : said_yes) {
    if (!t.Holds(txn, true)) return false;
  }
  const TxnId last = said_yes.back();
  said_yes.pop_back();
  return t.Prepare(last, Want::kYes) && t.Commit(last, Want::kDone) &&
         std::all_of(said_yes.begin(), said_yes.end(),
                     [&](const TxnId& txn) { return t.Rollback(txn, Want::kDone); });
}

bool LocksOutliveKill(Trial& t, const TxnId& holder) {
  if (!t.Kill([&] { return IsGone(t); })) return false;
  const TxnId other = t.branches().New();
  t.Opened(other);
  const Reply reply = t.probe().Prepare(codec::Encode(other), t.Conflicting(holder));
  if (!t.Judge(reply, reply.vote != wire::Vote::YES && reply.vote != wire::Vote::READ_ONLY,
               "no yes while " + ToString(holder) + " is prepared, after a restart, too")) {
    return false;
  }
  t.Send([&](const Probe& probe) { return probe.Rollback(codec::Encode(other)); });
  return true;
}

bool EndsOutliveKill(Trial& t) {
  t.Note(std::string(kPowerNote) + "; nor whether an end is remembered for a day");
  const TxnId rolled_back = t.branches().New();
  std::vector<TxnId> committed = {t.branches().New()};
  if (!t.Prepare(rolled_back, Want::kYes) || !t.Rollback(rolled_back, Want::kDone) ||
      !t.Prepare(committed.front(), Want::kYes) || !t.Commit(committed.front(), Want::kDone)) {
    return false;
  }
  const bool killed = t.Kill([&] {
    if (committed.size() >= kCallsMax) return IsGone(t);
    const TxnId txn = t.branches().New();
    t.Opened(txn);
    const Reply prepared = t.probe().Prepare(codec::Encode(txn), t.Payload(txn));
    if (!IsYes(prepared)) return prepared.lost();
    const Reply reply = t.probe().Commit(codec::Encode(txn));
    if (IsDone(reply)) {
      t.branches().open.erase(txn);
      committed.push_back(txn);
    }
    return reply.lost();
  });
  if (!killed) return false;
  for (const TxnId& txn : committed) {
    if (!t.Holds(txn, false) || !t.Commit(txn, Want::kDone)) return false;
  }
  return t.Prepare(committed.back(), Want::kYes) && t.Holds(rolled_back, false) &&
         t.Rollback(rolled_back, Want::kDone) && t.Commit(rolled_back, Want::kNotDone) &&
         t.Prepare(rolled_back, Want::kNo);
}

bool EarlyRollbackOutlivesKill(Trial& t) {
  t.Note(kPowerNote);
  std::vector<TxnId> refused = {t.branches().New()};
  if (!t.Rollback(refused.front(), Want::kDone)) return false;
  const bool killed = t.Kill([&] {
    if (refused.size() >= kCallsMax) return IsGone(t);
    const TxnId txn = t.branches().New();
    const Reply reply = t.probe().Rollback(codec::Encode(txn));
    if (IsDone(reply)) refused.push_back(txn);
    return reply.lost();
  });
  if (!killed) return false;
  return std::all_of(refused.begin(), refused.end(),
                     [&](const TxnId& txn) { return t.Prepare(txn, Want::kNo); });
}

}  // namespace assent::rm
