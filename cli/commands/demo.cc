#include <atomic>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/tpcb.h"
#include "cli/audit.h"
#include "cli/commands/commands.h"
#include "cli/local_cluster.h"
#include "cli/program.h"
#include "common/placement.h"
#include "runtime/loop.h"

namespace assent::cli {
namespace {

struct DemoOptions {
  std::string directory = "assent-demo";
  uint64_t transactions = 20'000;
  uint32_t clients = 8;
  uint32_t crashes = 6;
  uint64_t seed = 1;
};

constexpr int kCoordinatorNode = 1;
// The two moments between which a coordinator's death hurts most: every shard has voted and holds its locks,
// and either nobody knows the decision, or only the coordinator does.
constexpr const char* kCrashPoints[] = {"coordinator.before-decision", "coordinator.before-phase-two"};
constexpr uint32_t kRepeatEvery = 50;  // of its transactions, each client asks again for one in so many
constexpr int kRestartMs = 60'000;

struct Tally {
  uint64_t committed = 0;
  uint64_t aborted = 0;
  uint64_t unknown = 0;
  uint64_t repeated = 0;        // tokens sent again after their outcome was known
  uint64_t repeated_wrong = 0;  // and not answered with the same outcome
  std::string problem;
  void Add(const Tally& other) {
    committed += other.committed;
    aborted += other.aborted;
    unknown += other.unknown;
    repeated += other.repeated;
    repeated_wrong += other.repeated_wrong;
    if (problem.empty()) problem = other.problem;
  }
};

// Transactions number `next` up to `end`, until none is left.
Tally RunClient(const std::vector<std::string>& addresses, const bench::Tpcb& tpcb, uint32_t who,
                uint64_t seed, std::atomic<uint64_t>& next, uint64_t end) {
  Tally tally;
  ClientOptions options;
  options.deadline_ms = 120'000;  // outlasts every restart: so nothing stays unknown
  options.attempts = 1'000;
  auto client = Client::Connect(addresses, options);
  if (!client.ok()) {
    tally.problem = client.status().ToString();
    return tally;
  }
  bench::Random random(seed * 1'000'003 + who);
  for (;;) {
    const uint64_t n = next.fetch_add(1);
    if (n >= end) return tally;
    const auto operations = tpcb.MakeOperations(random, who, n);
    const auto token = client->NewToken();
    if (!token.ok()) {
      tally.problem = token.status().ToString();
      return tally;
    }
    const CommitResult result = client->Execute(*token, operations);
    switch (result.outcome) {
      case Outcome::kCommitted:
        ++tally.committed;
        break;
      case Outcome::kAborted:
        ++tally.aborted;
        break;
      case Outcome::kUnknown:
        ++tally.unknown;
        if (tally.problem.empty()) tally.problem = Describe(result);
        break;
    }
    if (result.committed() && n % kRepeatEvery == 0) {
      // As after a reply that was lost: the same token must give the same outcome, and no second effect.
      ++tally.repeated;
      const CommitResult again = client->Execute(*token, operations);
      if (!again.committed() || again.txn != result.txn) {
        ++tally.repeated_wrong;
        if (tally.problem.empty()) tally.problem = "repeated " + ToString(*token) + ": " + Describe(again);
      }
    }
    client->Release(*token);
  }
}

std::string Times(uint64_t count) {
  return count == 1 ? "once" : std::to_string(count) + " times";
}

std::string Line(const std::string& name, const std::string& text) {
  std::string line = name;
  line.resize(11, ' ');
  return line + text;
}

ExitCode RunDemo(const DemoOptions& options, const std::string& program) {
  const auto begun_us = Loop::Now().mono_us;
  Progress progress;
  const auto show = [&](const std::string& text) { progress.Show(Line("demo", text)); };

  show("starting three nodes");
  auto prepared = LocalCluster::Prepare({.directory = options.directory, .crash_points = true});
  if (!prepared.ok()) return Fail(prepared.status());
  LocalCluster& nodes = **prepared;
  if (const Status started = nodes.StartAll(); !started.ok()) return Fail(started);
  progress.Clear();
  std::cout << Line("cluster", "3 nodes here: a coordinator and 2 shards, each a primary with a backup")
            << '\n'
            << Line("data", options.directory + " (kept)") << std::endl;

  const auto cluster = ClusterView::Find(nodes.addresses());
  if (!cluster.ok()) return Fail(cluster.status());
  std::vector<GroupId> shards;
  for (const GroupEntry& group : nodes.config(1).groups) {
    if (group.id.kind == GroupKind::kShard) shards.push_back(group.id);
  }
  bench::WorkloadOptions load;
  load.name = "demo-" + std::to_string(Loop::Now().wall_us);
  load.rows = 1'000;
  bench::Tpcb tpcb(load, Placement::Even(shards));
  {
    auto client = Client::Connect(nodes.addresses());
    if (!client.ok()) return Fail(client.status());
    const Status loaded = tpcb.Load(*client, [&](uint64_t done, uint64_t of) {
      show("loading " + Grouped(static_cast<int64_t>(done)) + " of " + Grouped(static_cast<int64_t>(of)) +
           " rows");
    });
    if (!loaded.ok()) return Fail(loaded);
  }

  // The load, and beside it this thread, which kills the coordinator's node and starts it again.
  std::atomic<uint64_t> next{0};
  std::atomic<uint32_t> running{options.clients};
  std::vector<Tally> tallies(options.clients);
  std::vector<std::thread> threads;
  for (uint32_t who = 0; who < options.clients; ++who) {
    threads.emplace_back([&, who] {
      tallies[who] = RunClient(nodes.addresses(), tpcb, who, options.seed, next, options.transactions);
      running.fetch_sub(1);
    });
  }
  uint32_t killed[2] = {0, 0};
  Status trouble;
  bench::Random random(options.seed);
  for (uint32_t crash = 0; crash < options.crashes && trouble.ok(); ++crash) {
    // Spread evenly over the transactions.
    const uint64_t due = options.transactions * (crash + 1) / (options.crashes + 1);
    while (next.load() < due && running.load() > 0) {
      show(Grouped(static_cast<int64_t>(std::min(next.load(), options.transactions))) + " of " +
           Grouped(static_cast<int64_t>(options.transactions)) + " transfers, coordinator killed " +
           Times(crash));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (running.load() == 0) break;
    trouble = nodes.ArmCrash(kCoordinatorNode, kCrashPoints[crash % 2],
                             1 + static_cast<int64_t>(bench::Below(random, 20)));
    if (trouble.ok()) trouble = nodes.AwaitExit(kCoordinatorNode, kRestartMs);
    if (!trouble.ok()) break;
    ++killed[crash % 2];
    show("coordinator killed at " + std::string(kCrashPoints[crash % 2]) + "; starting it again");
    trouble = nodes.Start(kCoordinatorNode);
    if (trouble.ok()) trouble = nodes.AwaitServing(kRestartMs);
  }
  while (running.load() > 0) {
    show(Grouped(static_cast<int64_t>(std::min(next.load(), options.transactions))) + " of " +
         Grouped(static_cast<int64_t>(options.transactions)) + " transfers");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (std::thread& thread : threads) thread.join();
  Tally total;
  for (const Tally& tally : tallies) total.Add(tally);
  if (!trouble.ok()) return Fail(trouble);

  show("auditing");
  const auto settled = AwaitNothingInDoubt(*cluster, 60);
  if (!settled.ok()) return Fail(settled.status());
  auto client = Client::Connect(nodes.addresses());
  if (!client.ok()) return Fail(client.status());
  const auto history = tpcb.History(*client);
  const auto sums = tpcb.Check(*client, {});
  const Status equal = CompareReplicas(*cluster, 60);
  progress.Clear();
  if (!history.ok()) return Fail(history.status());
  if (!sums.ok()) return Fail(sums.status());

  const auto count = [](uint64_t number) { return Grouped(static_cast<int64_t>(number)); };
  std::cout << Line("transfers",
                    count(options.transactions) +
                        " bank transfers (TPC-B), 15 in 100 between branches, often across shards")
            << '\n'
            << Line("crashes", "coordinator killed " + Times(killed[0]) +
                                   " when all shards had voted and nobody knew the outcome yet,")
            << '\n'
            << Line("",
                    "and " + Times(killed[1]) + " when it had decided to commit and had told no shard yet")
            << '\n'
            << Line("result", "committed " + count(total.committed) + "   aborted " + count(total.aborted) +
                                  "   unknown " + count(total.unknown) + "   in doubt 0")
            << '\n';
  bool ok = total.unknown == 0 && total.problem.empty();
  std::string name = "audit";
  const auto audit = [&](const std::string& what, bool good) {
    ok = ok && good;
    std::cout << Line(std::exchange(name, ""), what + (good ? "  ok" : "  VIOLATED")) << '\n';
  };
  for (const bench::Audit& sum : *sums) {
    audit(sum.what + ": " + Grouped(sum.found) + " = " + Grouped(sum.expected), sum.ok());
  }
  audit("rows of history = committed: " + count(history->rows) + " = " + count(total.committed),
        history->rows == total.committed);
  audit("asked again with the same token, and done once: " + count(total.repeated),
        total.repeated_wrong == 0);
  audit("every backup holds what its primary holds", equal.ok());
  std::cout << Line("took", ShortDuration(Loop::Now().mono_us - begun_us)) << '\n'
            << Line("next", program + " dev      a cluster that stays up, and lines to paste") << '\n'
            << Line("", program + " --help   everything else") << std::endl;
  if (!equal.ok()) Fail(equal);
  if (!total.problem.empty()) Fail(kError, total.problem);
  return ok ? kOk : kError;
}

}  // namespace

void AddDemo(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* demo = app.add_subcommand(
      "demo",
      "run transfers on three local nodes while the coordinator is killed at the worst moments, and audit");
  demo->add_option("--dir", options->directory, "where configuration and data are kept")
      ->capture_default_str();
  demo->add_option("--transactions", options->transactions, "how many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  demo->add_option("--clients", options->clients, "that run them")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  demo->add_option("--crashes", options->crashes, "of the coordinator's node")->capture_default_str();
  demo->add_option("--seed", options->seed, "of the random choices")->capture_default_str();
  demo->footer(
      "Exit code 1 if the audit finds anything wrong.\nExample:\n  assent demo --transactions 5000 --crashes "
      "4");
  demo->callback([options, &globals] { globals.exit_code = RunDemo(*options, ProgramWord()); });
}

}  // namespace assent::cli
