#include "sim/checker/report.h"

#include <algorithm>

namespace assent::checker {
namespace {

bool IsReadWrite(EdgeKind kind) {
  return kind == EdgeKind::kReadWrite || kind == EdgeKind::kPredicate;
}

std::string T(uint32_t transaction) {
  return "T" + std::to_string(transaction);
}

std::string ShowVersion(const Observations& seen, uint32_t version) {
  const Version& v = seen.versions()[version];
  std::string text = v.value ? "\"" + *v.value + "\"" : v.writer == kNobody ? "absent" : "deleted";
  if (v.number != 0) text += "@" + std::to_string(v.number);
  return text;
}

std::string ShowEdge(const Observations& seen, const Edge& edge) {
  if (edge.kind == EdgeKind::kRealTime) {
    return "real-time: " + T(edge.from) + " completed before " + T(edge.to) + " was invoked";
  }
  const std::string& key = seen.keys()[edge.key].name;
  std::string before = ShowVersion(seen, edge.before);
  std::string after = ShowVersion(seen, edge.after);
  switch (edge.kind) {
    case EdgeKind::kWriteWrite:
      return "ww: wrote " + key + "=" + before + ", " + T(edge.to) + " wrote the later " + after;
    case EdgeKind::kWriteRead:
      return "wr: wrote " + key + "=" + before + ", which " + T(edge.to) + " read";
    case EdgeKind::kReadWrite:
      return "rw: read " + key + "=" + before + ", " + T(edge.to) + " wrote the later " + after;
    case EdgeKind::kPredicate:
      return "rw: scanned and did not get " + key + ", which " + T(edge.to) + " wrote as " + after;
    case EdgeKind::kRealTime:
    case EdgeKind::kInstall:
      break;
  }
  return "";
}

}  // namespace

Cycle WithoutGatheringNodes(const Cycle& cycle, size_t transactions) {
  Cycle joined;
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (cycle[i].from >= transactions) continue;  // joined to the edge before it, here or at the very end
    joined.push_back(cycle[i]);
    if (cycle[i].to < transactions) continue;
    const Edge& second = cycle[(i + 1) % cycle.size()];
    joined.back().to = second.to;
    joined.back().after = second.after;
  }
  return joined;
}

AnomalyKind Classify(const Cycle& cycle) {
  auto count = [&cycle](auto&& predicate) { return std::count_if(cycle.begin(), cycle.end(), predicate); };
  auto read_writes = count([](const Edge& e) { return IsReadWrite(e.kind); });
  if (count([](const Edge& e) { return e.kind == EdgeKind::kRealTime; }) > 0) {
    return read_writes == 1 ? AnomalyKind::kStaleRead : AnomalyKind::kRealTime;
  }
  if (count([](const Edge& e) { return e.kind == EdgeKind::kPredicate; }) > 0) return AnomalyKind::kPhantom;
  if (read_writes == 0) {
    return count([](const Edge& e) { return e.kind == EdgeKind::kWriteRead; }) == 0
               ? AnomalyKind::kDirtyWrite
               : AnomalyKind::kCircularFlow;
  }
  // Both wrote the key, and at least one of them without having seen the other's version.
  if (cycle.size() == 2 && cycle[0].key == cycle[1].key &&
      count([](const Edge& e) { return e.kind == EdgeKind::kWriteRead; }) == 0) {
    return AnomalyKind::kLostUpdate;
  }
  return read_writes == 1 ? AnomalyKind::kReadSkew : AnomalyKind::kWriteSkew;
}

Anomaly DescribeCycle(const History& history, const Observations& seen, const Cycle& cycle) {
  Anomaly anomaly;
  anomaly.kind = Classify(cycle);
  for (const Edge& edge : cycle) anomaly.transactions.push_back(edge.from);
  for (size_t transaction : anomaly.transactions) {
    anomaly.text += "  " + assent::checker::Describe(history, transaction) + "\n";
  }
  for (const Edge& edge : cycle) {
    anomaly.text += "  " + T(edge.from) + " -> " + T(edge.to) + "  " + ShowEdge(seen, edge) + "\n";
  }
  return anomaly;
}

}  // namespace assent::checker
