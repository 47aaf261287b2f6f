#include "sim/checker/dependency_graph.h"

#include <algorithm>
#include <limits>
#include <queue>
#include <utility>

namespace assent::checker {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
// Edges that all searches of LightCycles may look at, after the first: seconds at most, however
// broken the history.
constexpr size_t kEffortMax = 20'000'000;

bool Among(EdgeKind kind, EdgeKinds kinds) {
  return (kinds & Only(kind)) != 0;
}

uint32_t Weight(EdgeKind kind) {
  switch (kind) {
    case EdgeKind::kReadWrite:
    case EdgeKind::kPredicate:
      return 4;
    case EdgeKind::kWriteWrite:
    case EdgeKind::kWriteRead:
    case EdgeKind::kRealTime:
      return 1;
    case EdgeKind::kInstall:
      return 0;
  }
  return 0;
}

uint32_t WeightOf(const Cycle& cycle) {
  uint32_t sum = 0;
  for (const Edge& edge : cycle) sum += Weight(edge.kind);
  return sum;
}

}  // namespace

DependencyGraph::DependencyGraph(size_t nodes, const std::vector<Edge>& edges) : edges_(edges.size()) {
  first_.assign(nodes + 1, 0);
  for (const Edge& edge : edges) ++first_[edge.from + 1];
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  std::vector<size_t> next(first_.begin(), first_.end() - 1);
  for (const Edge& edge : edges) edges_[next[edge.from]++] = edge;
}

// Tarjan (1972), with a stack of its own: histories are deeper than the machine's stack.
std::vector<std::vector<uint32_t>> DependencyGraph::Components(EdgeKinds kinds) const {
  size_t nodes = first_.size() - 1;
  std::vector<uint32_t> index(nodes, kNone);
  std::vector<uint32_t> low(nodes, 0);
  std::vector<bool> on_stack(nodes, false);
  std::vector<uint32_t> stack;
  std::vector<std::pair<uint32_t, const Edge*>> calls;  // node, and the edge to look at next
  std::vector<std::vector<uint32_t>> components;
  uint32_t counter = 0;
  auto enter = [&](uint32_t node) {
    index[node] = low[node] = counter++;
    stack.push_back(node);
    on_stack[node] = true;
    calls.emplace_back(node, begin(node));
  };
  for (uint32_t root = 0; root < nodes; ++root) {
    if (index[root] != kNone) continue;
    enter(root);
    while (!calls.empty()) {
      auto& [node, edge] = calls.back();
      if (edge != end(node)) {
        const Edge& next = *edge++;
        if (!Among(next.kind, kinds)) continue;
        if (index[next.to] == kNone) {
          enter(next.to);  // invalidates `node` and `edge`
        } else if (on_stack[next.to]) {
          low[node] = std::min(low[node], index[next.to]);
        }
        continue;
      }
      uint32_t done = node;
      calls.pop_back();
      if (!calls.empty()) low[calls.back().first] = std::min(low[calls.back().first], low[done]);
      if (low[done] != index[done]) continue;
      std::vector<uint32_t> component;
      uint32_t member = kNone;
      do {
        member = stack.back();
        stack.pop_back();
        on_stack[member] = false;
        component.push_back(member);
      } while (member != done);
      if (component.size() > 1) components.push_back(std::move(component));
    }
  }
  return components;
}

std::vector<Cycle> DependencyGraph::LightCycles(const std::vector<uint32_t>& component, EdgeKinds kinds,
                                                size_t starts_max) const {
  std::vector<bool> inside(first_.size() - 1, false);
  for (uint32_t node : component) inside[node] = true;
  std::vector<uint32_t> distance(first_.size() - 1, kNone);
  std::vector<const Edge*> came_by(first_.size() - 1, nullptr);
  std::vector<Cycle> cycles;
  size_t effort = 0;
  size_t stride = std::max<size_t>(1, component.size() / starts_max);
  for (size_t i = 0; i < component.size() && (cycles.empty() || effort < kEffortMax); i += stride) {
    // Dijkstra from `start` back to itself.
    uint32_t start = component[i];
    const Edge* closing = nullptr;
    uint32_t lightest = kNone;
    using Entry = std::pair<uint32_t, uint32_t>;  // distance, node
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::vector<uint32_t> touched = {start};
    distance[start] = 0;
    queue.emplace(0, start);
    while (!queue.empty() && queue.top().first < lightest) {
      auto [so_far, node] = queue.top();
      queue.pop();
      if (so_far != distance[node]) continue;
      for (const Edge* edge = begin(node); edge != end(node); ++edge) {
        ++effort;
        if (!Among(edge->kind, kinds) || !inside[edge->to]) continue;
        uint32_t sum = so_far + Weight(edge->kind);
        if (edge->to == start) {
          if (sum < lightest) {
            lightest = sum;
            closing = edge;
          }
        } else if (sum < distance[edge->to]) {
          if (distance[edge->to] == kNone) touched.push_back(edge->to);
          distance[edge->to] = sum;
          came_by[edge->to] = edge;
          queue.emplace(sum, edge->to);
        }
      }
    }
    Cycle cycle;
    for (const Edge* edge = closing; edge != nullptr; edge = came_by[edge->from]) cycle.push_back(*edge);
    std::reverse(cycle.begin(), cycle.end());
    if (!cycle.empty()) cycles.push_back(std::move(cycle));
    for (uint32_t node : touched) {
      distance[node] = kNone;
      came_by[node] = nullptr;
    }
  }
  std::stable_sort(cycles.begin(), cycles.end(),
                   [](const Cycle& a, const Cycle& b) { return WeightOf(a) < WeightOf(b); });
  return cycles;
}

}  // namespace assent::checker
