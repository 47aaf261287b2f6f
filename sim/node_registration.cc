// A node claims and keeps its register (R3), as runtime/registrar.cc does.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "sim/node.h"

namespace assent::sim {

void World::Node::BeginRegistration() {
  NodeDisk& disk = world_.node_disks_[slot_];
  if (disk.files == 0) disk = {world_.next_random_++, 0, world_.next_random_++};
  NodeRegister own;
  own.node = id_;
  own.files = disk.files;
  own.starts = disk.starts + 1;
  own.life = process_life_;
  own.address = ToString(slot_);
  own.process.boot = std::to_string(boot_);
  own.process.inode = disk.place;
  std::vector<backup::OwnReplica> replicas;
  for (const auto& [group, hosted] : hosted_) {
    replicas.push_back({group, hosted.disk->incarnation});
  }
  registration_ = std::make_unique<backup::Registration>(std::move(own), std::move(replicas));
  After(0, [this] { StepRegistration(); });
}

void World::Node::StepRegistration() {
  using State = backup::Registration::State;
  if (registration_->state() == State::kRefused) return OnRefused();
  if (registration_->state() == State::kLost) {
    for (auto& [group, hosted] : hosted_) hosted.replica->Halt(registration_->text());
    return;
  }
  if (registration_->state() == State::kHeld && !registered_) OnRegistered();
  const uint64_t now_us = Now().mono_us;
  if (registration_->NextDeadline() <= now_us) {
    std::vector<Confirmed> positions;
    for (const auto& [group, hosted] : hosted_) {
      positions.push_back({group, hosted.disk->incarnation, hosted.replica->confirmed()});
    }
    registration_->Confirm(world_.now_us_, positions);
  }
  if (const auto work = registration_->Next(now_us)) return Perform(*work);
  const uint64_t next_us = registration_->NextDeadline();
  if (next_us != UINT64_MAX) After(DelayUntil(next_us), [this] { StepRegistration(); });
}

void World::Node::Perform(const backup::Registration::Work& work) {
  if (Effect()) return;
  const bool cut = world_.directory_cut_.contains(slot_);
  const bool trouble = cut || world_.Chance(world_.options_.directory_trouble);
  if (const auto* next = std::get_if<NodeRegister>(&work)) {
    world_.node_disks_[slot_].starts = next->starts;  // counted there before
    // The swap's fate is unknown: now, later, or never.
    const uint64_t delay_us = world_.Random((trouble ? 20 : 1) * kDirectoryUsMax);
    if (!cut && (!trouble || world_.Chance(0.7))) {
      world_.After(delay_us, [&world = world_, life = life_, this, trouble, next = *next] {
        const auto held = world.registers_.find(next.node);
        const uint64_t version = held == world.registers_.end() ? 0 : held->second.version;
        const bool won = version + 1 == next.version;
        if (won) world.registers_[next.node] = next;
        if (trouble || !up_ || life != life_) return;
        After(world.Random(kDirectoryUsMax), [this, won] {
          registration_->OnSwapped(Now().mono_us, won);
          StepRegistration();
        });
      });
    }
    if (!trouble) return;
    After(5 * kDirectoryUsMax, [this] {
      registration_->OnSwapped(Now().mono_us, false);
      StepRegistration();
    });
    return;
  }
  After(world_.Random(kDirectoryUsMax), [this, trouble] {
    const auto held = world_.registers_.find(id_);
    const auto seen = held == world_.registers_.end() ? std::nullopt : std::optional(held->second);
    After(world_.Random(kDirectoryUsMax), [this, trouble, seen] {
      if (trouble) {
        registration_->OnNoAnswer(Now().mono_us);
      } else {
        registration_->OnLooked(Now().mono_us, seen, seen ? FollowTrace(*seen) : backup::EarlierLife::kGone);
      }
      StepRegistration();
    });
  });
}

// As the system tells it: by its table of processes where it is the same machine's, and by the lock file.
backup::EarlierLife World::Node::FollowTrace(const NodeRegister& seen) const {
  using backup::EarlierLife;
  const bool is_our_lock = seen.process.inode == world_.node_disks_.at(slot_).place;
  if (seen.process.boot != std::to_string(boot_)) {
    return is_our_lock ? EarlierLife::kMachineRestarted : EarlierLife::kUnknown;
  }
  const bool runs = std::any_of(world_.nodes_.begin(), world_.nodes_.end(), [&](const auto& other) {
    return other.second->up_ && other.second->process_life_ == seen.life;
  });
  return runs ? EarlierLife::kRuns : EarlierLife::kGone;
}

void World::Node::OnRefused() {
  refusal_ = registration_->text();
  world_.trace().Line(world_.now_us_, id_, GroupId{}, "refused", refusal_);
  const bool is_old = world_.node_disks_.at(slot_).is_old ||
                      std::any_of(hosted_.begin(), hosted_.end(),
                                  [](const auto& hosted) { return hosted.second.disk->is_old; });
  if (!is_copy() && !is_old) world_.needless_halt_ = ToString(id_) + " is not started: " + refusal_;
  world_.After(0, [this, life = life_] {
    if (up_ && life == life_) Stop(false);
  });
}

void World::Node::OnRegistered() {
  registered_ = true;
  After(0, [this] {
    takes_part_ = true;
    for (auto& [group, hosted] : hosted_) {
      hosted.replica->Start(registration_->ConfirmedOf(group, hosted.disk->incarnation),
                            registration_->ConfirmedBy());
    }
    for (auto& [group, hosted] : hosted_) {
      if (!doomed_ && !hosted.replica->halted()) world_.CheckState(slot_, group);
    }
    Refresh();
    Touch();
  });
}

}  // namespace assent::sim
