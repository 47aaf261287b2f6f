#pragma once

#include <cstdint>
#include <optional>
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
// Words are separated by blanks. "Double quotes" keep blanks together; in them, and only there, a backslash
// leads one of \" \\ \n \t \r \0 \xNN. Any other escape, and a control character outside of quotes, is an
// error: it would become data that nobody wrote.
Result<Operation> ParseOperation(std::string_view text);

// The words of a line by the same rules.
Result<std::vector<std::string>> SplitWords(std::string_view text);
Result<Operation> ParseOperation(const std::vector<std::string>& words);

// "get": the word that leads an operation.
std::string_view VerbOf(const Operation& operation);
bool IsVerb(std::string_view word);
// In the notation, so that ParseOperation makes the same operation of it.
std::string FormatOperation(const Operation& operation);

// An unsigned decimal number, all of `text`.
std::optional<uint64_t> ParseUnsigned(std::string_view text);

// For help texts.
inline constexpr std::string_view kOperationHelp =
    "  get KEY                      read a row\n"
    "  put KEY VALUE                write a row\n"
    "  delete KEY                   remove a row\n"
    "  add KEY DELTA [min=N]        add to the number that leads the row; abort if the sum is below N\n"
    "  check KEY exists|absent|value=V|version=N   abort unless it holds\n"
    "  scan PREFIX [limit=N] [after=KEY]\n"
    "                               read the rows whose keys start with PREFIX, at most 4096 of them\n";
inline constexpr std::string_view kQuotingHelp =
    "Words with blanks go in double quotes: 'put greeting \"hello world\"'. In them, and only there,\n"
    "\\\" \\\\ \\n \\t \\r \\0 \\xNN are escapes; any other is an error. Single quotes are letters.\n";

}  // namespace assent::cli
