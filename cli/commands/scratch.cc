#include "cli/commands/scratch.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

namespace assent::cli {

ExitCode WithScratchDirectory(const std::string& prefix,
                              const std::function<ExitCode(const std::string&)>& work) {
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&wanted, signal);
  sigprocmask(SIG_BLOCK, &wanted, &before);

  std::string directory = prefix + "-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    return Fail(kError,
                "cannot make a directory here for the local cluster: " + std::string(std::strerror(errno)));
  }
  // Processes that the child leaves behind become children of this one, which can then wait for their end.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(kError);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    std::exit(work(directory));  // with all that a process does at its end
  }
  int interrupted_by = 0;
  int status = -1;
  bool ended = child < 0;
  while (!ended) {
    int signal = 0;
    sigwait(&wanted, &signal);
    if (signal != SIGCHLD && interrupted_by == 0) {
      interrupted_by = signal;
      kill(child, SIGKILL);  // and its nodes with it
    }
    ended = waitpid(child, &status, WNOHANG) == child;
  }
  while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  if (error) Fail(kOk, "cannot remove " + directory + ": " + error.message());
  sigprocmask(SIG_SETMASK, &before, nullptr);
  if (interrupted_by != 0) raise(interrupted_by);
  if (child < 0) return Fail(kError, "cannot start a process");
  if (WIFSIGNALED(status)) {
    return Fail(kError, "the run was ended by signal " + std::to_string(WTERMSIG(status)));
  }
  return static_cast<ExitCode>(WEXITSTATUS(status));
}

}  // namespace assent::cli
