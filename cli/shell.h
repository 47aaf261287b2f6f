#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/interrupts.h"

// Carries out the lines of `assent shell`, wherever they come from.
//
//   outside --begin--> open, or failed where the begin fails
//   open    --commit, rollback--> outside
//   open    --an abort, the idle limit; in a script any line that is not understood--> failed
//   failed  --commit, rollback--> outside; all other lines are refused
//
// Guarantees:
//   - lines between a `begin` and its commit or rollback run in that transaction, or not at all;
//   - a script's block with a line that was not understood does not commit;
//   - a script ends at a line outside of a block that is not understood: it may have been meant as `begin`;
//   - the exit code is that of the worst that happened (Worse in cli/output.h).
namespace assent::cli {

class Shell {
 public:
  Shell(Client client, const Globals& globals, bool is_script, Interrupts& interrupts);

  // False: nothing more is to be read.
  bool Handle(std::string_view line);
  // The input is over, since `why`: ends what is open.
  void Leave(const std::string& why);
  // An error of the input itself.
  void Report(ExitCode code, const std::string& what);

  bool in_block() const { return block_ != Block::kNone; }
  const char* prompt() const;
  ExitCode exit_code() const { return exit_code_; }

 private:
  enum class Block { kNone, kOpen, kFailed };

  bool HandleFailed(std::string_view verb, bool alone);
  bool Begin(bool alone);
  bool End(std::string_view verb, bool alone);
  void Work(const Operation& operation);
  void RunAlone(const Operation& operation);
  bool Look(std::vector<std::string> words);
  bool NotUnderstood(const std::string& why, int depth = 1);
  // `why`: what happened, as in "line 3 was not understood". `depth`: blocks that are begun, all of which are
  // to end before anything is run again.
  void FailBlock(const std::string& why, int depth = 1);
  std::string ThisLine() const;

  Client client_;
  const Globals globals_;
  const bool is_script_;
  Interrupts& interrupts_;
  Block block_ = Block::kNone;
  std::optional<Transaction> txn_;  // kOpen; kNone: one whose outcome is unknown, which commit asks for again
  std::string failure_;             // kFailed
  int depth_ = 0;                   // kFailed
  size_t line_number_ = 0;
  ExitCode exit_code_ = kOk;
};

}  // namespace assent::cli
