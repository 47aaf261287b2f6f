#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "runtime/transport/address.h"

// Looks whether a service of somebody else keeps what a Participant promises (assent.thrift). Clauses have
// the ids of docs/INTEGRATING.md. It speaks to the service as a coordinator would, but judges the bare
// answers.
//
// Branches have ids that no cluster gives: of two coordinator groups from c32768 on and an epoch from 2^40
// on, drawn by chance. A coordinator's epochs are seconds since 2020, and it leaves higher ones alone (C3),
// so no running cluster ends a branch of ours. What was prepared is rolled back, or committed where the
// clause is about that.
namespace assent::rm {

struct ConformanceOptions {
  Address address;
  std::string cluster;
  // `%n` in a payload stands for a number, another one for each branch: so that several can be prepared at
  // once.
  std::string payload;
  std::optional<std::string> conflicting_payload;  // must wait for one with the same number, or be refused
  std::function<Status()> restart;                 // kills the service and starts it again; empty: not tried
  int hold_ms = 3'000;                             // how long a prepared branch is left alone
  uint64_t seed = 0;                               // of the ids
  std::function<void(const std::string& clause)> progress = [](const std::string&) {};
  std::function<bool()> is_interrupted = [] { return false; };
};

enum class Verdict : uint8_t { kHolds, kFails, kNotTried };

struct ClauseResult {
  std::string id;
  std::string promise;
  Verdict verdict = Verdict::kNotTried;
  // kFails: the call that shows it, and the last ones of the clause before it, each with its answer.
  std::string sent;
  std::string answered;
  std::string expected;
  std::vector<std::string> before;
  std::string note;  // why it was not tried, or what of it was not looked at; may be empty
};

struct ConformanceReport {
  std::string ids;  // for people: which groups and epoch
  std::vector<ClauseResult> clauses;
  Status reachable;               // not ok: the service was lost on the way
  std::vector<std::string> left;  // branches that may be prepared there still, and why
};

// kUnavailable: it cannot be reached, or what is there does not answer as a Participant. kInvalid: nothing
// could be tried with this cluster or this payload; says what to give instead.
Result<ConformanceReport> CheckConformance(const ConformanceOptions& options);

}  // namespace assent::rm
