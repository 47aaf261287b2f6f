#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/client_api.h"
#include "common/operations.h"
#include "sim/checker/history.h"

// Drives clients over a few contended keys, interactive and one-shot transactions mixed, and records what
// they did and saw for the checker. It does not know what store is behind the client.
namespace assent::checker {

// One client's session; used by one thread. The test that checks a real store adapts its client to this.
class TxnClient {
 public:
  virtual ~TxnClient() = default;

  // Begins an interactive transaction. `retry`: it repeats the last one, which aborted, and keeps its age
  // (P2). False: none was begun.
  virtual bool Begin(bool retry) = 0;
  // Reads, writes, scans and checks within it, one result each. nullopt: the transaction is over
  // and has no effect.
  virtual std::optional<std::vector<OperationResult>> Work(const std::vector<Operation>& operations) = 0;
  virtual Outcome Commit() = 0;
  virtual void Rollback() = 0;

  // One-shot. `results` is empty unless committed, and may be empty then: a repeated answer carries none.
  struct Executed {
    Outcome outcome = Outcome::kUnknown;
    std::vector<OperationResult> results;
  };
  virtual Executed Execute(const std::vector<Operation>& operations) = 0;
};

struct WorkloadOptions {
  uint64_t seed = 1;
  uint32_t clients = 16;
  uint32_t transactions_each = 200;  // each is attempted again, up to `attempts_max` times, while it aborts
  uint32_t attempts_max = 10;
  std::vector<std::string> register_keys;  // written with unique values
  std::vector<std::string> list_keys;      // appended to, and begun anew at kListElementsMax
  std::string scan_prefix;  // keys under it are inserted and scanned; empty: no scans. No other key has it
  // Many keys, so that hardly one is locked at a time: clients other than watchers replace the value of one
  // now and then, and watchers do nothing but read them, one at a time. A read that an old leader
  // answers shows there.
  std::vector<std::string> watched_keys;
  uint32_t watchers = 0;       // of the clients, the last ones
  std::function<bool()> stop;  // asked before each transaction; may be empty. Called by all threads
};

inline constexpr size_t kListElementsMax = 40;  // keeps values short, and reading the list back cheap

// Runs the workload, each client in a thread of its own with its own `make_client(number)`, called in that
// thread. Client number `clients` reads everything at the end, until it commits (at most 100 times), so that
// the fate of the last writes shows; it is the last transaction of the history.
//
// The same seed makes the same choices, not the same interleaving.
History RunWorkload(const WorkloadOptions& options,
                    const std::function<std::unique_ptr<TxnClient>(uint32_t client)>& make_client);

}  // namespace assent::checker
