#include "rm/conformance/clauses.h"

#include <chrono>
#include <string>
#include <thread>

#include "thrift/codec_fields.h"

// One function a clause, but for those with kills (restart_clauses.cc) and with calls at the same time
// (concurrent_clauses.cc). A clause relies as little as can be on others, so that one that is broken is named
// alone.
namespace assent::rm {
namespace {

bool Isolation(Trial& t) {
  const TxnId alone = t.branches().New();
  t.Opened(alone);
  const Reply free =
      t.Send([&](const Probe& probe) { return probe.Prepare(codec::Encode(alone), t.Conflicting(alone)); });
  if (!free.answered(wire::ParticipantStatus::OK) || free.vote != wire::Vote::YES) {
    return t.NotTried("the conflicting payload is not prepared although nothing else is: " + free.Answer());
  }
  if (!t.Rollback(alone, Want::kDone)) return false;

  const TxnId holder = t.branches().New();
  const TxnId other = t.branches().New();
  if (!t.Prepare(holder, Want::kYes)) return false;
  t.Opened(other);
  const Reply shut_out = t.probe().Prepare(codec::Encode(other), t.Conflicting(holder));
  if (!t.Judge(shut_out, shut_out.vote != wire::Vote::YES && shut_out.vote != wire::Vote::READ_ONLY,
               "no yes while " + ToString(holder) + " is prepared")) {
    return false;
  }
  t.Send([&](const Probe& probe) { return probe.Rollback(codec::Encode(other)); });
  if (t.options().restart) {
    if (!LocksOutliveKill(t, holder)) return false;
  } else {
    t.Note("not looked at after a restart (no --restart-command)");
  }
  const TxnId after = t.branches().New();
  return t.Rollback(holder, Want::kDone) && t.Prepare(after, t.Conflicting(holder), Want::kYes) &&
         t.Rollback(after, Want::kDone);
}

bool RepeatedPrepare(Trial& t) {
  const TxnId txn = t.branches().New();
  return t.Prepare(txn, Want::kYes) && t.Prepare(txn, Want::kYes) && t.Commit(txn, Want::kDone) &&
         t.Prepare(txn, Want::kYes) && t.Holds(txn, false);
}

bool RepeatedCommit(Trial& t) {
  const TxnId txn = t.branches().New();
  return t.Prepare(txn, Want::kYes) && t.Commit(txn, Want::kDone) && t.Commit(txn, Want::kDone);
}

bool RepeatedRollback(Trial& t) {
  const TxnId txn = t.branches().New();
  return t.Prepare(txn, Want::kYes) && t.Rollback(txn, Want::kDone) && t.Rollback(txn, Want::kDone);
}

bool RollbackFirst(Trial& t) {
  const TxnId early = t.branches().New();
  const TxnId ended = t.branches().New();
  return t.Rollback(early, Want::kDone) && t.Prepare(early, Want::kNo) && t.Holds(early, false) &&
         t.Prepare(ended, Want::kYes) && t.Rollback(ended, Want::kDone) && t.Prepare(ended, Want::kNo) &&
         t.Holds(ended, false);
}

bool UnknownCommit(Trial& t) {
  const TxnId txn = t.branches().New();
  return t.Commit(txn, Want::kNotDone) && t.Holds(txn, false);
}

bool EndIsFinal(Trial& t) {
  const TxnId committed = t.branches().New();
  const TxnId rolled_back = t.branches().New();
  return t.Prepare(committed, Want::kYes) && t.Commit(committed, Want::kDone) &&
         t.Rollback(committed, Want::kNotDone) && t.Prepare(rolled_back, Want::kYes) &&
         t.Rollback(rolled_back, Want::kDone) && t.Commit(rolled_back, Want::kNotDone);
}

// Prepared out of order, and with numbers whose order as text is another one.
bool Recover(Trial& t) {
  Branches& branches = t.branches();
  const TxnId first = branches.At(branches.group(), 99'999);
  const TxnId second = branches.At(branches.group(), 100'000);
  TxnId third = branches.At(branches.group(), 1'000);
  third.epoch = Epoch{static_cast<uint64_t>(third.epoch) + 1};
  const TxnId others = branches.At(branches.other_group(), 100'001);
  const TxnId committed = branches.New();
  const TxnId rolled_back = branches.New();
  t.Note("a list of more than 4,096, and so of several pages, was not looked at");
  if (!(t.Prepare(third, Want::kYes) && t.Prepare(second, Want::kYes) && t.Prepare(first, Want::kYes) &&
        t.Prepare(others, Want::kYes) && t.Prepare(committed, Want::kYes) &&
        t.Commit(committed, Want::kDone) && t.Prepare(rolled_back, Want::kYes) &&
        t.Rollback(rolled_back, Want::kDone) && t.Lists(branches.group(), {first, second, third}) &&
        t.Lists(branches.other_group(), {others}))) {
    return false;
  }
  Reply rest = t.probe().Recover(branches.group(), codec::Encode(first));
  if (!t.Judge(rest,
               rest.answered(wire::ParticipantStatus::OK) && rest.prepared.size() == 2 &&
                   rest.prepared.front() == codec::Encode(second),
               "what stands behind it: " + ToString(second) + ", " + ToString(third))) {
    return false;
  }
  rest = t.probe().Recover(branches.group(), codec::Encode(third));
  if (!t.Judge(rest, rest.answered(wire::ParticipantStatus::OK) && rest.prepared.empty() && !rest.more,
               "none, and no more")) {
    return false;
  }
  return t.Commit(first, Want::kDone) && t.Rollback(second, Want::kDone) && t.Rollback(third, Want::kDone) &&
         t.Rollback(others, Want::kDone) && t.Lists(branches.group(), {});
}

bool WholeIds(Trial& t) {
  const TxnId txn = t.branches().New();
  std::vector<TxnId> alike(5, txn);
  alike[0].coordinator = t.branches().other_group();
  alike[1].epoch = Epoch{static_cast<uint64_t>(txn.epoch) + 1};
  alike[2].epoch = Epoch{static_cast<uint64_t>(txn.epoch) + (uint64_t{1} << 32)};
  alike[3].seq += 1'000'000;
  alike[4].seq += uint64_t{1} << 32;
  if (!t.Prepare(txn, Want::kYes)) return false;
  for (const TxnId& other : alike) {
    t.Send([&](const Probe& probe) { return probe.Commit(codec::Encode(other)); });
    if (!t.Holds(txn, true)) return false;
    t.Send([&](const Probe& probe) { return probe.Rollback(codec::Encode(other)); });
    if (!t.Holds(txn, true)) return false;
  }
  return t.Commit(txn, Want::kDone);
}

bool OtherClusters(Trial& t) {
  const Probe stranger = t.probe().InTheNameOf(t.probe().cluster() + "-of-others");
  const TxnId txn = t.branches().New();
  const TxnId early = t.branches().New();
  t.Opened(early);
  return t.Prepare(txn, Want::kYes) && t.Judge(stranger.Commit(codec::Encode(txn)), Want::kWrongCluster) &&
         t.Judge(stranger.Rollback(codec::Encode(txn)), Want::kWrongCluster) && t.Holds(txn, true) &&
         t.Judge(stranger.Recover(t.branches().group()), Want::kWrongCluster) &&
         t.Rollback(txn, Want::kDone) &&
         t.Judge(stranger.Prepare(codec::Encode(early), t.Payload(early)), Want::kWrongCluster) &&
         t.Holds(early, false) && t.Judge(stranger.Rollback(codec::Encode(early)), Want::kWrongCluster) &&
         t.Prepare(early, Want::kYes) && t.Rollback(early, Want::kDone);
}

bool Incomplete(Trial& t) {
  wire::TxnId without_seq = codec::Encode(t.branches().New());
  const std::string payload = t.Payload(t.branches().New());
  without_seq.seq = 0;
  for (const wire::TxnId& txn : {wire::TxnId(), without_seq}) {
    if (!t.Judge(t.probe().Prepare(txn, payload), Want::kInvalid) ||
        !t.Judge(t.probe().Commit(txn), Want::kInvalid) ||
        !t.Judge(t.probe().Rollback(txn), Want::kInvalid)) {
      return false;
    }
  }
  return true;
}

bool Echo(Trial& t) {
  const wire::TxnId txn = codec::Encode(t.branches().New());
  const TxnId other = t.branches().New();
  const wire::TxnId rolled_back = codec::Encode(other);
  const auto echoes = [&](const Reply& reply, const wire::TxnId& asked) {
    return t.Judge(reply, reply.called.ok() && reply.echoed == asked,
                   "an answer whose `txn` is " + TextOf(asked) + ", not " + TextOf(reply.echoed));
  };
  TxnId committed;
  codec::Fault fault;
  if (codec::Decode(txn, committed, fault)) t.Opened(committed);
  t.Opened(other);
  return echoes(t.probe().Prepare(txn, t.Payload(committed)), txn) && echoes(t.probe().Commit(txn), txn) &&
         echoes(t.probe().Rollback(txn), txn) && echoes(t.probe().Rollback(rolled_back), rolled_back) &&
         echoes(t.probe().Prepare(rolled_back, t.Payload(other)), rolled_back);
}

bool NeverAlone(Trial& t) {
  const TxnId txn = t.branches().New();
  if (!t.Prepare(txn, Want::kYes)) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(t.options().hold_ms));
  t.Note("looked at for " + std::to_string(t.options().hold_ms / 1'000) + " s (--hold)");
  return t.Holds(txn, true) && t.Rollback(txn, Want::kDone);
}

bool NeverBack(Trial& t) {
  return t.NotTried("no call shows it: it is about how the service is backed up and restored");
}

}  // namespace

const std::vector<Clause>& Clauses() {
  static const std::vector<Clause> clauses = {
      {"RM1", "a yes is durable before it is answered", {.restart = true}, YesOutlivesKill},
      {"RM2", "what is prepared shuts out other changes until it ends", {.conflict = true}, Isolation},
      {"RM3", "a repeated prepare is yes again", {}, RepeatedPrepare},
      {"RM4", "a repeated commit is done", {}, RepeatedCommit},
      {"RM5", "a repeated rollback is done", {}, RepeatedRollback},
      {"RM6", "a rollback that comes first is done, and refuses the late prepare", {}, RollbackFirst},
      {"RM7", "a commit of what is not known is not done", {}, UnknownCommit},
      {"RM8", "an end is final: no commit after rollback, no rollback after commit", {}, EndIsFinal},
      {"RM9", "recover lists what is prepared of the group, and nothing else", {.many = true}, Recover},
      {"RM10", "ids are compared whole", {}, WholeIds},
      {"RM11", "another cluster's requests are refused, and change nothing", {}, OtherClusters},
      {"RM12", "a request without a whole id is INVALID", {}, Incomplete},
      {"RM13", "each answer echoes the transaction", {}, Echo},
      {"RM14", "calls on separate connections run at the same time", {}, ConcurrentCalls},
      {"RM15", "a prepare that waits holds up no other call", {.conflict = true}, WaitingPrepare},
      {"RM16", "a prepared branch waits for its decision, however long", {}, NeverAlone},
      {"RM17",
       "a commit and a rollback are durable before they are answered",
       {.restart = true},
       EndsOutliveKill},
      {"RM18",
       "the mark of a rollback that came first is durable",
       {.restart = true},
       EarlyRollbackOutlivesKill},
      {"RM19", "the service never goes back to an older state", {}, NeverBack},
  };
  return clauses;
}

}  // namespace assent::rm
