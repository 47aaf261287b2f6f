#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sim/checker/history.h"

// Is a recorded history strictly serializable? Offline, after Adya (Weak Consistency, MIT 1999) and Kingsbury
// and Alvaro (Elle, VLDB 2020): infer from what was seen which transactions must have come before which, and
// look for cycles. Every edge inferred is certain, so an anomaly reported is one; where the history does not
// say (blind writes that nobody read), something wrong may be missed.
//
// Edges, from the earlier transaction to the later one:
//   ww         wrote the version after it. Order of versions: the numbers that reads returned; and a
//              transaction that read a value and then wrote the key wrote a later version.
//   wr         read what it wrote.
//   rw         read a version of which the other wrote a later one (anti-dependency). A scan reads the
//              absence of each key under its prefix that it did not return.
//   real-time  completed before the other was invoked.
//
// A transaction of unknown outcome counts as committed if one that counts read from it; else as if it had not
// been. Reads of an absent key that somebody may have deleted say nothing here (deletes have
// no unique value).
namespace assent::checker {

enum class AnomalyKind {
  kMalformed,         // the history itself: a value is written twice, a completion precedes its invocation
  kNeverWritten,      // a read returned a value that nobody wrote
  kAbortedRead,       // G1a: ... that an aborted transaction wrote
  kIntermediateRead,  // G1b: ... that its writer itself overwrote
  kInternal,          // a transaction's reads do not agree with its own earlier writes
  kDuplicateEffect,   // an element stands twice in a list, or a value came back at a second version
  kVersionReused,     // two values of a key at one version
  kDirtyWrite,        // G0: a cycle of ww
  kCircularFlow,      // G1c: ww and wr
  kLostUpdate,        // two transactions read a version of a key, and both wrote the next
  kReadSkew,          // G-single: one rw, with ww or wr
  kWriteSkew,         // G2: several rw
  kPhantom,           // a cycle with an rw that a scan made
  kStaleRead,         // a cycle with one rw, and real time: it read what was overwritten before it began
  kRealTime,          // any other cycle that only real time closes
};
std::string_view ToString(AnomalyKind kind);

struct Anomaly {
  AnomalyKind kind{};
  std::vector<size_t> transactions;  // indexes in the history; of a cycle, in its order
  std::string text;                  // several lines: what, and the evidence for each step
};

struct Verdict {
  std::vector<Anomaly> anomalies;  // at most kAnomaliesMax, the most telling first
  size_t committed = 0;            // as reported
  size_t unknown_happened = 0;     // of unknown outcome, but somebody read from it
  size_t edges = 0;

  bool ok() const { return anomalies.empty(); }
  bool Has(AnomalyKind kind) const;
  std::string ToString() const;  // for people
};

inline constexpr size_t kAnomaliesMax = 20;  // the first few tell the story; a broken store makes thousands

// Takes time and memory in proportion to the history, times the number of clients for real time.
Verdict CheckHistory(const History& history);

}  // namespace assent::checker
