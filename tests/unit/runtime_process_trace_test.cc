// Whether the process that held a lock file before lives still.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/process_trace.h"
#include "temp_directory.h"

namespace assent {
namespace {

using backup::EarlierLife;

class RuntimeProcessTrace : public testing::Test {
 protected:
  RuntimeProcessTrace() { WriteFile(lock_, ""); }
  // The trace of a child that lives until it is killed.
  ProcessTrace TraceOfChild(pid_t& child) {
    int told[2];
    EXPECT_EQ(::pipe(told), 0);
    child = ::fork();
    if (child == 0) {
      const ProcessTrace trace = TraceThisProcess(temp_ / "other lock");
      const uint64_t numbers[] = {trace.pid, trace.started};
      (void)!::write(told[1], numbers, sizeof numbers);
      for (;;) ::pause();
    }
    uint64_t numbers[2] = {};
    EXPECT_EQ(::read(told[0], numbers, sizeof numbers), static_cast<ssize_t>(sizeof numbers));
    ::close(told[0]);
    ::close(told[1]);
    ProcessTrace trace = TraceThisProcess(temp_ / "other lock");
    trace.pid = numbers[0];
    trace.started = numbers[1];
    return trace;
  }

  const TempDirectory temp_;
  const std::string lock_ = temp_ / "lock";
};

TEST_F(RuntimeProcessTrace, LockThatIsHeldHereHadADeadOwner) {
  const ProcessTrace own = TraceThisProcess(lock_);
  ASSERT_FALSE(own.boot.empty());
  ASSERT_NE(own.inode, 0u);
  ProcessTrace left = own;
  left.pid = 1;  // whoever has that number now
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kGone);
  left.boot = "another";
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kMachineRestarted);
}

TEST_F(RuntimeProcessTrace, CopiedLockIsAnotherOne) {
  const ProcessTrace left = TraceThisProcess(lock_);
  std::filesystem::copy_file(lock_, temp_ / "copy");
  const ProcessTrace own = TraceThisProcess(temp_ / "copy");
  ProcessTrace elsewhere = left;
  elsewhere.boot = "another machine's";
  EXPECT_EQ(FollowTrace(elsewhere, own), EarlierLife::kUnknown);
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kRuns);  // this very process
  ProcessTrace of_a_container = left;
  of_a_container.pids = 1;
  EXPECT_EQ(FollowTrace(of_a_container, own), EarlierLife::kUnknown);
}

TEST_F(RuntimeProcessTrace, TableOfProcessesTellsWhoLives) {
  WriteFile(temp_ / "other lock", "");
  const ProcessTrace own = TraceThisProcess(lock_);
  pid_t child = 0;
  const ProcessTrace left = TraceOfChild(child);
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kRuns);
  ::kill(child, SIGSTOP);
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kRuns);
  ProcessTrace earlier = left;
  earlier.started -= 1;  // the number was another process's before
  EXPECT_EQ(FollowTrace(earlier, own), EarlierLife::kGone);
  ::kill(child, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kGone);  // before its parent has taken note, too
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(FollowTrace(left, own), EarlierLife::kGone);
}

TEST_F(RuntimeProcessTrace, NothingIsConcludedFromNothing) {
  const ProcessTrace own = TraceThisProcess(lock_);
  EXPECT_EQ(FollowTrace(ProcessTrace{}, own), EarlierLife::kUnknown);
  EXPECT_EQ(FollowTrace(own, ProcessTrace{}), EarlierLife::kUnknown);
}

}  // namespace
}  // namespace assent
