#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands/commands.h"
#include "cli/parse_operation.h"
#include "cli/report.h"

namespace assent::cli {
namespace {

struct Arguments {
  std::string key;
  std::string value;
  size_t limit = 0;
  std::vector<std::string> operations;
};

CLI::App* AddCommand(CLI::App& app, Globals& globals, const std::string& name,
                     const std::string& description) {
  CLI::App* command = app.add_subcommand(name, description);
  AddClusterOptions(*command, globals);
  AddOutputOption(*command, globals);
  return command;
}

// Connects, or says why not.
template <typename Fn>
ExitCode WithClient(const Globals& globals, Fn fn) {
  auto client = ConnectClient(globals);
  if (!client.ok()) return Fail(client.status());
  return fn(*client);
}

}  // namespace

void AddData(CLI::App& app, Globals& globals) {
  auto arguments = std::make_shared<Arguments>();

  CLI::App* get = AddCommand(app, globals, "get", "read a row");
  get->add_option("KEY", arguments->key)->required();
  get->footer("Example:\n  assent get accounts/alice");
  get->callback([arguments, &globals] {
    globals.exit_code = WithClient(globals, [&](Client& client) {
      const auto row = client.Get(arguments->key);
      if (!row.ok()) return Fail(row.status());
      if (!row->has_value()) return Fail(kError, "no such key: " + Printable(arguments->key));
      if (globals.format == Format::kTable) {
        std::cout << (StdoutIsTerminal() ? Printable((*row)->value) : (*row)->value) << '\n';
      } else {
        PrintRows({**row}, globals.format);
      }
      return kOk;
    });
  });

  CLI::App* put = AddCommand(app, globals, "put", "write a row");
  put->add_option("KEY", arguments->key)->required();
  put->add_option("VALUE", arguments->value)->required();
  put->footer("Example:\n  assent put accounts/alice 100");
  put->callback([arguments, &globals] {
    globals.exit_code = WithClient(globals, [&](Client& client) {
      return PrintCommit(client.Execute({op::Put(arguments->key, arguments->value)}), {}, globals.format);
    });
  });

  CLI::App* remove = AddCommand(app, globals, "delete", "remove a row");
  remove->add_option("KEY", arguments->key)->required();
  remove->footer("Example:\n  assent delete accounts/alice");
  remove->callback([arguments, &globals] {
    globals.exit_code = WithClient(globals, [&](Client& client) {
      return PrintCommit(client.Execute({op::Delete(arguments->key)}), {}, globals.format);
    });
  });

  CLI::App* scan = AddCommand(app, globals, "scan", "read all rows whose key starts with PREFIX");
  scan->add_option("PREFIX", arguments->key)->required();
  scan->add_option("--limit", arguments->limit, "at most so many rows")->check(CLI::NonNegativeNumber);
  scan->footer("Example:\n  assent scan accounts/ --limit 10 -o json");
  scan->callback([arguments, &globals] {
    globals.exit_code = WithClient(globals, [&](Client& client) {
      const auto rows = client.Scan(arguments->key, arguments->limit);
      if (!rows.ok()) return Fail(rows.status());
      PrintRows(*rows, globals.format);
      return kOk;
    });
  });

  CLI::App* exec =
      AddCommand(app, globals, "exec", "run operations as one transaction: all of them, or none");
  exec->add_option("OPERATION", arguments->operations, "see below")->required();
  exec->footer("Operations, each one argument:\n" + std::string(kOperationHelp) +
               "Example:\n  assent exec 'add accounts/alice -10 min=0' 'add accounts/bob 10'");
  exec->callback([arguments, &globals] {
    std::vector<Operation> operations;
    for (const std::string& text : arguments->operations) {
      auto operation = ParseOperation(text);
      if (!operation.ok()) {
        globals.exit_code = Fail(operation.status());
        return;
      }
      operations.push_back(std::move(operation).value());
    }
    globals.exit_code = WithClient(globals, [&](Client& client) {
      return PrintCommit(client.Execute(operations), operations, globals.format);
    });
  });
}

}  // namespace assent::cli
