#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backup/replication.h"
#include "tests/unit/backup_memory_log.h"

// A whole group in one thread: replicas around the production ReplicationCore, their disks, a lossy network,
// a directory whose answers come late, ambiguously or never, and an operator. Everything follows from the
// seed. The replicas here do what a driver does, and nothing that protects: the checks find out whether the
// core's order of effects is enough.
namespace assent::backup {

// The checks, always:
//   I-R1        one (epoch, LSN), one record
//   I-R2        one life leads an epoch
//   I-R3, I-D1  each member of the directory's view holds, durably, whatever was answered for
//   I-R4        epochs only rise
//   I-C1        stores are prefixes of one history
//   I-S2        no two replicas hold a lease at once, whatever their clocks' offsets and drift, and
//               whoever is stopped
//
// A violation aborts the process after printing the seed.
class SimulatedGroup {
 public:
  struct Options {
    int nodes = 3;
    double loss = 0.05;
    double duplication = 0.05;
    uint64_t delay_us_max = 3000;
    uint64_t force_us_max = 2000;
    double directory_trouble = 0.2;
    bool trims = true;
    bool outages =
        false;            // nodes, links and processes are gone or stopped for seconds, not only milliseconds
    double drift = 0.05;  // clock rates differ from 1 by at most so much
  };
  struct Counts {
    uint64_t crashes = 0, wipes = 0, truncations = 0, snapshots = 0, changes = 0, ambiguous = 0, answered = 0,
             epochs = 0, lost_tails = 0, takeovers = 0, pauses = 0, leases_checked = 0;
  };

  SimulatedGroup(uint64_t seed, const Options& options);
  ~SimulatedGroup();

  // Faults, appends and operator's commands at random until the clock shows `until_us`.
  void Chaos(uint64_t until_us);
  // Faults end: everything is up, the operator brings every node into the view. False if the group does not
  // then answer for a new record that all nodes hold.
  bool Heal(uint64_t patience_us);
  std::string Describe() const;
  const Counts& counts() const { return counts_; }

 private:
  struct Node;
  struct PendingEvent {
    uint64_t at_us;
    uint64_t order;
    std::function<void()> run;
    bool operator>(const PendingEvent& other) const {
      return std::tie(at_us, order) > std::tie(other.at_us, other.order);
    }
  };

  uint64_t Random(uint64_t below) { return std::uniform_int_distribution<uint64_t>(0, below - 1)(random_); }
  bool Chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  void After(uint64_t delay_us, std::function<void()> run);
  void AfterOn(Node& node, uint64_t delay_us, std::function<void()> run);  // unless it dies before
  void RunUntil(uint64_t until_us);

  void Start(Node& node);
  void Crash(Node& node);
  uint64_t LocalTime(const Node& node) const;
  void Wipe(Node& node);
  void Feed(Node& node, const Event& event);
  void Perform(Node& node, const Effect& effect);
  void ScheduleTick(Node& node);
  void ScheduleLogJobs(Node& node);
  void RunLogJobs(Node& node, size_t count, bool report);
  void ApplyUpTo(Node& node, Lsn lsn);
  void Note(const LogEntry& entry);
  void AppendAsRole(Node& node, size_t count);
  void Deliver(NodeId to, const Event& event);
  void ProposeAt(Node& node, const View& view);
  bool ApplyCas(const View& view);
  void ReadAt(Node& node);
  void SnapshotPieceFor(Node& node, const ReadSnapshot& want);
  void TakePiece(Node& node, const SnapshotPiece& piece);
  void Trim(Node& node);
  void Operate();
  Node* ServingPrimary();
  void CheckHeld() const;
  void CheckAll() const;
  void CheckLeases();

  const uint64_t seed_;
  Options options_;
  std::mt19937_64 random_;
  uint64_t now_us_ = 0;
  uint64_t orders_ = 0;
  std::priority_queue<PendingEvent, std::vector<PendingEvent>, std::greater<>> events_;
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::set<std::pair<NodeId, NodeId>> cut_;  // links down, by direction

  // The directory.
  std::optional<View> view_;
  int proposals_on_the_way_ = 0;  // whose sender may be gone
  std::map<NodeId, Member> registered_;

  // Ghosts.
  std::map<LogPosition, std::string> written_;        // I-R1
  std::vector<std::string> answered_;                 // by LSN - 1: what a primary counted as replicated
  std::map<Epoch, std::pair<NodeId, uint64_t>> led_;  // I-R2
  uint64_t next_value_ = 1;
  uint64_t next_random_ = 1;
  uint64_t next_request_ = 1;
  Counts counts_;
};

}  // namespace assent::backup
