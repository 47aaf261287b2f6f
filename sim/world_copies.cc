// Copies of a node's files: put back in their place, and run beside the original (R3).
#include <algorithm>

#include "common/check.h"
#include "sim/node.h"
#include "sim/world.h"

namespace assent::sim {
namespace {

// Where copies of nodes run, beside the nodes' own.
constexpr uint32_t kCloneSlots = 100;

}  // namespace

void World::WipeNode(NodeId node) {
  for (const auto& [place, disk] : disks_) {
    if (place.first == node) Wipe(node, place.second);
  }
  node_disks_.erase(node);
}

std::shared_ptr<const World::Copy> World::CopyFiles(NodeId node) {
  auto copy = std::make_shared<Copy>();
  copy->node = node_disks_[node];
  for (const auto& [place, disk] : disks_) {
    if (place.first != node) continue;
    auto& contents = copy->replicas[place.second];
    contents = std::make_unique<Contents>();
    contents->CopyFrom(*disk, disk->root, "");
    if (may_be_damaged_.contains(place)) copy->may_be_damaged.insert(place.second);
  }
  return copy;
}

void World::PutBack(NodeId node, const Copy& copy, std::optional<GroupId> group) {
  ASSENT_CHECK(!IsUp(node));
  for (const auto& [id, contents] : copy.replicas) {
    if (group && id != *group) continue;
    ResetDisk(node, id);
    Disk& disk = DiskOf(node, id);
    disk.CopyFrom(*contents, "", disk.root);
    disk.is_old = true;
    if (copy.may_be_damaged.contains(id)) may_be_damaged_.insert({node, id});
  }
  if (!group) node_disks_[node] = {copy.node.files, copy.node.starts, next_random_++, true};
}

bool World::ShowsAsOld(NodeId node, GroupId group, const Copy& copy) const {
  const auto held = registers_.find(node);
  const auto contents = copy.replicas.find(group);
  if (held == registers_.end() || contents == copy.replicas.end() || Raw(contents->second->durable) == 0)
    return false;
  return std::any_of(held->second.confirmed.begin(), held->second.confirmed.end(), [&](const Confirmed& c) {
    return c.group == group && c.incarnation == contents->second->incarnation &&
           c.position.lsn > contents->second->durable;
  });
}

void World::StartClone(NodeId node, bool same_machine) {
  // Beside one that is not registered yet either may win, and the other be refused: it would be this one that
  // the group goes on with, and that ends with the fault.
  if (!nodes_.at(node)->registered_) return;
  const auto copy = CopyFiles(node);
  const NodeId slot{Raw(node) + kCloneSlots};
  auto& clone = nodes_[slot];
  if (!clone) clone = std::make_unique<Node>(*this, node, slot);
  if (clone->up_) return;
  for (const auto& [group, contents] : copy->replicas) ResetDisk(slot, group);
  PutBack(slot, *copy, std::nullopt);
  Node& original = *nodes_.at(node);
  clone->boot_ = same_machine ? original.boot_ : 0;
  clone->clock_runs_ = same_machine;
  clone->clock_us_ = original.clock_us_;
  clone->clock_from_us_ = original.clock_from_us_;
  clone->clock_ppm_ = original.clock_ppm_;
  clone->Start();
}

void World::StopClones() {
  for (auto& [slot, node] : nodes_) {
    if (node->is_copy() && node->up_) node->Stop(false);
  }
}

void World::StopClones(NodeId node) {
  for (auto& [slot, other] : nodes_) {
    if (other->is_copy() && other->id_ == node && other->up_ && !other->registered_) other->Stop(false);
  }
}

const std::string& World::Refusal(NodeId node) const {
  return nodes_.at(node)->refusal_;
}

}  // namespace assent::sim
