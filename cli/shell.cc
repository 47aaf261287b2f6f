#include "cli/shell.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "cli/parse_operation.h"
#include "cli/report.h"
#include "cli/waiting.h"

namespace assent::cli {
namespace {

constexpr const char* kWaitingForAnswer = "waiting for the answer";
constexpr std::string_view kHelp =
    "Outside a transaction each operation is one of its own. In one, they take effect together at commit.\n"
    "  begin | commit | rollback    where the transaction was aborted, or ended by the cluster since "
    "nothing\n"
    "                               was sent for too long, lines are refused up to commit or rollback\n";
constexpr std::string_view kMoreHelp =
    "  status | txn list | txn show TXN            as the commands of these names, with their options\n"
    "  help                         this text\n"
    "  exit, quit                   leave; an open transaction is rolled back\n";

bool IsAnyOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

Shell::Shell(Client client, const Globals& globals, bool is_script, Interrupts& interrupts)
    : client_(std::move(client)), globals_(globals), is_script_(is_script), interrupts_(interrupts) {}

const char* Shell::prompt() const {
  switch (block_) {
    case Block::kNone:
      return "assent> ";
    case Block::kOpen:
      return "assent*> ";
    case Block::kFailed:
      return "assent!> ";
  }
  return "";
}

std::string Shell::ThisLine() const {
  return is_script_ ? "line " + std::to_string(line_number_) : "the line";
}

void Shell::Report(ExitCode code, const std::string& what) {
  exit_code_ = Worse(exit_code_, Fail(code, what));
}

bool Shell::Handle(std::string_view line) {
  ++line_number_;
  const size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos || line[first] == '#') return true;
  const std::string_view verb = line.substr(first, line.find_first_of(" \t", first) - first);
  const auto words = SplitWords(line);
  const bool alone = words.ok() && words->size() == 1;
  if (alone && IsAnyOf(verb, {"exit", "quit", ".exit", ".quit"})) return false;
  if (alone && IsAnyOf(verb, {"help", ".help"})) {
    std::cout << kHelp << kOperationHelp << kMoreHelp << kQuotingHelp << std::flush;
    return true;
  }
  if (block_ == Block::kFailed) return HandleFailed(verb, alone);
  if (verb == "begin") return Begin(alone);
  if (verb == "commit" || verb == "rollback") return End(verb, alone);
  if (!words.ok()) return NotUnderstood(words.status().message());
  if (verb == "status" || verb == "txn") return Look(*words);
  const auto operation = ParseOperation(*words);
  if (!operation.ok()) return NotUnderstood(operation.status().message() + "; see help");
  if (block_ == Block::kOpen) {
    Work(*operation);
  } else {
    RunAlone(*operation);
  }
  return true;
}

bool Shell::HandleFailed(std::string_view verb, bool alone) {
  // In a script a block that is begun here has an end of its own, which is not ours.
  if (verb == "begin" && is_script_) ++depth_;
  const bool ends = alone && (verb == "commit" || verb == "rollback") && --depth_ == 0;
  if (!ends) {
    Report(kOk, ThisLine() + " is not run: " + failure_ + "; commit or rollback ends the block");
    return true;
  }
  block_ = Block::kNone;
  if (verb == "commit") {
    Report(kOk, "rolled back, not committed: " + failure_);
  } else {
    std::cout << "rolled back" << std::endl;
  }
  return true;
}

bool Shell::Begin(bool alone) {
  if (block_ == Block::kOpen) return NotUnderstood("a transaction is open: commit or rollback first", 2);
  if (!alone) {
    Report(kUsage, ThisLine() + ": begin takes no words");
    FailBlock("the transaction was not begun");
    return true;
  }
  auto begun = [&] {
    const Waiting waiting(kWaitingForAnswer, &interrupts_);
    return client_.Begin();
  }();
  if (!begun.ok()) {
    Report(ExitCodeOf(begun.status()), begun.status().message());
    FailBlock("the transaction was not begun");
    return true;
  }
  txn_.emplace(std::move(begun).value());
  block_ = Block::kOpen;
  std::cout << "begun " << ToString(txn_->id());
  if (!is_script_) {
    std::cout << " (ends by itself if nothing is sent for 10 s, unless the cluster is configured otherwise)";
  }
  std::cout << std::endl;
  return true;
}

bool Shell::End(std::string_view verb, bool alone) {
  if (block_ == Block::kNone && !(verb == "commit" && txn_)) {
    Report(kUsage, ThisLine() + ": no transaction is open: begin one");
    return true;
  }
  if (!alone) return NotUnderstood(std::string(verb) + " takes no words");
  block_ = Block::kNone;
  if (verb == "rollback") {
    txn_.reset();
    std::cout << "rolled back" << std::endl;
    return true;
  }
  const CommitResult result = [&] {
    const Waiting waiting(kWaitingForAnswer, &interrupts_);
    return txn_->Commit();
  }();
  if (result.outcome != Outcome::kUnknown) txn_.reset();
  exit_code_ = Worse(exit_code_, PrintCommit(result, {}, Format::kTable));
  return true;
}

void Shell::Work(const Operation& operation) {
  const auto results = [&] {
    const Waiting waiting(kWaitingForAnswer, &interrupts_);
    return txn_->Work({operation});
  }();
  if (results.ok()) {
    PrintResult(operation, results->front(), /*versions=*/true);
    return;
  }
  // Before a commit was asked for, whatever went wrong ends in an abort.
  const ExitCode code = results.status().code() == StatusCode::kInvalid ? kUsage : kAborted;
  Report(code, (is_script_ ? ThisLine() + ": " : "") + results.status().message() +
                   "\nThe transaction has ended; nothing of it took effect.");
  FailBlock("the transaction has ended");
}

void Shell::RunAlone(const Operation& operation) {
  const CommitResult result = [&] {
    const Waiting waiting(kWaitingForAnswer, &interrupts_);
    return client_.Execute({operation});
  }();
  exit_code_ = Worse(exit_code_, PrintCommit(result, {operation}, Format::kTable, /*versions=*/true));
}

bool Shell::Look(std::vector<std::string> words) {
  Globals globals = globals_;
  CLI::App app("", "");
  app.require_subcommand(1);
  AddStatus(app, globals);
  AddTxn(app, globals);
  std::reverse(words.begin(), words.end());
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return NotUnderstood(error.what());
    app.exit(error);  // prints the help that was asked for
  }
  exit_code_ = Worse(exit_code_, globals.exit_code);
  return true;
}

bool Shell::NotUnderstood(const std::string& why, int depth) {
  if (!is_script_) {
    Report(kUsage, why);
    return true;
  }
  Report(kUsage, ThisLine() + ": " + why);
  if (block_ == Block::kOpen) {
    FailBlock(ThisLine() + " was not understood", depth);
    return true;
  }
  Report(kOk, "the lines after it are not run");
  return false;
}

void Shell::FailBlock(const std::string& why, int depth) {
  txn_.reset();  // rolls back
  block_ = Block::kFailed;
  failure_ = why;
  depth_ = depth;
}

void Shell::Leave(const std::string& why) {
  if (block_ == Block::kNone) return;
  txn_.reset();
  block_ = Block::kNone;
  Report(is_script_ ? kAborted : kOk, why + " inside a transaction: rolled back, nothing of it took effect");
}

}  // namespace assent::cli
