#include <iostream>
#include <string>

#include "cli/commands/commands.h"

namespace assent::cli {
namespace {

// Names of the subcommands of `app`, and of its long options.
std::string WordsOf(const CLI::App& app) {
  std::string words;
  for (const CLI::App* sub : app.get_subcommands({})) words += sub->get_name() + ' ';
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + ' ';
  }
  if (!words.empty()) words.pop_back();
  return words;
}

void PrintCases(const CLI::App& app, const std::string& path) {
  std::cout << "    '" << path << "') words='" << WordsOf(app) << "' ;;\n";
  for (const CLI::App* sub : app.get_subcommands({}))
    PrintCases(*sub, path.empty() ? sub->get_name() : path + ' ' + sub->get_name());
}

}  // namespace

void AddCompletion(CLI::App& app, Globals&) {
  CLI::App* completion =
      app.add_subcommand("completion", "print a script that completes this program's words");
  completion->require_subcommand(1);
  CLI::App* bash = completion->add_subcommand("bash", "for bash");
  bash->footer("Example:\n  source <(assent completion bash)");
  bash->callback([&app] {
    std::cout << "# bash completion for assent: source <(assent completion bash)\n"
                 "_assent() {\n"
                 "  local path='' word words=''\n"
                 "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                 "    [[ $word == -* ]] || path=\"${path:+$path }$word\"\n"
                 "  done\n"
                 "  case \"$path\" in\n";
    PrintCases(app, "");
    std::cout << "    *) COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\")); return ;;\n"
                 "  esac\n"
                 "  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
                 "}\n"
                 "complete -F _assent assent\n";
  });
}

}  // namespace assent::cli
