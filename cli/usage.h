#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace assent::cli {

// The error in a command line, in plain words, after `root` could not parse it.
std::string Explain(const CLI::App& root, const CLI::ParseError& error);

}  // namespace assent::cli
