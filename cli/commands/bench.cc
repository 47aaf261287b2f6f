#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "bench/runner.h"
#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "cli/commands/scratch.h"
#include "cli/local_cluster.h"
#include "runtime/loop.h"
#include "thrift/codec_fields.h"

namespace assent::cli {
namespace {

struct Options {
  std::string workload;
  std::vector<uint32_t> clients = {16};
  bench::RunOptions run;
  bench::WorkloadOptions load;
  bool local = false;
};

// The nodes' counters, summed over their replicas.
struct Counters {
  int64_t forces = 0;          // of all logs
  int64_t primary_forces = 0;  // of the primaries' logs
  int64_t backlog = 0;         // records that are not in SQLite yet
  int64_t in_doubt = 0;
};

Result<Counters> ReadCounters(const ClusterView& cluster) {
  Counters counters;
  for (const NodeView& node : cluster.NodeStatuses()) {
    if (!node.status.ok()) return node.status;
    for (const wire::ReplicaStatus& r : node.reply.replicas) {
      counters.forces += r.forces;
      if (r.role == wire::ReplicaRole::PRIMARY) counters.primary_forces += r.forces;
      counters.backlog += r.last.lsn - r.applied;
      counters.in_doubt += r.in_doubt;
    }
  }
  return counters;
}

Result<Placement> ReadPlacement(const ClusterView& cluster) {
  const auto ranges = ReadSlotRanges(cluster, cluster.addresses());
  if (!ranges.ok()) return ranges.status();
  std::vector<GroupId> slots;
  codec::Fault fault;
  for (const wire::SlotRange& range : *ranges) {
    GroupId shard;
    if (!codec::Decode(range.shard, shard, fault)) return Status(StatusCode::kInvalid, fault.what);
    for (int32_t slot = range.first; slot <= range.last; ++slot) slots.push_back(shard);
  }
  if (slots.size() != kSlots) return Status(StatusCode::kInvalid, "the placement does not name all slots");
  return Placement(std::move(slots));
}

std::string Fixed(double number, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, number);
  return buffer;
}

// One run with a number of clients, and its line.
Status RunOnce(const Options& options, const ClusterView& cluster, bench::Workload& workload,
               uint32_t first_client, uint32_t clients, Progress& progress, bench::Effects& effects,
               nlohmann::ordered_json& out) {
  bench::RunOptions run = options.run;
  run.first_client = first_client;
  run.clients = clients;
  run.seed = options.run.seed + clients;
  std::vector<Counters> edges;
  Status counted;
  const auto result = bench::Run(
      workload, run,
      [&] {
        const auto counters = ReadCounters(cluster);
        if (counters.ok()) {
          edges.push_back(*counters);
        } else if (counted.ok()) {
          counted = counters.status();
        }
      },
      [&](double done, uint64_t commits) {
        progress.Show(options.workload + ", " + std::to_string(clients) + " clients: " + Fixed(done, 0) +
                      " of " + Fixed(run.seconds, 0) + " s, " + Grouped(static_cast<int64_t>(commits)) +
                      " commits");
      });
  progress.Clear();
  if (!result.ok()) return result.status();
  ASSENT_RETURN_IF_ERROR(counted);
  effects.net += result->effects.net;
  const double commits = static_cast<double>(std::max<uint64_t>(1, result->committed));
  const auto forces = static_cast<double>(edges[1].forces - edges[0].forces);
  const auto primary_forces = static_cast<double>(edges[1].primary_forces - edges[0].primary_forces);
  out["clients"] = clients;
  out["seconds"] = result->seconds;
  out["committed"] = result->committed;
  out["per_second"] = commits / result->seconds;
  out["p50_us"] = result->p50_us;
  out["p99_us"] = result->p99_us;
  out["max_us"] = result->max_us;
  out["aborted"] = result->aborted;
  out["unknown"] = result->unknown;
  out["retries"] = result->retries;
  out["forces_per_commit"] = forces / commits;
  out["primary_forces_per_commit"] = primary_forces / commits;
  out["commits_per_force"] = forces > 0 ? commits / forces : 0.0;
  out["backlog_records"] = edges[1].backlog;
  out["in_doubt"] = edges[1].in_doubt;
  if (!result->first_problem.empty()) out["first_problem"] = result->first_problem;
  return {};
}

// Transactions that are in doubt, and for whom each waits.
using InDoubt = std::map<std::string, std::string>;

Result<InDoubt> ListInDoubt(const ClusterView& cluster) {
  wire::TransactionsRequest request;
  request.__set_cluster(cluster.cluster());
  request.__set_filter(wire::TxnFilter::IN_DOUBT);
  InDoubt found;
  for (const auto& answer : AskEach<wire::TransactionsReply>(
           cluster.addresses(), [&](wire::AdminClient&client, wire::TransactionsReply&reply) {
             client.transactions(reply, request);
           })) {
    if (!answer.status.ok()) return answer.status;
    for (const wire::TxnSummary& summary : answer.reply.transactions) {
      TxnId txn;
      codec::Fault fault;
      if (codec::Decode(summary.txn, txn, fault)) found[ToString(txn)] = summary.waiting_on;
    }
  }
  return found;
}

std::string Named(const InDoubt& transactions) {
  constexpr size_t kNamedMax = 5;
  std::string out;
  size_t count = 0;
  for (const auto& [txn, waits_for] : transactions) {
    if (count++ == kNamedMax)
      return out + " and " + std::to_string(transactions.size() - kNamedMax) + " more";
    out += (out.empty() ? "" : ", ") + txn + " (waits for " + waits_for + ")";
  }
  return out;
}

// After the load stopped: until nothing is in doubt but what was so `before`, and SQLite has everything. The
// count of seconds it took.
Result<double> AwaitDrained(const ClusterView& cluster, const InDoubt& before) {
  const auto begun = std::chrono::steady_clock::now();
  for (;;) {
    const auto counters = ReadCounters(cluster);
    if (!counters.ok()) return counters.status();
    InDoubt left;
    if (counters->in_doubt > 0) {
      auto in_doubt = ListInDoubt(cluster);
      if (!in_doubt.ok()) return in_doubt.status();
      for (auto& [txn, waits_for] : *in_doubt) {
        if (!before.contains(txn)) left.emplace(txn, std::move(waits_for));
      }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (left.empty() && counters->backlog == 0) return seconds;
    if (seconds > 60) {
      return Status(StatusCode::kUnavailable,
                    "a minute after the load " + std::to_string(counters->backlog) +
                        " records are not in SQLite, and in doubt are " +
                        (left.empty() ? "none" : Named(left) + "; `txn show` tells why"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void PrintTable(const nlohmann::ordered_json& runs, Format format) {
  Table table({"clients", "commits/s", "p50 ms", "p99 ms", "aborted", "unknown", "retries", "forces/commit",
               "commits/force", "backlog"});
  for (const auto& run : runs) {
    table.Add({Table::Number(run["clients"].get<uint64_t>()), Table::Text(Fixed(run["per_second"], 0)),
               Table::Text(Fixed(run["p50_us"].get<double>() / 1000, 2)),
               Table::Text(Fixed(run["p99_us"].get<double>() / 1000, 2)),
               Table::Number(run["aborted"].get<uint64_t>()), Table::Number(run["unknown"].get<uint64_t>()),
               Table::Number(run["retries"].get<uint64_t>()), Table::Text(Fixed(run["forces_per_commit"], 2)),
               Table::Text(Fixed(run["commits_per_force"], 2)),
               Table::Number(run["backlog_records"].get<int64_t>())});
  }
  table.Print(format);
}

ExitCode RunBench(const Globals& globals, Options options) {
  const auto cluster = ClusterView::Find(options.run.addresses);
  if (!cluster.ok()) return Fail(cluster.status());
  const auto placement = ReadPlacement(*cluster);
  if (!placement.ok()) return Fail(placement.status());
  if (options.load.name.empty()) {
    options.load.name = options.workload + "-" + std::to_string(Loop::Now().wall_us);
  }
  const auto before = ListInDoubt(*cluster);  // may be stuck, and stay so
  if (!before.ok()) return Fail(before.status());
  Progress progress;
  const auto workload = bench::MakeWorkload(options.workload, options.load, *placement);
  auto client = Client::Connect(options.run.addresses);
  if (!client.ok()) return Fail(client.status());
  const Status loaded = workload->Load(*client, [&](uint64_t done, uint64_t of) {
    progress.Show("loading " + Grouped(static_cast<int64_t>(done)) + " of " +
                  Grouped(static_cast<int64_t>(of)) + " rows");
  });
  progress.Clear();
  if (!loaded.ok()) return Fail(loaded);

  nlohmann::ordered_json out;
  out["workload"] = options.workload;
  out["runs"] = nlohmann::ordered_json::array();
  bench::Effects effects;
  uint32_t first_client = 0;
  for (const uint32_t clients : options.clients) {
    nlohmann::ordered_json run;
    const Status ran = RunOnce(options, *cluster, *workload, first_client, clients, progress, effects, run);
    first_client += clients;
    if (!ran.ok()) return Fail(ran);
    const auto drained = AwaitDrained(*cluster, *before);
    if (!drained.ok()) return Fail(drained.status());
    run["drained_after_seconds"] = *drained;
    out["runs"].push_back(std::move(run));
  }
  auto still = ListInDoubt(*cluster);
  if (!still.ok()) return Fail(still.status());
  std::erase_if(*still, [&](const auto& txn) { return !before->contains(txn.first); });
  if (!still->empty()) {
    Fail(kOk, "in doubt since before this run, and left alone: " + Named(*still) +
                  "; `assent txn show` tells why");
  }
  progress.Show("checking");
  const auto audits = workload->Check(*client, effects);
  progress.Clear();
  if (!audits.ok()) return Fail(audits.status());
  bool all_ok = true;
  out["audit"] = nlohmann::ordered_json::array();
  for (const bench::Audit& audit : *audits) {
    all_ok = all_ok && audit.ok();
    out["audit"].push_back(
        {{"what", audit.what}, {"expected", audit.expected}, {"found", audit.found}, {"ok", audit.ok()}});
  }
  if (globals.format == Format::kJson) {
    std::cout << out.dump(2) << std::endl;
  } else {
    PrintTable(out["runs"], globals.format);
    if (globals.format == Format::kTable) {
      for (const bench::Audit& audit : *audits) {
        std::cout << "audit  " << audit.what << "  " << Grouped(audit.found) << " = "
                  << Grouped(audit.expected) << ' ' << (audit.ok() ? "ok" : "VIOLATED") << '\n';
      }
    }
  }
  if (!all_ok) return Fail(kError, "the workload's invariant does not hold");
  return kOk;
}

ExitCode RunLocally(const Globals& globals, Options options, const std::string& directory) {
  Progress progress;
  progress.Show("starting three nodes");
  auto prepared = LocalCluster::Prepare({.directory = directory});
  if (!prepared.ok()) return Fail(prepared.status());
  if (const Status started = (*prepared)->StartAll(); !started.ok()) return Fail(started);
  progress.Clear();
  options.run.addresses = (*prepared)->addresses();
  return RunBench(globals, std::move(options));
}

}  // namespace

void AddBench(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "run a standard workload, and check its invariant at the end");
  AddClusterOptions(*command, globals);
  AddOutputOption(*command, globals);
  command->add_option("WORKLOAD", options->workload, "transfer, tpcb or smallbank")
      ->required()
      ->check(CLI::IsMember(
          std::vector<std::string>(std::begin(bench::kWorkloads), std::end(bench::kWorkloads))));
  command
      ->add_option("--clients", options->clients,
                   "threads with a connection each; several: one run after another")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--seconds", options->run.seconds, "measured, of each run")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--warmup", options->run.warmup_seconds, "seconds before that")->capture_default_str();
  command->add_option(
      "--rows", options->load.rows,
      "transfer: rows a shard (100,000); tpcb: accounts a branch (10,000); smallbank: customers (10,000)");
  command->add_option("--branches", options->load.branches, "of tpcb")
      ->check(CLI::Range(1, 9999))
      ->capture_default_str();
  command
      ->add_option("--remote", options->load.remote_percent,
                   "of tpcb: percent of accounts that another branch keeps")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command->add_option("--seed", options->run.seed, "of the random choices")->capture_default_str();
  command->add_option("--name", options->load.name,
                      "leads the keys of this run's rows; the time unless given");
  command->add_flag("--local", options->local, "on three nodes started for it here, and removed afterwards");
  command->footer(
      "forces/commit counts the forces of all logs, backups' too. Rows stay in the cluster.\n"
      "Example:\n  assent bench transfer --local --clients 1,16,64,256 --seconds 30");
  command->callback([options, &globals] {
    if (options->local) {
      globals.exit_code = WithScratchDirectory("assent-bench", [&](const std::string& directory) {
        return RunLocally(globals, *options, directory);
      });
      return;
    }
    options->run.addresses = AddressesOf(globals);
    globals.exit_code = RunBench(globals, *options);
  });
}

}  // namespace assent::cli
