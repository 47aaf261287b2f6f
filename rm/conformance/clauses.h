#pragma once

#include <vector>

#include "rm/conformance/trial.h"

namespace assent::rm {

// What a clause cannot be tried without.
struct Needs {
  bool restart = false;
  bool conflict = false;  // a conflicting payload
  bool many = false;      // several branches prepared at once: a payload with %n
};

// A clause of docs/INTEGRATING.md, and how it is looked at: true if it holds.
struct Clause {
  const char* id;
  const char* promise;
  Needs needs;
  bool (*check)(Trial& trial);
};

const std::vector<Clause>& Clauses();

// Those that kill the service.
bool YesOutlivesKill(Trial& trial);
bool EndsOutliveKill(Trial& trial);
bool EarlyRollbackOutlivesKill(Trial& trial);
// After other changes were shut out: `holder` is prepared, and shuts them out after a kill, too.
bool LocksOutliveKill(Trial& trial, const TxnId& holder);

// Those about calls at the same time.
bool ConcurrentCalls(Trial& trial);
bool WaitingPrepare(Trial& trial);

}  // namespace assent::rm
