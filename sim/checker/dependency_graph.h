#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// A directed multigraph of what must have come before what, and its cycles.
namespace assent::checker {

enum class EdgeKind : uint8_t {
  kWriteWrite,
  kWriteRead,
  kReadWrite,
  kPredicate,  // rw by a scan that did not return the key
  kRealTime,
  kInstall,  // from a key's gathering node to a writer: the second half of an rw edge
};

// A set of edge kinds.
using EdgeKinds = uint32_t;
constexpr EdgeKinds Only(EdgeKind kind) {
  return EdgeKinds{1} << static_cast<uint32_t>(kind);
}

// `before` and `after`: the versions of `key` that make the edge; those of `from` and of `to`.
struct Edge {
  uint32_t from = 0;
  uint32_t to = 0;
  EdgeKind kind{};
  uint32_t key = 0;
  uint32_t before = 0;
  uint32_t after = 0;
};

using Cycle = std::vector<Edge>;

class DependencyGraph {
 public:
  DependencyGraph(size_t nodes, const std::vector<Edge>& edges);

  // Strongly connected components of more than one node, by edges of `kinds` alone.
  std::vector<std::vector<uint32_t>> Components(EdgeKinds kinds) const;

  // Light cycles within one component, each through another node of it, lightest first; an rw edge weighs
  // more than others, since cycles with fewer of them are easier to follow. Looks from `starts_max` nodes at
  // most, and gives up after a bounded effort (at least one cycle is found).
  std::vector<Cycle> LightCycles(const std::vector<uint32_t>& component, EdgeKinds kinds,
                                 size_t starts_max) const;

 private:
  const Edge* begin(uint32_t node) const { return edges_.data() + first_[node]; }
  const Edge* end(uint32_t node) const { return edges_.data() + first_[node + 1]; }

  std::vector<Edge> edges_;    // grouped by `from`
  std::vector<size_t> first_;  // of each node in edges_, and one past the last
};

}  // namespace assent::checker
