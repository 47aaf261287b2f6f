#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backup/registration.h"
#include "sim/sqlite_vfs.h"
#include "sim/world.h"

// The parts of a World: a replica's disk, its log's commands on it, and a node, which is what a replica needs
// of the process around it.
namespace assent::sim {

inline constexpr const char* kCluster = "driver-world";
inline constexpr uint64_t kDirectoryUsMax = 2'000;  // that a word from there, or to there, takes
inline constexpr uint64_t kWallUs = 1'800'000'000'000'000;

// The contents of a replica's files, and what the world knows of them.
struct World::Contents {
  wal::MemoryFileSystem files;        // of the log
  wal::MemoryFileSystem store_files;  // of SQLite, and snapshots
  Lsn durable{};                      // the log's, as it said; 0 = it is being cut
  Lsn recorded{};  // of that, what the last batch on disk says, or more, was durable when it was written
  uint64_t log_bits_flipped = 0;
  Epoch held{};  // the highest epoch that the replica was ever in (I-R4)
  Incarnation incarnation{};
  Epoch seen_epoch{};
  Incarnation directory{};

  // As cp(1) does. `root`s: where the files of each lie.
  void CopyFrom(const Contents& other, const std::string& from, const std::string& to) {
    files.CopyFrom(other.files, from, to);
    store_files.CopyFrom(other.store_files, from, to);
    durable = other.durable;
    recorded = other.recorded;
    log_bits_flipped = other.log_bits_flipped;
    held = other.held;
    incarnation = other.incarnation;
    seen_epoch = other.seen_epoch;
    directory = other.directory;
  }
};

// A replica's disk, found again when its process comes back.
struct World::Disk : Contents {
  explicit Disk(std::string where) : root(std::move(where)), mount(root, store_files) {}

  const std::string root;
  SimulatedDisk mount;
  bool is_limited = false;  // by LimitDisk
  bool is_faulty = false;   // a fault was injected since the replica was opened
  bool is_old = false;      // put back from a copy
  std::string store_path() const { return root + "/store.sqlite"; }
};

// A node's disk, beside its replicas (R3). `place`: another one for each copy.
struct World::NodeDisk {
  uint64_t files = 0;
  uint64_t starts = 0;
  uint64_t place = 0;
  bool is_old = false;  // put back from a copy
};

struct World::Copy {
  NodeDisk node;
  std::map<GroupId, std::unique_ptr<Contents>> replicas;
  std::set<GroupId> may_be_damaged;  // of them
};

// The log's commands on a simulated disk: carried out, and answered, when the world says so.
class World::Log final : public LogPort {
 public:
  Log(World& world, Node& node, GroupId group, std::unique_ptr<wal::Log> log)
      : world_(world), node_(node), group_(group), log_(std::move(log)) {}

  void Submit(LogCommand command) override;
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return forces_; }
  void Hold(bool hold) {
    held_ = hold;
    if (!held_) Schedule();
  }
  void Slow(uint64_t by_us) { slow_us_ = by_us; }

 private:
  void Schedule();
  void Work();
  void Answer(LogDone::What what, Status status);

  World& world_;
  Node& node_;
  const GroupId group_;
  const std::unique_ptr<wal::Log> log_;
  std::deque<LogCommand> queue_;
  std::deque<LogDone> done_;
  bool scheduled_ = false;
  bool held_ = false;
  uint64_t slow_us_ = 0;
  uint64_t forces_ = 0;
};

// A replica in a running process.
struct World::Hosted {
  std::unique_ptr<Log> log;
  std::unique_ptr<Replica> replica;  // after its log
  Disk* disk = nullptr;
  History* history = nullptr;
  LogPosition applied;
  Epoch served{};  // I-R3 was checked for it
};

class World::Node final : public ReplicaHost {
 public:
  // `slot`: where it runs; the node's own, or a copy's.
  Node(World& world, NodeId id, NodeId slot) : world_(world), id_(id), slot_(slot) {}

  // Runs `run` later, unless this life of the node is over by then.
  template <typename Run>
  void After(uint64_t delay_us, Run run) {
    world_.After(delay_us, [this, life = life_, run = std::move(run)]() mutable {
      if (!up_ || life != life_) return;
      if (paused_until_us_ > world_.now_us_) {
        return After(paused_until_us_ - world_.now_us_, std::move(run));
      }
      run();
    });
  }
  // After anything that a replica was told: the slice that flushes is due.
  void Touch() {
    world_.Observe(*this);
    if (!up_ || slice_due_) return;
    slice_due_ = true;
    After(world_.Random(world_.options_.slice_us_max + 1), [this] {
      slice_due_ = false;
      Slice();
    });
  }
  void Slice();
  void Start();
  void StartAgain();  // in the middle of Start(), after a disk was replaced
  void Stop(bool power);
  void StopOnceLeft(uint64_t until_us);
  // True: the process is dead from here on, though the call that it is in has yet to return.
  bool Effect() {
    if (!doomed_) ++effects_;
    if ((doom_in_ > 0 && --doom_in_ == 0) || effects_ == planned_crash_at_) doomed_ = true;
    return doomed_;
  }

  // ReplicaHost.
  Instant Now() override {
    const uint64_t elapsed = world_.now_us_ - clock_from_us_;
    return {clock_us_ + elapsed * clock_ppm_ / 1'000'000, kWallUs + world_.now_us_ + wall_off_us_};
  }
  // Until the node's own clock shows `mono_us`.
  uint64_t DelayUntil(uint64_t mono_us) {
    const uint64_t now = Now().mono_us;
    return mono_us <= now ? 0 : (mono_us - now) * 1'000'000 / clock_ppm_ + 1;
  }
  void Transmit(NodeId to, Envelope envelope) override;
  std::optional<Leader> LeaderOf(GroupId group) override {
    const auto view = views_.find(group);
    if (view == views_.end()) return std::nullopt;
    return Leader{view->second.primary, view->second.epoch};
  }
  std::vector<GroupId> Groups() override {
    std::vector<GroupId> groups;
    for (const auto& [group, view] : views_) groups.push_back(group);
    return groups;
  }
  void LearnView(const View& view) override;
  void LearnEpoch(GroupId group, Epoch epoch) override {
    const auto known = views_.find(group);
    if (known == views_.end() || known->second.epoch < epoch) Refresh();
  }
  void ReadDirectory(GroupId group) override;
  void ProposeView(const View& view) override;
  void Register(GroupId group, const Member& self) override {
    if (!Effect()) world_.registered_[group][id_] = self;
  }
  Status PersistView(GroupId group, const backup::PersistView& seen) override {
    if (Effect()) return Status(StatusCode::kIo, "dead");
    Disk& disk = world_.DiskOf(slot_, group);
    disk.seen_epoch = seen.seen_epoch;
    disk.directory = seen.directory_incarnation;
    return {};
  }
  void RunOffLoop(GroupId, std::function<void()> work, std::function<void()> then) override {
    After(world_.Random(world_.options_.off_loop_us_max),
          [this, work = std::move(work), then = std::move(then)] {
            work();
            After(world_.Random(20), [this, then] {
              then();
              Touch();
            });
            Touch();
          });
  }
  void AnswerClient(RequestId id, ClientReply reply) override {
    if (Effect()) return;
    const auto call = calls_.find(id);
    if (call == calls_.end()) {
      ++world_.counts_.stray_answers;
      return;
    }
    if (const auto claim = Promises::ClaimOf(call->second.asked, reply)) Claims(call->second.group, *claim);
    auto answer = std::move(call->second.reply);
    calls_.erase(call);
    world_.After(0, [answer = std::move(answer), reply = std::move(reply)] { answer(reply); });
  }
  void AnswerOperator(RequestId id, const Status& status) override { operator_answers_[id] = status; }
  void PerformForeign(GroupId group, const CallForeign& call) override;
  void Report(GroupId group, const std::string& text, bool halted) override {
    if (doomed_) return;
    if (halted) {
      ++world_.counts_.halts;
      const Disk& disk = world_.DiskOf(slot_, group);
      if (!disk.is_faulty && !disk.is_old && !world_.may_be_damaged_.contains({slot_, group})) {
        world_.needless_halt_ = ToString(id_) + " " + ToString(group) + " halted: " + text;
      }
    }
    reports_.push_back(ToString(group) + (halted ? " halted: " : ": ") + text);
    world_.trace().Line(world_.now_us_, id_, group, halted ? "halt" : "report", text);
  }
  void BeforeEffect(const RoleEffect&) override { Effect(); }
  void Refresh();
  // It was said, and is looked at once all that the sender knew is known here, too.
  void Claims(GroupId group, Claim claim) {
    claim.from = group;
    claim.epoch = hosted_.at(group).replica->replication().epoch();
    claims_.push_back(std::move(claim));
  }

  struct OpenCall {
    OnReply reply;
    GroupId group;
    Asked asked;
  };

  // R3: the register, before anything else.
  void BeginRegistration();
  void StepRegistration();
  void Perform(const backup::Registration::Work& work);
  void OnRegistered();
  void OnRefused();
  backup::EarlierLife FollowTrace(const NodeRegister& seen) const;
  bool is_copy() const { return slot_ != id_; }

  World& world_;
  const NodeId id_;
  const NodeId slot_;
  bool up_ = false;
  uint64_t life_ = 0;
  uint64_t process_life_ = 0;
  uint64_t boot_ = 0;  // of its machine
  std::unique_ptr<backup::Registration> registration_;
  bool registered_ = false;
  bool takes_part_ = false;  // since then its replicas run
  std::string refusal_;      // why it did not start; empty: it did
  uint64_t effects_ = 0;
  uint64_t planned_crash_at_ = 0;  // of effects_; 0: none
  bool planned_power_ = false;
  std::function<void()> after_planned_crash_;
  uint64_t sent_in_second_ = 0;
  uint64_t sent_ = 0;
  uint64_t doom_in_ = 0;
  bool doom_in_force_ = false;  // the power goes when a log syncs next
  bool leaving_ = false;        // it stops once the others can do without it
  bool doomed_ = false;
  bool doom_power_ = false;
  bool slice_due_ = false;
  uint64_t paused_until_us_ = 0;
  // Its clock: showed clock_us_ at clock_from_us_ of the world's time, and runs at clock_ppm_ a million.
  uint64_t clock_us_ = 0;
  uint64_t clock_from_us_ = 0;
  uint64_t clock_ppm_ = 1'000'000;
  bool clock_runs_ = false;
  uint64_t wall_off_us_ = 0;
  uint64_t wake_us_ = UINT64_MAX;
  uint64_t spins_ = 0;
  uint64_t spun_at_us_ = 0;
  bool refreshing_ = false;
  std::map<GroupId, Hosted> hosted_;
  std::map<GroupId, View> views_;
  std::map<NodeId, uint64_t> last_arrival_us_;  // of what was sent there, if that is kept in order
  std::map<RequestId, OpenCall> calls_;
  std::vector<Claim> claims_;
  RequestId last_call_{};
  std::map<RequestId, Status> operator_answers_;
  std::vector<std::string> reports_;
};

}  // namespace assent::sim
