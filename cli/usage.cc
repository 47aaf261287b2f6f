#include "cli/usage.h"

#include <algorithm>
#include <vector>

#include "common/edit_distance.h"

namespace assent::cli {
namespace {

constexpr size_t kSlipsMax = 2;  // letters that are wrong in a word that was meant; at most half of them

// "; did you mean get?", or nothing.
std::string Guess(const std::string& word, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return EditDistance(word, a) < EditDistance(word, b);
  });
  if (nearest == known.end()) return {};
  const size_t slips = EditDistance(word, *nearest);
  if (slips > kSlipsMax || 2 * slips > word.size()) return {};
  return "; did you mean " + *nearest + "?";
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> OptionsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

bool TakesWords(const CLI::App& app) {
  const auto options = app.get_options();
  return std::any_of(options.begin(), options.end(),
                     [](const CLI::Option* option) { return option->get_positional(); });
}

}  // namespace

std::string Explain(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App* app = &root;
  std::string path = root.get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += (path.empty() ? "" : " ") + app->get_name();
  }
  const std::string help = "\nSee: " + path + (path.empty() ? "help" : " --help");
  // Words that nobody took, in the order in which they were given.
  const std::vector<std::string> rest = root.remaining(/*recurse=*/true);
  const std::vector<std::string> commands = CommandsOf(*app);
  const auto option = std::find_if(rest.begin(), rest.end(),
                                   [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
  if (!commands.empty()) {
    const auto word = std::find_if(rest.begin(), rest.end(),
                                   [](const std::string& one) { return one.empty() || one[0] != '-'; });
    if (word != rest.end()) {
      const std::string guess = Guess(*word, commands);
      return "unknown command '" + (app == &root ? "" : app->get_name() + ' ') + *word + "'" +
             (guess.empty() ? "; there are " + Join(commands) : guess) + help;
    }
    if (option == rest.end()) return "a command is missing; there are " + Join(commands) + help;
  }
  if (option != rest.end() && *option != "--") {
    const std::string name = option->substr(0, option->find('='));
    return "unknown option '" + name + "'" + Guess(name, OptionsOf(*app)) +
           (TakesWords(*app) ? "\nA word that begins with - goes behind --, as in: assent put -- -key value"
                             : "") +
           help;
  }
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !rest.empty()) {
    return "a word too many: '" + rest.front() + "'" + help;
  }
  return error.what() + help;
}

}  // namespace assent::cli
