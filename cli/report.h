#pragma once

#include <assent/client.h>

#include <vector>

#include "cli/output.h"

// How the commands show what a cluster answered.
namespace assent::cli {

ExitCode ExitCodeOf(const CommitResult& result);

// Prints outcome and results, and of an UNKNOWN how to ask again. `operations`: those of the request; empty
// where it was no Execute. An outcome reaches stderr where stdout cannot be written.
ExitCode PrintCommit(const CommitResult& result, const std::vector<Operation>& operations, Format format,
                     bool versions = false);
void PrintRows(const std::vector<ResultRow>& rows, Format format);
// One line an operation, as a person would read it: `accounts/alice = 90`; with `versions`, of what was read,
// `accounts/alice = 90  (version 39)`.
void PrintResult(const Operation& operation, const OperationResult& result, bool versions = false);

}  // namespace assent::cli
