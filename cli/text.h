#pragma once

#include <string>
#include <string_view>

// Bytes as text, for output.
namespace assent::cli {

// Well-formed UTF-8: nothing overlong, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view bytes);

// For people, one text for each sequence of bytes: UTF-8 as it is, a backslash as \\, control characters and
// bytes that are no UTF-8 as \n \t \r \xNN.
std::string Printable(std::string_view bytes);

// Printable, and in double quotes where it could not be seen where it begins and ends: if it is empty, has a
// blank at an end, two blanks in a row or " = " in it, or begins with a double quote.
std::string Cell(std::string_view bytes);

// In double quotes, with the escapes that cli/parse_operation.h reads.
std::string InDoubleQuotes(std::string_view bytes);

// One word for a shell.
std::string ShellWord(std::string_view text);

// Sentences of a node or of this program, which may quote anything: line ends and backslashes stay, control
// characters and what is no UTF-8 are escaped, so that a terminal shows them and does not obey them.
std::string Harmless(std::string_view text);

// The columns that a terminal needs for it, if each code point takes one.
size_t Columns(std::string_view utf8);

}  // namespace assent::cli
