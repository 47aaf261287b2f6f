#include <assent/token_text.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/parse_operation.h"
#include "cli/report.h"
#include "cli/text.h"
#include "cli/waiting.h"

namespace assent::cli {
namespace {

constexpr size_t kOperationsBytesMax = 8 * 1024 * 1024;  // of a file; far more than one request holds
constexpr uint64_t kLimitMax = 1'000'000'000;

struct Arguments {
  std::string key;
  std::optional<std::string> value;
  std::string file;
  std::string token;
  uint64_t limit = 0;
  std::vector<std::string> operations;
};

CLI::App* AddCommand(CLI::App& app, Globals& globals, const std::string& name,
                     const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  AddClusterOptions(*command, globals);
  AddOutputOption(*command, globals);
  return command;
}

Status Unreadable(const std::string& path) {
  return Status(StatusCode::kIo, "reading " + path + ": " + std::strerror(errno));
}

// All of the file, or of standard input for "-".
Result<std::string> ReadWhole(const std::string& path, size_t bytes_max) {
  const bool is_stdin = path == "-";
  const std::string name = is_stdin ? "standard input" : path;
  const int fd = is_stdin ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Unreadable(name);
  std::string whole;
  Status status;
  std::array<char, 65'536> piece;
  for (;;) {
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = Unreadable(name);
    if (got <= 0) break;
    whole.append(piece.data(), static_cast<size_t>(got));
    if (whole.size() > bytes_max) {
      status = Status(StatusCode::kInvalid,
                      name + " holds more than " + Grouped(static_cast<int64_t>(bytes_max)) + " bytes");
      break;
    }
  }
  if (!is_stdin) close(fd);
  if (!status.ok()) return status;
  return whole;
}

// The operations of a file, one a line; empty lines and those that begin with # are none.
Result<std::vector<Operation>> ReadOperations(const std::string& path) {
  const auto whole = ReadWhole(path, kOperationsBytesMax);
  if (!whole.ok()) return whole.status();
  std::vector<Operation> operations;
  size_t number = 0;
  for (size_t begin = 0; begin < whole->size();) {
    const size_t end = std::min(whole->find('\n', begin), whole->size());
    std::string_view line(whole->data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || line[first] == '#') continue;
    auto operation = ParseOperation(line);
    if (!operation.ok()) {
      return Status(StatusCode::kInvalid,
                    path + ':' + std::to_string(number) + ": " + operation.status().message());
    }
    operations.push_back(std::move(operation).value());
  }
  if (operations.empty()) return Status(StatusCode::kInvalid, path + " holds no operation");
  return operations;
}

Result<std::vector<Operation>> ParseOperations(const std::vector<std::string>& texts) {
  std::vector<Operation> operations;
  for (const std::string& text : texts) {
    auto operation = ParseOperation(text);
    if (!operation.ok()) {
      std::string why = operation.status().message();
      if (IsVerb(text)) why += "\nQuote each operation, to make one word of it: assent exec 'put KEY VALUE'";
      return Status(StatusCode::kInvalid, why);
    }
    operations.push_back(std::move(operation).value());
  }
  return operations;
}

// Runs them as one transaction under `token`, or under a new one.
ExitCode Commit(const Globals& globals, const std::vector<Operation>& operations,
                std::optional<Token> token = {}) {
  ClientOptions options;
  if (token) options.coordinator = token->coordinator;
  auto client = ConnectClient(globals, options);
  if (!client.ok()) return Fail(client.status());
  const CommitResult result = [&] {
    if (!token) {
      const Waiting waiting("waiting for a token");
      const auto drawn = client->NewToken();
      if (!drawn.ok()) {
        CommitResult none;
        none.outcome = Outcome::kAborted;
        none.refused = drawn.status();
        none.detail = drawn.status().message();
        return none;
      }
      token = *drawn;
    }
    // Named while it may be interrupted: with the token the outcome can be asked for.
    const Waiting waiting("waiting for the outcome under token " + TokenText(*token));
    return client->Execute(*token, operations);
  }();
  return PrintCommit(result, operations, globals.format);
}

// A read is a transaction, too, and may be aborted.
ExitCode FailRead(const Status& status) {
  return Fail(status.code() == StatusCode::kConflict ? kAborted : ExitCodeOf(status), status.message());
}

ExitCode Get(const Globals& globals, const std::string& key) {
  auto client = ConnectClient(globals);
  if (!client.ok()) return Fail(client.status());
  const auto row = [&] {
    const Waiting waiting("waiting for the answer");
    return client->Get(key);
  }();
  if (!row.ok()) return FailRead(row.status());
  if (!row->has_value()) return Fail(kAbsent, "no such key: " + Cell(key));
  if (globals.format == Format::kTable) {
    std::cout << (StdoutIsTerminal() ? Printable((*row)->value) : (*row)->value) << '\n';
  } else {
    PrintRows({**row}, globals.format);
  }
  return kOk;
}

ExitCode Scan(const Globals& globals, const std::string& prefix, size_t limit) {
  auto client = ConnectClient(globals);
  if (!client.ok()) return Fail(client.status());
  const auto rows = [&] {
    const Waiting waiting("waiting for the rows");
    return client->Scan(prefix, limit);
  }();
  if (!rows.ok()) return FailRead(rows.status());
  PrintRows(*rows, globals.format);
  return kOk;
}

ExitCode Put(const Globals& globals, const Arguments& arguments) {
  if (arguments.value.has_value() != arguments.file.empty()) {
    return Fail(kUsage, arguments.value
                            ? "a VALUE and --file: which of the two?"
                            : "VALUE is missing; - or --file read it from elsewhere"
                              "\nA word that begins with - goes behind --, as in: assent put -- -key value");
  }
  if (arguments.value && *arguments.value != "-") {
    return Commit(globals, {op::Put(arguments.key, *arguments.value)});
  }
  const auto value = ReadWhole(arguments.value ? "-" : arguments.file, kValueBytesMax);
  if (!value.ok()) return Fail(value.status());
  return Commit(globals, {op::Put(arguments.key, *value)});
}

ExitCode Exec(const Globals& globals, const Arguments& arguments) {
  if (arguments.operations.empty() == arguments.file.empty()) {
    return Fail(kUsage, arguments.file.empty() ? "no operation was given; see assent exec --help"
                                               : "operations and --file: which of the two?");
  }
  std::optional<Token> token;
  if (!arguments.token.empty()) {
    token = ParseTokenText(arguments.token);
    if (!token) return Fail(kUsage, "not a token: " + Cell(arguments.token) + "; exec prints them whole");
  }
  const auto operations =
      arguments.file.empty() ? ParseOperations(arguments.operations) : ReadOperations(arguments.file);
  if (!operations.ok()) return Fail(operations.status());
  return Commit(globals, *operations, token);
}

}  // namespace

void AddData(CLI::App& app, Globals& globals) {
  auto arguments = std::make_shared<Arguments>();

  CLI::App* get = AddCommand(app, globals, "get", "read a row");
  get->add_option("KEY", arguments->key)->required();
  get->footer(
      "Prints the value as it is; at a terminal with escapes. Exit code 7 if there is no such key.\n"
      "Example:\n  assent get accounts/alice");
  get->callback([arguments, &globals] { globals.exit_code = Get(globals, arguments->key); });

  CLI::App* put = AddCommand(app, globals, "put", "write a row");
  put->add_option("KEY", arguments->key)->required();
  put->add_option("VALUE", arguments->value, "as it is, without escapes; - for standard input");
  put->add_option("--file", arguments->file,
                  "whose bytes are the value, up to 256 KiB; - for standard input");
  put->footer(
      "KEY and VALUE are taken as they are. Escapes are for `exec`: assent exec 'put k \"line\\n\"'\n"
      "What begins with - goes behind --: assent put -- -key value\n"
      "Example:\n  assent put accounts/alice 100");
  put->callback([arguments, &globals] { globals.exit_code = Put(globals, *arguments); });

  CLI::App* remove = AddCommand(app, globals, "delete", "remove a row");
  remove->add_option("KEY", arguments->key)->required();
  remove->footer("Example:\n  assent delete accounts/alice");
  remove->callback(
      [arguments, &globals] { globals.exit_code = Commit(globals, {op::Delete(arguments->key)}); });

  CLI::App* scan = AddCommand(app, globals, "scan", "read all rows whose key starts with PREFIX");
  scan->add_option("PREFIX", arguments->key)->required();
  scan->add_option_function<std::string>(
      "--limit",
      [arguments](const std::string& text) {
        const auto limit = ParseUnsigned(text);
        if (!limit || *limit == 0 || *limit > kLimitMax) {
          throw CLI::ValidationError(
              "--limit", "a number from 1 to " + std::to_string(kLimitMax) + ", not '" + text + "'");
        }
        arguments->limit = *limit;
      },
      "at most so many rows");
  scan->footer(
      "Tables show what is not printable as \\n \\t \\r \\xNN, and a backslash as \\\\. JSON and CSV lose\n"
      "nothing: what is no text is in key_base64 and value_base64.\n"
      "Example:\n  assent scan accounts/ --limit 10 -o json");
  scan->callback([arguments, &globals] {
    globals.exit_code = Scan(globals, arguments->key, static_cast<size_t>(arguments->limit));
  });

  CLI::App* exec =
      AddCommand(app, globals, "exec", "run operations as one transaction: all of them, or none");
  exec->add_option("OPERATION", arguments->operations, "see below");
  exec->add_option("-f,--file", arguments->file, "with one operation a line; - for standard input");
  exec->add_option("--token", arguments->token,
                   "of an exec, put or delete whose outcome is unknown, with the same operations: gives the\n"
                   "outcome of that time, or runs them now if they never ran");
  exec->footer("Operations, each one argument:\n" + std::string(kOperationHelp) + std::string(kQuotingHelp) +
               "-o csv gives a line for each row and sum that was read, each with the outcome.\n"
               "Example:\n  assent exec 'add accounts/alice -10 min=0' 'add accounts/bob 10'");
  exec->callback([arguments, &globals] { globals.exit_code = Exec(globals, *arguments); });
}

}  // namespace assent::cli
