#include "cli/shell.h"

#include <iostream>

#include "cli/commands/commands.h"
#include "cli/line_input.h"

namespace assent::cli {
namespace {

ExitCode RunShell(const Globals& globals) {
  auto client = ConnectClient(globals);
  if (!client.ok()) return Fail(client.status());
  Interrupts interrupts;
  LineInput input(interrupts, HistoryFile());
  const bool is_script = !input.is_terminal();
  if (!is_script)
    std::cout << "cluster " << client->cluster() << ". help shows what there is, exit leaves.\n";
  Shell shell(std::move(client).value(), globals, is_script, interrupts);
  for (;;) {
    std::cout.flush();  // the editor writes by itself
    const LineInput::Line line = input.Next(shell.prompt());
    switch (line.kind) {
      case LineInput::Line::Kind::kText:
        if (shell.Handle(line.text)) continue;
        shell.Leave("left");
        return shell.exit_code();
      case LineInput::Line::Kind::kCancelled:
        if (!line.text.empty() || shell.in_block()) continue;
        return shell.exit_code();
      case LineInput::Line::Kind::kEnd:
        shell.Leave("the input ended");
        return shell.exit_code();
      case LineInput::Line::Kind::kInterrupted:
        shell.Leave("interrupted");
        std::cout.flush();
        Interrupts::DieBy(line.signal);
      case LineInput::Line::Kind::kFailed:
        shell.Report(kError, line.text);
        shell.Leave("the input failed");
        return shell.exit_code();
    }
  }
}

}  // namespace

void AddShell(CLI::App& app, Globals& globals) {
  CLI::App* shell = app.add_subcommand("shell", "work interactively: begin, get, put, add, commit");
  AddClusterOptions(*shell, globals);
  shell->footer(
      "Reads a script from standard input where that is no terminal. What stands between begin and commit "
      "is\n"
      "one transaction. If it aborts, or one of its lines is not understood, the rest of it is not run, and\n"
      "commit rolls back. A script ends at a line outside of a transaction that is not understood.\n"
      "At a terminal ^C clears the line; what was typed is kept in $XDG_STATE_HOME/assent_history or\n"
      "$HOME/.assent_history.\n"
      "The exit code is that of the worst that happened, from bad to worse: aborted (3; also a script that\n"
      "ends inside a transaction), not understood (2), error (1), unavailable (6), outcome unknown (4).\n"
      "Example:\n"
      "  printf 'begin\\nadd alice -10 min=0\\nadd bob 10\\ncommit\\n' | assent shell");
  shell->callback([&globals] { globals.exit_code = RunShell(globals); });
}

}  // namespace assent::cli
