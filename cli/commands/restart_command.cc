#include "cli/commands/restart_command.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

namespace assent::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kEnds{60};
constexpr std::chrono::milliseconds kLook{10};

// Signals as a shell expects them: this program blocks or ignores some.
int Spawn(const std::string& command, pid_t& pid) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
  posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t as_usual;
  sigemptyset(&as_usual);
  sigaddset(&as_usual, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &as_usual);
  std::string shell = "sh";
  std::string option = "-c";
  std::string script = command;
  char* const words[] = {shell.data(), option.data(), script.data(), nullptr};
  const int error = posix_spawn(&pid, "/bin/sh", &files, &attributes, words, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

}  // namespace

Status RunCommand(const std::string& option, const std::string& command) {
  pid_t pid = 0;
  if (const int error = Spawn(command, pid); error != 0) {
    return {StatusCode::kIo, option + " cannot be run: " + std::strerror(error)};
  }
  const auto until = Clock::now() + kEnds;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (Clock::now() > until) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return {StatusCode::kUnavailable, option + " did not end within " + std::to_string(kEnds.count()) +
                                            " s: start the service in the background"};
    }
    std::this_thread::sleep_for(kLook);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return {StatusCode::kIo,
          option + (WIFEXITED(status) ? " ended with exit code " + std::to_string(WEXITSTATUS(status))
                                      : " ended by signal " + std::to_string(WTERMSIG(status)))};
}

}  // namespace assent::cli
