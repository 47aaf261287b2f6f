#include <algorithm>

#include "common/check.h"
#include "tests/unit/backup_simulation_node.h"

// The events of a SimulatedGroup, and the checks that run all the time.
namespace assent::backup {

SimulatedGroup::Node* SimulatedGroup::ServingPrimary() {
  for (auto& [id, node] : nodes_) {
    const bool serving = node->up && node->serving && node->core->role() == Role::kPrimary;
    if (serving && node->paused_until_us <= now_us_) return node.get();
  }
  return nullptr;
}

void SimulatedGroup::AppendAsRole(Node& node, size_t count) {
  LocalAppend append;
  for (; count > 0; --count) {
    const LogEntry entry = Entry(Raw(node.core->epoch()), Raw(node.log.last().lsn) + 1,
                                 "value " + std::to_string(next_value_++));
    Note(entry);
    node.log.Append(entry);
    node.jobs.push_back(Node::AppendJob{entry});
    append.entries.push_back(entry);
  }
  ScheduleLogJobs(node);
  Feed(node, append);
}

void SimulatedGroup::Operate() {
  if (!view_) return;
  Node& primary = *nodes_.at(view_->primary);
  if (!primary.up || primary.paused_until_us > now_us_) return;
  // A member that lost its disk keeps the group from serving: it goes first.
  for (const auto& [id, node] : nodes_) {
    const Member* named = view_->Find(id);
    if (named != nullptr && *named != node->member()) {
      Feed(primary, OperatorChange{RequestId{next_request_++}, ChangeKind::kRemoveReplica, *named});
      return;
    }
  }
  for (const auto& [id, node] : nodes_) {
    const auto registered = registered_.find(id);
    if (view_->Find(id) == nullptr && registered != registered_.end()) {
      Feed(primary, OperatorChange{RequestId{next_request_++}, ChangeKind::kAddReplica, registered->second});
      return;
    }
  }
}

void SimulatedGroup::Chaos(uint64_t until_us) {
  while (now_us_ < until_us) {
    RunUntil(now_us_ + 500 + Random(Chance(0.1) ? 400'000 : 5'000));
    Node& node = *nodes_.at(NodeId{static_cast<uint32_t>(1 + Random(nodes_.size()))});
    const uint64_t dice = Random(100);
    // Where outages are long, they are rare: takeovers need seconds in which somebody stays.
    if (dice >= 55 && options_.outages && !Chance(0.02)) continue;
    if (dice < 55) {
      if (Node* primary = ServingPrimary()) {
        AppendAsRole(*primary, 1 + Random(3));
        // The moment that matters: records on their way, some forced here, some there.
        RunUntil(now_us_ + Random(2 * options_.force_us_max));
        if (primary->up && Chance(options_.outages ? 0.001 : 0.05)) Crash(*primary);
      }
    } else if (dice < 61) {
      if (node.up) Crash(node);
      if (options_.outages && Chance(0.7)) node.down_until_us = now_us_ + Random(8'000'000);
    } else if (dice < 63) {
      // Never the primary's disk, so one with all records is left; nor one that a view on its way
      // may make that.
      if (!node.up && view_ && view_->primary != node.id && proposals_on_the_way_ == 0) Wipe(node);
    } else if (dice < 79) {
      if (!node.up && node.down_until_us <= now_us_) Start(node);
    } else if (dice < 80) {
      if (options_.outages && node.up && node.paused_until_us <= now_us_) {
        counts_.pauses++;
        node.paused_until_us = now_us_ + Random(6'000'000);
      }
    } else if (dice < 86) {
      Operate();
    } else if (dice < 87) {
      OperatorChange promote{RequestId{next_request_++}, ChangeKind::kPromote, node.member()};
      promote.drain_us = Random(800'000);
      promote.force = Chance(0.5);
      if (view_ && nodes_.at(view_->primary)->up && nodes_.at(view_->primary)->paused_until_us <= now_us_) {
        Feed(*nodes_.at(view_->primary), promote);
      }
    } else if (dice < 88) {
      if (view_ && view_->primary != node.id && view_->Find(node.id) != nullptr &&
          nodes_.at(view_->primary)->up && nodes_.at(view_->primary)->paused_until_us <= now_us_) {
        Feed(*nodes_.at(view_->primary),
             OperatorChange{RequestId{next_request_++}, ChangeKind::kRemoveReplica, node.member()});
      }
    } else if (dice < 92) {
      const NodeId to{static_cast<uint32_t>(1 + Random(nodes_.size()))};
      if (!cut_.erase({node.id, to})) cut_.insert({node.id, to});
    } else if (dice < 96) {
      cut_.clear();
    }
    CheckAll();
  }
}

bool SimulatedGroup::Heal(uint64_t patience_us) {
  options_.loss = options_.duplication = options_.directory_trouble = 0;
  // Nearly in order, as connections are: a snapshot's pieces that overtake each other are sent again.
  options_.delay_us_max = 1'000;
  cut_.clear();
  for (auto& [id, node] : nodes_) {
    node->paused_until_us = 0;
    if (!node->up) Start(*node);
  }
  const uint64_t deadline = now_us_ + patience_us;
  size_t target = 0;
  Epoch of_target{};
  while (now_us_ < deadline) {
    RunUntil(now_us_ + 50'000);
    Operate();
    Node* primary = ServingPrimary();
    if (primary == nullptr || !view_ || view_->members.size() != nodes_.size()) continue;
    // Records that a primary appends, and another then replaces, may be gone with it.
    if (of_target != view_->epoch && primary->core->view() == view_) {
      AppendAsRole(*primary, 3);
      target = Raw(primary->log.last().lsn);
      of_target = view_->epoch;
    }
    bool all = of_target == view_->epoch;
    for (const auto& [id, node] : nodes_) all = all && node->store.size() >= target && node->halted.empty();
    if (all) {
      CheckAll();
      return true;
    }
  }
  return false;
}

// ---- Checks ----

// I-R3, I-D1: each member of the directory's view, under the incarnation named, durably holds what
// was answered for.
void SimulatedGroup::CheckHeld() const {
  if (!view_) return;
  for (const Member& member : view_->members) {
    const Node& node = *nodes_.at(member.node);
    if (node.member() != member) continue;
    ASSENT_CHECK(Raw(node.disk.last().lsn) >= answered_.size(), "I-D1 seed", seed_, "node", node.id);
    for (size_t i = answered_.size(); i > 0 && Lsn{i} > node.disk.base().lsn; --i) {
      ASSENT_CHECK(Text(*node.disk.Find(Lsn{i})) == answered_[i - 1], "I-D1 seed", seed_, "node", node.id,
                   "lsn", i);
    }
  }
}

void SimulatedGroup::CheckAll() const {
  CheckHeld();
  for (const auto& [id, node] : nodes_) {
    ASSENT_CHECK(node->halted.empty(), "seed", seed_, "node", id, node->halted);
    ASSENT_CHECK(node->store.size() <= answered_.size() &&
                     std::equal(node->store.begin(), node->store.end(), answered_.begin()),
                 "I-C1 seed", seed_);
  }
}

// I-S2
void SimulatedGroup::CheckLeases() {
  const Node* holder = nullptr;
  for (const auto& [id, node] : nodes_) {
    if (!node->up || !node->core->LeaseHolds(LocalTime(*node))) continue;
    ASSENT_CHECK(holder == nullptr, "I-S2 seed", seed_, holder == nullptr ? id : holder->id, id);
    holder = node.get();
    counts_.leases_checked++;
  }
}

std::string SimulatedGroup::Describe() const {
  std::string out = "directory " + (view_ ? ToString(*view_) : std::string("empty")) + "\n";
  for (const auto& [id, node] : nodes_) {
    out += ToString(id) + ":" + std::to_string(Raw(node->incarnation));
    if (!node->up) {
      out += " down\n";
      continue;
    }
    const ReplicationStatus status = node->core->Describe(LocalTime(*node));
    out += " " + std::string(ToString(status.role)) + (status.serving ? " serving" : "") + " epoch " +
           std::to_string(Raw(node->core->epoch())) + " last " + ToString(status.last) + " durable " +
           std::to_string(Raw(status.durable)) + " replicated " + std::to_string(Raw(status.replicated)) +
           " base " + ToString(node->log.base()) + " waits for: " + status.waiting_for + "\n";
    for (const PeerStatus& peer : status.peers) {
      out += "   " + ToString(peer.member.node) + ":" + std::to_string(Raw(peer.member.incarnation)) +
             " acked " + ToString(peer.acked) + (peer.required ? " required" : "") +
             (peer.in_snapshot ? " snapshot" : "") + "\n";
    }
  }
  return out;
}

}  // namespace assent::backup
