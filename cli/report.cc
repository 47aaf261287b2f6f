#include "cli/report.h"

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

namespace assent::cli {
namespace {

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

nlohmann::ordered_json JsonOf(const ResultRow& row) {
  return {{"key", Printable(row.key)}, {"value", Printable(row.value)}, {"version", row.version}};
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

void PrintResult(const Operation& operation, const OperationResult& result) {
  if (std::holds_alternative<AddOp>(operation)) {
    std::cout << Printable(KeyOf(operation)) << " = " << result.number << '\n';
  } else if (std::holds_alternative<GetOp>(operation) && result.rows.empty()) {
    std::cout << Printable(KeyOf(operation)) << " is absent\n";
  } else {
    for (const ResultRow& row : result.rows) {
      std::cout << Printable(row.key) << " = " << Printable(row.value) << '\n';
    }
    if (result.truncated) std::cout << "(there may be more; scan on with after=KEY of the last)\n";
  }
}

ExitCode PrintCommit(const CommitResult& result, const std::vector<Operation>& operations, Format format) {
  if (format == Format::kTable) {
    if (result.committed()) {
      for (size_t i = 0; i < operations.size() && i < result.results.size(); ++i) {
        PrintResult(operations[i], result.results[i]);
      }
      std::cout << Describe(result) << std::endl;
    } else {
      std::cerr << "assent: " << Describe(result) << '\n';
    }
    return ExitCodeOf(result);
  }
  if (format == Format::kCsv) {
    Table table({"outcome", "txn", "reason", "detail"});
    table.Add({Table::Text(NameOf(result.outcome)),
               Table::Text(result.txn.valid() ? ToString(result.txn) : ""),
               Table::Text(std::string(ToString(result.reason))), Table::Text(result.detail)});
    table.Print(format);
    return ExitCodeOf(result);
  }
  nlohmann::ordered_json out;
  out["outcome"] = NameOf(result.outcome);
  if (result.txn.valid()) out["txn"] = ToString(result.txn);
  if (!result.committed()) {
    out["reason"] = result.refused.ok() ? std::string(ToString(result.reason)) : result.refused.message();
    out["detail"] = result.detail;
  }
  out["attempts"] = result.attempts;
  if (result.repeated) out["repeated"] = true;
  auto results = nlohmann::ordered_json::array();
  for (size_t i = 0; i < operations.size() && i < result.results.size(); ++i) {
    nlohmann::ordered_json one;
    one["key"] = Printable(KeyOf(operations[i]));
    if (std::holds_alternative<AddOp>(operations[i])) one["number"] = result.results[i].number;
    auto rows = nlohmann::ordered_json::array();
    for (const ResultRow& row : result.results[i].rows) rows.push_back(JsonOf(row));
    one["rows"] = std::move(rows);
    if (result.results[i].truncated) one["truncated"] = true;
    results.push_back(std::move(one));
  }
  out["results"] = std::move(results);
  std::cout << out.dump(2) << std::endl;
  return ExitCodeOf(result);
}

void PrintRows(const std::vector<ResultRow>& rows, Format format) {
  Table table({"key", "value", "version"});
  for (const ResultRow& row : rows) {
    table.Add(
        {Table::Text(Printable(row.key)), Table::Text(Printable(row.value)), Table::Number(row.version)});
  }
  table.Print(format);
}

}  // namespace assent::cli
