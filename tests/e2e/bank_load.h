#pragma once

#include <assent/client.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "bench/tpcb.h"
#include "cli/cluster_view.h"
#include "common/placement.h"
#include "common/status.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {

struct LoadOptions {
  uint64_t seed = 1;
  uint32_t one_shot_clients = 8;
  uint32_t interactive_clients = 2;
  uint64_t accounts = 200;       // a branch
  uint32_t branches = 4;         //
  uint32_t remote_percent = 60;  // share of the transactions that span branches, and mostly shards
  // Every so-many-th transaction of a client is one that must abort, since a check fails on one shard while
  // the other may have prepared; 0 = none.
  uint64_t abort_every = 7;
};

// TPC-B transactions from several clients, each with a row of history of its own, while nodes die: and what
// became of each. One-shot clients draw a token for each transaction and ask until its outcome is known,
// partly through another session than the one that sent it first, as an application that crashed would do;
// after some, they ask again. Interactive ones cannot ask again: what is unknown to them may have
// happened or not.
class BankLoad {
 public:
  // `name`: of its rows; one that was not used before on this cluster.
  BankLoad(const std::string& name, std::vector<std::string> addresses, const Placement& placement,
           const LoadOptions& options);
  ~BankLoad();

  Status LoadRows();
  void Start();
  uint64_t committed() const { return committed_; }  // so far
  // True once so many are committed; false if that takes longer than `timeout_s`, or a client gave up.
  bool AwaitCommitted(uint64_t count, double timeout_s) const;
  // When the latest began of the transactions that need the group's log (a coordinator group's: those that
  // span shards) and are acknowledged as committed by now.
  std::chrono::steady_clock::time_point LatestBegun(GroupId group) const;
  // Each client ends what it has begun, for which all nodes have to be up, or come up. What a client saw that
  // must not be is a failure.
  void Stop();

  // With nothing running: waits until nothing is in doubt, and checks that each acknowledged transaction is
  // there, once and whole, that no aborted one is, that the sums hold and the replicas are equal. Failures
  // are GoogleTest's. Prints one line that begins with `what`.
  void Audit(const std::string& what, const cli::ClusterView& cluster);
  void StopAndAudit(const std::string& what, const TestCluster& cluster);

 private:
  struct Done {
    std::string row;  // of history
    Outcome outcome{};
  };
  struct Tally {
    std::vector<Done> done;
    uint64_t asked_again = 0;  // tokens that were sent again, by this session or another
    uint64_t attempts = 0;
    std::string problem;  // what must not happen
  };

  Result<Client> AwaitClient(const ClientOptions& options) const;
  void RunOneShot(uint32_t who, Tally& tally);
  void RunInteractive(uint32_t who, Tally& tally);
  CommitResult UntilKnown(Client& client, const Token& token, const std::vector<Operation>& operations,
                          Tally& tally);
  void NoteCommitted(const std::vector<Operation>& operations, std::chrono::steady_clock::time_point begun);
  std::vector<Operation> Operations(bench::Random& random, uint32_t who, uint64_t n) const;
  void CheckRows(Client& client, const std::vector<Done>& done, uint64_t& unknown_there) const;

  const std::vector<std::string> addresses_;
  const Placement placement_;
  const LoadOptions options_;
  bench::Tpcb tpcb_;
  std::string abort_key_;  // exists
  std::atomic<bool> stop_{false};
  std::atomic<bool> abandon_{false};  // the test is over: nobody asks any more what became of it
  std::atomic<uint64_t> committed_{0};
  std::atomic<bool> gave_up_{false};
  mutable std::mutex latest_mutex_;
  std::map<GroupId, std::chrono::steady_clock::time_point> latest_begun_;
  std::vector<Tally> tallies_;
  std::vector<std::thread> threads_;
};

}  // namespace assent::e2e
