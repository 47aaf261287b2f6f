#include <fcntl.h>
#include <glog/logging.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <string>

#include "cli/commands/commands.h"
#include "cli/interrupts.h"
#include "cli/program.h"
#include "cli/usage.h"
#include "server/version.h"

namespace {

// A standard descriptor that is closed would be given to the first socket or file that is opened, which would
// then get what is printed. In its place one of /dev/null, opened so that its use is an error as before.
void KeepStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

// An output that was cut is no success; an outcome that is told by the exit code stays.
int ExitCodeAfterOutput(assent::cli::ExitCode code) {
  using namespace assent::cli;  // NOLINT(google-build-using-namespace)
  const int error = OutputError();
  if (error == 0) return code;
  // As any other program under `| head`; but an outcome was told on stderr before.
  if (error == EPIPE) Interrupts::DieBy(SIGPIPE);
  Fail(code, "writing the output: " + std::string(std::strerror(error)));
  return code == kOk || code == kAbsent ? kError : code;
}

}  // namespace

// The `assent` program.
int main(int argc, char** argv) {
  using namespace assent::cli;  // NOLINT(google-build-using-namespace): of main alone
  KeepStandardDescriptors();
  TakeOverStdout();
  std::signal(SIGPIPE, SIG_IGN);
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);

  umask(S_IRWXG | S_IRWXO);  // data, logs and configurations are nobody else's, SQLite's files included

  Globals globals;
  ErrorsFollow(globals.format);
  ProgramIs(argv[0]);
  CLI::App app("Assent: atomic writes across independent stores, through crashes.", "assent");
  app.set_version_flag("--version", std::string("assent ") + assent::kVersion);
  app.require_subcommand(1);
  app.footer(
      "First steps:\n"
      "  assent dev                                   a local cluster that stays up\n"
      "  assent exec 'add alice -10 min=0' 'add bob 10'   one atomic transaction\n"
      "  assent demo                                  crash the coordinator at the worst moments, and audit\n"
      "Exit codes: 0 ok, 1 error, 2 usage, 3 aborted, 4 outcome unknown, 5 mixed, 6 unavailable,\n"
      "7 no such key (get).");
  AddNode(app, globals);
  AddDev(app, globals);
  AddDemo(app, globals);
  AddStatus(app, globals);
  AddData(app, globals);
  AddShell(app, globals);
  AddTxn(app, globals);
  AddDirectory(app, globals);
  AddGroup(app, globals);
  AddRm(app, globals);
  AddWal(app, globals);
  AddBench(app, globals);
  AddCompletion(app, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return Fail(kUsage, Explain(app, error));
    app.exit(error);  // prints help or version
  } catch (const std::exception& error) {
    return ExitCodeAfterOutput(Fail(kError, error.what()));
  }
  return ExitCodeAfterOutput(globals.exit_code);
}
