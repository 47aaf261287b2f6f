#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "directory/directory.h"
#include "runtime/crash_points.h"

// A directory that can be told not to answer, as one that the network does not reach. For drills and tests: a
// node has it only where crash points are allowed, and it is armed as they are (Node::Arm).
namespace assent {

// directory.no-answer, directory.lost-answer and directory.answers; beside the crash points, since none
// of them kills.
const std::vector<CrashPoint>& AllDirectoryFaults();

class FaultyDirectory final : public Directory {
 public:
  explicit FaultyDirectory(std::unique_ptr<Directory> directory) : directory_(std::move(directory)) {}

  // For the next `count` calls, or until another one of them is armed. False: no such fault. Any thread.
  bool Arm(std::string_view fault, uint64_t count);

  Result<DirectorySnapshot> Read(GroupId group) override;
  CasResult CompareAndSwap(const View& next) override;
  Status Register(GroupId group, NodeId node, Incarnation incarnation) override;
  Result<std::optional<NodeRegister>> ReadRegister(NodeId node) override;
  Status SwapRegister(const NodeRegister& next) override;
  Result<Placement> ReadPlacement() override;
  Status CreatePlacement(const Placement& placement) override;

 private:
  enum class Fault : uint8_t { kNone = 1, kNoAnswer, kLostAnswer };
  Fault Now();  // of what a node does on its own, at any time: not counted
  Fault Next();

  const std::unique_ptr<Directory> directory_;
  std::mutex mutex_;
  Fault fault_ = Fault::kNone;
  uint64_t left_ = 0;  // calls that it is for
};

}  // namespace assent
