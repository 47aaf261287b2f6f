#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rm/conformance/clauses.h"
#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

constexpr int kIdle = 4;    // connections that stay open beside
constexpr int kAtOnce = 8;  // calls at the same time
constexpr std::chrono::milliseconds kWaits{
    300};  // a prepare without an answer for so long waits for something

// The answers to these calls, all sent at the same time.
std::vector<Reply> AtOnce(const std::vector<std::function<Reply()>>& calls) {
  std::vector<Reply> replies(calls.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < calls.size(); ++i) threads.emplace_back([&, i] { replies[i] = calls[i](); });
  for (std::thread& thread : threads) thread.join();
  return replies;
}

bool All(Trial& t, const std::vector<Reply>& replies, Want want) {
  for (const Reply& reply : replies) {
    if (!t.Judge(reply, want)) return false;
  }
  return true;
}

}  // namespace

bool ConcurrentCalls(Trial& t) {
  std::vector<std::unique_ptr<Probe::Service>> idle(kIdle);
  for (auto& service : idle) {
    const Reply opened = t.probe().Open(t.branches().group(), service);
    if (!t.Judge(opened, opened.called.ok(), "an answer")) return false;
  }
  if (!t.many()) t.Note("with one branch only: the payload has no %n");
  std::vector<TxnId> branches;
  for (int i = 0; i < (t.many() ? kAtOnce : 1); ++i) branches.push_back(t.branches().New());
  std::vector<std::function<Reply()>> prepares;
  std::vector<std::function<Reply()>> ends;
  for (const TxnId& txn : branches) {
    t.Opened(txn);
    const auto prepare = [&t, txn] { return t.probe().Prepare(codec::Encode(txn), t.Payload(txn)); };
    const auto end = [&t, txn] {
      return txn.seq % 2 == 0 ? t.probe().Commit(codec::Encode(txn)) : t.probe().Rollback(codec::Encode(txn));
    };
    for (int twice = 0; twice < 2; ++twice) {  // a repetition may overtake the call that it repeats
      prepares.emplace_back(prepare);
      ends.emplace_back(end);
    }
  }
  if (!All(t, AtOnce(prepares), Want::kYes) || !All(t, AtOnce(ends), Want::kDone)) return false;
  for (const TxnId& txn : branches) {
    if (!t.Holds(txn, false)) return false;
    t.branches().open.erase(txn);
  }
  return true;
}

bool WaitingPrepare(Trial& t) {
  const TxnId holder = t.branches().New();
  const TxnId waiter = t.branches().New();
  if (!t.Prepare(holder, Want::kYes)) return false;
  t.Opened(waiter);
  std::atomic<bool> is_answered = false;
  Reply waited;
  std::thread waiting([&] {
    waited = t.probe().Prepare(codec::Encode(waiter), t.Conflicting(holder));
    is_answered = true;
  });
  std::this_thread::sleep_for(kWaits);
  const bool has_waited = !is_answered;
  const Reply listed = t.probe().Recover(t.branches().group());
  const bool is_in_time = !is_answered;
  const Reply committed = t.probe().Commit(codec::Encode(holder));
  waiting.join();
  if (committed.called.ok() && committed.done) t.branches().open.erase(holder);
  if (!has_waited)
    return t.NotTried("the conflicting prepare was answered at once (" + waited.Answer() + ")");
  // It gave up, or was let go on by the commit.
  const bool is_through = waited.answered(wire::ParticipantStatus::OK) && waited.vote == wire::Vote::YES;
  const std::string when = "an answer while " + waited.sent + " waits for a lock";
  return t.Judge(listed, listed.called.ok() && is_in_time, when) &&
         t.Judge(committed, committed.called.ok() && committed.done, "done") &&
         t.Judge(waited, is_through, "YES, as " + ToString(holder) + " was committed meanwhile") &&
         t.Rollback(waiter, Want::kDone);
}

}  // namespace assent::rm
