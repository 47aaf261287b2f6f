#include "bench/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace assent::bench {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

struct ClientTally {
  RunResult result;  // its counters and effects
  std::vector<uint32_t> latencies_us;
};

uint64_t Percentile(const std::vector<uint32_t>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)];
}

}  // namespace

Result<RunResult> Run(Workload& workload, const RunOptions& options, const std::function<void()>& at_edge,
                      const std::function<void(double, uint64_t)>& progress) {
  std::vector<Client> clients;
  for (uint32_t who = 0; who < options.clients; ++who) {
    auto client = Client::Connect(options.addresses);
    if (!client.ok()) return client.status();
    clients.push_back(std::move(client).value());
  }

  std::atomic<bool> measuring{false};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> committed{0};
  std::vector<ClientTally> tallies(options.clients);
  std::vector<std::thread> threads;
  for (uint32_t who = 0; who < options.clients; ++who) {
    threads.emplace_back([&, who] {
      ClientTally& tally = tallies[who];
      const uint32_t number = options.first_client + who;
      Random random(options.seed * 1'000'003 + number);
      for (uint64_t n = 0; !stop.load(std::memory_order_relaxed); ++n) {
        const bool counts = measuring.load(std::memory_order_relaxed);
        const auto begun = steady_clock::now();
        const CommitResult one = workload.RunOne(clients[who], random, number, n, tally.result.effects);
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - begun);
        if (one.outcome == Outcome::kUnknown || !one.refused.ok()) {
          ++tally.result.unknown;
          if (tally.result.first_problem.empty()) tally.result.first_problem = Describe(one);
        }
        if (!counts) continue;
        tally.result.retries += one.attempts > 1 ? one.attempts - 1 : 0;
        if (one.committed()) {
          ++tally.result.committed;
          committed.fetch_add(1, std::memory_order_relaxed);
          tally.latencies_us.push_back(static_cast<uint32_t>(std::min<int64_t>(took.count(), UINT32_MAX)));
        } else if (one.outcome == Outcome::kAborted && one.refused.ok()) {
          ++tally.result.aborted;
        }
      }
    });
  }
  std::this_thread::sleep_for(duration<double>(options.warmup_seconds));
  at_edge();
  const auto begun = steady_clock::now();
  measuring = true;
  for (;;) {
    const double done = duration<double>(steady_clock::now() - begun).count();
    if (done >= options.seconds) break;
    std::this_thread::sleep_for(duration<double>(std::min(1.0, options.seconds - done)));
    if (progress) progress(done, committed.load(std::memory_order_relaxed));
  }
  measuring = false;
  const double seconds = duration<double>(steady_clock::now() - begun).count();
  at_edge();
  stop = true;
  for (std::thread& thread : threads) thread.join();

  RunResult total;
  total.seconds = seconds;
  std::vector<uint32_t> latencies;
  for (const ClientTally& tally : tallies) {
    total.committed += tally.result.committed;
    total.aborted += tally.result.aborted;
    total.unknown += tally.result.unknown;
    total.retries += tally.result.retries;
    total.effects.net += tally.result.effects.net;
    if (total.first_problem.empty()) total.first_problem = tally.result.first_problem;
    latencies.insert(latencies.end(), tally.latencies_us.begin(), tally.latencies_us.end());
  }
  std::sort(latencies.begin(), latencies.end());
  total.p50_us = Percentile(latencies, 0.50);
  total.p99_us = Percentile(latencies, 0.99);
  total.max_us = latencies.empty() ? 0 : latencies.back();
  return total;
}

}  // namespace assent::bench
