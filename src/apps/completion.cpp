#include "apps/completion.h"

#include <algorithm>

namespace dsmoe::apps {
namespace {

using Texts = std::vector<std::string>;

std::string joined(const Texts& words, const std::string& between = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

Texts names_below(const TableCommand& command) {
  Texts names;
  for (const TableCommand& below : command.commands) names.push_back(below.path.back());
  return names;
}

Texts option_names(const TableCommand& command) {
  Texts names;
  for (const TableOption& option : command.options) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

/// The patterns of a case that leads from a command to each one below it: "eval perplexity", and " eval" at the top.
std::string deeper_patterns(const TableCommand& program) {
  Texts patterns;
  for (const TableCommand* command : all_commands(program)) {
    if (command->path.empty()) continue;
    const std::string above = command->path.size() > 1 ? "" : " ";
    patterns.push_back("\"" + above + path_text(*command) + "\"");
  }
  return joined(patterns, "|");
}

}  // namespace

// --- bash ---

std::string bash_completion(const std::string& name, const TableCommand& program) {
  std::string words, values;
  for (const TableCommand* command : all_commands(program)) {
    const std::string path = path_text(*command);
    words += "    \"" + path + "\") options=\"" + joined(option_names(*command)) + "\"";
    Texts first = names_below(*command);
    for (const TableOption& each : command->positionals)
      first.insert(first.end(), each.choices.begin(), each.choices.end());
    if (!first.empty()) words += "\n      words=\"" + joined(first) + "\"";
    words += " ;;\n";
    for (const TableOption& option : command->options) {
      if (option.choices.empty()) continue;
      Texts patterns;
      for (const std::string& each : option.names) patterns.push_back("\"" + path + " " + each + "\"");
      values += "    " + joined(patterns, "|") + ") words=\"" + joined(option.choices) + "\"; options= ;;\n";
    }
  }
  return "# bash completion of " + name + ", made by `" + name + " completion bash`\n_" + name +
         "() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local command= options= words= i\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    case \"$command ${COMP_WORDS[i]}\" in\n      " +
         deeper_patterns(program) +
         ")\n"
         "        command=\"${command:+$command }${COMP_WORDS[i]}\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case $command in\n" +
         words +
         "  esac\n"
         "  case \"$command $previous\" in\n" +
         values +
         "  esac\n"
         "  [[ $current == -* ]] && words=$options\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "}\n"
         "complete -o bashdefault -o default -F _" +
         name + " " + name + "\n";
}

// --- zsh ---

namespace {

// Inside single quotes, where brackets and colons have a meaning to _arguments.
std::string zsh_text(const std::string& text) {
  std::string out = text;
  for (const char* special : {"\\", "[", "]", ":"}) out = replaced(out, special, std::string("\\") + special);
  return replaced(out, "'", "'\\''");
}

std::string zsh_values(const TableOption& option) {
  return option.choices.empty() ? "_files" : "(" + joined(option.choices) + ")";
}

std::string zsh_option(const TableOption& option) {
  const bool one = option.names.size() == 1;
  std::string text = "'";
  if (option.repeats) text += "*";
  if (!one && !option.repeats) text += "(" + joined(option.names) + ")";
  text += one ? option.names.front() : "'{" + joined(option.names, ",") + "}'";
  text += "[" + zsh_text(option.help) + "]";
  if (!option.value.empty()) text += ":" + zsh_text(option.value) + ":" + zsh_values(option);
  return text + "'";
}

std::string zsh_positional(const TableOption& option) {
  return "'" + std::string(option.repeats ? "*" : "") + (option.required || option.repeats ? ":" : "::") +
         zsh_text(option.names.front()) + ":" + zsh_values(option) + "'";
}

std::string zsh_function_name(const std::string& name, const TableCommand& command) {
  return "_" + name + (command.path.empty() ? "" : "_" + path_text(command, "_"));
}

std::string zsh_function(const std::string& name, const TableCommand& command) {
  std::string body;
  for (const TableOption& option : command.options) body += " \\\n    " + zsh_option(option);
  for (const TableOption& option : command.positionals) body += " \\\n    " + zsh_positional(option);
  const std::string head = zsh_function_name(name, command) + "() {\n";
  if (command.commands.empty()) return head + "  _arguments -s" + body + "\n}\n";
  std::string choices, cases;
  for (const TableCommand& below : command.commands) {
    choices += "\n      '" + zsh_text(below.path.back()) + ":" + replaced(below.description, "'", "'\\''") + "'";
    cases += "        " + below.path.back() + ") " + zsh_function_name(name, below) + " ;;\n";
  }
  return head + "  local state line\n  typeset -A opt_args\n  _arguments -C" + body +
         " \\\n    '1:command:->command' '*::argument:->argument'\n"
         "  case $state in\n"
         "    command)\n      local -a commands=(" +
         choices +
         "\n      )\n      _describe command commands ;;\n"
         "    argument)\n      case $line[1] in\n" +
         cases + "      esac ;;\n  esac\n}\n";
}

}  // namespace

std::string zsh_completion(const std::string& name, const TableCommand& program) {
  std::string text = "#compdef " + name + "\n# made by `" + name + " completion zsh`\n";
  for (const TableCommand* command : all_commands(program)) text += zsh_function(name, *command);
  // Found on fpath the file is the function itself; sourced, it defines it.
  return text + "if [[ $funcstack[1] == _" + name + " ]]; then\n  _" + name + " \"$@\"\nelse\n  compdef _" + name +
         " " + name + "\nfi\n";
}

// --- fish ---

namespace {

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish_option(const TableOption& option) {
  std::string text;
  for (const std::string& name : option.names) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value.empty())
    text += option.choices.empty() ? " -r -F" : " -x -a " + fish_quoted(joined(option.choices));
  return text + " -d " + fish_quoted(option.help);
}

}  // namespace

std::string fish_completion(const std::string& name, const TableCommand& program) {
  const std::string where = "__" + name + "_command";
  std::string text = "# fish completion of " + name + ", made by `" + name + " completion fish`\nfunction " + where +
                     "\n    set -l command\n    for word in (commandline -opc)[2..-1]\n"
                     "        switch \"$command $word\"\n            case " +
                     replaced(deeper_patterns(program), "\"|\"", "\" \"") +
                     "\n                set command (string trim -- \"$command $word\")\n"
                     "        end\n    end\n    echo -- $command\nend\n";
  for (const TableCommand* command : all_commands(program)) {
    const std::string at =
        "complete -c " + name + " -n 'string match -q -- \"" + path_text(*command) + "\" (" + where + ")'";
    for (const TableCommand& below : command->commands) {
      text += at + " -f -a " + below.path.back() + " -d " + fish_quoted(below.description) + "\n";
    }
    for (const TableOption& positional : command->positionals) {
      if (!positional.choices.empty()) text += at + " -a " + fish_quoted(joined(positional.choices)) + "\n";
    }
    for (const TableOption& option : command->options) text += at + fish_option(option) + "\n";
  }
  return text;
}

}  // namespace dsmoe::apps
