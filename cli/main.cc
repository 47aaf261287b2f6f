#include <glog/logging.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <string>
#include <string_view>

#include "cli/commands/commands.h"
#include "cli/version.h"

namespace {

// A word as a shell takes it back.
std::string Quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/._-+").find(c) != std::string_view::npos;
  });
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

}  // namespace

// The `assent` program.
int main(int argc, char** argv) {
  using namespace assent::cli;  // NOLINT(google-build-using-namespace): of main alone
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argv[0]);

  umask(S_IRWXG | S_IRWXO);  // data, logs and configurations are nobody else's, SQLite's files included

  Globals globals;
  if (argc > 0) globals.program = Quoted(argv[0]);
  CLI::App app("Assent: atomic writes across independent stores, through crashes.", "assent");
  app.set_version_flag("--version", std::string("assent ") + kVersion);
  app.require_subcommand(1);
  app.footer(
      "First steps:\n"
      "  assent dev                                   a local cluster that stays up\n"
      "  assent exec 'add alice -10 min=0' 'add bob 10'   one atomic transaction\n"
      "  assent demo                                  crash the coordinator at the worst moments, and audit\n"
      "Exit codes: 0 ok, 1 error, 2 usage, 3 aborted, 4 outcome unknown, 5 mixed, 6 unavailable.");
  AddNode(app, globals);
  AddDev(app, globals);
  AddDemo(app, globals);
  AddStatus(app, globals);
  AddData(app, globals);
  AddShell(app, globals);
  AddTxn(app, globals);
  AddGroup(app, globals);
  AddWal(app, globals);
  AddBench(app, globals);
  AddCompletion(app, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  } catch (const std::exception& error) {
    return Fail(kError, error.what());
  }
  return globals.exit_code;
}
