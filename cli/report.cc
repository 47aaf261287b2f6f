#include "cli/report.h"

#include <assent/token_text.h>

#include <iostream>
#include <string>

#include "cli/json.h"
#include "cli/parse_operation.h"
#include "cli/program.h"

namespace assent::cli {
namespace {

constexpr size_t kHintBytesMax = 2'000;  // of a command to paste

std::string NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCommitted:
      return "committed";
    case Outcome::kAborted:
      return "aborted";
    case Outcome::kUnknown:
      return "unknown";
  }
  return "?";
}

std::string ReasonOf(const CommitResult& result) {
  if (result.committed()) return {};
  return result.refused.ok() ? std::string(ToString(result.reason)) : result.refused.message();
}

// How to learn the outcome of an UNKNOWN; empty where asking again brings nothing.
std::string HowToAsk(const CommitResult& result, const std::vector<Operation>& operations) {
  if (result.outcome != Outcome::kUnknown || !result.refused.ok() || !result.token.valid()) return {};
  const std::string token = TokenText(result.token);
  const std::string sent = "token " + token + ", attempt " + std::to_string(result.attempts);
  if (operations.empty()) return "\nIt may have taken effect, or may yet (" + sent + "); commit asks again.";
  const std::string ask = ProgramWord() + " exec --token " + token;
  std::string command = ask;
  for (const Operation& operation : operations) {
    command += ' ' + ShellWord(FormatOperation(operation));
    if (command.size() > kHintBytesMax) {
      command = ask + " with the same operations";
      break;
    }
  }
  return "\nIt may have taken effect, or may yet (" + sent +
         ").\nTo learn which, or to have it done once if it was not:\n  " + command;
}

Json JsonOf(const Operation& operation, const OperationResult& result) {
  Json one;
  one["operation"] = VerbOf(operation);
  SetBytes(one, "key", KeyOf(operation));
  if (std::holds_alternative<AddOp>(operation)) one["number"] = result.number;
  Json rows = Json::array();
  for (const ResultRow& row : result.rows) {
    Json object;
    SetBytes(object, "key", row.key);
    SetBytes(object, "value", row.value);
    object["version"] = row.version;
    rows.push_back(std::move(object));
  }
  one["rows"] = std::move(rows);
  if (result.truncated) one["truncated"] = true;
  return one;
}

void PrintCommitJson(const CommitResult& result, const std::vector<Operation>& operations) {
  Json out;
  out["outcome"] = NameOf(result.outcome);
  if (result.txn.valid()) out["txn"] = ToString(result.txn);
  if (!result.committed()) {
    out["reason"] = ReasonOf(result);
    out["detail"] = result.detail;
  }
  if (result.token.valid()) out["token"] = TokenText(result.token);
  out["attempts"] = result.attempts;
  if (result.repeated) out["repeated"] = true;
  Json results = Json::array();
  for (size_t i = 0; i < operations.size() && i < result.results.size(); ++i) {
    results.push_back(JsonOf(operations[i], result.results[i]));
  }
  out["results"] = std::move(results);
  std::cout << ToText(out) << std::endl;
}

// A line for each row and each sum, and for each operation that gave neither; all of them repeat the outcome.
void PrintCommitCsv(const CommitResult& result, const std::vector<Operation>& operations) {
  Table table({"outcome", "txn", "reason", "detail", "token", "attempts", "index", "operation",
               Table::BytesColumn("key"), Table::BytesColumn("value"), "version", "number", "truncated"});
  const auto add = [&](std::vector<Table::Cell> cells) {
    std::vector<Table::Cell> line = {Table::Text(NameOf(result.outcome)),
                                     Table::Text(result.txn.valid() ? ToString(result.txn) : ""),
                                     Table::Text(ReasonOf(result)),
                                     Table::Text(result.detail),
                                     Table::Text(result.token.valid() ? TokenText(result.token) : ""),
                                     Table::Number(uint64_t{result.attempts})};
    line.insert(line.end(), cells.begin(), cells.end());
    table.Add(std::move(line));
  };
  for (size_t i = 0; i < operations.size() && i < result.results.size(); ++i) {
    const Operation& operation = operations[i];
    const OperationResult& one = result.results[i];
    const auto row = [&](const std::string& key, Table::Cell value, Table::Cell version, Table::Cell number) {
      add({Table::Number(uint64_t{i}), Table::Text(std::string(VerbOf(operation))), Table::Bytes(key),
           std::move(value), std::move(version), std::move(number),
           Table::Text(one.truncated ? "true" : "")});
    };
    for (const ResultRow& read : one.rows) {
      row(read.key, Table::Bytes(read.value), Table::Number(read.version), Table::Text(""));
    }
    if (std::holds_alternative<AddOp>(operation)) {
      row(KeyOf(operation), Table::Text(""), Table::Text(""), Table::Number(one.number));
    } else if (one.rows.empty()) {
      row(KeyOf(operation), Table::Text(""), Table::Text(""), Table::Text(""));
    }
  }
  if (table.empty()) add(std::vector<Table::Cell>(7, Table::Text("")));
  table.Print(Format::kCsv);
}

}  // namespace

ExitCode ExitCodeOf(const CommitResult& result) {
  switch (result.outcome) {
    case Outcome::kCommitted:
      return kOk;
    case Outcome::kAborted:
      return result.refused.ok() ? kAborted : ExitCodeOf(result.refused);
    case Outcome::kUnknown:
      return kUnknown;
  }
  return kError;
}

void PrintResult(const Operation& operation, const OperationResult& result, bool versions) {
  if (std::holds_alternative<AddOp>(operation)) {
    std::cout << Cell(KeyOf(operation)) << " = " << result.number << '\n';
  } else if (std::holds_alternative<GetOp>(operation) && result.rows.empty()) {
    std::cout << Cell(KeyOf(operation)) << " is absent\n";
  } else {
    for (const ResultRow& row : result.rows) {
      std::cout << Cell(row.key) << " = " << Cell(row.value);
      // A row that this transaction itself wrote has no version yet.
      if (versions && row.version != 0) std::cout << "  (version " << row.version << ')';
      std::cout << '\n';
    }
    if (result.truncated) std::cout << "(there may be more; scan on with after=KEY of the last)\n";
  }
}

ExitCode PrintCommit(const CommitResult& result, const std::vector<Operation>& operations, Format format,
                     bool versions) {
  std::string outcome = Describe(result);
  if (result.repeated) outcome += " (by an earlier send; what it read is not kept)";
  bool told = true;
  if (format == Format::kTable) {
    told = result.committed();
    if (result.committed()) {
      for (size_t i = 0; i < operations.size() && i < result.results.size(); ++i) {
        PrintResult(operations[i], result.results[i], versions);
      }
      std::cout << outcome << std::endl;
    }
  } else if (format == Format::kCsv) {
    PrintCommitCsv(result, operations);
  } else {
    PrintCommitJson(result, operations);
  }
  const ExitCode code = ExitCodeOf(result);
  if (!told || OutputError() != 0) {
    outcome += HowToAsk(result, operations);
    code == kOk ? Note(outcome) : static_cast<void>(Fail(code, outcome));
  }
  return code;
}

void PrintRows(const std::vector<ResultRow>& rows, Format format) {
  Table table({Table::BytesColumn("key"), Table::BytesColumn("value"), "version"});
  for (const ResultRow& row : rows) {
    table.Add({Table::Bytes(row.key), Table::Bytes(row.value), Table::Number(row.version)});
  }
  table.Print(format);
}

}  // namespace assent::cli
