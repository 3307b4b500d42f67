#include "cli/completion.h"

#include <CLI/CLI.hpp>

namespace mesh::cli {
namespace {

// "lab up" -> its subcommands and options, one case of the script each.
void add_cases(const CLI::App& command, const std::string& path, std::string& cases) {
  std::string words;
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_group().empty()) continue;  // hidden
    words += sub->get_name() + " ";
    add_cases(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), cases);
  }
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
    for (const std::string& name : option->get_snames()) words += "-" + name + " ";
  }
  cases += "    \"" + path + "\") words=\"" + words + "\" ;;\n";
}

constexpr const char* kBashHead = R"sh(# weft completion for bash: source <(weft completion bash)
_weft() {
  local current="${COMP_WORDS[COMP_CWORD]}" path="" words="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    [ "$word" = "--" ] && { COMPREPLY=($(compgen -c -- "$current")); return; }
    case "$word" in -*) continue ;; esac
    case "${path:+$path }$word" in
)sh";
constexpr const char* kBashMiddle = R"sh() path="${path:+$path }$word" ;;
    esac
  done
  case "$path" in
)sh";
constexpr const char* kBashTail = R"sh(  esac
  case "$path" in
    "lab exec"|"lab logs"|"lab stop"|"lab start"|"lab restart")
      words="$words $(weft lab names "${path#lab }" 2>/dev/null)" ;;
    "lab down"|"lab status") words="$words $(weft lab names labs 2>/dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  case "$path" in
    "lab up"|"lab apply"|"lab delete"|"lab demo") COMPREPLY+=($(compgen -f -- "$current")) ;;
  esac
}
complete -F _weft weft
)sh";

void add_paths(const CLI::App& command, const std::string& path, std::string& list) {
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string own = path.empty() ? sub->get_name() : path + " " + sub->get_name();
    list += (list.empty() ? "      \"" : "|\"") + own + "\"";
    add_paths(*sub, own, list);
  }
}

}  // namespace

std::string completion_script(const CLI::App& weft, const std::string& shell) {
  std::string cases;
  add_cases(weft, "", cases);
  std::string paths;
  add_paths(weft, "", paths);
  const std::string script = kBashHead + paths + kBashMiddle + cases + kBashTail;
  if (shell == "bash") return script;
  // zsh runs bash's completions as they are.
  return "#compdef weft\nautoload -U +X compinit && compinit -u\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         script;
}

}  // namespace mesh::cli
