#include "sim/checker/checker.h"

#include <algorithm>
#include <set>
#include <utility>

#include "sim/checker/dependency_graph.h"
#include "sim/checker/observations.h"
#include "sim/checker/report.h"

namespace assent::checker {
namespace {

constexpr size_t kPerKindMax = 4;      // so that one kind does not crowd out the others
constexpr size_t kComponentsMax = 32;  // looked into, of one pass
constexpr size_t kStartsMax = 64;      // cycles looked for in one component
constexpr size_t kOverwritersMax = 8;  // of one version that make edges; two are an anomaly already

// Second half of the checker: the order that the observations force.
class EdgeMaker {
 public:
  EdgeMaker(const History& history, const Observations& seen) : history_(history), seen_(seen) {
    for (uint32_t key = 0; key < seen.keys().size(); ++key) {
      AddReads(seen.keys()[key]);
      AddVersionOrder(seen.keys()[key]);
      AddFirstWriters(key);
      AddOverwrittenLongAgo(seen.keys()[key]);
    }
    AddRealTime();
  }

  // A node per transaction, then a gathering node per key.
  size_t nodes() const { return history_.transactions.size() + seen_.keys().size(); }
  std::vector<Edge> Take() { return std::move(edges_); }

 private:
  const Version& At(uint32_t version) const { return seen_.versions()[version]; }

  void Add(uint32_t from, uint32_t to, EdgeKind kind, uint32_t key, uint32_t before, uint32_t after) {
    if (from != to) edges_.push_back({from, to, kind, key, before, after});
  }

  // wr. A read of what is no installed version is an anomaly of its own, and orders nothing.
  void AddReads(const Key& key) {
    for (uint32_t version : key.versions) {
      if (!seen_.Installed(version)) continue;
      for (const Reader& reader : At(version).readers) {
        Add(At(version).writer, reader.transaction, EdgeKind::kWriteRead, At(version).key, version, version);
      }
    }
  }

  // `later` was put in place of `earlier`, or of something after it.
  void AddOverwrite(uint32_t earlier, uint32_t later) {
    uint32_t key = At(later).key;
    uint32_t writer = At(later).writer;
    if (At(earlier).writer != kNobody) {
      Add(At(earlier).writer, writer, EdgeKind::kWriteWrite, key, earlier, later);
    }
    for (const Reader& reader : At(earlier).readers) {
      Add(reader.transaction, writer, reader.by_absence ? EdgeKind::kPredicate : EdgeKind::kReadWrite, key,
          earlier, later);
    }
  }

  // ww and rw: by version numbers, and by who wrote after having read what.
  void AddVersionOrder(const Key& key) {
    std::vector<uint32_t> numbered;
    std::vector<std::pair<uint32_t, uint32_t>> read_then_written;  // earlier, later
    for (uint32_t version : key.versions) {
      if (!seen_.Installed(version)) continue;
      if (At(version).number != 0) numbered.push_back(version);
      if (At(version).overwrote) read_then_written.emplace_back(*At(version).overwrote, version);
    }
    std::sort(numbered.begin(), numbered.end(),
              [this](uint32_t a, uint32_t b) { return At(a).number < At(b).number; });
    uint32_t earlier = key.initial;
    for (uint32_t version : numbered) {
      if (At(version).overwrote != earlier) AddOverwrite(earlier, version);
      earlier = version;
    }
    std::sort(read_then_written.begin(), read_then_written.end());
    size_t alike = 0;
    for (size_t i = 0; i < read_then_written.size(); ++i) {
      auto [before, later] = read_then_written[i];
      alike = i > 0 && read_then_written[i - 1].first == before ? alike + 1 : 0;
      if (alike < kOverwritersMax && (before == key.initial || seen_.Installed(before))) {
        AddOverwrite(before, later);
      }
    }
  }

  // Every write comes after the initial absence. Readers of that meet the writers of which nothing better is
  // known in the key's gathering node, so that there are not as many edges as pairs.
  void AddFirstWriters(uint32_t number) {
    const Key& key = seen_.keys()[number];
    if (At(key.initial).readers.empty()) return;
    auto gathering = static_cast<uint32_t>(history_.transactions.size() + number);
    bool any = false;
    for (uint32_t version : key.versions) {
      if (!seen_.Installed(version) || At(version).number != 0 || At(version).overwrote) continue;
      Add(gathering, At(version).writer, EdgeKind::kInstall, number, key.initial, version);
      any = true;
    }
    if (!any) return;
    for (const Reader& reader : At(key.initial).readers) {
      Add(reader.transaction, gathering, reader.by_absence ? EdgeKind::kPredicate : EdgeKind::kReadWrite,
          number, key.initial, key.initial);
    }
  }

  // rw by real time: of versions A and B where B's writer was invoked after A's had completed, B is the later
  // one, even if nobody read B. So a reader of A that began after B was complete read stale data.
  void AddOverwrittenLongAgo(const Key& key) {
    struct Done {
      uint64_t complete_ns;
      uint32_t version;
    };
    std::vector<Done> done;
    for (uint32_t version : key.versions) {
      if (!seen_.Installed(version)) continue;
      const Transaction& writer = history_.transactions[At(version).writer];
      if (writer.complete_ns != kNever) done.push_back({writer.complete_ns, version});
    }
    std::sort(done.begin(), done.end(),
              [](const Done& a, const Done& b) { return a.complete_ns < b.complete_ns; });
    std::vector<uint32_t> youngest;  // of the first i + 1: the version whose writer was invoked last
    youngest.reserve(done.size());
    for (const Done& d : done) {
      youngest.push_back(
          youngest.empty() || InvokeOf(d.version) > InvokeOf(youngest.back()) ? d.version : youngest.back());
    }
    auto look = [&](uint32_t version) {
      for (const Reader& reader : At(version).readers) {
        uint64_t began = history_.transactions[reader.transaction].invoke_ns;
        auto after = std::partition_point(done.begin(), done.end(),
                                          [began](const Done& d) { return d.complete_ns < began; });
        if (after == done.begin()) continue;
        uint32_t later = youngest[static_cast<size_t>(after - done.begin()) - 1];
        if (later == version) continue;
        if (version != key.initial &&
            InvokeOf(later) <= history_.transactions[At(version).writer].complete_ns) {
          continue;
        }
        Add(reader.transaction, At(later).writer,
            reader.by_absence ? EdgeKind::kPredicate : EdgeKind::kReadWrite, At(later).key, version, later);
      }
    };
    look(key.initial);
    for (uint32_t version : key.versions) {
      if (seen_.Installed(version)) look(version);
    }
  }

  uint64_t InvokeOf(uint32_t version) const { return history_.transactions[At(version).writer].invoke_ns; }

  // Real time, reduced: a transaction is ordered after those that completed before it was invoked and are not
  // themselves before another such. At most one for each client, so this is linear in the history.
  void AddRealTime() {
    struct Moment {
      uint64_t ns;
      bool is_completion;  // after invocations of the same moment: those are concurrent
      uint32_t transaction;
    };
    std::vector<Moment> moments;
    for (uint32_t i = 0; i < history_.transactions.size(); ++i) {
      if (!seen_.counts()[i]) continue;
      const Transaction& t = history_.transactions[i];
      moments.push_back({t.invoke_ns, false, i});
      if (t.complete_ns != kNever) moments.push_back({t.complete_ns, true, i});
    }
    std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return std::pair(a.ns, a.is_completion) < std::pair(b.ns, b.is_completion);
    });
    std::set<uint32_t> frontier;
    std::vector<std::vector<uint32_t>> before(history_.transactions.size());
    for (const Moment& moment : moments) {
      if (!moment.is_completion) {
        for (uint32_t earlier : frontier) Add(earlier, moment.transaction, EdgeKind::kRealTime, 0, 0, 0);
        before[moment.transaction].assign(frontier.begin(), frontier.end());
        continue;
      }
      for (uint32_t earlier : before[moment.transaction]) frontier.erase(earlier);
      before[moment.transaction] = {};
      frontier.insert(moment.transaction);
    }
  }

  const History& history_;
  const Observations& seen_;
  std::vector<Edge> edges_;
};

}  // namespace

Verdict CheckHistory(const History& history) {
  Verdict verdict;
  auto report = [&verdict](AnomalyKind kind, std::vector<size_t> transactions, std::string text) {
    auto alike = std::count_if(verdict.anomalies.begin(), verdict.anomalies.end(),
                               [kind](const Anomaly& a) { return a.kind == kind; });
    if (static_cast<size_t>(alike) >= kPerKindMax || verdict.anomalies.size() >= kAnomaliesMax) return;
    verdict.anomalies.push_back({kind, std::move(transactions), std::move(text)});
  };
  Observations seen(history, [&](AnomalyKind kind, std::vector<size_t> transactions, std::string text) {
    text = "  " + text;
    for (size_t transaction : transactions) text += "  " + Describe(history, transaction) + "\n";
    report(kind, std::move(transactions), std::move(text));
  });
  verdict.unknown_happened = seen.unknown_happened();
  verdict.committed = static_cast<size_t>(
      std::count_if(history.transactions.begin(), history.transactions.end(),
                    [](const Transaction& t) { return t.outcome == Outcome::kCommitted; }));

  EdgeMaker maker(history, seen);
  std::vector<Edge> edges = maker.Take();
  verdict.edges = edges.size();
  DependencyGraph graph(maker.nodes(), edges);

  // The worst kinds first: each pass admits more kinds of edges. A cycle that shares a transaction with one
  // already found says little more.
  constexpr EdgeKinds kWrites = Only(EdgeKind::kWriteWrite);
  constexpr EdgeKinds kFlow = kWrites | Only(EdgeKind::kWriteRead);
  constexpr EdgeKinds kAnti =
      kFlow | Only(EdgeKind::kReadWrite) | Only(EdgeKind::kPredicate) | Only(EdgeKind::kInstall);
  constexpr EdgeKinds kAll = kAnti | Only(EdgeKind::kRealTime);
  std::vector<bool> explained(maker.nodes(), false);
  for (EdgeKinds kinds : {kWrites, kFlow, kAnti, kAll}) {
    size_t looked_into = 0;
    for (const std::vector<uint32_t>& component : graph.Components(kinds)) {
      if (++looked_into > kComponentsMax) break;
      for (const Cycle& raw : graph.LightCycles(component, kinds, kStartsMax)) {
        Cycle cycle = WithoutGatheringNodes(raw, history.transactions.size());
        auto old = [&explained](const Edge& edge) { return explained[edge.from]; };
        if (std::any_of(cycle.begin(), cycle.end(), old)) continue;
        for (const Edge& edge : cycle) explained[edge.from] = true;
        Anomaly anomaly = DescribeCycle(history, seen, cycle);
        report(anomaly.kind, std::move(anomaly.transactions), std::move(anomaly.text));
      }
    }
  }
  return verdict;
}

bool Verdict::Has(AnomalyKind kind) const {
  return std::any_of(anomalies.begin(), anomalies.end(),
                     [kind](const Anomaly& anomaly) { return anomaly.kind == kind; });
}

std::string Verdict::ToString() const {
  std::string text = std::to_string(committed) + " committed, " + std::to_string(unknown_happened) +
                     " of unknown outcome that happened, " + std::to_string(edges) + " edges: ";
  if (ok()) return text + "strictly serializable\n";
  text += std::to_string(anomalies.size()) + " anomalies\n";
  for (const Anomaly& anomaly : anomalies) {
    text += std::string(checker::ToString(anomaly.kind)) + "\n" + anomaly.text;
  }
  return text;
}

std::string_view ToString(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::kMalformed:
      return "malformed history";
    case AnomalyKind::kNeverWritten:
      return "read of a value never written";
    case AnomalyKind::kAbortedRead:
      return "aborted read (G1a)";
    case AnomalyKind::kIntermediateRead:
      return "intermediate read (G1b)";
    case AnomalyKind::kInternal:
      return "internal inconsistency";
    case AnomalyKind::kDuplicateEffect:
      return "duplicate effect";
    case AnomalyKind::kVersionReused:
      return "version used twice";
    case AnomalyKind::kDirtyWrite:
      return "dirty write (G0)";
    case AnomalyKind::kCircularFlow:
      return "circular information flow (G1c)";
    case AnomalyKind::kLostUpdate:
      return "lost update";
    case AnomalyKind::kReadSkew:
      return "read skew (G-single)";
    case AnomalyKind::kWriteSkew:
      return "write skew (G2)";
    case AnomalyKind::kPhantom:
      return "phantom";
    case AnomalyKind::kStaleRead:
      return "stale read against real time";
    case AnomalyKind::kRealTime:
      return "cycle through real time";
  }
  return "?";
}

}  // namespace assent::checker
