#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/operations.h"
#include "common/status.h"

namespace assent::cli {

// The commands' notation for operations, one a string:
//   get KEY | put KEY VALUE | delete KEY | scan PREFIX [limit=N] [after=KEY]
//   add KEY DELTA [min=N]
//   check KEY exists | absent | value=V | version=N
// Words are separated by blanks; "double quotes" keep blanks together, with \" \\ \n \t \xNN inside.
Result<Operation> ParseOperation(std::string_view text);

// The words of a line by the same rules.
Result<std::vector<std::string>> SplitWords(std::string_view text);
Result<Operation> ParseOperation(const std::vector<std::string>& words);

// For help texts.
inline constexpr std::string_view kOperationHelp =
    "  get KEY                      read a row\n"
    "  put KEY VALUE                write a row\n"
    "  delete KEY                   remove a row\n"
    "  add KEY DELTA [min=N]        add to the number that leads the row; abort if the sum is below N\n"
    "  check KEY exists|absent|value=V|version=N   abort unless it holds\n"
    "  scan PREFIX [limit=N] [after=KEY]\n"
    "                               read the rows whose keys start with PREFIX, at most 4096 of them\n"
    "Quote words with blanks: 'put greeting \"hello world\"'.\n";

}  // namespace assent::cli
