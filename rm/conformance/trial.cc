#include "rm/conformance/trial.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// "Ask again", by UNAVAILABLE or by not done, is an answer that a service may give: but not for ever.
constexpr int kRepeatMs = 2'000;
constexpr milliseconds kRepeatPause{100};
constexpr int kUpMs = 30'000;     // until it answers after a restart
constexpr int kPagesMax = 1'000;  // of one list: one that repeats itself must not keep this going
constexpr int kSettleTries = 3;
constexpr size_t kBeforeMax = 12;  // calls that are told of a clause

bool Matches(const Reply& reply, Want want) {
  switch (want) {
    case Want::kYes:
      return reply.answered(wire::ParticipantStatus::OK) && reply.vote == wire::Vote::YES;
    case Want::kNo:
      return reply.answered(wire::ParticipantStatus::OK) && reply.vote == wire::Vote::NO;
    case Want::kDone:
      return reply.answered(wire::ParticipantStatus::OK) && reply.done;
    case Want::kNotDone:
      return reply.answered(wire::ParticipantStatus::OK) && !reply.done && !reply.detail.empty();
    case Want::kWrongCluster:
      return reply.answered(wire::ParticipantStatus::WRONG_CLUSTER);
    case Want::kInvalid:
      return reply.answered(wire::ParticipantStatus::INVALID);
  }
  return false;
}

std::string TextOf(Want want) {
  switch (want) {
    case Want::kYes:
      return "YES";
    case Want::kNo:
      return "NO";
    case Want::kDone:
      return "done";
    case Want::kNotDone:
      return "not done, with a detail that says why";
    case Want::kWrongCluster:
      return "WRONG_CLUSTER";
    case Want::kInvalid:
      return "INVALID";
  }
  return "?";
}

std::string Listed(const std::vector<TxnId>& ids) {
  std::string text;
  for (const TxnId& id : ids) text += (text.empty() ? "" : ", ") + ToString(id);
  return text.empty() ? "none" : text;
}

}  // namespace

Branches::Branches(uint64_t seed)
    : group_{GroupKind::kCoordinator, static_cast<uint16_t>(0x8000 + seed % 0x7ffe)},
      other_group_{GroupKind::kCoordinator, static_cast<uint16_t>(group_.number + 1)},
      epoch_{(uint64_t{1} << 40) + (seed >> 24)},
      first_number_(seed % 1'000'000 * 1'000'000) {}

std::string Branches::Text() const {
  return "coordinator groups " + ToString(group_) + " and " + ToString(other_group_) + ", epoch " +
         std::to_string(static_cast<uint64_t>(epoch_));
}

std::string Trial::WithNumber(std::string payload, const TxnId& txn) const {
  const std::string number = std::to_string(branches_.NumberOf(txn));
  for (size_t at = payload.find("%n"); at != std::string::npos; at = payload.find("%n", at)) {
    payload.replace(at, 2, number);
  }
  return payload;
}

bool Trial::NotTried(std::string why) {
  result_.verdict = Verdict::kNotTried;
  result_.note = std::move(why);
  return false;
}

void Trial::Tell(std::string step) {
  result_.before.push_back(std::move(step));
  if (result_.before.size() > kBeforeMax) result_.before.erase(result_.before.begin());
}

bool Trial::Judge(const Reply& reply, bool holds, const std::string& expected) {
  if (holds) {
    Tell(reply.sent + " -> " + reply.Answer());
    return true;
  }
  result_.verdict = Verdict::kFails;
  result_.sent = reply.sent;
  result_.answered = reply.Answer();
  result_.expected = expected;
  lost_ = reply.lost();
  return false;
}

bool Trial::Judge(const Reply& reply, Want want) {
  return Judge(reply, Matches(reply, want), TextOf(want));
}

bool Trial::AskUntil(const std::function<Reply()>& call, Want want, const TxnId* ends) {
  const auto until = Clock::now() + milliseconds(kRepeatMs);
  Reply reply = call();
  int asked = 1;
  const auto again = [&] {
    return reply.answered(wire::ParticipantStatus::UNAVAILABLE) ||
           (want == Want::kDone && reply.answered(wire::ParticipantStatus::OK) && !reply.done);
  };
  for (; again() && Clock::now() < until; ++asked) {
    std::this_thread::sleep_for(kRepeatPause);
    reply = call();
  }
  if (ends != nullptr && reply.answered(wire::ParticipantStatus::OK) && reply.done)
    branches_.open.erase(*ends);
  if (asked > 1) reply.sent += " (" + std::to_string(asked) + " times)";
  return Judge(reply, want);
}

bool Trial::Prepare(const TxnId& txn, const std::string& payload, Want want) {
  Opened(txn);
  return AskUntil([&] { return probe_.Prepare(codec::Encode(txn), payload); }, want, nullptr);
}

bool Trial::Commit(const TxnId& txn, Want want) {
  return AskUntil([&] { return probe_.Commit(codec::Encode(txn)); }, want, &txn);
}

bool Trial::Rollback(const TxnId& txn, Want want) {
  return AskUntil([&] { return probe_.Rollback(codec::Encode(txn)); }, want, &txn);
}

Reply Trial::Send(const std::function<Reply(const Probe&)>& call) {
  Reply reply = call(probe_);
  Tell(reply.sent + " -> " + reply.Answer());
  return reply;
}

bool Trial::Pages(GroupId group, std::vector<wire::TxnId>& listed, Reply& last) {
  const auto until = Clock::now() + milliseconds(kRepeatMs);
  last = probe_.Recover(group);
  while (last.answered(wire::ParticipantStatus::UNAVAILABLE) && Clock::now() < until) {
    std::this_thread::sleep_for(kRepeatPause);
    last = probe_.Recover(group);
  }
  for (int page = 1; last.answered(wire::ParticipantStatus::OK); ++page) {
    listed.insert(listed.end(), last.prepared.begin(), last.prepared.end());
    if (!last.more) return true;
    if (last.prepared.empty() || page == kPagesMax) return false;
    last = probe_.Recover(group, last.prepared.back());
  }
  return false;
}

bool Trial::Holds(const TxnId& txn, bool wanted) {
  std::vector<wire::TxnId> listed;
  Reply last;
  const bool is_whole = Pages(txn.coordinator, listed, last);
  const bool found = std::find(listed.begin(), listed.end(), codec::Encode(txn)) != listed.end();
  const std::string expected = std::string(wanted ? "with " : "without ") + ToString(txn);
  if (!is_whole) return Judge(last, false, "the whole list, " + expected);
  last.prepared = std::move(listed);
  last.more = false;
  return Judge(last, found == wanted, expected);
}

bool Trial::Lists(GroupId group, const std::vector<TxnId>& wanted) {
  std::vector<wire::TxnId> listed;
  Reply last;
  const bool is_whole = Pages(group, listed, last);
  if (!is_whole) return Judge(last, false, "the whole list: " + Listed(wanted));
  last.prepared = std::move(listed);
  last.more = false;
  const bool same = std::equal(last.prepared.begin(), last.prepared.end(), wanted.begin(), wanted.end(),
                               [](const wire::TxnId& a, const TxnId& b) { return a == codec::Encode(b); });
  return Judge(last, same, "in this order: " + Listed(wanted));
}

bool Trial::Kill(const std::function<bool()>& call) {
  std::atomic<bool> is_over = false;
  Status restarted;
  std::thread restart([&] {
    restarted = options_.restart();
    is_over = true;
  });
  bool broke = false;
  while (!is_over && !broke) broke = call();
  restart.join();
  const auto until = Clock::now() + milliseconds(kUpMs);
  Reply up = probe_.Recover(branches_.group());
  while (up.lost() && Clock::now() < until) {
    std::this_thread::sleep_for(kRepeatPause);
    up = probe_.Recover(branches_.group());
  }
  lost_ = up.lost();
  if (!restarted.ok()) return NotTried(restarted.message());
  if (lost_) {
    return NotTried("the service does not answer " + std::to_string(kUpMs / 1'000) +
                    " s after --restart-command: " + up.called.status.message());
  }
  if (!broke) {
    return NotTried(
        "no call failed while --restart-command ran: it must kill the service (kill -9), and start it");
  }
  Tell("(killed, and started again)");
  return true;
}

std::string Trial::Settle(const TxnId& txn) {
  Reply reply;
  for (int i = 0; i < kSettleTries; ++i) {
    if (i > 0) std::this_thread::sleep_for(kRepeatPause);
    reply = probe_.Rollback(codec::Encode(txn));
    if (reply.answered(wire::ParticipantStatus::OK) && reply.done) break;
    // A commit whose answer was lost.
    const Reply commit = probe_.Commit(codec::Encode(txn));
    if (commit.answered(wire::ParticipantStatus::OK) && commit.done) break;
    if (i + 1 < kSettleTries) continue;
    // One that no call ends may never have been prepared.
    std::vector<wire::TxnId> listed;
    Reply last;
    const bool is_whole = Pages(txn.coordinator, listed, last);
    if (is_whole && std::find(listed.begin(), listed.end(), codec::Encode(txn)) == listed.end()) break;
    return ToString(txn) + ": " + reply.sent + " -> " + reply.Answer();
  }
  branches_.open.erase(txn);
  return {};
}

}  // namespace assent::rm
