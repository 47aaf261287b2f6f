#include "runtime/directory_faults.h"

#include <utility>

namespace assent {
namespace {

constexpr std::string_view kNoAnswerName = "directory.no-answer";
constexpr std::string_view kLostAnswerName = "directory.lost-answer";
constexpr std::string_view kAnswersName = "directory.answers";

Status NoAnswer() {
  return Status(StatusCode::kUnavailable, "the directory does not answer, as this node was told");
}

}  // namespace

const std::vector<CrashPoint>& AllDirectoryFaults() {
  static const std::vector<CrashPoint> faults = {
      {kNoAnswerName, "nothing reaches the directory: reads fail, and no view is swapped"},
      {kLostAnswerName, "nothing comes back from it: reads fail, a swap happens and nobody hears of it"},
      {kAnswersName, "ends either"},
  };
  return faults;
}

bool FaultyDirectory::Arm(std::string_view fault, uint64_t count) {
  const std::lock_guard lock(mutex_);
  if (fault == kNoAnswerName) {
    fault_ = Fault::kNoAnswer;
  } else if (fault == kLostAnswerName) {
    fault_ = Fault::kLostAnswer;
  } else if (fault == kAnswersName) {
    fault_ = Fault::kNone;
  } else {
    return false;
  }
  left_ = count;
  return true;
}

FaultyDirectory::Fault FaultyDirectory::Now() {
  const std::lock_guard lock(mutex_);
  return fault_;
}

FaultyDirectory::Fault FaultyDirectory::Next() {
  const std::lock_guard lock(mutex_);
  if (fault_ != Fault::kNone && left_-- == 0) fault_ = Fault::kNone;
  return fault_;
}

Result<DirectorySnapshot> FaultyDirectory::Read(GroupId group) {
  if (Next() != Fault::kNone) return NoAnswer();
  return directory_->Read(group);
}

CasResult FaultyDirectory::CompareAndSwap(const View& next) {
  const Fault fault = Next();
  if (fault == Fault::kNone) return directory_->CompareAndSwap(next);
  if (fault == Fault::kLostAnswer) (void)directory_->CompareAndSwap(next);
  return {CasOutcome::kUnknown, {}, NoAnswer()};
}

Status FaultyDirectory::Register(GroupId group, NodeId node, Incarnation incarnation) {
  const Fault fault = Next();
  if (fault == Fault::kNone) return directory_->Register(group, node, incarnation);
  if (fault == Fault::kLostAnswer) (void)directory_->Register(group, node, incarnation);
  return NoAnswer();
}

Result<std::optional<NodeRegister>> FaultyDirectory::ReadRegister(NodeId node) {
  if (Now() != Fault::kNone) return NoAnswer();
  return directory_->ReadRegister(node);
}

Status FaultyDirectory::SwapRegister(const NodeRegister& next) {
  const Fault fault = Now();
  if (fault == Fault::kNone) return directory_->SwapRegister(next);
  if (fault == Fault::kLostAnswer) (void)directory_->SwapRegister(next);
  return NoAnswer();
}

Result<Placement> FaultyDirectory::ReadPlacement() {
  if (Next() != Fault::kNone) return NoAnswer();
  return directory_->ReadPlacement();
}

Status FaultyDirectory::CreatePlacement(const Placement& placement) {
  const Fault fault = Next();
  if (fault == Fault::kNone) return directory_->CreatePlacement(placement);
  if (fault == Fault::kLostAnswer) (void)directory_->CreatePlacement(placement);
  return NoAnswer();
}

}  // namespace assent
