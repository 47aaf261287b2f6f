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
#include <tuple>
#include <utility>
#include <vector>

#include "common/node_register.h"
#include "common/placement.h"
#include "driver/replica.h"
#include "sim/foreign.h"
#include "sim/map_state.h"
#include "sim/memory_file.h"
#include "sim/promises.h"
#include "sim/trace.h"

// A cluster in one thread: the production driver, cores, log and store (SQLite included), on a simulated
// disk, network, clock and directory. All follows from the seed. One world at a time in a process.
//
// Checked all along, and a violation aborts the process after printing the seed:
//   I-R1  one (epoch, LSN), one record: what a primary called replicated is in every history alike
//   I-R2  at most one process ever leads an epoch
//   I-R3  a primary that serves holds all that was ever replicated
//   I-R4  the epoch of a replica only rises, across restarts too
//   I-S2  of all replicas of a group at most one has a lease (while clocks drift less than the margin)
//   I-A1, I-A3, I-D1, I-U1, P6: what a node says of a transaction or a token (sim/promises.h)
//   R3    no replica acts in an epoch that its files do not name
//   R5    nothing leaves a primary once a later one serves
//   R7, R8: the files of a log, as a kill or a power cut would leave them, hold what is durable; with a bit
//         turned over they show that, or hold it all the same
//   R13   no store has applied what was not replicated; no log is trimmed above what its store has synced
//   I-Q1  no deadline in the past keeps a loop spinning; a node does not flood the network
//   and the cores' own invariants
namespace assent::sim {

struct GroupSpec {
  GroupId id;
  std::vector<NodeId> replicas;  // the first one founds the group
  std::vector<NodeId> others;    // nodes with a replica that is no member: learners
};

struct WorldOptions {
  std::vector<GroupSpec> groups;
  double loss = 0;
  double duplication = 0;
  uint64_t delay_us_max = 300;     // of a message
  bool in_order = false;           // messages of a link come as they were sent, as over one connection
  uint64_t force_us_max = 200;     // of a force
  uint64_t off_loop_us_max = 500;  // of other disk work that the loop does not wait for
  double stall = 0;                // of a message: comes up to replay_us_max later, past all that follow it
  double replay = 0;               // of a message: comes again, up to replay_us_max later
  uint64_t replay_us_max = 10'000'000;
  uint64_t slice_us_max = 20;    // how long events gather before the driver flushes
  double directory_trouble = 0;  // reads without an answer, compare-and-swaps of unknown fate
  uint64_t drift_ppm = 0;        // how far the rate of a node's clock may be off
  uint32_t replicas_min = 1;
  uint64_t times_divided_by = 1;  // the role cores' timeouts: so that what waits for them is seen more often
  Trace* trace = nullptr;         // told what happens; outlives the world
  uint64_t segment_bytes = 1 << 14;
  size_t spare_segments_max = 2;
  uint64_t checkpoint_bytes = 1 << 16;
  size_t snapshot_piece_bytes = 256 << 10;
  bool tight_coordinators = false;  // their bounds, and those of shards, are so low that they are reached
  bool tight_shards = false;
  std::optional<size_t> ended_max = {};  // ends that a shard remembers; nothing: as many as in a product
  std::optional<uint32_t> inquiries_before_peers = {};  // of a shard in doubt; nothing: as in a product
  bool foreign = false;                                 // there are resource managers of somebody else
  uint64_t retention_us = 0;                            // of outcomes: seconds; 0: as in a product
};

class World {
 public:
  World(uint64_t seed, WorldOptions options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // ---- Life ----
  void StartAll();
  void Start(NodeId node);
  // `power`: of what no sync made durable an arbitrary part is lost; else the process alone dies.
  void Crash(NodeId node, bool power);
  // It is told to stop, and does once it has left its views, or after some time.
  void Leave(NodeId node);
  bool IsLeaving(NodeId node) const;
  // It dies just before the `count`-th effect from now on: nothing that it does from there on happens.
  // 0: it does not, after all.
  void CrashAtEffect(NodeId node, uint64_t count, bool power);
  // Its power goes between the write and the sync of what one of its logs appends next: the batch
  // may be torn.
  void CutPowerInForce(NodeId node, bool cut);
  bool IsUp(NodeId node) const;
  bool IsRegistered(NodeId node) const;  // and so its replicas run
  // Each replica of the node that belongs to its group is a primary that serves, or a backup.
  bool TakesPart(NodeId node) const;
  void RunFor(uint64_t us);
  // False: `done` did not come true within `patience_us`.
  bool RunUntil(const std::function<bool()>& done, uint64_t patience_us);
  uint64_t now_us() const { return now_us_; }
  // Stopped as by SIGSTOP, and goes on after `us`: with all that came meanwhile.
  void Pause(NodeId node, uint64_t us);

  // ---- Faults ----
  // The log's commands wait, unperformed.
  void HoldLog(NodeId node, GroupId group, bool hold);
  // Each command takes so much longer, until its process ends. 0: no longer.
  void SlowLog(NodeId node, GroupId group, uint64_t by_us);
  // The `effect`-th write, sync or rename of the log's files from now on goes wrong.
  // `of_log` false: of the store's files. When it has, `then` is called, in the middle of what is going on.
  void BreakDisk(NodeId node, GroupId group, uint64_t effect, wal::MemoryFileSystem::Fault fault,
                 bool of_log = true, std::function<void()> then = nullptr);
  void MendDisk(NodeId node, GroupId group);  // what BreakDisk announced does not happen
  uint64_t DiskEffects(NodeId node, GroupId group);
  void Cut(NodeId from, NodeId to, bool cut);
  // The link's messages take up to `delay_us_max`; 0: as all others.
  void Slow(NodeId from, NodeId to, uint64_t delay_us_max) { slow_[{from, to}] = delay_us_max; }
  void Wipe(NodeId node, GroupId group);  // REQUIRES: the node is down
  // Turns one bit of a file of the log, or of the store, on the medium itself: where something was written,
  // and every other time in the newest file. REQUIRES: the node is down
  void Rot(NodeId node, GroupId group, bool of_log);
  // The wall clock jumps.
  void JumpClock(NodeId node, int64_t us);
  // When the node proposes a view next, or after `others` more, the directory takes it if it may, no answer
  // comes, and `then` is called.
  void CutAtProposal(NodeId node, uint64_t others, std::function<void(GroupId)> then);
  // The files of the log may grow by so much; nothing: without limit.
  void LimitDisk(NodeId node, GroupId group, std::optional<uint64_t> bytes, bool of_store = false);
  // Something that was said of a transaction arrives once more: a kind of message, then one of the last few.
  void SendAgain();
  // This node does not reach the directory.
  void CutDirectory(NodeId node, bool cut);
  // True if each acknowledged record of the group survives the loss of the node's disk: another member of the
  // view has it.
  bool MayLoseDisk(NodeId node, GroupId group) const;
  // Copies the files of a node, running or not, as cp(1) does; and puts those files back in the place of what
  // is there: of all its replicas, or of one. REQUIRES: the node is down
  struct Copy;
  std::shared_ptr<const Copy> CopyFiles(NodeId node);
  void PutBack(NodeId node, const Copy& copy, std::optional<GroupId> group);
  // Whether the node's register shows that this replica's copy is older: what came since its last renewal it
  // cannot show (docs/PROTOCOL.md, R3).
  bool ShowsAsOld(NodeId node, GroupId group, const Copy& copy) const;
  // A process starts on a copy of the node's files, beside the node, on the same machine or another one.
  void StartClone(NodeId node, bool same_machine);
  void StopClones();
  void StopClones(NodeId node);  // that are not registered
  // Why the node did not start; empty: it did, or was not asked to.
  const std::string& Refusal(NodeId node) const;
  // Does what such a message says: moves its files aside. REQUIRES: the node is down
  void WipeNode(NodeId node);
  bool HasNode(NodeId node) const { return nodes_.contains(node); }
  bool Has(NodeId node, GroupId group) const { return disks_.contains({node, group}); }
  void Resume(NodeId node);
  // An operator's change; returns the id of the answer that will come.
  RequestId Ask(NodeId primary, GroupId group, backup::ChangeKind kind, NodeId member);
  RequestId Ask(NodeId primary, GroupId group, backup::OperatorChange change);
  // Replicas that halted although nothing was wrong with their disks, in words; empty: none.
  const std::string& needless_halt() const { return needless_halt_; }
  // Makes a view that `node`'s running process leads, as a failover does.
  void Promote(GroupId group, NodeId node);
  WorldOptions& options() { return options_; }

  // ---- Looking ----
  Replica* Find(NodeId node, GroupId group);  // nullptr: down
  Replica* Primary(GroupId group);            // the one that serves; nullptr: none
  std::optional<NodeId> PrimaryNode(GroupId group);
  bool AllServe();  // each group has a primary that does
  std::optional<View> ViewOf(GroupId group) const;
  const Placement& placement() const { return placement_; }
  std::string KeyOn(GroupId shard, int n) const;  // the n-th key there
  std::optional<std::string> Value(const Replica& replica, const std::string& key) const;
  size_t forces(NodeId node, GroupId group) const;
  const std::vector<std::string>& reports(NodeId node) const;
  // The rows of the store and of a role core that took in the rest of the log are those of a core that took
  // in the whole log, from its first record on. Aborts if not.
  void CheckState(NodeId node, GroupId group);
  // True if all members of the group's view have applied the same, all of it.
  bool AreEqual(GroupId group);
  const std::map<std::string, ForeignManager>& foreign() const { return foreign_; }
  std::string Describe() const;  // for a failed test

  // ---- Speaking ----
  using OnReply = std::function<void(std::optional<ClientReply>)>;  // nullopt: the node died
  void Call(NodeId node, GroupId group, ClientRequest request, OnReply reply);
  // The same, over a network that may lose the request or the reply, and takes its time.
  void CallOverNetwork(NodeId node, GroupId group, ClientRequest request, OnReply reply);
  // Clients and this node do not reach each other.
  void CutClients(NodeId node, bool cut);
  // The caller of the last Call gives up.
  void AbandonLast(NodeId node, GroupId group);
  std::optional<Status> Change(NodeId node, GroupId group, backup::ChangeKind kind, NodeId member,
                               uint64_t patience_us);
  // From outside, as if over the network, at once.
  void Inject(NodeId to, Envelope envelope);
  // A group that no node of this world hosts; what is sent to it comes to sent() like all else.
  void AddOutside(const View& view);
  // All that left a node, lost or not, since the last Clear.
  const std::vector<std::pair<NodeId, Envelope>>& sent() const { return sent_; }
  void ClearSent() { sent_.clear(); }
  template <typename M>
  std::vector<std::pair<Envelope, M>> Sent() const {
    std::vector<std::pair<Envelope, M>> found;
    for (const auto& [to, envelope] : sent_) {
      if (const auto* message = std::get_if<M>(&envelope.message)) found.emplace_back(envelope, *message);
    }
    return found;
  }
  bool record_sent = false;
  uint64_t Random(uint64_t below) { return std::uniform_int_distribution<uint64_t>(0, below - 1)(random_); }
  bool Chance(double p) { return p > 0 && std::uniform_real_distribution<>(0, 1)(random_) < p; }
  void After(uint64_t delay_us, std::function<void()> run);

  struct Counts {
    uint64_t lease_checks = 0, wipes = 0, repaired = 0, tails_lost = 0, halts = 0;
    uint64_t crashes = 0, at_effect = 0, messages = 0, slices = 0, log_commands = 0, epochs = 0, trims = 0,
             truncations = 0, resets = 0,
             stray_answers = 0;  // to calls that nobody makes any more
    Counts& operator+=(const Counts& other);
  };
  const Counts& counts() const { return counts_; }
  // A node's effects so far, over all its lives.
  uint64_t EffectsOf(NodeId node) const;
  // The node's process dies before this effect of all, whatever else stops it before; then `then` is called.
  // 0: not any more.
  void PlanCrash(NodeId node, uint64_t effect, bool power, std::function<void()> then);
  Trace& trace() { return *options_.trace; }

 private:
  class Node;
  class Log;
  struct Contents;
  struct Disk;
  struct NodeDisk;
  struct Hosted;
  class Reference;
  struct Event {
    uint64_t at_us;
    uint64_t order;
    size_t run;  // in runs_
    bool operator>(const Event& other) const {
      return std::tie(at_us, order) > std::tie(other.at_us, other.order);
    }
  };
  struct History {                  // what a group's primaries called replicated
    std::vector<LogEntry> entries;  // by LSN - 1
    struct Reign {
      std::pair<NodeId, uint64_t> leader;  // and the life of its process
      Lsn replicated{};
      bool served = false;
    };
    std::map<Epoch, Reign> reigns;
    std::vector<std::shared_ptr<Reference>> references;  // shared: the class is incomplete here
  };

  std::unique_ptr<RoleCore> MakeRole(GroupId group, const StateReader& state) const;
  Rows Expected(GroupId group, size_t common, const std::vector<LogEntry>& tail);
  void Deliver(NodeId to, Envelope envelope);
  void Observe(Node& node);  // after everything that it did: extends histories, checks
  void ObservePrimary(Node& node, GroupId group, Hosted& hosted);
  void NoteReplicated(const Replica& replica, GroupId group, History& history);
  void CheckClaims(Node& node);
  void CheckTornWrite(GroupId group, const std::string& directory, wal::MemoryFileSystem& files);
  void CheckLogFiles(NodeId node, GroupId group, const wal::Log& log);
  void TraceMessage(const char* what, NodeId from, NodeId to, const Envelope& envelope);
  void ResetDisk(NodeId node, GroupId group);
  bool Step();  // false: nothing is left to happen
  Disk& DiskOf(NodeId node, GroupId group);

  const uint64_t seed_;
  Trace no_trace_;
  WorldOptions options_;
  std::mt19937_64 random_;
  uint64_t now_us_ = 1'000'000;
  uint64_t orders_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::function<void()>> runs_;
  std::vector<size_t> runs_free_;
  Placement placement_;
  std::map<std::pair<NodeId, GroupId>, std::unique_ptr<Disk>> disks_;
  std::map<NodeId, NodeDisk> node_disks_;
  std::map<NodeId, NodeRegister> registers_;  // the directory's
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::map<std::pair<NodeId, NodeId>, uint64_t> slow_;
  std::set<NodeId> directory_cut_;
  std::set<NodeId> clients_cut_;
  std::map<NodeId, std::pair<uint64_t, std::function<void(GroupId)>>> cut_at_proposal_;
  // By Rot, or by faults of the store's files. Remains of a log's failed write or sync are never damage.
  std::set<std::pair<NodeId, GroupId>> may_be_damaged_;
  std::map<GroupId, int> proposals_open_;  // compare-and-swaps under way
  std::map<GroupId, View> views_;          // the directory's
  std::map<GroupId, std::map<NodeId, Member>> registered_;
  std::map<GroupId, History> histories_;
  std::vector<std::pair<NodeId, Envelope>> sent_;
  std::map<size_t, std::deque<std::pair<NodeId, Envelope>>> said_;  // by kind of message; for SendAgain
  std::map<std::string, ForeignManager> foreign_;
  Promises promises_;
  uint64_t next_random_ = 1;
  uint64_t next_request_ = 1;
  std::string needless_halt_;
  Counts counts_;
};

}  // namespace assent::sim
