#include "sim/run.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "common/coverage.h"
#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "sim/checker/checker.h"
#include "sim/client.h"

namespace assent::sim {
namespace {

constexpr uint64_t kMs = 1'000;
constexpr uint64_t kSecond = 1'000'000;
// I-A5. Longer than a run may take, so that what does not end is told from what takes too long.
constexpr uint64_t kPatienceUs = 60 * kSecond;
// With the 10 s for which an idle group remembers that a disk was slow.
constexpr uint64_t kHealMaxUs = 20 * kSecond;
// R11. A replica with a slow disk is left out within kLeftOutUs. From then on a group is watched: it is held
// up while a record waits for longer than kHeldUpUs. That is for a small part of the time only: the replica
// may try to come back.
constexpr uint64_t kLeftOutUs = 12 * kSecond;
constexpr uint64_t kWatchedUs = 30 * kSecond;
constexpr uint64_t kHeldUpUs = 500 * kMs;
constexpr uint64_t kHeldUpMaxUs = 5 * kSecond;
constexpr int kClientsOfSlowDisk = 4;
constexpr GroupId kC1{GroupKind::kCoordinator, 1};
constexpr GroupId kS1{GroupKind::kShard, 1};
constexpr GroupId kS2{GroupKind::kShard, 2};
constexpr NodeId kNodes[] = {NodeId{1}, NodeId{2}, NodeId{3}, NodeId{4}};

// Each group with two replicas, or with three; or with two and a third that an operator may add; on three
// nodes, or the coordinator on two of four.
std::vector<GroupSpec> DrawGroups(std::mt19937_64& random) {
  const uint64_t shape = random() % 14;
  if (shape >= 9) {
    return {{kC1, {kNodes[0], kNodes[1]}, {}},
            {kS1, {kNodes[2], kNodes[3]}, {}},
            {kS2, {kNodes[3], kNodes[2]}, {}}};
  }
  std::vector<GroupSpec> groups;
  uint64_t first = 0;
  for (const GroupId id : {kC1, kS1, kS2}) {
    GroupSpec spec{id, {}, {}};
    for (uint64_t i = 0; i < 3; ++i) {
      (i < 2 || shape >= 7 ? spec.replicas : spec.others).push_back(kNodes[(first + i) % 3]);
    }
    if (shape < 4) spec.others.clear();
    groups.push_back(std::move(spec));
    ++first;
  }
  return groups;
}

class OneRun {
 public:
  explicit OneRun(const RunOptions& options)
      : options_(options), random_(options.seed), world_(options.seed, Draw()), plan_(DrawClients()) {}

  RunReport Do() {
    if (options_.crash) CrashAsPlanned(*options_.crash);
    world_.StartAll();
    const uint64_t clients = std::min<uint64_t>(options_.clients_max, 5 + random_() % 6);
    for (uint32_t i = 0; i < clients; ++i) AddClient();
    ChaosPlan chaos_plan = DrawChaos(options_.seed, world_.options(), world_.now_us());
    if (options_.faults) chaos_plan.faults = *options_.faults;
    report_.planned_faults = chaos_plan.faults.size();
    report_.planned_chaos_us = chaos_plan.end_us - world_.now_us();
    report_.clients = static_cast<uint32_t>(clients);
    if (options_.chaos_us_max < report_.planned_chaos_us) {
      chaos_plan.end_us = world_.now_us() + options_.chaos_us_max;
    }
    const uint64_t end_us = chaos_plan.end_us;
    std::vector<Fault> kept;
    for (size_t i = 0; i < chaos_plan.faults.size(); ++i) {
      if (!options_.faults_left_out.contains(i) && chaos_plan.faults[i].at_us < end_us) {
        kept.push_back(chaos_plan.faults[i]);
      }
    }
    for (const Fault& fault : kept) plan_.busy_at_us.push_back(fault.at_us);
    chaos_plan.faults = std::move(kept);
    Chaos chaos(world_, std::move(chaos_plan), options_.seed, [this] {
      auto& moments = plan_.busy_at_us;
      moments.insert(std::upper_bound(moments.begin(), moments.end(), world_.now_us()), world_.now_us());
    });
    chaos.Begin();
    for (const auto& client : clients_) client->Go();
    world_.RunFor(end_us - world_.now_us());
    for (size_t i = 0; i < report_.effects.size(); ++i) {
      if (world_.HasNode(kNodes[i])) report_.effects[i] = world_.EffectsOf(kNodes[i]);
    }
    healing_ = true;
    if (options_.crash) world_.PlanCrash(options_.crash->node, 0, false, nullptr);
    Say("HEAL", "everything works from here on");
    chaos.Heal();
    HealAndRest(chaos);
    if (report_.violation.empty() && !options_.crash && random_() % 3 == 0) {
      SlowDisk();
      chaos.Heal();
      if (report_.violation.empty()) HealAndRest(chaos);
    }
    if (report_.violation.empty()) Audit();
    report_.by_kind = chaos.counts();
    for (const uint64_t count : report_.by_kind) report_.faults += count;
    Finish();
    return std::move(report_);
  }

 private:
  WorldOptions Draw() {
    WorldOptions options;
    options.groups = DrawGroups(random_);
    options.loss = random_() % 3 == 0 ? 0.01 : 0;
    options.duplication = random_() % 3 == 0 ? 0.01 : 0;
    options.replay = random_() % 3 == 0 ? 0.002 : 0;
    options.delay_us_max = 500 + random_() % 2'000;
    options.force_us_max = 200 + random_() % 2'000;
    options.off_loop_us_max = 200 + random_() % 200'000;
    constexpr uint64_t kDrifts[] = {0, 1'000, 20'000, 50'000};
    options.drift_ppm = kDrifts[random_() % 4];
    options.segment_bytes = uint64_t{1} << (12 + random_() % 3);
    options.spare_segments_max = random_() % 3;
    options.checkpoint_bytes = uint64_t{1} << (15 + random_() % 4);
    options.times_divided_by = uint64_t{1} << (random_() % 4);
    if (random_() % 2 == 0) options.snapshot_piece_bytes = size_t{4 << 10} << (random_() % 3);
    options.tight_coordinators = random_() % 6 == 0;
    options.tight_shards = random_() % 6 == 0;
    options.foreign = random_() % 3 == 0;
    if (random_() % 5 < 2) options.retention_us = uint64_t{250'000} << (random_() % 4);
    if (random_() % 2 == 0) options.ended_max = random_() % 5;
    if (random_() % 2 == 0) options.inquiries_before_peers = static_cast<uint32_t>(random_() % 2);
    options.trace = options_.trace;
    return options;
  }

  ClientPlan DrawClients() {
    ClientPlan plan;
    plan.coordinator = kC1;
    for (const GroupSpec& spec : world_.options().groups) {
      if (spec.id != kC1) continue;
      plan.nodes = spec.replicas;
      plan.nodes.insert(plan.nodes.end(), spec.others.begin(), spec.others.end());
    }
    const uint64_t crowd = random_() % 3;  // how many keys there are to meet at
    for (int i = 0; i < 4 + static_cast<int>(crowd) * 4; ++i) {
      plan.accounts.push_back(world_.KeyOn(i % 2 == 0 ? kS1 : kS2, 100 + i));
    }
    for (int i = 0; i < 3 + static_cast<int>(crowd) * 3; ++i)
      plan.registers.push_back("r" + std::to_string(i));
    for (int i = 0; i < 2 + static_cast<int>(crowd); ++i) plan.lists.push_back("l" + std::to_string(i));
    plan.scan_prefix = "scan/";
    plan.has_foreign = world_.options().foreign;
    plan.think_us_max = 100 * kMs + random_() % (350 * kMs);
    plan.quiet_times = 20;
    if (random_() % 3 == 0) plan.padding = 400;
    if (random_() % 3 == 0) plan.dwell_us_max = 300 * kMs;
    if (options_.think_us_max) {
      plan.think_us_max = *options_.think_us_max;
      plan.quiet_times = 1;
    }
    return plan;
  }

  Client& AddClient() {
    clients_.push_back(
        std::make_unique<Client>(world_, static_cast<uint32_t>(clients_.size()), options_.seed, plan_));
    return *clients_.back();
  }

  // Crashes the node, and has it come back at once; again, if so planned.
  void CrashAsPlanned(const CrashPlan& crash) {
    world_.PlanCrash(crash.node, crash.effect, crash.power, [this, crash] {
      ++report_.planned_crashes;
      const uint64_t before = world_.EffectsOf(crash.node);
      if (crash.again != 0) {
        world_.PlanCrash(crash.node, before + crash.again, crash.power,
                         [this] { ++report_.planned_crashes; });
      }
      world_.After(kMs, [this, crash] {
        if (!world_.IsUp(crash.node)) world_.Start(crash.node);
      });
      AwaitRecovery(crash.node, before);
    });
  }
  void AwaitRecovery(NodeId node, uint64_t before) {
    world_.After(kMs, [this, node, before] {
      if (healing_) return;
      report_.recovery_effects = world_.EffectsOf(node) - before;
      if (!world_.TakesPart(node)) AwaitRecovery(node, before);
    });
  }

  void Say(const char* what, const std::string& text) {
    world_.trace().Line(world_.now_us(), NodeId{}, GroupId{}, what, text);
  }
  void Violate(const std::string& text) {
    if (report_.violation.empty()) report_.violation = text;
    Say("VIOLATION", text);
  }

  bool IsAtRest() {
    for (const NodeId node : kNodes) {
      if (world_.HasNode(node) && !world_.IsRegistered(node)) return false;
    }
    for (const auto& [name, manager] : world_.foreign()) {
      if (!manager.idle()) return false;
    }
    for (const GroupSpec& spec : world_.options().groups) {
      const Replica* primary = world_.Primary(spec.id);
      if (primary == nullptr) return false;
      const RoleCore* role = primary->state().find_role();
      if (spec.id.kind == GroupKind::kCoordinator) {
        const auto* core = static_cast<const CoordinatorCore*>(role);
        if (core->live_count() != 0 || core->unended_count() != 0) return false;
      } else if (static_cast<const participant::ParticipantCore*>(role)->gauges().branches != 0) {
        return false;
      }
      const auto view = world_.ViewOf(spec.id);
      for (const NodeId node : spec.replicas) {
        if (view->Find(node) == nullptr) {
          // An operator puts back what an operator took out, and what would wait long for its next try.
          world_.Ask(*world_.PrimaryNode(spec.id), spec.id, backup::ChangeKind::kAddReplica, node);
          return false;
        }
      }
      if (!world_.AreEqual(spec.id)) return false;
    }
    return true;
  }

  bool ForeignAgrees() {
    for (const auto& [name, manager] : world_.foreign()) {
      if (manager.contradiction().empty()) continue;
      Violate("I-A1: " + name + ": " + manager.contradiction());
      return false;
    }
    return true;
  }

  static uint64_t IdledOut() {
    return situation_counts[static_cast<size_t>(Situation::kIdledOut)] +
           situation_counts[static_cast<size_t>(Situation::kWorkTimedOut)];
  }

  // I-A5, G6: all ends in bounded time once faults are gone. Work that clients left open holds its locks
  // until it idles out, and others wait for them behind each other: the time counts from the last such end.
  void HealAndRest(Chaos& chaos) {
    const uint64_t healed_us = world_.now_us();
    uint64_t since_us = healed_us;
    uint64_t idled_out = IdledOut();
    const auto note_idled_out = [&] {
      if (IdledOut() == idled_out) return;
      idled_out = IdledOut();
      since_us = world_.now_us();
    };
    for (const auto& client : clients_) {
      client->Calm();
      client->Stop();
    }
    const auto all_idle = [&] {
      note_idled_out();
      return std::all_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->idle(); });
    };
    // Damage may show late, and a node that was about to stop ends now.
    const auto run_on = [&] {
      world_.RunFor(50 * kMs);
      for (const NodeId node : kNodes) {
        if (world_.HasNode(node)) chaos.Repair(node);
      }
    };
    while (!all_idle()) {
      if (world_.now_us() - healed_us > kPatienceUs)
        return Violate("I-A5: clients without an answer\n" + world_.Describe());
      run_on();
    }
    while (!IsAtRest()) {
      if (!ForeignAgrees()) return;
      run_on();
      note_idled_out();
      if (world_.now_us() - healed_us > kPatienceUs)
        return Violate("I-A5: not at rest\n" + world_.Describe());
    }
    report_.healed_us = std::max(report_.healed_us, world_.now_us() - healed_us);
    if (world_.now_us() - since_us > kHealMaxUs) {
      Violate("I-A5: at rest only " + std::to_string(report_.healed_us / kMs) + " ms after healing");
    }
    if (!world_.needless_halt().empty())
      Violate("I-A5: halted without a fault of its disk: " + world_.needless_halt());
  }

  // I-A5, R11: with nothing else amiss, a disk whose forces take seconds holds its groups up for as long as
  // it takes to find out, and hardly after that.
  void SlowDisk() {
    std::vector<NodeId> nodes;
    std::copy_if(std::begin(kNodes), std::end(kNodes), std::back_inserter(nodes),
                 [this](NodeId node) { return world_.HasNode(node); });
    const NodeId slow = nodes[random_() % nodes.size()];
    const uint64_t by_us = 1'300 * kMs + random_() % (4'000 * kMs);
    Say("SLOW", ToString(slow) + ": each force takes " + std::to_string(by_us) + " us more");
    for (const GroupSpec& spec : world_.options().groups) {
      if (world_.Has(slow, spec.id)) world_.SlowLog(slow, spec.id, by_us);
    }
    for (int i = 0; i < kClientsOfSlowDisk; ++i) {
      Client& client = AddClient();
      client.Calm();
      client.Go();
    }
    world_.RunFor(kLeftOutUs);
    struct Wait {
      Lsn last{};  // what there was to replicate, and when all of that was
      uint64_t since_us = 0;
      uint64_t held_up_us = 0;
    };
    std::map<GroupId, Wait> waits;
    for (const GroupSpec& spec : world_.options().groups) waits[spec.id].since_us = world_.now_us();
    for (const uint64_t end_us = world_.now_us() + kWatchedUs; world_.now_us() < end_us;) {
      constexpr uint64_t kLookUs = 50 * kMs;
      world_.RunFor(kLookUs);
      for (auto& [group, wait] : waits) {
        const Replica* primary = world_.Primary(group);
        if (primary != nullptr && primary->replication().replicated() >= wait.last) {
          wait.last = primary->log().last().lsn;
          wait.since_us = world_.now_us();
        } else if (world_.now_us() - wait.since_us > kHeldUpUs) {
          wait.held_up_us += kLookUs;
        }
        if (wait.held_up_us <= kHeldUpMaxUs) continue;
        return Violate("I-A5: " + ToString(group) + " waits again and again for the slow disk of " +
                       ToString(slow) + "\n" + world_.Describe());
      }
    }
  }

  // A replica that is on its way back may bring a new view about, so that nobody serves for a moment.
  int64_t NumberAt(const std::string& key) {
    const GroupId shard = world_.placement().ShardOf(key);
    if (!world_.RunUntil([&] { return world_.Primary(shard) != nullptr; }, kPatienceUs)) {
      Violate("I-A5: nobody serves " + ToString(shard) + " any more\n" + world_.Describe());
      return 0;
    }
    const auto value = world_.Value(*world_.Primary(shard), key);
    return value ? std::atoll(value->c_str()) : 0;
  }

  void Audit() {
    Client& reader = AddClient();
    reader.Calm();
    Flow<bool> reading = reader.ReadAll();
    reading.Start();
    if (!world_.RunUntil([&] { return reader.idle(); }, kPatienceUs)) {
      return Violate("I-A5: the audit's reads do not commit\n" + world_.Describe());
    }
    int64_t sum = 0;
    for (const std::string& account : plan_.accounts) sum += NumberAt(account);
    if (sum != 0) Violate("I-A1: transfers left a sum of " + std::to_string(sum));
    if (!ForeignAgrees()) return;
    checker::History history;
    history.list_keys.insert(plan_.lists.begin(), plan_.lists.end());
    for (const auto& client : clients_) {
      for (const Told& told : client->told()) CheckTold(told);
      const auto& transactions = client->transactions();
      history.transactions.insert(history.transactions.end(), transactions.begin(), transactions.end());
    }
    const checker::Verdict verdict = checker::CheckHistory(history);
    if (!verdict.ok()) Violate("I-S1: " + verdict.ToString());
    for (const GroupSpec& spec : world_.options().groups) {
      for (const NodeId node : kNodes) {
        if (!world_.Has(node, spec.id) || world_.Find(node, spec.id) == nullptr) continue;
        world_.CheckState(node, spec.id);  // I-D2, I-C1
      }
    }
  }

  // I-D1, I-X1, I-U1.
  void CheckTold(const Told& told) {
    if (told.marker.empty()) return;
    const int64_t effects = NumberAt(told.marker);
    for (const auto& [name, manager] : world_.foreign()) {
      const bool named = std::find(told.foreign.begin(), told.foreign.end(), name) != told.foreign.end();
      const uint64_t wanted = named ? static_cast<uint64_t>(effects) : 0;
      if (const uint64_t theirs = manager.Committed(told.marker); theirs != wanted) {
        Violate("I-A1: " + ToString(told.token) + " took effect " + std::to_string(effects) +
                " times here, and " + std::to_string(theirs) + " times at resource manager " + name);
      }
    }
    const bool right = told.outcome == Outcome::kCommitted ? effects == 1
                       : told.outcome == Outcome::kAborted ? effects == 0
                                                           : effects == 0 || effects == 1;
    if (right) return;
    const char* invariant = effects > 1                           ? "I-X1: "
                            : told.outcome == Outcome::kCommitted ? "I-D1: "
                                                                  : "I-U1: ";
    Violate(invariant + ToString(told.token) + " took effect " + std::to_string(effects) +
            " times, and its client was told " +
            (told.outcome == Outcome::kCommitted ? "COMMITTED" : "ABORTED or UNKNOWN"));
  }

  void Finish() {
    for (const auto& client : clients_) {
      for (size_t i = 0; i < kForms.size(); ++i) report_.committed_by_form[i] += client->committed()[i];
      for (const auto& transaction : client->transactions()) {
        ++(transaction.outcome == Outcome::kCommitted ? report_.committed
           : transaction.outcome == Outcome::kAborted ? report_.aborted
                                                      : report_.unknown);
      }
    }
    report_.world = world_.counts();
    report_.simulated_us = world_.now_us();
    report_.trace_hash = world_.trace().hash();
  }

  const RunOptions& options_;
  std::mt19937_64 random_;
  World world_;
  ClientPlan plan_;
  std::vector<std::unique_ptr<Client>> clients_;
  RunReport report_;
  bool healing_ = false;
};

}  // namespace

size_t PlannedFaults(uint64_t seed) {
  std::mt19937_64 random(seed);
  WorldOptions options;
  options.groups = DrawGroups(random);
  return DrawChaos(seed, options, 0).faults.size();
}

RunReport Run(const RunOptions& options) {
  return OneRun(options).Do();
}

}  // namespace assent::sim
