#include "cli/program.h"

#include <string_view>

#include "cli/text.h"

namespace assent::cli {
namespace {

std::string& Word() {
  static std::string word = "assent";
  return word;
}

}  // namespace

const std::string& ProgramWord() {
  return Word();
}

void ProgramIs(const std::string& argv0) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._+-";
  const bool plain = !argv0.empty() && argv0.find_first_not_of(kPlain) == std::string::npos;
  Word() = plain ? argv0 : ShellWord(argv0);
}

}  // namespace assent::cli
