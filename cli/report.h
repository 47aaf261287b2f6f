#pragma once

#include <vector>

#include "cli/output.h"
#include "client/client.h"

// How the commands show what a cluster answered.
namespace assent::cli {

ExitCode ExitCodeOf(const CommitResult& result);
// Prints outcome and results; `operations` are those of the results, or empty where none is to be shown.
ExitCode PrintCommit(const CommitResult& result, const std::vector<Operation>& operations, Format format);
void PrintRows(const std::vector<ResultRow>& rows, Format format);
// One line an operation, as a person would read it: `accounts/alice = 90`.
void PrintResult(const Operation& operation, const OperationResult& result);

}  // namespace assent::cli
