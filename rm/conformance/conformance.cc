#include "rm/conformance/conformance.h"

#include <utility>

#include "rm/conformance/clauses.h"
#include "rm/conformance/trial.h"
#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

constexpr int kCallMs = 5'000;  // as long as a node waits for an answer

Status Reach(const Probe& probe, GroupId group) {
  const Reply reply = probe.Recover(group);
  switch (reply.called.status.code()) {
    case StatusCode::kOk:
    case StatusCode::kIo:  // it knows the call, and failed: a clause will say so
      break;
    case StatusCode::kForeign:
      return {StatusCode::kUnavailable,
              reply.called.status.message() +
                  ": it must serve assent.thrift's Participant, multiplexed under this name"};
    default:
      if (!reply.called.maybe_executed) return {StatusCode::kUnavailable, reply.called.status.message()};
      return {StatusCode::kUnavailable,
              reply.called.status.message() +
                  " (it must speak Thrift: framed transport, strict binary protocol, multiplexed services)"};
  }
  if (reply.called.ok() && reply.status == wire::ParticipantStatus::WRONG_CLUSTER) {
    return {StatusCode::kInvalid, "the service belongs to another cluster than \"" + probe.cluster() +
                                      "\": name its own with --cluster (it says: " + reply.detail + ")"};
  }
  if (reply.called.ok() && reply.status == wire::ParticipantStatus::UNAVAILABLE) {
    return {StatusCode::kUnavailable, "the service is not ready: " + reply.Answer()};
  }
  return {};
}

// Nearly every clause begins with a yes.
Status TakesPayload(const ConformanceOptions& options, const Probe& probe, Branches& branches) {
  Trial trial(options, probe, branches);
  const TxnId txn = branches.New();
  trial.Opened(txn);
  const Reply reply = probe.Prepare(codec::Encode(txn), trial.Payload(txn));
  (void)trial.Settle(txn);                                      // what is left is reported at the end
  if (!reply.answered(wire::ParticipantStatus::OK)) return {};  // for a clause to say
  if (reply.vote != wire::Vote::NO && reply.vote != wire::Vote::READ_ONLY) return {};
  return {StatusCode::kInvalid,
          "the service votes " + reply.Answer() +
              "; give with --payload a change that it can prepare (nothing was tried yet)"};
}

std::string Missing(const Needs& needs, const ConformanceOptions& options) {
  if (needs.restart && !options.restart) return "no --restart-command given";
  if (needs.conflict && !options.conflicting_payload) return "no --conflicting-payload given";
  if (needs.many && options.payload.find("%n") == std::string::npos) {
    return "several branches at once need payloads that do not conflict: put %n, a number, into --payload";
  }
  return {};
}

ClauseResult Try(const Clause& clause, const ConformanceOptions& options, const Probe& probe,
                 Branches& branches, ConformanceReport& report) {
  Trial trial(options, probe, branches);
  ClauseResult& result = trial.result();
  if (const std::string missing = Missing(clause.needs, options); !missing.empty()) {
    trial.NotTried(missing);
  } else if (options.is_interrupted()) {
    trial.NotTried("interrupted");
  } else if (!report.reachable.ok()) {
    trial.NotTried("the service can no longer be reached");
  } else {
    options.progress(clause.id);
    if (clause.check(trial)) result.verdict = Verdict::kHolds;
    if (trial.lost()) report.reachable = Reach(probe, branches.group());
    // Locks of one clause must not fail the next.
    const auto open = branches.open;
    for (const TxnId& txn : open) {
      if (report.reachable.ok()) (void)trial.Settle(txn);
    }
  }
  result.id = clause.id;
  result.promise = clause.promise;
  return std::move(result);
}

// What no call could end, and what the service lists although it was ended.
void FindLeft(const ConformanceOptions& options, const Probe& probe, Branches& branches,
              ConformanceReport& report) {
  Trial trial(options, probe, branches);
  const auto open = branches.open;
  for (const TxnId& txn : open) {
    if (std::string why = trial.Settle(txn); !why.empty()) report.left.push_back(std::move(why));
  }
  for (const GroupId group : {branches.group(), branches.other_group()}) {
    for (const wire::TxnId& one : probe.Recover(group).prepared) {
      TxnId txn;
      codec::Fault fault;
      const bool is_ours = codec::Decode(one, txn, fault) && txn.coordinator == group;
      if (is_ours && !branches.open.contains(txn)) {
        report.left.push_back(TextOf(one) + ": recover still lists it, although it was ended");
      }
    }
  }
}

}  // namespace

Result<ConformanceReport> CheckConformance(const ConformanceOptions& options) {
  const Probe probe(options.address, options.cluster, kCallMs);
  Branches branches(options.seed);
  ASSENT_RETURN_IF_ERROR(Reach(probe, branches.group()));
  ASSENT_RETURN_IF_ERROR(TakesPayload(options, probe, branches));
  ConformanceReport report;
  report.ids = branches.Text();
  for (const Clause& clause : Clauses()) {
    report.clauses.push_back(Try(clause, options, probe, branches, report));
  }
  FindLeft(options, probe, branches, report);
  return report;
}

}  // namespace assent::rm
