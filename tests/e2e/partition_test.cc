// A hundred faults in one run, on six processes with a replica each, under load: a group's primary cut off
// from its backup, the directory, its clients, each alone and in every combination, both ways and one;
// stopped for longer than its lease; killed; backups killed. Acknowledged commits are there once, replicas
// are equal, nothing stays in doubt, and what other clients saw meanwhile is strictly serializable.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/e2e/bank_load.h"
#include "tests/e2e/checked_load.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr GroupId kCoordinator{GroupKind::kCoordinator, 1};
constexpr GroupId kShards[] = {{GroupKind::kShard, 1}, {GroupKind::kShard, 2}};
constexpr int kStorms = 5;  // each of three kinds of fault in three groups
constexpr size_t kFaultsMin = 100;
constexpr double kResumeSeconds = 30;  // generous; the times are printed
constexpr double kSettleSeconds = 120;
constexpr double kLeaseSeconds = 2;  // backup/timing.h
// How long a fault lasts. Where a replica may be given up or replaced: until commits go on, within these
// bounds; the lower one is past a takeover and leaves time for two primaries to be seen, if there were two,
// and past the upper one only the fault's end helps. Other cuts end by themselves alone, or are not noticed.
constexpr double kChangeMinSeconds = 4;
constexpr double kChangeMaxSeconds = 6;
constexpr double kSplitSeconds = 8;  // of all groups at once, with readers and writers on either side
constexpr double kOthersSeconds = 1.5;
constexpr uint64_t kCommitsBetween = 150;   // so that faults meet work under way
constexpr int kDirectoryCalls = 1'000'000;  // until it is told to answer
constexpr uint32_t kCheckedClients = 10;
constexpr int kCallMs = 15'000;
constexpr uint32_t kWatchers = 4;  // of these; they stay with an old leader as long as its connection lasts
constexpr auto kCheckedPause = milliseconds(15);  // keeps the history to a size that is checked in seconds

enum Parties : unsigned { kBackup = 1, kDirectory = 2, kClients = 4, kAllParties = 7 };
enum class Way { kBoth, kFromPrimary, kToPrimary };  // what is lost
constexpr Way kWays[] = {Way::kBoth, Way::kFromPrimary, Way::kToPrimary};
enum class Kind { kCut, kStopPrimary, kKillPrimary, kKillBackup };

struct Fault {
  GroupId group;
  Kind kind{};
  unsigned parties = 0;  // kCut
  Way way{};             // kCut
};

std::string Describe(const Fault& fault) {
  const std::string of = fault.group == kCoordinator ? "coordinator: " : "shard: ";
  switch (fault.kind) {
    case Kind::kStopPrimary:
      return of + "primary stopped, beyond its lease";
    case Kind::kKillPrimary:
      return of + "primary killed";
    case Kind::kKillBackup:
      return of + "backup killed";
    case Kind::kCut:
      break;
  }
  std::string from;
  for (const auto& [party, name] :
       {std::pair{kBackup, "backup"}, std::pair{kDirectory, "directory"}, std::pair{kClients, "clients"}}) {
    if ((fault.parties & party) != 0) from += (from.empty() ? "" : "+") + std::string(name);
  }
  const char* const way = fault.way == Way::kBoth          ? ""
                          : fault.way == Way::kFromPrimary ? ", what it sends"
                                                           : ", what it is sent";
  return of + "primary cut from " + from + way;
}

// A fault that was made, and what came of it.
struct Made {
  Fault fault;
  int primary = 0, backup = 0;
  steady_clock::time_point begun;
  bool together = false;  // with one of each group
  bool ended = false;
  std::optional<double> resumed_s;  // until a transaction that began after the fault was acknowledged

  int victim() const { return fault.kind == Kind::kKillBackup ? backup : primary; }
};

class Partition : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().one_replica_a_node = true;
    cluster_.options().crash_points = true;
    cluster_.UseNetwork();
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    random_.seed(seed_);
    LoadOptions options;
    options.seed = seed_;
    load_.emplace("partition", cluster_.addresses(), cluster_.placement(), options);
    const Status loaded = load_->LoadRows();
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    load_->Start();
    checked_ = std::thread([this] {
      checker::WorkloadOptions workload;
      workload.seed = seed_ + 1;
      workload.clients = kCheckedClients;
      workload.watchers = kWatchers;
      workload.transactions_each = 1'000'000;  // until all is over
      workload.stop = [this] {
        std::this_thread::sleep_for(kCheckedPause);
        return stop_checked_.load();
      };
      RunChecked(cluster_, workload, [](uint32_t client) {
        ClientOptions client_options;
        if (client >= kCheckedClients - kWatchers) client_options.patience_ms = kCallMs;
        return client_options;
      });
    });
    ASSERT_TRUE(load_->AwaitCommitted(50, kSettleSeconds));
  }

  void TearDown() override {
    stop_checked_ = true;
    if (!checked_.joinable()) return;
    // After any failure those that wait get an answer.
    for (int node = 1; node <= cluster_.nodes().node_count(); ++node) {
      cluster_.Pause(node, false);
      cluster_.network().Heal(node, FaultyNetwork::Held::kIsLost);
      (void)cluster_.nodes().ArmCrash(node, "directory.answers", 1);
      if (cluster_.nodes().ExitStatus(node) != -1) (void)cluster_.nodes().Start(node);
    }
    checked_.join();
  }

  // The replicas of a group are on two nodes that follow each other, the coordinator's first.
  static int FirstNode(GroupId group) {
    return group == kCoordinator ? 1 : 1 + 2 * static_cast<int>(group.number);
  }

  void CutLink(const Made& made, int other) {
    if (made.fault.way != Way::kToPrimary) cluster_.network().Cut(made.primary, other);
    if (made.fault.way != Way::kFromPrimary) cluster_.network().Cut(other, made.primary);
  }

  void ArmDirectory(const Made& made, const std::string& fault) {
    const Status armed = cluster_.nodes().ArmCrash(made.primary, fault, kDirectoryCalls);
    ASSERT_TRUE(armed.ok()) << armed.ToString();
  }

  void Begin(Made& made) {
    const int first = FirstNode(made.fault.group);
    made.primary = cluster_.Show(made.fault.group).primary;
    ASSERT_TRUE(made.primary == first || made.primary == first + 1) << ToString(made.fault.group);
    made.backup = 2 * first + 1 - made.primary;
    switch (made.fault.kind) {
      case Kind::kStopPrimary:
        cluster_.Pause(made.primary, true);
        break;
      case Kind::kKillPrimary:
      case Kind::kKillBackup:
        cluster_.nodes().Kill(made.victim());
        break;
      case Kind::kCut:
        if ((made.fault.parties & kDirectory) != 0) {
          ASSERT_NO_FATAL_FAILURE(ArmDirectory(
              made, made.fault.way == Way::kToPrimary ? "directory.lost-answer" : "directory.no-answer"));
        }
        if ((made.fault.parties & kBackup) != 0) CutLink(made, made.backup);
        if ((made.fault.parties & kClients) != 0) {
          CutLink(made, FaultyNetwork::kClients);
          // The clients of a shard are the coordinators.
          if (made.fault.group != kCoordinator) {
            CutLink(made, FirstNode(kCoordinator));
            CutLink(made, FirstNode(kCoordinator) + 1);
          }
        }
        break;
    }
    made.begun = steady_clock::now();
  }

  bool MayEnd(const Made& made) const {
    const double lasted_s = SecondsSince(made.begun);
    if (made.fault.kind == Kind::kCut && (made.fault.parties & kBackup) == 0)
      return lasted_s > kOthersSeconds;
    if (made.fault.kind == Kind::kCut && lasted_s < (made.together ? kSplitSeconds : kChangeMinSeconds))
      return false;
    if (made.fault.kind == Kind::kStopPrimary && lasted_s < kLeaseSeconds + 1) return false;
    return made.resumed_s.has_value() || lasted_s > kChangeMaxSeconds;
  }

  void End(Made& made) {
    made.ended = true;
    switch (made.fault.kind) {
      case Kind::kStopPrimary:
        return cluster_.Pause(made.primary, false);
      case Kind::kKillPrimary:
      case Kind::kKillBackup:
        ASSERT_TRUE(cluster_.nodes().Start(made.victim()).ok());
        return;
      case Kind::kCut:
        cluster_.network().Heal(made.primary, random_() % 2 == 0 ? FaultyNetwork::Held::kArrivesLate
                                                                 : FaultyNetwork::Held::kIsLost);
        if ((made.fault.parties & kDirectory) != 0) ArmDirectory(made, "directory.answers");
        return;
    }
  }

  // Faults of different groups, at once. They end one by one, and all is well again before this returns.
  void Round(const std::vector<Fault>& faults) {
    ASSERT_TRUE(load_->AwaitCommitted(load_->committed() + kCommitsBetween, kSettleSeconds));
    std::vector<Made> round;
    for (const Fault& fault : faults) {
      Made& made = round.emplace_back();
      made.fault = fault;
      made.together = faults.size() > 1;
      ASSERT_NO_FATAL_FAILURE(Begin(made)) << Describe(fault);
    }
    size_t open = round.size();
    while (open > 0) {
      std::this_thread::sleep_for(milliseconds(2));
      for (Made& made : round) {
        if (made.ended && made.resumed_s) continue;
        if (!made.resumed_s && load_->LatestBegun(made.fault.group) > made.begun) {
          made.resumed_s = SecondsSince(made.begun);
        }
        if (!made.ended && MayEnd(made)) {
          ASSERT_NO_FATAL_FAILURE(End(made)) << Describe(made.fault);
        }
        if (made.ended && made.resumed_s) --open;
        ASSERT_TRUE(made.resumed_s || SecondsSince(made.begun) < kResumeSeconds)
            << Describe(made.fault) << " (n" << made.primary << "): no commit within " << kResumeSeconds
            << " s";
      }
    }
    for (const Made& made : round) {
      ASSERT_NO_FATAL_FAILURE(cluster_.AwaitBackup(made.fault.group)) << Describe(made.fault);
      const std::string together = made.together ? " (all groups at once)" : "";
      resumed_s_[Describe(made.fault) + together].push_back(*made.resumed_s);
      ++faults_;
      std::cerr << faults_ << ". " << ToString(made.fault.group) << ", n" << made.victim() << ", "
                << Describe(made.fault) << ": " << *made.resumed_s << " s; " << load_->committed()
                << " committed, " << SecondsSince(begun_) << " s" << std::endl;
    }
  }

  void Print() {
    std::printf("%-92s %5s %8s %8s %8s\n", "fault; seconds until the next acknowledged commit", "count",
                "min", "median", "max");
    for (auto& [what, seconds] : resumed_s_) {
      std::sort(seconds.begin(), seconds.end());
      std::printf("%-92s %5zu %8.3f %8.3f %8.3f\n", what.c_str(), seconds.size(), seconds.front(),
                  seconds[seconds.size() / 2], seconds.back());
    }
    std::printf("%zu faults in %.0f s, %llu connections held\n", faults_, SecondsSince(begun_),
                static_cast<unsigned long long>(cluster_.network().held_connections()));
    std::fflush(stdout);
  }

  const uint64_t seed_ = Seed(20240611);
  std::mt19937_64 random_;
  TestCluster cluster_{"partition"};
  std::optional<BankLoad> load_;
  std::atomic<bool> stop_checked_{false};
  std::thread checked_;
  std::map<std::string, std::vector<double>> resumed_s_;
  size_t faults_ = 0;
  const steady_clock::time_point begun_ = steady_clock::now();
};

std::vector<Fault> AllCuts(GroupId group) {
  std::vector<Fault> cuts;
  for (unsigned parties = 1; parties <= kAllParties; ++parties) {
    for (const Way way : kWays) {
      cuts.push_back({group, Kind::kCut, parties, way});
    }
  }
  return cuts;
}

TEST_F(Partition, NothingIsLostDoubledOrReadStaleOverAHundredFaults) {
  // Every cut of a shard, then of the coordinator, without which nothing commits; then of the primaries of
  // all three groups at once, who still hear each other and their clients, but neither backups nor directory;
  // then stops and kills of all three at once.
  std::vector<std::vector<Fault>> rounds;
  for (const bool of_shard : {true, false}) {
    std::vector<Fault> cuts = AllCuts(of_shard ? kShards[random_() % 2] : kCoordinator);
    std::shuffle(cuts.begin(), cuts.end(), random_);
    for (const Fault& cut : cuts) rounds.push_back({cut});
  }
  const auto all = [](Fault fault) {
    std::vector<Fault> round;
    for (const GroupId group : {kShards[0], kShards[1], kCoordinator}) {
      fault.group = group;
      round.push_back(fault);
    }
    return round;
  };
  for (const Way way : {Way::kBoth, Way::kFromPrimary, Way::kBoth, Way::kToPrimary, Way::kBoth}) {
    rounds.push_back(all({{}, Kind::kCut, kBackup | kDirectory, way}));
  }
  for (int i = 0; i < kStorms; ++i) {
    for (const Kind kind : {Kind::kStopPrimary, Kind::kKillPrimary, Kind::kKillBackup}) {
      rounds.push_back(all({{}, kind, 0, {}}));
    }
  }
  for (const std::vector<Fault>& round : rounds) ASSERT_NO_FATAL_FAILURE(Round(round));
  Print();
  EXPECT_GE(faults_, kFaultsMin);
  stop_checked_ = true;
  checked_.join();
  load_->StopAndAudit("partitions, stops and kills", cluster_);
}

}  // namespace
}  // namespace assent::e2e
