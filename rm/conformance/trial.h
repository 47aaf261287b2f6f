#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "rm/conformance/conformance.h"
#include "rm/conformance/probe.h"

namespace assent::rm {

// What a clause wants of an answer.
enum class Want : uint8_t {
  kYes,
  kNo,            // a vote of NO
  kDone,          // done, at the latest when asked again for kRepeatMs
  kNotDone,       // OK, not done, and a detail that says why
  kWrongCluster,  // and nothing else
  kInvalid,
};

// Ids and branches of a whole run.
class Branches {
 public:
  explicit Branches(uint64_t seed);
  TxnId New() { return At(group(), ++last_seq_); }
  TxnId At(GroupId group, uint64_t seq) const { return {group, epoch_, seq}; }
  GroupId group() const { return group_; }
  GroupId other_group() const { return other_group_; }
  std::string Text() const;
  // What %n stands for: another number in each run, too, so that what an earlier one left is in nobody's way.
  uint64_t NumberOf(const TxnId& txn) const { return first_number_ + txn.seq; }

  std::set<TxnId> open;  // may be prepared at the service

 private:
  GroupId group_;
  GroupId other_group_;
  Epoch epoch_;
  uint64_t last_seq_ = 0;
  uint64_t first_number_;
};

// One clause being tried. Each step says whether to go on: false once the clause failed or cannot be tried,
// which result() then says.
class Trial {
 public:
  Trial(const ConformanceOptions& options, const Probe& probe, Branches& branches)
      : options_(options), probe_(probe), branches_(branches) {}

  // ---- Calls that are judged
  bool Prepare(const TxnId& txn, Want want) { return Prepare(txn, Payload(txn), want); }
  bool Prepare(const TxnId& txn, const std::string& payload, Want want);
  bool Commit(const TxnId& txn, Want want);
  bool Rollback(const TxnId& txn, Want want);
  // `txn` is, or is not, in the list of its group; the list's order and the rest of it are not judged.
  bool Holds(const TxnId& txn, bool wanted);
  // All pages of the list are these, ascending.
  bool Lists(GroupId group, const std::vector<TxnId>& wanted);
  // An answer that came otherwise.
  bool Judge(const Reply& reply, Want want);
  bool Judge(const Reply& reply, bool holds, const std::string& expected);

  // ---- Calls whose answer is nobody's concern here
  Reply Send(const std::function<Reply(const Probe&)>& call);
  void Opened(const TxnId& txn) { branches_.open.insert(txn); }  // before a prepare that probe() sends
  const Probe& probe() const { return probe_; }
  Branches& branches() { return branches_; }

  // Lets the restart command run. `call` is called again and again, until it says that the service is gone;
  // then this waits until it answers again.
  bool Kill(const std::function<bool()>& call);

  bool NotTried(std::string why);
  void Note(const std::string& what) { result_.note += (result_.note.empty() ? "" : "; ") + what; }

  std::string Payload(const TxnId& txn) const { return WithNumber(options_.payload, txn); }
  std::string Conflicting(const TxnId& with) const { return WithNumber(*options_.conflicting_payload, with); }
  bool many() const { return options_.payload.find("%n") != std::string::npos; }
  const ConformanceOptions& options() const { return options_; }

  ClauseResult& result() { return result_; }
  bool lost() const { return lost_; }  // the last call that failed the clause had no answer
  // Ends what may be prepared. Why, if one could not be ended.
  std::string Settle(const TxnId& txn);

 private:
  void Tell(std::string step);
  std::string WithNumber(std::string payload, const TxnId& txn) const;
  bool AskUntil(const std::function<Reply()>& call, Want want, const TxnId* ends);
  bool Pages(GroupId group, std::vector<wire::TxnId>& listed, Reply& last);

  const ConformanceOptions& options_;
  const Probe& probe_;
  Branches& branches_;
  ClauseResult result_;
  bool lost_ = false;
};

}  // namespace assent::rm
