#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/commands/restart_command.h"
#include "cli/interrupts.h"
#include "cli/text.h"
#include "rm/conformance/conformance.h"
#include "runtime/random_number.h"

namespace assent::cli {
namespace {

constexpr std::string_view kScheme = "thrift://";
constexpr int kHoldSecondsMax = 3'600;

struct ConformanceArguments {
  std::string address;
  std::string cluster = "conformance";
  std::string payload;
  std::optional<std::string> conflicting_payload;
  std::string restart_command;
  int hold_seconds = 3;
};

Result<Address> AddressOf(const std::string& text) {
  if (!text.starts_with(kScheme)) {
    return Status(StatusCode::kInvalid,
                  "'" + text + "' is no thrift://HOST:PORT, such as thrift://127.0.0.1:7301");
  }
  auto address = ParseAddress(std::string_view(text).substr(kScheme.size()));
  if (address.ok()) return address;
  return Status(StatusCode::kInvalid, "'" + text + "': " + address.status().message());
}

std::string NameOf(rm::Verdict verdict) {
  switch (verdict) {
    case rm::Verdict::kHolds:
      return "holds";
    case rm::Verdict::kFails:
      return "fails";
    case rm::Verdict::kNotTried:
      return "not tried";
  }
  return "?";
}

Table::Cell TextOrNone(const std::string& text) {
  return text.empty() ? Table::None() : Table::Text(text);
}

// A table shows promises and verdicts, and below it what shows that one fails. Programs get it in columns.
void Print(const rm::ConformanceReport& report, Format format) {
  if (format != Format::kTable) {
    Table table({"clause", "verdict", "promise", "sent", "answered", "expected", "before", "note"});
    for (const rm::ClauseResult& clause : report.clauses) {
      table.Add(
          {Table::Text(clause.id), Table::Text(NameOf(clause.verdict)), Table::Text(clause.promise),
           TextOrNone(clause.sent), TextOrNone(clause.answered), TextOrNone(clause.expected),
           Table::List(clause.verdict == rm::Verdict::kFails ? clause.before : std::vector<std::string>{}),
           TextOrNone(clause.note)});
    }
    table.Print(format);
    return;
  }
  Table table({"clause", "verdict", "promise", "note"});
  for (const rm::ClauseResult& clause : report.clauses) {
    table.Add({Table::Text(clause.id), Table::Text(NameOf(clause.verdict)), Table::Text(clause.promise),
               Table::Text(clause.note)});
  }
  table.Print(format);
  for (const rm::ClauseResult& clause : report.clauses) {
    if (clause.verdict != rm::Verdict::kFails) continue;
    std::cout << '\n' << clause.id << " fails\n";
    for (const std::string& step : clause.before) std::cout << "  before    " << Harmless(step) << '\n';
    std::cout << "  sent      " << Harmless(clause.sent) << "\n  answered  " << Harmless(clause.answered)
              << "\n  expected  " << Harmless(clause.expected) << '\n';
  }
}

ExitCode Summary(const rm::ConformanceReport& report) {
  int failed = 0;
  int not_tried = 0;
  for (const rm::ClauseResult& clause : report.clauses) {
    failed += clause.verdict == rm::Verdict::kFails ? 1 : 0;
    not_tried += clause.verdict == rm::Verdict::kNotTried ? 1 : 0;
  }
  const int tried = static_cast<int>(report.clauses.size()) - not_tried;
  Note(std::to_string(tried - failed) + " of " + std::to_string(tried) +
       " clauses that were tried hold; not tried: " + std::to_string(not_tried) + "; with ids of " +
       report.ids);
  ExitCode code = failed > 0 ? kError : kOk;
  if (!report.reachable.ok()) {
    Fail(kUnavailable, "the service was lost on the way: " + report.reachable.message());
    if (code == kOk) code = kUnavailable;
  }
  for (const std::string& left : report.left) {
    Fail(kError, "may be left prepared: " + left + "; end it at the service by hand, no cluster will");
    if (code == kOk) code = kError;
  }
  return code;
}

ExitCode Run(const ConformanceArguments& arguments, Format format) {
  const auto address = AddressOf(arguments.address);
  if (!address.ok()) return Fail(kUsage, address.status().message());
  rm::ConformanceOptions options;
  options.address = *address;
  options.cluster = arguments.cluster;
  options.payload = arguments.payload;
  options.conflicting_payload = arguments.conflicting_payload;
  options.hold_ms = arguments.hold_seconds * 1'000;
  options.seed = RandomNumber();
  if (!arguments.restart_command.empty()) {
    options.restart = [&] { return RunCommand("--restart-command", arguments.restart_command); };
  }
  // What was prepared is rolled back before the program ends.
  Interrupts interrupts;
  int signal = 0;
  options.is_interrupted = [&] {
    if (signal == 0) signal = interrupts.Take();
    return signal != 0;
  };
  Progress progress;
  options.progress = [&](const std::string& clause) { progress.Show("trying " + clause); };
  const auto report = rm::CheckConformance(options);
  progress.Clear();
  if (!report.ok()) return Fail(report.status());
  Print(*report, format);
  const ExitCode code = Summary(*report);
  if (signal != 0) Interrupts::DieBy(signal);
  return code;
}

}  // namespace

void AddRm(CLI::App& app, Globals& globals) {
  CLI::App* rm = app.add_subcommand("rm", "resource managers: services that take part in transactions");
  rm->require_subcommand(1);
  auto arguments = std::make_shared<ConformanceArguments>();
  CLI::App* conformance =
      rm->add_subcommand("conformance", "try whether a service keeps what a participant must promise");
  conformance->add_option("ADDRESS", arguments->address, "thrift://HOST:PORT of its Participant service")
      ->required();
  conformance->add_option("--cluster", arguments->cluster, "the cluster that the service belongs to")
      ->capture_default_str();
  conformance->add_option(
      "--payload", arguments->payload,
      "a change that the service can prepare; %n in it becomes a number, another one for each branch");
  conformance->add_option("--conflicting-payload", arguments->conflicting_payload,
                          "one that cannot be prepared while --payload with the same %n is");
  conformance->add_option(
      "--restart-command", arguments->restart_command,
      "for the shell: kills the service (kill -9), starts it again in the background, and ends");
  conformance
      ->add_option("--hold", arguments->hold_seconds, "seconds for which a prepared branch is left alone")
      ->check(CLI::Range(1, kHoldSecondsMax))
      ->capture_default_str();
  AddOutputOption(*conformance, globals);
  conformance->footer(
      "Use a service with test data: some branches are committed. The others are rolled back. The clauses, "
      "RM1\n"
      "and so on, are explained in docs/INTEGRATING.md. What a missing option keeps from being tried is "
      "said.\n"
      "Exit codes: 0 all clauses that were tried hold, 1 some fail, 2 usage, 6 the service cannot be "
      "reached.\n"
      "Example:\n"
      "  assent rm conformance thrift://127.0.0.1:7301 --cluster ID --restart-command ./restart-ledger \\\n"
      "    --payload '{\"moves\": [{\"account\": \"test-%n\", \"delta\": 0}]}' \\\n"
      "    --conflicting-payload '{\"moves\": [{\"account\": \"test-%n\", \"delta\": 0}]}'");
  conformance->callback([arguments, &globals] { globals.exit_code = Run(*arguments, globals.format); });
}

}  // namespace assent::cli
