#include <readline/history.h>
#include <readline/readline.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "cli/commands/commands.h"
#include "cli/parse_operation.h"
#include "cli/report.h"

namespace assent::cli {
namespace {

constexpr std::string_view kHelp =
    "Outside a transaction each operation is one of its own. In one, they take effect together at commit.\n"
    "  begin | commit | rollback\n";
constexpr std::string_view kDots =
    "  .help            this text\n"
    "  .quit            leave; an open transaction is rolled back\n";

class Shell {
 public:
  explicit Shell(Client client) : client_(std::move(client)) {}

  // False: the user is done.
  bool Handle(const std::string& line) {
    const auto words = SplitWords(line);
    if (!words.ok()) return Problem(words.status().message());
    if (words->empty() || (*words)[0][0] == '#') return true;
    const std::string& verb = (*words)[0];
    if (verb == ".quit" || verb == ".exit") return false;
    if (verb == ".help" || verb == "help") {
      std::cout << kHelp << kOperationHelp << kDots;
      return true;
    }
    if (verb[0] == '.') return Problem("no such command: " + verb + "; try .help");
    if (verb == "begin" || verb == "commit" || verb == "rollback") return HandleEnd(verb, words->size());
    auto operation = ParseOperation(*words);
    if (!operation.ok()) return Problem(operation.status().message());
    if (!txn_) {
      exit_code_ = PrintCommit(client_.Execute({*operation}), {*operation}, Format::kTable);
      return true;
    }
    const auto results = txn_->Work({*operation});
    if (!results.ok()) {
      txn_.reset();
      exit_code_ = kAborted;
      return Problem(results.status().message() + "\nThe transaction has ended; nothing of it took effect.");
    }
    PrintResult(*operation, results->front());
    return true;
  }

  const char* prompt() const { return txn_ ? "assent*> " : "assent> "; }
  // Of the last thing that went wrong.
  ExitCode exit_code() const { return exit_code_; }

 private:
  bool HandleEnd(const std::string& verb, size_t word_count) {
    if (word_count != 1) return Problem(verb + " takes no words");
    if (verb == "begin") {
      if (txn_) return Problem("a transaction is open: commit or rollback first");
      auto begun = client_.Begin();
      if (!begun.ok()) return Problem(begun.status().message());
      txn_.emplace(std::move(begun).value());
      std::cout << "begun " << ToString(txn_->id()) << std::endl;
      return true;
    }
    if (!txn_) return Problem("no transaction is open: begin one");
    if (verb == "commit") {
      exit_code_ = PrintCommit(txn_->Commit(), {}, Format::kTable);
    } else {
      txn_->Rollback();
      std::cout << "rolled back" << std::endl;
    }
    txn_.reset();
    return true;
  }

  bool Problem(const std::string& text) {
    const ExitCode code = Fail(kError, text);
    if (exit_code_ == kOk) exit_code_ = code;
    return true;
  }

  Client client_;
  std::optional<Transaction> txn_;
  ExitCode exit_code_ = kOk;
};

ExitCode RunShell(const Globals& globals) {
  auto client = ConnectClient(globals);
  if (!client.ok()) return Fail(client.status());
  const std::string cluster = client->cluster();
  Shell shell(std::move(client).value());
  if (isatty(STDIN_FILENO) != 1) {
    for (std::string line; std::getline(std::cin, line);) {
      if (!shell.Handle(line)) break;
    }
    return shell.exit_code();
  }
  std::cout << "cluster " << cluster << ". Type .help for help, .quit to leave.\n";
  for (;;) {
    char* text = readline(shell.prompt());
    if (text == nullptr) break;
    const std::string line = text;
    if (!line.empty()) add_history(text);
    std::free(text);
    if (!shell.Handle(line)) return kOk;
  }
  std::cout << '\n';
  return kOk;
}

}  // namespace

void AddShell(CLI::App& app, Globals& globals) {
  CLI::App* shell = app.add_subcommand("shell", "work interactively: begin, get, put, add, commit");
  AddClusterOptions(*shell, globals);
  shell->footer(
      "Reads commands from standard input where that is no terminal.\nExample:\n"
      "  printf 'begin\\nadd alice -10 min=0\\nadd bob 10\\ncommit\\n' | assent shell");
  shell->callback([&globals] { globals.exit_code = RunShell(globals); });
}

}  // namespace assent::cli
