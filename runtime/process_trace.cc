#include "runtime/process_trace.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

namespace assent {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// When the process began, in the kernel's ticks; nothing if there is none, or only what its parent has yet to
// take note of.
std::optional<uint64_t> StartOf(uint64_t pid) {
  const std::string text = Contents("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = text.rfind(')');  // its name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;
  constexpr int kBetween = 18;  // the fields between the state and the start (proc(5))
  uint64_t started = 0;
  std::string skipped;
  for (int i = 0; i < kBetween; ++i) fields >> skipped;
  if (!(fields >> started)) return std::nullopt;
  return started;
}

}  // namespace

ProcessTrace TraceThisProcess(const std::string& lock_path) {
  ProcessTrace trace;
  trace.boot = Contents("/proc/sys/kernel/random/boot_id");
  trace.pid = static_cast<uint64_t>(::getpid());
  trace.started = StartOf(trace.pid).value_or(0);
  struct stat name_space {};
  if (::stat("/proc/self/ns/pid", &name_space) == 0) trace.pids = name_space.st_ino;
  struct statx lock {};
  if (::statx(AT_FDCWD, lock_path.c_str(), 0, STATX_INO | STATX_BTIME, &lock) == 0) {
    trace.device = uint64_t{lock.stx_dev_major} << 32 | lock.stx_dev_minor;
    trace.inode = lock.stx_ino;
    if ((lock.stx_mask & STATX_BTIME) != 0) {
      trace.born_ns = static_cast<uint64_t>(lock.stx_btime.tv_sec) * 1'000'000'000 + lock.stx_btime.tv_nsec;
    }
  }
  return trace;
}

backup::EarlierLife FollowTrace(const ProcessTrace& left, const ProcessTrace& own) {
  using backup::EarlierLife;
  const bool is_our_lock = left.inode != 0 && left.inode == own.inode && left.born_ns == own.born_ns;
  if (left.boot.empty() || left.boot != own.boot) {
    return is_our_lock ? EarlierLife::kMachineRestarted : EarlierLife::kUnknown;
  }
  // A lock ends with its process, and this one holds it now.
  if (is_our_lock && left.device == own.device) return EarlierLife::kGone;
  if (left.pids == 0 || left.pids != own.pids || left.started == 0) return EarlierLife::kUnknown;
  return StartOf(left.pid) == left.started ? EarlierLife::kRuns : EarlierLife::kGone;
}

}  // namespace assent
