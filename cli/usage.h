#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace assent::cli {

// What is wrong with a command line, in plain words, after `root` could not parse it.
std::string Explain(const CLI::App& root, const CLI::ParseError& error);

}  // namespace assent::cli
